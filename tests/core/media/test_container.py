"""What is opened, and one sentence for everything that is not: hostile files, lists, stills, sound, limits."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition

from avd_core.media import container as video_container
from avd_core.media.container import Limits, VideoError
from avd_core.media.video import probe, read_clip
from avd_core.media.writer import transcode
from tests.core.media.clips import counted, numbered, numbers


def refusal(path, **how) -> str:
    """The sentence with which a file is refused, the same by all three ways in."""
    with pytest.raises(VideoError) as caught:
        read_clip(path, **how)
    sentence = str(caught.value)
    for way in (lambda: probe(path), lambda: transcode(path, Path(os.devnull).with_name("never.mp4"))):
        with pytest.raises(VideoError) as again:
            way()
        assert str(again.value) == sentence
    assert sentence[0].isupper() or sentence.startswith(Path(path).name[:10])
    assert sentence.endswith(".") and "\n" not in sentence and "Errno" not in sentence
    folder = str(Path(path).absolute().parent)
    assert folder not in sentence, "a message must not tell where a server keeps its files"
    return sentence


def test_text_that_names_other_files_opens_none(tmp_path):
    counted(tmp_path / "secret.mp4", 10)
    (tmp_path / "segment.ts").write_bytes(counted(tmp_path / "a.ts", 10, container="mpegts").read_bytes())
    lists = {
        "list.mp4": "ffconcat version 1.0\nfile 'secret.mp4'\n",
        "clip.webm": "ffconcat version 1.0\nfile 'secret.mp4'\n",
        "hls.mp4": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsegment.ts\n#EXT-X-ENDLIST\n",
        "stream.avi": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
    }
    for name, text in lists.items():
        (tmp_path / name).write_text(text)
        assert "names other files" in refusal(tmp_path / name), name
    # Bare FFmpeg follows the list: without the whitelist there would be a leak.
    with av.open(str(tmp_path / "list.mp4")) as container:
        assert next(container.decode(video=0)).width == 64


def test_whitelist_is_what_stops_the_list(tmp_path, monkeypatch):
    counted(tmp_path / "secret.mp4", 10)
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile 'secret.mp4'\n")
    monkeypatch.setattr(video_container, "FORMATS", video_container.FORMATS + ",concat")
    assert numbers(read_clip(tmp_path / "list.mp4", frames=2)) == [2, 7]


def test_no_other_protocol_is_opened(tmp_path, monkeypatch):
    counted(tmp_path / "http:", 4)
    monkeypatch.chdir(tmp_path)
    assert probe("http:").frames == 4  # a file's name is a name, not an address
    assert "cannot be read" in refusal("http://127.0.0.1:9/clip.mp4") and "no file" in refusal("concat:http:|http:")


def test_every_file_is_opened_with_all_guards(tmp_path, monkeypatch):
    path, guards, bare = counted(tmp_path / "clip.mp4", 4), [], av.open
    monkeypatch.setattr(av, "open", lambda *a, options, **k: guards.append(options) or bare(*a, options=options, **k))
    read_clip(path)
    assert len(guards) == 2, "one pass to look, one to decode"
    for options in guards:
        assert options["protocol_whitelist"] == "file" and options["max_pixels"] == str(Limits().max_pixels)
        assert not {"concat", "hls", "dash", "sdp", "image2"} & set(options["format_whitelist"].split(","))
        assert not {"aac", "mp3", "h264_cuvid"} & set(options["codec_whitelist"].split(","))


def test_of_several_tracks_the_default_one_is_read(tmp_path):
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w", format="matroska") as output:
        tracks = [output.add_stream("libx264", rate=10) for _ in range(2)]
        for track, disposition in zip(tracks, (Disposition.dub, Disposition.default), strict=True):
            track.height, track.width, track.pix_fmt, track.disposition = 48, 64, "yuv420p", disposition
        for i in range(10):
            for number, track in enumerate(tracks):
                frame = av.VideoFrame.from_ndarray(numbered(100 * number + i))
                frame.pts = i
                output.mux(track.encode(frame))
        for track in tracks:
            output.mux(track.encode())
    assert numbers(read_clip(path, frames=2)) == [102, 107]


def test_what_is_not_a_file(tmp_path):
    assert "no file" in refusal(tmp_path / "missing.mp4")
    assert "folder" in refusal(tmp_path)
    (tmp_path / "empty.mp4").touch()
    assert "empty" in refusal(tmp_path / "empty.mp4")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.mp4")
        assert "pipe" in refusal(tmp_path / "pipe.mp4")
    for nothing in (None, 7):
        with pytest.raises(VideoError, match="path of a file"):
            read_clip(nothing)
    with pytest.raises(VideoError, match="cannot be read"):
        read_clip("a\0b.mp4")
    with pytest.raises(VideoError, match="cannot be read"):
        read_clip("long" * 1000)


def test_file_that_may_not_be_read(tmp_path, monkeypatch):
    path = counted(tmp_path / "clip.mp4", 4)

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # root, who runs many a CI, may read everything
    assert refusal(path) == "clip.mp4 cannot be read: Permission denied."


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"Dear diary, today I made a video.\n" * 20, "text file"),
        (bytes(range(256)) * 64, "not a video"),
        (b"\0" * 5000, "not a video"),
        (b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + bytes(200), "still picture"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF\0" + bytes(200), "still picture"),
        (b"ID3\x04\0\0\0\0\0\x00" + bytes(200), "sound"),
        (b"RIFF\x24\0\0\0WAVEfmt " + bytes(200), "sound"),
        (b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41" + b"\0\0\4\0mdat" + bytes(900), "moov"),
        (b"\x1aE\xdf\xa3" + bytes(200), "damaged"),
        (b"GIF89a", "damaged"),
    ],
)
def test_what_is_not_a_video_is_called_what_it_is(tmp_path, content, told):
    (tmp_path / "clip.mp4").write_bytes(content)
    assert told in refusal(tmp_path / "clip.mp4")


def test_sound_without_pictures(tmp_path):
    for name in ("sound.m4a", "sound.mkv"):
        with av.open(str(tmp_path / name), "w", format="mp4" if name.endswith("a") else "matroska") as output:
            sound = output.add_stream("aac", rate=8000, layout="mono")
            samples = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), "fltp", "mono")
            samples.rate, samples.pts, samples.time_base = 8000, 0, Fraction(1, 8000)
            output.mux(sound.encode(samples))
            output.mux(sound.encode())
        assert "sound but no video" in refusal(tmp_path / name)


def test_cover_art_is_not_a_video(tmp_path, monkeypatch):
    path = counted(tmp_path / "song.mp4", 1, codec="mjpeg", pix_fmt="yuvj420p", audio=True)
    assert probe(path).has_audio
    monkeypatch.setattr(video_container, "Disposition", type("All", (), {"attached_pic": -1, "default": 1}))
    with pytest.raises(VideoError, match="sound but no video"):
        read_clip(path)


def test_rare_codec_is_refused_by_name(tmp_path):
    path = counted(tmp_path / "clip.avi", 4, container="avi", codec="asv1")
    assert "asv1" in refusal(path) and "H.264" in refusal(path)


def test_photograph_in_a_movie_container(tmp_path):
    content = counted(tmp_path / "clip.mp4", 1).read_bytes()
    (tmp_path / "photo.heic").write_bytes(content.replace(b"ftypisom", b"ftypheic", 1))
    assert "photograph" in refusal(tmp_path / "photo.heic")


def test_an_animated_avif_is_a_video_and_a_still_one_a_photograph(tmp_path):
    how = {"container": "avif", "codec": "libsvtav1"}
    clip = read_clip(counted(tmp_path / "moves.avif", 20, **how), frames=20, whole=True)
    assert (clip.source.frames, clip.seconds) == (20, pytest.approx(1)) and numbers(clip) == list(range(20))
    assert "photograph" in refusal(counted(tmp_path / "still.avif", 1, **how))


def test_tags_that_are_not_utf8(tmp_path):
    path = counted(tmp_path / "clip.avi", 4, container="avi", codec="mpeg4")
    content = path.read_bytes()
    assert b"Lavf" in content
    path.write_bytes(content.replace(b"Lavf", b"L\xe4\xffv", 1))
    assert probe(path).frames == 4


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        (Limits(max_pixels=1000), "64 x 48"),
        (Limits(max_frames=39), "39 pictures"),
        (Limits(max_seconds=1.5), "minutes long"),
        (Limits(max_aspect=1.2), "1.2:1"),
    ],
)
def test_limits_are_told_and_kept(tmp_path, limits, told):
    path = counted(tmp_path / "clip.mp4", 40)
    for way in (
        lambda: read_clip(path, limits=limits),
        lambda: probe(path, limits),
        lambda: transcode(path, tmp_path / "out.mp4", limits=limits),
    ):
        with pytest.raises(VideoError, match=told):
            way()
    assert not list(tmp_path.glob(".*")) and not (tmp_path / "out.mp4").exists()


def test_messages_keep_names_short_and_printable(tmp_path):
    name = "a" * 120 + "\n\x1b[31m.mp4"
    assert "…" in refusal(tmp_path / name) and "\x1b" not in refusal(tmp_path / name)


def test_nothing_stays_open(tmp_path):
    path = counted(tmp_path / "clip.mp4", 40)
    (tmp_path / "bad.mp4").write_bytes(path.read_bytes()[:600])
    before = len(os.listdir("/dev/fd"))
    for _ in range(5):
        read_clip(path)
        probe(path)
        transcode(path, tmp_path / "preview.mp4")
        for bad in (lambda: read_clip(tmp_path / "bad.mp4"), lambda: read_clip(path, limits=Limits(max_frames=3))):
            with pytest.raises(VideoError):
                bad()
    assert len(os.listdir("/dev/fd")) == before
