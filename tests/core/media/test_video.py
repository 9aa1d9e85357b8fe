"""Video in and out, on files that the tests make themselves, most of them broken on purpose.

Pictures carry their own number as a row of black and white blocks, which survives any codec, size and colour
conversion here, so that a test can say which pictures it was given.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import threading
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition
from av.video.reformatter import VideoReformatter

from avd_core.media import container as video_container
from avd_core.media import decoder, frame_transform, video
from avd_core.media import index as frame_index
from avd_core.media.video import Limits, VideoError, probe, read_clip
from avd_core.media.writer import transcode, write_mp4

CONTAINERS = {
    "mp4": ("mp4", "libx264", "yuv420p"),
    "mov": ("mov", "libx264", "yuv420p"),
    "mpeg4.avi": ("avi", "mpeg4", "yuv420p"),
    "h264.avi": ("avi", "libx264", "yuv420p"),
    "mjpeg.avi": ("avi", "mjpeg", "yuvj420p"),
    "h264.mkv": ("matroska", "libx264", "yuv420p"),
    "ffv1.mkv": ("matroska", "ffv1", "yuv420p"),
    "vp8.webm": ("webm", "libvpx", "yuv420p"),
    "vp9.webm": ("webm", "libvpx-vp9", "yuv420p"),
    "av1.webm": ("webm", "libsvtav1", "yuv420p"),
    "hevc.mp4": ("mp4", "libx265", "yuv420p"),
    "gif": ("gif", "gif", "rgb8"),
    "ts": ("mpegts", "libx264", "yuv420p"),
}
OPTIONS = {
    "libx265": {"x265-params": "log-level=none"},
    "libsvtav1": {"preset": "12"},
    "libvpx": {"deadline": "realtime", "cpu-used": "8"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
}


def numbered(number: int, height: int = 48, width: int = 64) -> np.ndarray:
    """A grey picture with 8 blocks along its middle that spell `number` in binary."""
    picture = np.full((height, width, 3), 128, np.uint8)
    for bit in range(8):
        left, right = width * bit // 8, width * (bit + 1) // 8
        picture[height // 4 : 3 * height // 4, left:right] = 255 * (number >> bit & 1)
    return picture


def number_of(picture: np.ndarray) -> int:
    height, width, _ = picture.shape
    return sum(int(picture[height // 2, width * (2 * bit + 1) // 16].mean() > 128) << bit for bit in range(8))


def numbers(clip: video.Clip) -> list[int]:
    return [number_of(picture) for picture in clip.frames]


def encode(
    path: Path,
    pictures,
    *,
    container: str = "mp4",
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    fps: int = 20,
    times: list[int] | None = None,
    options: dict[str, str] | None = None,
    muxer: dict[str, str] | None = None,
    prepare=lambda stream: None,
    tag=lambda frame: None,
    audio: bool = False,
) -> Path:
    """Encodes RGB pictures; `times` are in milliseconds and replace the constant rate."""
    reformat = VideoReformatter()
    with av.open(str(path), "w", format=container, options=muxer or {}) as output:
        stream = output.add_stream(codec, rate=fps, options={**OPTIONS.get(codec, {}), **(options or {})})
        stream.pix_fmt = pix_fmt
        if times:
            stream.codec_context.time_base = Fraction(1, 1000)
        sound = output.add_stream("aac", rate=8000, layout="mono") if audio else None
        for i, picture in enumerate(pictures):
            if not i:
                stream.height, stream.width = picture.shape[:2]
                prepare(stream)
            frame = reformat.reformat(av.VideoFrame.from_ndarray(picture), format=pix_fmt)
            tag(frame)
            frame.pts = times[i] if times else i
            frame.time_base = Fraction(1, 1000) if times else Fraction(1, fps)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
        if sound:
            samples = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), "fltp", "mono")
            samples.rate, samples.pts, samples.time_base = 8000, 0, Fraction(1, 8000)
            output.mux(sound.encode(samples))
            output.mux(sound.encode())
    return path


def counted(path: Path, count: int = 40, **how) -> Path:
    return encode(path, (numbered(i) for i in range(count)), **how)


def index_of(path: Path) -> frame_index.Index:
    return frame_index.read_index(path, Limits())


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


# --- Sampling -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", CONTAINERS)
def test_every_container_gives_the_picture_on_display_at_each_bin_centre(tmp_path, kind):
    container, codec, pix_fmt = CONTAINERS[kind]
    path = counted(tmp_path / f"clip.{kind}", 40, container=container, codec=codec, pix_fmt=pix_fmt)
    facts = probe(path)
    assert facts.frames == 40 and facts.seconds == pytest.approx(2, abs=0.051) and not facts.notes
    assert facts.fps == pytest.approx(20, rel=0.03) and (facts.width, facts.height) == (64, 48)

    clip = read_clip(path, frames=8, size=48, start=0.5, seconds=1)
    assert clip.frames.shape == (8, 48, 64, 3) and clip.frames.dtype == np.uint8
    assert numbers(clip) == [11, 13, 16, 18, 21, 23, 26, 28]
    assert clip.times == pytest.approx(np.array(numbers(clip)) / 20, abs=0.0015)
    assert (clip.start, clip.seconds, clip.fps) == (0.5, 1, 8) and not clip.notes


@pytest.mark.parametrize(
    ("codec", "container", "options"),
    [
        ("libx264", "mp4", {"g": "8", "bf": "3", "x264-params": "open-gop=1:keyint=8:min-keyint=8"}),
        ("libx264", "avi", {"g": "8", "bf": "2"}),
        ("libx264", "mpegts", {"g": "8", "bf": "2"}),
        ("libx265", "matroska", {"x265-params": "log-level=none:keyint=8:min-keyint=8:open-gop=1:bframes=3"}),
        ("mpeg4", "avi", {"g": "6", "bf": "2"}),
        ("mpeg2video", "mpegts", {"g": "6", "bf": "2"}),
        ("libvpx", "webm", {"g": "8", **OPTIONS["libvpx"]}),
    ],
)
def test_skipping_groups_of_pictures_changes_nothing(tmp_path, monkeypatch, codec, container, options):
    path = counted(tmp_path / "clip", 120, codec=codec, container=container, options=options)
    fed = []
    decode = decoder.Decoder.decode
    monkeypatch.setattr(decoder.Decoder, "decode", lambda self, packet: fed.append(1) or decode(self, packet))
    for window in ({"whole": True, "frames": 5}, {"start": 4.5, "seconds": 1.0}, {"start": 5.9}):
        fed.clear()
        clip = read_clip(path, **window)
        centres = clip.start + (np.arange(len(clip.frames)) + 0.5) * clip.seconds / len(clip.frames)
        assert numbers(clip) == [int(centre * 20 + 1e-6) for centre in centres]
        assert len(fed) < 90, "nothing was skipped"


@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("libx265", {"x265-params": "log-level=none:keyint=200:scenecut=0"}),
        ("mpeg4", {"g": "200", "sc_threshold": "1000000000", "qmin": "3", "qmax": "3"}),
    ],
)
def test_false_keyframe_flags_cost_time_and_nothing_else(tmp_path, codec, options):
    path = counted(tmp_path / "clip.mp4", 100, codec=codec, options=options)
    assert sum(index_of(path).keys) == 1
    # Without its table of keyframes, an MP4 says that every picture is one.
    path.write_bytes(path.read_bytes().replace(b"stss", b"free"))
    assert sum(index_of(path).keys) == 100
    clip = read_clip(path, frames=3, start=4, seconds=0.6)
    assert numbers(clip) == [82, 86, 90] and not clip.notes


def test_variable_frame_rate_is_sampled_by_time(tmp_path):
    times = [0, 100, 200, 1200, 1250, 1300, 1900]  # the third picture stays for a second
    for name in ("clip.mp4", "clip.mkv"):
        container = "mp4" if name.endswith("mp4") else "matroska"
        path = counted(tmp_path / name, 7, times=times, container=container, options={"bf": "0"})
        clip = read_clip(path, frames=10, start=0, seconds=2)
        centres = (np.arange(10) + 0.5) * clip.seconds / 10
        assert numbers(clip) == [int(np.searchsorted(times, 1000 * centre, side="right")) - 1 for centre in centres]
        assert clip.times == pytest.approx([times[i] / 1000 for i in numbers(clip)])
        assert any("different pictures" in note for note in clip.notes)


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


def test_clock_that_starts_again_is_followed_once(tmp_path):
    with (tmp_path / "joined.ts").open("wb") as file:
        for first in (0, 50):
            pictures = (numbered(first + i) for i in range(20))
            piece = encode(tmp_path / "piece.ts", pictures, container="mpegts", options={"bf": "0"})
            file.write(piece.read_bytes())
    assert max(numbers(read_clip(tmp_path / "joined.ts", frames=40, whole=True))) < 20


def test_threads_share_nothing(tmp_path):
    path = counted(tmp_path / "clip.mp4", 100)
    results: list[list[int]] = []
    readers = [threading.Thread(target=lambda: results.append(numbers(read_clip(path, whole=True)))) for _ in range(4)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert len(results) == 4 and all(result == results[0] for result in results)


# --- The window ---------------------------------------------------------------------------------------------


def moving(fps: int, still: float, lively: float, after: float, *, height: int = 96, width: int = 128):
    """A noisy still picture, in which for a while a block moves."""
    rng = np.random.default_rng(0)
    scene = rng.integers(60, 200, (height // 8, width // 8, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    for i in range(round(fps * (still + lively + after))):
        picture = scene.copy()
        step = min(max(i - round(fps * still), 0), round(fps * lively))
        left = step * 7 % (width - 32)
        picture[32:64, left : left + 32] = [250, 40, 40]
        yield picture


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
def test_longer_clip_gives_its_four_liveliest_seconds(tmp_path, container, codec, options):
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
    assert clip.seconds == 4 and 8.3 <= clip.start <= 9.7
    assert any("most motion" in note for note in clip.notes)
    shorter = read_clip(path, seconds=2)
    assert shorter.seconds == 2 and shorter.start >= 8.5 and shorter.start + 2 <= 13.5


def test_one_scene_cut_does_not_pass_for_motion(tmp_path):
    def pictures():
        cut = np.random.default_rng(1).integers(0, 255, (96, 128, 3), dtype=np.uint8)
        for i, picture in enumerate(moving(10, 9, 4, 3)):
            yield cut if 20 <= i < 60 else picture

    path = encode(tmp_path / "clip.mp4", pictures(), fps=10, options={"x264-params": "scenecut=0"})
    assert 8.3 <= read_clip(path).start <= 9.7


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


def test_clip_of_up_to_four_seconds_is_taken_whole(tmp_path):
    path = counted(tmp_path / "clip.mp4", 80)
    clip = read_clip(path)
    assert (clip.start, clip.seconds, clip.fps) == (0, 4, 4) and not clip.notes


def test_window_is_what_was_asked_for(tmp_path):
    path = counted(tmp_path / "clip.mp4", 200)
    whole = read_clip(path, whole=True, frames=4)
    assert (whole.start, whole.seconds) == (0, 10) and numbers(whole) == [25, 75, 125, 175]
    assert (read_clip(path, start=1).start, read_clip(path, start=1).seconds) == (1, 4)
    assert read_clip(path, seconds=7).seconds == 7
    late = read_clip(path, start=9, seconds=3, frames=4)
    assert late.seconds == pytest.approx(1) and numbers(late) == [182, 187, 192, 197]
    assert "ends at 10.0 s" in late.notes[0]
    assert "ends at 10.0 s" in read_clip(path, seconds=60).notes[0]


@pytest.mark.parametrize(
    ("window", "told"),
    [
        ({"start": 3}, "from 0 to 1.9 s"),
        ({"start": -1}, "from 0 to 1.9 s"),
        ({"start": 2.0}, "2.0 s long"),
        ({"seconds": 0}, "at least 0.1 s"),
        ({"seconds": -4}, "at least 0.1 s"),
        ({"start": float("nan")}, "number of seconds"),
        ({"seconds": float("inf")}, "number of seconds"),
        ({"start": "1"}, "number of seconds"),
        ({"start": True}, "number of seconds"),
        ({"whole": True, "start": 1}, "not both"),
        ({"whole": True, "seconds": 1}, "not both"),
        ({"frames": 0}, "from 1 to 256"),
        ({"frames": 2.5}, "from 1 to 256"),
        ({"size": 4}, "from 8 to 1024"),
        ({"size": 5000}, "from 8 to 1024"),
    ],
)
def test_impossible_windows_are_refused_with_what_is_possible(tmp_path, window, told):
    path = counted(tmp_path / "clip.mp4", 40)
    with pytest.raises(VideoError, match=told):
        read_clip(path, **window)


# --- Cost ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory) -> Path:
    """Ten minutes, a keyframe every 10 s."""
    pictures = [numbered(i, 48, 64) for i in range(250)]
    return encode(
        tmp_path_factory.mktemp("long") / "long.mp4",
        (pictures[i % 250] for i in range(6000)),
        fps=10,
        options={"g": "100", "preset": "ultrafast", "x264-params": "scenecut=0"},
    )


def test_only_wanted_pictures_are_converted_and_only_their_groups_decoded(long_clip, monkeypatch):
    converted, fed = [], []
    convert, decode = frame_transform.Reformatter._convert, decoder.Decoder.decode
    monkeypatch.setattr(
        frame_transform.Reformatter, "_convert", lambda self, *a, **k: converted.append(1) or convert(self, *a, **k)
    )
    monkeypatch.setattr(decoder.Decoder, "decode", lambda self, packet: fed.append(1) or decode(self, packet))
    clip = read_clip(long_clip, start=595, seconds=4)
    assert numbers(clip) == [int((595 + (i + 0.5) / 4) * 10 + 1e-6) % 250 for i in range(16)]
    assert len(converted) == 16 and len(fed) <= 110
    fed.clear()
    read_clip(long_clip, frames=4, whole=True)
    assert len(fed) <= 4 * 100, "a group of pictures without a wanted one was decoded"


def test_long_clip_costs_no_memory(long_clip, tmp_path):
    """The high-water mark of a process that reads and previews ten minutes, against one that reads a second."""
    script = (
        "import resource, sys; from avd_core.media import video, writer\n"
        "video.read_clip(sys.argv[1], whole=True); writer.transcode(sys.argv[1], sys.argv[2], max_seconds=600)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    short = counted(tmp_path / "short.mp4", 10, fps=10)
    peak = [
        int(subprocess.check_output([sys.executable, "-c", script, str(path), str(tmp_path / "preview.mp4")]))
        for path in (short, long_clip)
    ]
    decoded = 6000 * 48 * 64 * 3 // 2 // 1024
    assert (peak[1] - peak[0]) / (1024 if sys.platform == "darwin" else 1) < decoded * 0.75 < 25_000
    assert probe(tmp_path / "preview.mp4").seconds == pytest.approx(600, abs=0.2)


# --- Pictures -----------------------------------------------------------------------------------------------

CORNERS = np.zeros((64, 96, 3), np.uint8)
CORNERS[:32, :48], CORNERS[:32, 48:], CORNERS[32:, :48], CORNERS[32:, 48:] = (
    (220, 30, 30),
    (30, 220, 30),
    (30, 30, 220),
    (230, 230, 230),
)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("container", ["mp4", "mov"])
def test_pictures_stand_upright(tmp_path, container, degrees, flip):
    """`degrees` as PyAV counts them, counter-clockwise; the mirroring comes after the turn."""
    path = encode(
        tmp_path / "clip",
        [CORNERS] * 4,
        container=container,
        prepare=lambda stream: stream.set_display_rotation(degrees, hflip=flip),
    )
    upright = np.rot90(CORNERS, degrees // 90)
    upright = upright[:, ::-1] if flip else upright
    clip = read_clip(path, size=64)
    assert clip.frames.shape[1:] == upright.shape
    for image in (clip.frames[0], read_clip(transcode(path, tmp_path / "preview.mp4"), size=64).frames[0]):
        assert image.shape == upright.shape
        for y in (16, -16):
            for x in (16, -16):
                assert image[y, x] == pytest.approx(upright[y, x], abs=12)
    if not flip:
        assert clip.source.rotation == -degrees % 360
        assert (clip.source.height, clip.source.width) == upright.shape[:2]


def test_display_matrix_of_nonsense_is_ignored(tmp_path):
    path = encode(
        tmp_path / "clip.mp4", [CORNERS] * 4, prepare=lambda stream: stream.set_display_matrix([0] * 8 + [1 << 30])
    )
    assert read_clip(path, size=64).frames[0, 16, 16] == pytest.approx(CORNERS[16, 16], abs=12)


@pytest.mark.parametrize(
    ("height", "width", "size", "expected"),
    [
        (240, 320, 112, (112, 152)),
        (320, 240, 112, (152, 112)),
        (256, 340, 112, (112, 152)),
        (360, 640, 112, (112, 200)),
        (100, 100, 64, (64, 64)),
        (48, 64, 112, (112, 152)),
        (240, 320, 67, (64, 88)),
        (240, 320, 61, (64, 88)),
        (2, 2, 16, (16, 16)),
    ],
)
def test_sides_are_multiples_of_eight_in_the_sources_proportions(tmp_path, height, width, size, expected):
    ramp = np.broadcast_to(np.linspace(0, 255, width)[None, :, None], (height, width, 3)).astype(np.uint8)
    path = encode(tmp_path / "clip.mkv", [ramp] * 2, container="matroska", codec="ffv1", pix_fmt="bgr0")
    clip = read_clip(path, size=size)
    assert clip.frames.shape[1:3] == expected and not any("cropped" in note for note in clip.notes)
    if width > 2:
        # Not squeezed: the ramp's slope is that of the source, scaled evenly.
        across = clip.frames[0, expected[0] // 2, :, 0].astype(float)
        slope = np.polyfit(np.arange(4, expected[1] - 4), across[4:-4], 1)[0]
        scale = max(expected[0] / height, expected[1] / width)
        assert slope == pytest.approx(255 / (width - 1) / scale, rel=0.02)


def test_beyond_two_to_one_the_middle_is_kept_and_told(tmp_path):
    picture = np.zeros((64, 256, 3), np.uint8)
    picture[:, 64:192] = 255  # the middle half, which is 2:1
    for image, shape in ((picture, (112, 224)), (picture.swapaxes(0, 1), (224, 112))):
        clip = read_clip(encode(tmp_path / "clip.mp4", [np.ascontiguousarray(image)] * 4))
        assert clip.frames.shape[1:3] == shape and clip.frames.min() > 200
        assert any("4.00:1" in note and "cropped" in note for note in clip.notes)


def test_pixels_that_are_not_square_are_made_so(tmp_path):
    def prepare(stream):
        stream.codec_context.sample_aspect_ratio = Fraction(16, 11)

    path = encode(tmp_path / "clip.mp4", [np.full((576, 704, 3), 90, np.uint8)] * 3, prepare=prepare)
    assert (probe(path).width, probe(path).height) == (1024, 576)
    assert read_clip(path, size=72).frames.shape[1:3] == (72, 128)
    assert probe(transcode(path, tmp_path / "preview.mp4")).width == 640


def test_downscaling_does_not_alias(tmp_path):
    """Lines finer than the small picture's pixels must turn grey, not into coarser lines."""
    lines = np.zeros((450, 600, 3), np.uint8)
    lines[::2] = 255
    path = encode(tmp_path / "clip.mkv", [lines] * 2, container="matroska", codec="ffv1", pix_fmt="bgr0")
    frame = read_clip(path, size=112).frames[0].astype(float)
    assert frame[8:-8, 8:-8].std() < 2 and frame.mean() == pytest.approx(127.5, abs=2)


PATCHES = [
    (255, 0, 0),
    (0, 255, 0),
    (0, 0, 255),
    (255, 255, 255),
    (0, 0, 0),
    (200, 120, 90),
    (60, 100, 40),
    (30, 60, 140),
]


def patches(height: int, width: int) -> np.ndarray:
    image = np.zeros((height, width, 3), np.uint8)
    for i, colour in enumerate(PATCHES):
        image[:, width * i // len(PATCHES) : width * (i + 1) // len(PATCHES)] = colour
    return image


def drift(image: np.ndarray) -> int:
    """Largest error of a channel in the middle of a patch."""
    height, width, _ = image.shape
    middles = [image[height // 2, width * (2 * i + 1) // (2 * len(PATCHES))] for i in range(len(PATCHES))]
    return int(np.abs(np.array(middles, int) - np.array(PATCHES)).max())


@pytest.mark.parametrize(
    ("height", "matrix", "tagged", "full_range", "pix_fmt"),
    [
        (720, 1, False, False, "yuv420p"),  # the trap: untagged HD is BT.709
        (720, 1, True, False, "yuv420p"),
        (480, 5, False, False, "yuv420p"),
        (480, 5, True, False, "yuv420p"),
        (480, 1, True, False, "yuv420p"),
        (720, 5, True, False, "yuv420p"),
        (480, 1, True, True, "yuv420p"),
        (480, 1, True, False, "yuv420p10le"),
        (480, 1, True, False, "yuv444p"),
    ],
)
def test_colours_are_those_of_the_source(tmp_path, height, matrix, tagged, full_range, pix_fmt):
    scaler, picture = VideoReformatter(), patches(height, height * 16 // 9 // 2 * 2)
    with av.open(str(tmp_path / "clip.mp4"), "w") as output:
        stream = output.add_stream("libx264", rate=10, options={"crf": "6", "preset": "ultrafast"})
        stream.height, stream.width, stream.pix_fmt = *picture.shape[:2], pix_fmt
        stream.codec_context.color_range = 2 if full_range else 1
        if tagged:
            codec = stream.codec_context
            codec.colorspace = codec.color_primaries = codec.color_trc = matrix
        for i in range(2):
            frame = scaler.reformat(
                av.VideoFrame.from_ndarray(picture),
                format=pix_fmt,
                dst_colorspace=matrix,
                dst_color_range=2 if full_range else 1,
                interpolation="BICUBIC",
            )
            frame.colorspace = frame.color_primaries = frame.color_trc = matrix if tagged else 2
            frame.pts = i
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    with av.open(str(tmp_path / "clip.mp4")) as container:
        assert next(container.decode(video=0)).colorspace == (matrix if tagged else 2)
    assert drift(read_clip(tmp_path / "clip.mp4", size=112).frames[0]) <= 4
    preview = transcode(tmp_path / "clip.mp4", tmp_path / "preview.mp4")
    assert drift(read_clip(preview, size=112).frames[0]) <= 8


def test_unknown_matrix_is_no_obstacle(tmp_path):
    def tag(frame):
        frame.colorspace = 8  # YCgCo, which swscale does not know

    def prepare(stream):
        stream.codec_context.colorspace = 8

    path = counted(tmp_path / "clip.mp4", 4, tag=tag, prepare=prepare)
    with av.open(str(path)) as container:
        assert next(container.decode(video=0)).colorspace == 8
    assert numbers(read_clip(path, frames=4)) == [0, 1, 2, 3]


def test_hdr_white_is_white(tmp_path):
    """Three quarters of the signal are HLG's white; taken for an ordinary video it would be a dull grey."""

    def tag(frame):
        frame.colorspace = frame.color_primaries = 9
        frame.color_trc = 18

    def prepare(stream):
        codec = stream.codec_context
        codec.colorspace = codec.color_primaries = 9
        codec.color_trc = 18

    grey = np.full((96, 128, 3), 191, np.uint8)
    path = encode(tmp_path / "clip.mov", [grey] * 3, container="mov", pix_fmt="yuv420p10le", tag=tag, prepare=prepare)
    clip = read_clip(path)
    assert clip.frames.min() > 245 and any("HDR" in note for note in clip.notes)


@pytest.mark.parametrize(
    ("container", "codec", "pix_fmt"),
    [
        ("mov", "libx264", "gray"),
        ("mov", "prores_ks", "yuv422p10le"),
        ("mov", "qtrle", "rgb24"),
        ("avi", "rawvideo", "bgr24"),
        ("avi", "huffyuv", "yuv422p"),
        ("matroska", "ffv1", "gray16le"),
        ("mp4", "libx264", "yuv444p10le"),
    ],
)
def test_odd_pixel_formats(tmp_path, container, codec, pix_fmt):
    path = counted(tmp_path / "clip", 8, container=container, codec=codec, pix_fmt=pix_fmt)
    assert numbers(read_clip(path, frames=8)) == list(range(8))


def test_transparent_areas_are_white(tmp_path):
    rgba = np.zeros((64, 64, 4), np.uint8)
    rgba[16:48, 16:48] = (200, 30, 30, 255)
    for name, container, codec in (("clip.gif", "gif", "gif"), ("clip.mov", "mov", "png")):
        if codec == "gif":
            from PIL import Image

            images = [Image.fromarray(np.roll(rgba, i, axis=1)) for i in range(3)]
            images[0].save(tmp_path / name, save_all=True, append_images=images[1:], duration=100, disposal=2)
        else:
            with av.open(str(tmp_path / name), "w", format=container) as output:
                stream = output.add_stream(codec, rate=10)
                stream.height, stream.width, stream.pix_fmt = 64, 64, "rgba"
                for i in range(3):
                    frame = av.VideoFrame.from_ndarray(np.roll(rgba, i, axis=1), format="rgba")
                    frame.pts = i
                    output.mux(stream.encode(frame))
                output.mux(stream.encode())
        clip = read_clip(tmp_path / name, size=32)
        assert clip.frames[0, 2, 2] == pytest.approx([255] * 3, abs=2)
        assert clip.frames[0, 16, 16] == pytest.approx([200, 30, 30], abs=8)
        assert any("white" in note for note in clip.notes)
        preview = read_clip(transcode(tmp_path / name, tmp_path / "preview.mp4"), size=32)
        assert preview.frames[0, 2, 2] == pytest.approx([255] * 3, abs=6)


def test_pictures_that_change_size_keep_the_first_ones(tmp_path):
    joined = tmp_path / "joined.ts"
    with joined.open("wb") as file:
        for part, side in enumerate((48, 96)):
            pictures = (numbered(20 * part + i, side, side * 4 // 3) for i in range(20))
            times = [1000 * part + 50 * i for i in range(20)]
            options = {"bf": "0"}
            piece = encode(tmp_path / "piece.ts", pictures, container="mpegts", times=times, options=options)
            file.write(piece.read_bytes())
    clip = read_clip(joined, frames=8, size=48, whole=True)
    assert clip.frames.shape == (8, 48, 64, 3) and numbers(clip) == [2, 7, 12, 17, 22, 27, 32, 37]
    transcode(joined, tmp_path / "preview.mp4")
    # The second half is beyond this limit, which the header of the first does not tell.
    clip = read_clip(joined, size=48, whole=True, limits=Limits(max_pixels=64 * 64))
    assert clip.seconds <= 1.1 and any("damaged" in note for note in clip.notes)


# --- Stills and hostile files -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["mp4", "gif", "ffv1.mkv", "mjpeg.avi"])
def test_single_picture_repeats_for_a_second(tmp_path, kind):
    container, codec, pix_fmt = CONTAINERS[kind]
    path = counted(tmp_path / f"clip.{kind}", 1, container=container, codec=codec, pix_fmt=pix_fmt)
    clip = read_clip(path)
    assert len(clip.frames) == 16 and (clip.frames == clip.frames[0]).all() and clip.seconds == pytest.approx(1)
    assert any("single picture" in note for note in clip.notes)
    assert probe(transcode(path, tmp_path / "preview.mp4")).frames == 1


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


# --- Damage -------------------------------------------------------------------------------------------------


def noisy(count: int):
    """Numbered pictures with some noise, so that packets are large enough to be hit."""
    rng = np.random.default_rng(0)
    for i in range(count):
        picture = numbered(i, 96, 128).astype(int) + rng.integers(-40, 40, (96, 128, 3))
        yield picture.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def sound_files(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("sound")
    return {
        kind: encode(
            folder / f"clip.{kind}",
            noisy(60),
            container=CONTAINERS[kind][0],
            codec=CONTAINERS[kind][1],
            pix_fmt=CONTAINERS[kind][2],
            options={"g": "300"} | ({"qmin": "4", "qmax": "8"} if CONTAINERS[kind][1] == "mpeg4" else {}),
            muxer={"movflags": "+faststart"} if kind == "mp4" else {},
        )
        for kind in ("mp4", "mpeg4.avi", "h264.mkv", "vp8.webm", "gif", "ts")
    }


def assert_sound_start(clip: video.Clip, *, until: float) -> None:
    """The clip is the file's beginning, in order; only the last pictures before the fault may be missing."""
    assert clip.start == 0 and 0.3 < clip.seconds <= until
    wanted = [int(centre * 20 + 1e-6) for centre in (np.arange(16) + 0.5) * clip.seconds / 16]
    assert numbers(clip)[:14] == wanted[:14]
    assert all(want - 3 <= got <= want for got, want in zip(numbers(clip)[14:], wanted[14:], strict=True))


@pytest.mark.parametrize("kind", ["matroska", "mp4"])
def test_whole_file_whose_times_start_late_is_not_called_cut_short(tmp_path, kind):
    times = [60_000 + 50 * i for i in range(40)]
    path = counted(tmp_path / "late", container=kind, times=times)
    clip = read_clip(path, whole=True)
    assert clip.notes == () and clip.seconds == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("kind", ["mp4", "mpeg4.avi", "h264.mkv", "vp8.webm", "gif", "ts"])
def test_file_that_breaks_off_gives_what_comes_before(tmp_path, sound_files, kind):
    content = sound_files[kind].read_bytes()
    path = tmp_path / sound_files[kind].name
    path.write_bytes(content[: len(content) * 6 // 10])
    clip = read_clip(path, whole=True)
    assert_sound_start(clip, until=2.2)
    if kind != "ts":  # a transport stream announces nothing that could be missed
        assert any("cut short" in note for note in clip.notes), clip.notes
        assert any("cut short" in note for note in clip.source.notes)
    assert probe(transcode(path, tmp_path / "preview.mp4")).seconds == pytest.approx(clip.seconds, abs=0.3)


@pytest.mark.parametrize("kind", ["mp4", "mpeg4.avi", "h264.mkv", "gif"])
def test_fault_in_the_middle_ends_the_clip(tmp_path, sound_files, kind):
    with av.open(str(sound_files[kind])) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux() if packet.size]
    content, (start, size) = bytearray(sound_files[kind].read_bytes()), packets[35]
    content[start : start + size] = np.random.default_rng(0).bytes(size)
    path = tmp_path / sound_files[kind].name
    path.write_bytes(content)
    clip = read_clip(path, whole=True)
    assert_sound_start(clip, until=1.95)
    assert any("damaged" in note or "cut short" in note for note in clip.notes), clip.notes


@pytest.mark.parametrize("codec", ["libx264", "libx265", "mpeg4", "libvpx-vp9"])
def test_no_picture_is_built_on_ruins(tmp_path, monkeypatch, codec):
    """With many threads a decoder goes on for several pictures before it tells of a fault."""
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    options = {"libx264": {"bf": "0"}, "mpeg4": {"qmin": "4", "qmax": "8"}}.get(codec, {})
    options = OPTIONS.get(codec, {}) | {"g": "300"} | options
    path = encode(tmp_path / "clip.mkv", noisy(60), container="matroska", codec=codec, options=options)
    intact = dict(zip(*timed(read_clip(path, frames=60, size=96)), strict=True))
    with av.open(str(path)) as container:
        start, size = [(packet.pos, packet.size) for packet in container.demux() if packet.size][30]
    content = bytearray(path.read_bytes())
    content[start + 4 : start + size] = bytes(size - 4)
    path.write_bytes(content)
    clip = read_clip(path, frames=60, size=96)
    assert 1.2 < clip.seconds <= 1.55 and any("damaged at 1." in note for note in clip.notes)
    for time, picture in zip(*timed(clip), strict=True):
        assert np.array_equal(picture, intact[time]), time


def timed(clip: video.Clip) -> tuple[list[float], np.ndarray]:
    return [round(time, 3) for time in clip.times.tolist()], clip.frames


def test_fault_at_the_start_leaves_the_rest(tmp_path):
    path = encode(tmp_path / "clip.mp4", noisy(80), options={"g": "20", "bf": "0", "x264-params": "scenecut=0"})
    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux() if packet.size]
    content = bytearray(path.read_bytes())
    for start, size in packets[2:6]:
        content[start + 4 : start + size] = bytes(size - 4)
    path.write_bytes(content)
    clip = read_clip(path)
    assert (clip.start, clip.seconds) == (1, pytest.approx(3)) and numbers(clip)[0] == 21
    assert any("damaged at 0.1 s" in note for note in clip.notes)
    assert probe(path).frames == 80


def test_liveliest_window_that_cannot_be_decoded_gives_way(tmp_path):
    path = encode(
        tmp_path / "clip.mp4", moving(10, 9, 4, 0), fps=10, options={"g": "20", "bf": "0", "x264-params": "scenecut=0"}
    )
    assert read_clip(path).start > 8
    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux() if packet.size]
    content = bytearray(path.read_bytes())
    for start, size in packets[70:]:
        content[start + 4 : start + size] = bytes(size - 4)
    path.write_bytes(content)
    clip = read_clip(path)
    assert (clip.start, clip.seconds) == (0, 4) and any("damaged" in note for note in clip.notes)
    with pytest.raises(VideoError, match=r"from 9\.0 to 12\.0 s"):
        read_clip(path, start=9, seconds=3)


def test_blemished_pictures_are_better_than_none(tmp_path):
    """A fault in the only keyframe: strictly, nothing of the file is sound."""
    path = encode(tmp_path / "clip.mp4", noisy(40), options={"g": "300", "x264-params": "slices=4"})
    with av.open(str(path)) as container:
        start, size = next((packet.pos, packet.size) for packet in container.demux())
    content = bytearray(path.read_bytes())
    content[start + size - 300 : start + size] = bytes(300)
    path.write_bytes(content)
    clip = read_clip(path)
    assert (clip.start, clip.seconds) == (0, 2) and len(set(numbers(clip))) > 10
    assert any("blemished" in note for note in clip.notes)
    assert probe(transcode(path, tmp_path / "preview.mp4")).seconds == pytest.approx(2, abs=0.1)


def test_file_of_which_nothing_decodes(tmp_path):
    path = counted(tmp_path / "clip.mp4", 20)
    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux() if packet.size]
    content = bytearray(path.read_bytes())
    for start, size in packets:
        content[start : start + size] = b"\xff" * size
    path.write_bytes(content)
    for way in (lambda: read_clip(path), lambda: probe(path), lambda: transcode(path, tmp_path / "out.mp4")):
        with pytest.raises(VideoError, match="damaged"):
            way()
    assert not (tmp_path / "out.mp4").exists()


def test_random_damage_never_escapes_as_anything_else(tmp_path, sound_files):
    """Every outcome of damage is a clip or a `VideoError`."""
    rng = np.random.default_rng(0)
    outcomes = set()
    for kind, sound in sound_files.items():
        content = np.frombuffer(sound.read_bytes(), np.uint8)
        path = tmp_path / sound.name
        for _ in range(12):
            broken = content.copy()
            hits = rng.integers(0, len(broken), int(rng.integers(1, 60)))
            if rng.random() < 0.5:
                hits = hits % 400  # headers
            broken[hits] = rng.integers(0, 256, len(hits))
            path.write_bytes(broken[: int(rng.integers(100, len(broken) + 1))].tobytes())
            for way in (read_clip, partial(transcode, out=tmp_path / "out.mp4")):
                try:
                    way(path)
                    outcomes.add((kind, "read"))
                except VideoError:
                    outcomes.add((kind, "refused"))
    assert {verdict for _, verdict in outcomes} == {"read", "refused"}


# --- Writing ------------------------------------------------------------------------------------------------


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return 10 * np.log10(255**2 / np.mean((a.astype(float) - b.astype(float)) ** 2))


def test_written_clip_is_read_back(tmp_path):
    scene = np.repeat(next(moving(1, 0, 1, 0)).mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2)
    frames = np.stack([np.roll(scene, 3 * i, axis=1) for i in range(16)])
    path = write_mp4(tmp_path / "clip.mp4", frames, 4.03)
    facts = probe(path)
    assert (facts.frames, facts.width, facts.height, facts.codec) == (16, 128, 96, "h264")
    assert facts.fps == pytest.approx(4.03, rel=1e-4) and not facts.has_audio
    clip = read_clip(path, size=96, whole=True)
    assert clip.frames.shape == frames.shape and psnr(clip.frames, frames) > 36
    assert np.array_equal(clip.times, np.sort(clip.times)) and len(set(clip.times)) == 16


@pytest.mark.parametrize(("height", "matrix"), [(112, 6), (720, 1)])
def test_written_colours_do_not_drift(tmp_path, height, matrix):
    """Neither where the tags are read, nor where they are not and the height decides."""
    width = height * 16 // 9 // 2 * 2
    path = write_mp4(tmp_path / "clip.mp4", np.stack([patches(height, width)] * 4), 8)
    assert drift(read_clip(path, size=112).frames[2]) <= 3
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        assert frame.colorspace == matrix
        frame.colorspace = 2
        assert drift(frame_transform.Reformatter().to_rgb(frame, width, height)) <= 3


def test_written_file_is_what_browsers_play(tmp_path):
    path = write_mp4(tmp_path / "clip.mp4", np.stack([numbered(i, 112, 112) for i in range(16)]), 4)
    content = path.read_bytes()
    assert content[4:8] == b"ftyp" and content.index(b"moov") < content.index(b"mdat")
    with av.open(str(path)) as container:
        codec = container.streams.video[0].codec_context
        assert (codec.name, codec.pix_fmt, codec.colorspace, codec.color_range) == ("h264", "yuv420p", 6, 1)
        assert (codec.color_primaries, codec.color_trc) == (1, 1)


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (111, 113), (2, 600)])
def test_odd_and_tiny_sizes_are_written(tmp_path, shape):
    path = write_mp4(tmp_path / "clip.mp4", np.full((3, *shape, 3), 77, np.uint8), 10)
    facts = probe(path, Limits(max_aspect=1000))
    assert (facts.height, facts.width) == tuple(side + side % 2 for side in shape)


@pytest.mark.parametrize("fps", [16 / 600, 0.5, 7.3, 23.976, 480, 8000])
def test_any_rate_is_kept(tmp_path, fps):
    path = write_mp4(tmp_path / "clip.mp4", np.stack([numbered(i) for i in range(4)]), fps)
    assert probe(path).fps == pytest.approx(fps, rel=1e-3)


@pytest.mark.parametrize(
    ("frames", "fps"),
    [
        (np.zeros((4, 8, 8, 3), np.float32), 4),
        (np.zeros((4, 8, 8), np.uint8), 4),
        (np.zeros((4, 8, 8, 4), np.uint8), 4),
        (np.zeros((0, 8, 8, 3), np.uint8), 4),
        (np.zeros((4, 0, 8, 3), np.uint8), 4),
        (np.zeros((4, 8, 8, 3), np.uint8), 0),
        (np.zeros((4, 8, 8, 3), np.uint8), float("nan")),
        (np.zeros((4, 8, 8, 3), np.uint8), "4"),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path, frames, fps):
    with pytest.raises(VideoError):
        write_mp4(tmp_path / "clip.mp4", frames, fps)
    assert not list(tmp_path.iterdir())


def test_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    old = write_mp4(tmp_path / "clip.mp4", np.zeros((2, 8, 8, 3), np.uint8), 4).read_bytes()
    seen = []

    def fail(self, *_):
        seen.append(len(list(tmp_path.iterdir())))
        raise MemoryError

    monkeypatch.setattr(frame_transform.Reformatter, "to_yuv", fail)
    with pytest.raises(MemoryError):
        write_mp4(tmp_path / "clip.mp4", np.zeros((4, 8, 8, 3), np.uint8), 4)
    assert (tmp_path / "clip.mp4").read_bytes() == old and len(list(tmp_path.iterdir())) == 1


def test_place_that_cannot_be_written(tmp_path):
    with pytest.raises(VideoError, match="cannot be written"):
        write_mp4(tmp_path / "missing" / "clip.mp4", np.zeros((2, 8, 8, 3), np.uint8), 4)
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(VideoError, match="cannot be written"):
        write_mp4(tmp_path / "folder.mp4", np.zeros((2, 8, 8, 3), np.uint8), 4)
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder.mp4"]


# --- Previews -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", CONTAINERS)
def test_preview_of_every_container(tmp_path, kind):
    container, codec, pix_fmt = CONTAINERS[kind]
    path = counted(tmp_path / f"clip.{kind}", 40, container=container, codec=codec, pix_fmt=pix_fmt)
    preview = transcode(path, tmp_path / "preview.mp4")
    facts = probe(preview)
    assert (facts.frames, facts.codec, facts.width, facts.height) == (40, "h264", 64, 48)
    assert facts.seconds == pytest.approx(probe(path).seconds, abs=0.002)
    assert numbers(read_clip(preview, frames=8, size=48)) == numbers(read_clip(path, frames=8, size=48))
    content = preview.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")


def test_preview_is_small_short_and_smooth_enough(tmp_path):
    path = encode(
        tmp_path / "clip.mp4", (numbered(i, 480, 854) for i in range(180)), fps=60, options={"preset": "ultrafast"}
    )
    facts = probe(transcode(path, tmp_path / "preview.mp4", max_seconds=2))
    assert (facts.height, facts.width) == (360, 640) and facts.frames == 60
    assert facts.seconds == pytest.approx(2, abs=0.04)


def test_preview_keeps_uneven_times(tmp_path):
    path = counted(tmp_path / "clip.gif", 4, container="gif", codec="gif", pix_fmt="rgb8", times=[0, 500, 600, 1100])
    preview = transcode(path, tmp_path / "preview.mp4")
    clip = read_clip(preview, frames=11, start=0, seconds=1.1)
    assert numbers(clip) == [0, 0, 0, 0, 0, 1, 2, 2, 2, 2, 2]


# --- Real clips ---------------------------------------------------------------------------------------------


def test_every_real_clip(tmp_path, data_dir):
    if data_dir is None:
        pytest.skip("AVD_DATA is unset")
    paths = sorted((data_dir / "clips").iterdir())
    assert len(paths) >= 12
    for path in paths:
        for whole in (False, True):
            clip = read_clip(path, whole=whole)
            assert len(clip.frames) == 16 and min(clip.frames.shape[1:3]) == 112, path.name
            assert clip.frames.std() > 5 and len(set(clip.times.tolist())) == 16, path.name
            assert clip.seconds == (clip.source.seconds if whole else min(4, clip.source.seconds)), path.name
            assert not any("damaged" in note or "cut short" in note for note in clip.notes), path.name
        assert probe(transcode(path, tmp_path / "preview.mp4", max_seconds=1)).seconds == pytest.approx(1, abs=0.05)


def test_clip_in_which_nothing_moves_is_told(tmp_path: Path):
    still = np.full((24, 48, 64, 3), 90, np.uint8)
    note = "Hardly anything moves"
    clip = video.read_clip(write_mp4(tmp_path / "still.mp4", still, 12))
    assert sum(note in sentence for sentence in clip.notes) == 1
    still[12:, 10:20, 10:20] = 200
    clip = video.read_clip(write_mp4(tmp_path / "moved.mp4", still, 12))
    assert not any(note in sentence for sentence in clip.notes)
