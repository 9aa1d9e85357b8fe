"""What a demux-only pass tells of a file: its clock, its length, where most moves."""

from __future__ import annotations

import re
import struct

import av
import numpy as np
import pytest

from avd_core.media.thumbnails import filmstrip
from avd_core.media.video import probe, read_clip
from avd_core.media.writer import transcode
from tests.core.media.clips import (
    OPTIONS,
    counted,
    encode,
    field_coded,
    moving,
    noisy,
    number_of,
    numbered,
    numbers,
    packed_avi,
)


def test_gif_keeps_its_own_delays(tmp_path):
    path = counted(tmp_path / "clip.gif", 4, container="gif", codec="gif", pix_fmt="rgb8", times=[0, 500, 600, 700])
    clip = read_clip(path, frames=8, start=0, seconds=0.8)
    assert numbers(clip) == [0, 0, 0, 0, 0, 1, 2, 3]


def test_webm_without_length_or_rate(tmp_path):
    """As a browser records it."""
    path = counted(
        tmp_path / "clip.webm",
        30,
        container="webm",
        codec="libvpx",
        muxer={"live": "1"},
        times=[50 * i for i in range(30)],
    )
    with av.open(str(path)) as container:
        assert container.duration is None, "the test needs a file without a length"
    assert probe(path).seconds == pytest.approx(1.5, abs=0.051)
    assert numbers(read_clip(path, frames=3, whole=True)) == [5, 15, 25]


def test_header_that_lies_about_the_length_is_not_believed(tmp_path):
    path = counted(tmp_path / "clip.mkv", 40, container="matroska")
    content = path.read_bytes()
    at = content.index(b"\x44\x89\x88") + 3  # Duration, a double, in milliseconds
    assert struct.unpack_from(">d", content, at)[0] == pytest.approx(2000)
    path.write_bytes(content[:at] + struct.pack(">d", 9e9) + content[at + 8 :])
    facts = probe(path)
    assert facts.seconds == pytest.approx(2, abs=0.01) and facts.frames == 40
    assert "announces 9000000.0 s" in facts.notes[0] and numbers(read_clip(path, frames=2)) == [10, 30]


def test_edit_list_hides_its_run_up(tmp_path):
    """A cut without re-encoding: pictures before the cut are there to decode from, and not to be seen."""
    whole = counted(tmp_path / "whole.mp4", 40, options={"g": "40", "bf": "2"})
    with av.open(str(whole)) as source, av.open(str(tmp_path / "cut.mp4"), "w") as output:
        track = source.streams.video[0]
        copy = output.add_stream_from_template(track)
        for packet in source.demux(track):
            if packet.size:
                cut = round(0.5 / track.time_base)
                packet.pts, packet.dts, packet.stream = packet.pts - cut, packet.dts - cut, copy
                output.mux(packet)
    facts = probe(tmp_path / "cut.mp4")
    assert (facts.frames, facts.seconds) == (30, pytest.approx(1.5))
    assert numbers(read_clip(tmp_path / "cut.mp4", frames=5)) == [13, 19, 25, 31, 37]


UNEVEN = [0, 700, 830, 850, 980, 1000, 1020, 1040, 1050, 1070]  # milliseconds
TRAILING = {"preset": "ultrafast", "g": "4", "bf": "3", "x264-params": "b-adapt=0:scenecut=0:open-gop=1"}


def test_an_edit_list_that_shows_all_hides_nothing(tmp_path):
    """FFmpeg drops what is stored behind a late keyframe that takes long to decode, here four of ten pictures."""
    path = counted(tmp_path / "clip.mp4", 10, fps=25, times=UNEVEN, options=TRAILING)
    with av.open(str(path)) as container:
        assert sum(packet.size > 0 for packet in container.demux()) < 10, "the test needs a file that FFmpeg cuts"
    clip = read_clip(path, frames=111, whole=True)
    assert clip.source.frames == 10 and clip.seconds == pytest.approx(1.11)
    assert numbers(clip) == [max(i for i, time in enumerate(UNEVEN) if time <= 1000 * at) for at in
                             (np.arange(111) + 0.5) * clip.seconds / 111]  # fmt: skip
    assert probe(transcode(path, tmp_path / "preview.mp4")).seconds == pytest.approx(1.11, abs=0.05)


@pytest.mark.parametrize("options", [{"g": "10", "bf": "2"}, {"g": "4", "bf": "0"}, TRAILING])
def test_an_edit_list_may_end_early(tmp_path, options):
    path = counted(tmp_path / "clip.mp4", 40, options=options)
    content = path.read_bytes()
    at = content.index(b"elst") + 12  # behind version and count
    path.write_bytes(content[:at] + struct.pack(">I", 1000) + content[at + 4 :])
    clip = read_clip(path, frames=20, whole=True)
    assert (clip.source.frames, clip.seconds) == (20, pytest.approx(1.0)) and numbers(clip) == list(range(20))


@pytest.mark.parametrize("options", [{"bf": "0"}, {"bf": "2"}, {"bf": "3", "x264-params": "open-gop=1:keyint=7"}])
@pytest.mark.parametrize("parts", [2, 3])
def test_recordings_joined_end_to_end_are_one_video(tmp_path, parts, options):
    with (tmp_path / "joined.ts").open("wb") as file:
        for part in range(parts):
            pictures = (numbered(50 * part + i) for i in range(50))
            file.write(encode(tmp_path / "part.ts", pictures, fps=25, container="mpegts", options=options).read_bytes())
    clip = read_clip(tmp_path / "joined.ts", frames=50 * parts, whole=True)
    assert (clip.source.seconds, clip.source.frames) == (pytest.approx(2 * parts), 50 * parts)
    assert numbers(clip) == list(range(50 * parts)) and clip.notes == ()
    late = read_clip(tmp_path / "joined.ts", frames=5, start=2.0, seconds=0.2)
    assert numbers(late) == [50, 51, 52, 53, 54]
    assert probe(transcode(tmp_path / "joined.ts", tmp_path / "preview.mp4")).frames == 50 * parts


@pytest.mark.parametrize(
    ("begin", "codec", "options"),
    [
        (1_000, "libx264", {"bf": "0"}),  # a piece of one stream, as sites send it
        (1_000, "libx264", {"bf": "2"}),
        (1_200, "libx264", {"bf": "2"}),
        (7_000, "libx264", {"bf": "2"}),
    ],
)
def test_a_count_of_packets_that_begins_anew_at_a_keyframe_is_no_damage(tmp_path, begin, codec, options):
    """Two transport streams joined whose clock goes on, or jumps ahead."""
    with (tmp_path / "joined.ts").open("wb") as file:
        for first, start in ((0, 0), (20, begin)):
            times = [start + 50 * i for i in range(20)]
            pictures = (numbered(first + i) for i in range(20))
            part = encode(tmp_path / "part.ts", pictures, container="mpegts", codec=codec, times=times, options=options)
            file.write(part.read_bytes())
    clip = read_clip(tmp_path / "joined.ts", frames=40, whole=True)
    assert clip.source.frames == 40 and clip.seconds == pytest.approx(2, abs=0.25)
    assert {0, 19, 20, 39} <= set(numbers(clip)) and not any("damaged" in note for note in clip.notes)


@pytest.mark.parametrize(("codec", "options"), [("libx264", {"g": "12"}), ("libx265", {}), ("mpeg2video", {"b": "3M"})])
def test_a_loss_right_before_a_keyframe_is_still_damage(tmp_path, codec, options):
    """What shows is sound: a picture that is incomplete there is not taken for the last one of a recording."""
    options = options | {"x265-params": "log-level=none:keyint=12:min-keyint=12"} if codec == "libx265" else options
    how = {"container": "mpegts", "codec": codec, "fps": 25, "options": options}
    path = encode(tmp_path / "clip.ts", noisy(48), **how)
    sound = read_clip(path, frames=48, size=96, whole=True).frames.astype(int)
    content = path.read_bytes()
    packets = [content[at : at + 188] for at in range(0, len(content), 188)]
    keys = [i for i, packet in enumerate(packets) if packet[1] & 0x40 and packet[3] & 0x20 and packet[5] & 0x40]
    end = next(i for i in range(keys[1], 0, -1) if packets[i - 1][1:3] == b"\x01\x00")
    path.write_bytes(b"".join(packets[: end - 3] + packets[end:]))
    clip = read_clip(path, frames=48, size=96, whole=True)
    for time, picture in zip(clip.times, clip.frames, strict=True):
        assert np.abs(picture - sound[round(25 * time)]).mean() < 3
    assert "damaged" in clip.notes[0]


def test_a_recording_that_cannot_be_decoded_after_the_first_is_told(tmp_path):
    """The second one is of another codec, so that nothing of it can be; it is not called damaged."""
    first = counted(tmp_path / "a", 30, container="mpegts")
    second = counted(tmp_path / "b", 30, container="mpegts", codec="mpeg2video", fps=25)
    (tmp_path / "clip.ts").write_bytes(first.read_bytes() + second.read_bytes())
    clip = read_clip(tmp_path / "clip.ts", frames=20, whole=True)
    assert numbers(clip) == sorted(numbers(clip)) and numbers(clip)[-1] >= 26
    assert any("another recording was joined" in note for note in clip.notes)
    assert not any("damaged" in note for note in clip.notes)


def test_an_mp4_behind_an_mp4_is_told(tmp_path):
    first = counted(tmp_path / "a.mp4", 30)
    assert not read_clip(first).source.notes
    (tmp_path / "clip.mp4").write_bytes(2 * first.read_bytes())
    source = read_clip(tmp_path / "clip.mp4").source
    assert source.frames == 30
    assert any("only the first 1.5 s" in note for note in source.notes)


@pytest.mark.parametrize("flags", ["frag_keyframe", "frag_keyframe+empty_moov+default_base_moof"])
def test_an_mp4_in_fragments_behind_another_is_told_and_spoils_nothing(tmp_path, flags):
    how = {"fps": 25, "options": {"g": "12"}, "muxer": {"movflags": flags}}
    parts = [counted(tmp_path / f"{count}.mp4", count, **how).read_bytes() for count in (50, 40)]
    (tmp_path / "clip.mp4").write_bytes(b"".join(parts))
    clip = read_clip(tmp_path / "clip.mp4", frames=50, whole=True)
    assert numbers(clip) == list(range(50))
    assert any("only the first 2.0 s" in note for note in clip.notes) and len(clip.notes) == 1


@pytest.mark.parametrize("container", ["mpegts", "matroska"])
def test_pictures_that_are_stored_field_by_field_count_once(tmp_path, container):
    clip = read_clip(field_coded(tmp_path / "clip", container=container), frames=36, whole=True)
    assert numbers(clip) == list(range(36))
    assert (clip.source.frames, clip.seconds, clip.notes) == (36, pytest.approx(1.44), ())
    part = read_clip(tmp_path / "clip", frames=5, start=0.8, seconds=0.2)
    assert numbers(part) == list(range(20, 25))
    assert number_of(filmstrip(tmp_path / "clip", 3).frames[1]) == 12


def test_a_pause_between_two_recordings_of_one_clock_is_left_out(tmp_path):
    """A camera goes on counting between two recordings; in a transport stream nothing is shown for an hour."""
    with (tmp_path / "joined.ts").open("wb") as file:
        for first, begin in ((0, 0), (20, 3_600_000)):
            times = [begin + 50 * i for i in range(20)]
            pictures = (numbered(first + i) for i in range(20))
            file.write(encode(tmp_path / "part.ts", pictures, container="mpegts", times=times).read_bytes())
    clip = read_clip(tmp_path / "joined.ts", frames=40, whole=True)
    assert clip.seconds == pytest.approx(2, abs=0.06) and numbers(clip) == list(range(40))


def test_counter_of_33_bits_that_wraps(tmp_path):
    begin = round((2**33 / 90_000 - 1.0) * 1000)
    path = counted(tmp_path / "clip.ts", 40, container="mpegts", times=[begin + 50 * i for i in range(40)])
    clip = read_clip(path, frames=40, whole=True)
    assert clip.seconds == pytest.approx(2, abs=0.06) and numbers(clip) == list(range(40)) and clip.notes == ()


@pytest.mark.parametrize(
    ("codec", "bf", "tables", "ticks"),
    [
        *(("libx264", bf, tables, 0) for bf in ("0", "2") for tables in ([b"stts"], [b"stts", b"ctts"])),
        ("mpeg4", "0", [b"stts"], 0),
        ("mjpeg", "0", [b"stts"], 0),
        ("libx265", "2", [b"stts"], 0),
        ("libx264", "0", [b"stts"], 1),
        ("libx264", "2", [b"stts"], 1),
    ],
)
def test_durations_of_zero_or_one_tick_give_an_even_clock(tmp_path, codec, bf, tables, ticks):
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    path = counted(tmp_path / "clip.mp4", 50, fps=25, codec=codec, pix_fmt=pix_fmt, options={"bf": bf})
    content = bytearray(path.read_bytes())
    for table in tables:
        at = content.find(table)
        if at < 0:
            continue
        for i in range(struct.unpack_from(">I", content, at + 8)[0]):
            struct.pack_into(">I", content, at + 12 + 8 * i + 4, ticks)
    path.write_bytes(content)
    clip = read_clip(path, frames=50, whole=True)
    assert (clip.source.frames, clip.seconds) == (50, pytest.approx(2)) and numbers(clip) == list(range(50))
    assert numbers(read_clip(path, frames=4, start=1, seconds=1)) == [28, 34, 40, 46]


def test_durations_of_zero_in_fragments_give_an_even_clock(tmp_path):
    how = {"fps": 25, "options": {"g": "10", "bf": "2"}, "muxer": {"movflags": "frag_keyframe+empty_moov+dash"}}
    path = counted(tmp_path / "clip.mp4", 50, **how)
    content = bytearray(path.read_bytes())
    for at in (match.start() for match in re.finditer(b"tfhd", bytes(content))):
        assert content[at + 7] & 0x3B == 0x38, "the default duration comes first"
        content[at + 12 : at + 16] = bytes(4)
    path.write_bytes(content)
    clip = read_clip(path, frames=50, whole=True)
    assert clip.seconds == pytest.approx(2, abs=0.05) and numbers(clip) == list(range(50)) and clip.notes == ()


@pytest.mark.parametrize("delay", [0, 1, 2, 5])
def test_a_gif_plays_as_in_browsers(tmp_path, delay):
    """A delay of at most 10 ms counts as 100 ms, in index and decoder alike."""
    path = counted(tmp_path / "clip.gif", 20, container="gif", codec="gif", pix_fmt="rgb8", fps=50)
    content = bytearray(path.read_bytes())
    for at in (match.start() for match in re.finditer(b"\x21\xf9\x04", bytes(content))):
        struct.pack_into("<H", content, at + 4, delay)
    path.write_bytes(content)
    seconds = 20 * (delay / 100 if delay > 1 else 0.1)
    clip = read_clip(path, frames=20, whole=True)
    assert clip.seconds == pytest.approx(seconds) and numbers(clip) == list(range(20)) and clip.notes == ()
    preview = probe(transcode(path, tmp_path / "preview.mp4"))
    assert preview.seconds == pytest.approx(seconds, abs=0.021)


def test_packed_b_frames(tmp_path):
    path = packed_avi(tmp_path / "clip.avi", 97)
    with av.open(str(path)) as container:
        empty = [packet.is_keyframe for packet in container.demux() if 0 < packet.size < 7]
    assert len(empty) == 32 and any(empty), "the test needs an empty chunk that passes for a keyframe"
    clip = read_clip(path, frames=97, whole=True)
    assert clip.seconds == pytest.approx(97 / 25) and clip.notes == ()
    assert numbers(clip) == list(range(97))
    for start in np.arange(0, 3.5, 0.37):
        window = read_clip(path, frames=8, start=float(start), seconds=0.5)
        assert numbers(window) == [int(25 * (start + (i + 0.5) / 16) + 1e-6) for i in range(8)]
        assert not any("damaged" in note for note in window.notes)


@pytest.mark.parametrize(
    ("container", "codec", "options"),
    [
        ("mp4", "libx264", {"g": "10"}),  # so many keyframes that their size would drown the motion
        ("mp4", "libx264", {"g": "250"}),
        ("avi", "mpeg4", {"g": "12"}),
        ("avi", "mjpeg", {"qmin": "4", "qmax": "4"}),
        ("webm", "libvpx", OPTIONS["libvpx"]),
        ("gif", "gif", {}),
    ],
)
def test_longer_clip_gives_its_two_liveliest_seconds(tmp_path, container, codec, options):
    pix_fmt = {"mjpeg": "yuvj420p", "gif": "gray"}.get(codec, "yuv420p")  # of GIF's formats, the one without dither
    path = encode(
        tmp_path / "clip",
        moving(10, 9, 4, 3),
        container=container,
        codec=codec,
        options=options,
        pix_fmt=pix_fmt,
        fps=10,
    )
    clip = read_clip(path)
    assert clip.seconds == 2 and clip.start >= 8.5 and clip.start + 2 <= 13.5
    assert any("most motion" in note for note in clip.notes)
    longer = read_clip(path, seconds=4)
    assert longer.seconds == 4 and 8.3 <= longer.start <= 9.7


def test_one_scene_cut_does_not_pass_for_motion(tmp_path):
    def pictures():
        cut = np.random.default_rng(1).integers(0, 255, (96, 128, 3), dtype=np.uint8)
        for i, picture in enumerate(moving(10, 9, 4, 3)):
            yield cut if 20 <= i < 60 else picture

    path = encode(tmp_path / "clip.mp4", pictures(), fps=10, options={"x264-params": "scenecut=0"})
    assert 8.3 <= read_clip(path, seconds=4).start <= 9.7


def test_detail_does_not_pass_for_motion_where_every_picture_is_a_keyframe(tmp_path):
    def pictures():
        detail = np.random.default_rng(1).integers(0, 255, (96, 128, 3), dtype=np.uint8)
        for i, picture in enumerate(moving(10, 6, 4, 6)):
            yield picture if 60 <= i < 100 else detail

    options = {"qmin": "4", "qmax": "4"}
    path = encode(
        tmp_path / "clip.avi", pictures(), container="avi", codec="mjpeg", pix_fmt="yuvj420p", fps=10, options=options
    )
    assert 5.3 <= read_clip(path).start <= 6.7


@pytest.mark.parametrize("kind", ["matroska", "mp4"])
def test_whole_file_whose_times_start_late_is_not_called_cut_short(tmp_path, kind):
    times = [60_000 + 50 * i for i in range(40)]
    path = counted(tmp_path / "late", container=kind, times=times)
    clip = read_clip(path, whole=True)
    assert clip.notes == () and clip.seconds == pytest.approx(2.0, abs=0.1)
