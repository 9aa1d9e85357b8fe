"""Only wanted groups of pictures are decoded, and damage never gives a wrong picture."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections import deque
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest

from avd_core.media import deadline, decoder, video
from avd_core.media import index as frame_index
from avd_core.media.container import Limits, VideoError
from avd_core.media.decoder import displays
from avd_core.media.frames import colour
from avd_core.media.thumbnails import filmstrip
from avd_core.media.video import probe, read_clip
from avd_core.media.writer import transcode
from tests.core.media.clips import CONTAINERS, OPTIONS, counted, encode, moving, noisy, numbered, numbers, tiny_gif
from tests.repository import ROOT


def index_of(path: Path) -> frame_index.Index:
    return frame_index.read_index(path, Limits())


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
    decode = decoder.VideoDecoder.decode
    monkeypatch.setattr(decoder.VideoDecoder, "decode", lambda self, packet: fed.append(1) or decode(self, packet))
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
    convert, decode = colour.Reformatter.to_rgb, decoder.VideoDecoder.decode
    monkeypatch.setattr(
        colour.Reformatter, "to_rgb", lambda self, *a, **k: converted.append(1) or convert(self, *a, **k)
    )
    monkeypatch.setattr(decoder.VideoDecoder, "decode", lambda self, packet: fed.append(1) or decode(self, packet))
    clip = read_clip(long_clip, start=595, seconds=4)
    assert numbers(clip) == [int((595 + (i + 0.5) / 4) * 10 + 1e-6) % 250 for i in range(16)]
    assert len(converted) == 16 and len(fed) <= 110
    fed.clear()
    read_clip(long_clip, frames=4, whole=True)
    assert len(fed) <= 4 * 100, "a group of pictures without a wanted one was decoded"


def test_long_clip_costs_no_memory(long_clip, tmp_path):
    """The high-water mark of a process that reads and previews ten minutes, against one that reads a second."""
    script = (
        "import sys; from avd_core.media import video, writer; from tests.memory import peak\n"
        "video.read_clip(sys.argv[1], whole=True); writer.transcode(sys.argv[1], sys.argv[2], max_seconds=600)\n"
        "print(peak())"
    )
    short = counted(tmp_path / "short.mp4", 10, fps=10)
    peak = [
        int(subprocess.check_output([sys.executable, "-c", script, path, tmp_path / "preview.mp4"], cwd=ROOT))
        for path in (short, long_clip)
    ]
    decoded = 6000 * 48 * 64 * 3 // 2
    assert peak[1] - peak[0] < decoded * 0.75 < 25_000_000
    assert probe(tmp_path / "preview.mp4").seconds == pytest.approx(600, abs=0.2)


def live_frames() -> int:
    """How many decoded pictures live, small copies left aside."""
    return sum(isinstance(thing, av.VideoFrame) and thing.width > 16 for thing in gc.get_objects())


@pytest.mark.parametrize("turned", [False, True])
def test_no_frame_outlives_its_use(tmp_path, turned):
    """Without the cyclic collector too: it may not run for long, and a 4K frame takes 12 MB."""

    def prepare(stream):
        if turned:
            stream.set_display_rotation(90, hflip=True)

    path = counted(tmp_path / "clip.mp4", 60, prepare=prepare)
    gc.collect()
    before = live_frames()
    gc.disable()
    try:
        read_clip(path, whole=True)
        transcode(path, tmp_path / "preview.mp4")
        filmstrip(path)
        probe(path)
        deque(displays(index_of(path), Limits()), maxlen=0)
        assert live_frames() == before
    finally:
        gc.enable()


@pytest.mark.parametrize("transparent", [False, True])
def test_a_tiny_gif_of_large_pictures_costs_no_gigabytes(tmp_path, transparent):
    """2,320 bytes, of which a read took 1.15 GB, which stayed."""
    script = (
        "import gc, sys; from threading import Thread; from avd_core.media.video import read_clip\n"
        "from tests.memory import peak, resident\n"
        "gc.disable(); before = resident()\n"
        "threads = [Thread(target=read_clip, args=(sys.argv[1],), kwargs={'whole': True}) for _ in range(2)]\n"
        "[thread.start() for thread in threads]; [thread.join() for thread in threads]\n"
        "print(peak() - before, resident() - before)"
    )
    path = tiny_gif(tmp_path / "large.gif", 4096, 100, transparent=transparent)
    assert path.stat().st_size == 2320
    command = [sys.executable, "-c", script, path]
    most, kept = map(int, subprocess.check_output(command, cwd=ROOT).split())
    picture = 4 * 4096 * 4096
    assert picture < most < 2 * 6 * picture and kept < 2 * picture


def test_pictures_times_pixels_are_bounded_before_any_is_decoded(tmp_path, monkeypatch):
    path = tiny_gif(tmp_path / "large.gif", 4096, 10_000)
    fed, decode = [], decoder.VideoDecoder.decode
    monkeypatch.setattr(decoder.VideoDecoder, "decode", lambda self, packet: fed.append(1) or decode(self, packet))
    for way in (
        partial(read_clip, whole=True),
        partial(transcode, out=tmp_path / "out.mp4", max_seconds=180),
        filmstrip,
    ):
        with pytest.raises(VideoError, match=r"too much to decode: .* pictures of 16\.8 megapixels"):
            way(path)
    assert not fed and not (tmp_path / "out.mp4").exists()
    assert read_clip(path, start=0, seconds=0.2, frames=2, size=16).frames.shape == (2, 16, 16, 3)
    # What skips from keyframe to keyframe has far more pictures than it decodes.
    long = counted(tmp_path / "long.mp4", 400, options={"g": "10"})
    limits = Limits(max_work=200 * 64 * 48)
    assert len(read_clip(long, whole=True, frames=8, limits=limits).frames) == 8
    with pytest.raises(VideoError, match="too much"):
        read_clip(long, whole=True, frames=256, limits=limits)


def test_decoding_ends_when_its_time_is_over(tmp_path, monkeypatch):
    path = counted(tmp_path / "clip.mp4", 100)
    clock = iter(range(10_000))
    monkeypatch.setattr(deadline, "time", SimpleNamespace(monotonic=lambda: float(next(clock))))
    limits = Limits(max_decoding=30.0)
    fed, decode = [], decoder.VideoDecoder.decode
    monkeypatch.setattr(decoder.VideoDecoder, "decode", lambda self, packet: fed.append(1) or decode(self, packet))
    for way in (
        lambda: read_clip(path, whole=True, frames=100, limits=limits),
        lambda: transcode(path, tmp_path / "out.mp4", limits=limits),
        lambda: deque(displays(index_of(path), limits), maxlen=0),
    ):
        fed.clear()
        with pytest.raises(VideoError, match=r"clip\.mp4 takes longer than 30 s"):
            way()
        assert 25 <= len(fed) <= 30, len(fed)
    assert not (tmp_path / "out.mp4").exists()


def test_time_that_others_spend_does_not_count(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(deadline, "time", SimpleNamespace(monotonic=lambda: now[0]))
    bound = deadline.Deadline("clip.mp4", 10.0)
    with bound.paused():
        now[0] = 100.0
    now[0] = 109.0
    bound.check()
    now[0] = 111.0
    with pytest.raises(VideoError):
        bound.check()


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
    intact = dict(zip(*timed(read_clip(path, frames=60, size=96, seconds=3)), strict=True))
    with av.open(str(path)) as container:
        start, size = [(packet.pos, packet.size) for packet in container.demux() if packet.size][30]
    content = bytearray(path.read_bytes())
    content[start + 4 : start + size] = bytes(size - 4)
    path.write_bytes(content)
    clip = read_clip(path, frames=60, size=96, seconds=3)
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
    clip = read_clip(path, seconds=4)
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
    assert (clip.start, clip.seconds) == (0, 2) and any("damaged" in note for note in clip.notes)
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
