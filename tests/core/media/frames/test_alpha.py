"""Transparency beside VP8 and VP9 pictures is put on white, whichever picture is taken first."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from avd_core.explore.storyboard.windows import Windows
from avd_core.media.video import read_clip
from avd_core.media.writer import transcode
from tests.core.media.clips import OPTIONS

RED = (200, 30, 30)


def column(number: int) -> int:
    """Where the opaque block of a picture begins, of 160 columns."""
    return 2 * number % 120


def transparent(path: Path, codec: str, count: int, **options: str) -> Path:
    """A red block of 32 x 32 that wanders over nothing; behind nothing lies black."""
    with av.open(str(path), "w", format="webm") as output:
        stream = output.add_stream(codec, rate=20, options=OPTIONS[codec] | {"auto-alt-ref": "0", "b": "2M", **options})
        stream.height, stream.width, stream.pix_fmt = 96, 160, "yuva420p"
        for i in range(count):
            picture = np.zeros((96, 160, 4), np.uint8)
            picture[32:64, column(i) : column(i) + 32] = (*RED, 255)
            frame = av.VideoFrame.from_ndarray(picture, format="rgba").reformat(format="yuva420p")
            frame.pts = i
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return path


def assert_on_white(picture: np.ndarray, number: int, *, levels: int = 24) -> None:
    left, picture = column(number), picture.astype(int)
    assert picture[8:24].min() > 255 - levels and picture[72:].min() > 255 - levels
    assert picture[48, (left + 80) % 160] == pytest.approx([255] * 3, abs=levels)
    assert picture[48, left + 16] == pytest.approx(RED, abs=levels)


@pytest.mark.parametrize("codec", ["libvpx", "libvpx-vp9"])
def test_transparent_areas_are_white_in_frames_preview_and_storyboard(tmp_path, codec):
    path = transparent(tmp_path / "clip.webm", codec, 60, g="12")
    whole = read_clip(path, size=96, frames=60, whole=True)
    part = read_clip(path, size=96, frames=6, start=2.4, seconds=0.3)
    for clip in (whole, part):
        assert clip.notes[0] == "Transparent areas were put on white."
        for time, picture in zip(clip.times, clip.frames, strict=True):
            assert_on_white(picture, round(time * 20))
    assert np.array_equal(part.frames, whole.frames[48:54]), "after a jump it is the same"
    preview = read_clip(transcode(path, tmp_path / "preview.mp4"), size=96, frames=60, whole=True)
    for number in range(60):
        assert_on_white(preview.frames[number], number, levels=48)
    reader = Windows(path, frames=4, size=96, longest=4.0)
    for window in reader:
        assert window.frames[:, 8:24].min() > 231
    assert "Transparent areas were put on white." in reader.notes


@pytest.mark.parametrize("subsampling", ["4:2:0", "4:4:4"])
def test_transparent_areas_of_an_animated_avif_are_white(tmp_path, subsampling):
    """They lie in a track of their own."""
    pictures = []
    for number in range(24):
        picture = np.zeros((96, 160, 4), np.uint8)
        picture[32:64, column(number) : column(number) + 32] = (*RED, 255)
        pictures.append(Image.fromarray(picture))
    path = tmp_path / "clip.avif"
    pictures[0].save(
        path, save_all=True, append_images=pictures[1:], duration=50, subsampling=subsampling, quality=90, speed=10
    )
    whole = read_clip(path, size=96, frames=24, whole=True)
    part = read_clip(path, size=96, frames=4, start=0.8, seconds=0.2)
    assert whole.notes[0] == part.notes[0] == "Transparent areas were put on white."
    for number, picture in enumerate(whole.frames):
        assert_on_white(picture, number)
    assert np.array_equal(part.frames, whole.frames[16:20]), "after a jump it is the same"
    preview = read_clip(transcode(path, tmp_path / "preview.mp4"), size=96, frames=24, whole=True)
    assert_on_white(preview.frames[12], 12, levels=48)
    pictures[0].convert("RGB").save(
        tmp_path / "opaque.avif", save_all=True, append_images=[one.convert("RGB") for one in pictures[1:]], speed=10
    )
    assert not any("white" in note for note in read_clip(tmp_path / "opaque.avif", size=96).notes)


def test_the_same_pictures_without_transparency_stay_as_they_are(tmp_path):
    path = tmp_path / "opaque.webm"
    with av.open(str(path), "w", format="webm") as output:
        stream = output.add_stream("libvpx-vp9", rate=20, options=OPTIONS["libvpx-vp9"])
        stream.height, stream.width, stream.pix_fmt = 96, 160, "yuv420p"
        for _ in range(5):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((96, 160, 3), 40, np.uint8))))
        output.mux(stream.encode())
    clip = read_clip(path, size=96, frames=5)
    assert clip.frames.max() < 60 and not any("white" in note for note in clip.notes)


def test_damaged_transparency_is_no_error(tmp_path):
    """What lies beside the pictures is a stranger's too: garbage there makes opaque pictures."""
    path = transparent(tmp_path / "clip.webm", "libvpx-vp9", 40, g="10")
    with av.open(str(path)) as container:
        beside = [bytes(p.get_sidedata("matroska_block_additional"))[8:] for p in container.demux() if p.size]
    content, rng = path.read_bytes(), np.random.default_rng(0)
    for piece in beside:
        content = content.replace(piece, rng.bytes(len(piece)), 1)
    path.write_bytes(content)
    assert read_clip(path, size=96, frames=8, whole=True).seconds == pytest.approx(2)
