"""What is written plays in browsers, keeps its times and colours, and appears whole or not at all."""

from __future__ import annotations

import av
import numpy as np
import pytest

from avd_core.media.container import Limits, VideoError
from avd_core.media.frames import colour
from avd_core.media.video import probe, read_clip
from avd_core.media.writer import transcode, write_mp4
from tests.core.media.clips import CONTAINERS, counted, drift, encode, moving, numbered, numbers, patches


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
        assert drift(colour.Reformatter().to_rgb(frame, width, height)) <= 3


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

    monkeypatch.setattr(colour.Reformatter, "to_yuv", fail)
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
