"""The honest rival: what it hides comes back from an 8-bit file, and what is damaged leaves the image."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest

from avd_core.analysis.baselines import mean_frame, middle_frame
from avd_core.analysis.degradations import DEGRADATIONS, through_png
from avd_core.analysis.metrics import psnr
from avd_core.media.codec_image import codec_frames, codec_image


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    """A textured square that crosses a textured scene: uint8 (8, 64, 96, 3)."""
    rng = np.random.default_rng(0)
    scene = rng.integers(40, 200, (16, 24, 3)).repeat(4, 0).repeat(4, 1)
    clip = np.stack([scene] * 8).astype(np.uint8)
    square = rng.integers(10, 246, (4, 4, 3)).repeat(5, 0).repeat(5, 1)
    for t in range(8):
        clip[t, 20:40, 8 * t : 8 * t + 20] = square
    return clip


def changes(image: np.ndarray, frames: np.ndarray) -> np.ndarray:
    return np.abs(image.astype(int) - middle_frame(frames))


@pytest.mark.parametrize("bits", [1, 2, 3])
def test_a_clip_comes_back_from_the_png_alone(frames: np.ndarray, bits: int):
    image = codec_image(frames, bits)
    assert image.shape == frames.shape[1:] and image.dtype == np.uint8
    assert 0 < changes(image, frames).max() <= 2 ** (bits - 1)  # no value of this clip is near black or white
    restored = codec_frames(through_png(image), 8)
    assert psnr(frames, restored) > psnr(frames, mean_frame(frames)) + 3
    assert (restored[4] == image).all()


def test_the_same_clip_gives_the_same_image(frames: np.ndarray):
    narrow = np.ascontiguousarray(frames[:, :, :88])  # no whole number of blocks
    images = set()
    for size in range(20):
        between = np.full(1000 * size + 1, size, np.uint8)  # other memory each time
        images.add(codec_image(narrow, 1).tobytes())
        del between
    assert len(images) == 1


def test_more_bits_bring_back_more_and_move_the_image_farther(frames: np.ndarray):
    images = [codec_image(frames, bits) for bits in (1, 2, 3)]
    restored = [psnr(frames, codec_frames(image, 8)) for image in images]
    near = [psnr(middle_frame(frames), image) for image in images]
    assert restored == sorted(restored) and near == sorted(near, reverse=True)
    assert near[0] > 51


def test_the_stream_is_as_large_as_fits():
    rng = np.random.default_rng(1)
    scene = rng.integers(0, 150, (16, 24, 3)).repeat(4, 0).repeat(4, 1)
    panned = np.stack([np.roll(scene, (3 * t, 5 * t), (0, 1)) for t in range(8)])
    restless = (panned + rng.integers(20, 80, panned.shape)).astype(np.uint8)
    changed = changes(codec_image(restless, 1), restless).ravel()
    room, used = len(changed), np.flatnonzero(changed).max() + 1
    assert 0.75 * room < used <= room


def test_the_fewest_bits_that_a_stream_fits_into(frames: np.ndarray):
    assert (codec_image(frames) == codec_image(frames, 1)).all()
    small = np.random.default_rng(2).integers(8, 248, (8, 24, 24, 3), dtype=np.uint8)
    assert (codec_image(small, 1) == middle_frame(small)).all()  # not even the coarsest stream
    image = codec_image(small)
    assert 1 < changes(image, small).max() <= 4
    assert not (codec_frames(image, 8) == image).all()


def test_where_nothing_fits_the_image_stands_for_the_clip():
    tiny = np.random.default_rng(3).integers(0, 256, (8, 8, 8, 3), dtype=np.uint8)
    image = codec_image(tiny)
    assert (image == middle_frame(tiny)).all()
    assert (codec_frames(image, 8) == image).all()


# The decoder pads the sides of its pictures, by how much depends on the processor.
@pytest.mark.parametrize(
    "sides", [(64, 72), (112, 136), (112, 200), (144, 144), (144, 264), (160, 264), (224, 328), (224, 400), (336, 224)]
)
def test_a_clip_of_any_shape_comes_back(sides: tuple[int, int]):
    height, width = sides
    coarse = np.random.default_rng(0).integers(0, 256, (3, height // 8, width // 8, 3), np.uint8)
    frames = coarse.repeat(8, axis=1).repeat(8, axis=2)
    restored = codec_frames(codec_image(frames), 3)
    assert psnr(frames, restored) > psnr(frames, frames[1]) + 3


def test_a_still_clip_comes_back_almost_whole(frames: np.ndarray):
    still = np.repeat(frames[:1], 8, axis=0)
    assert psnr(still, codec_frames(codec_image(still), 8)) > 40


@pytest.mark.parametrize("damage", ["jpeg-95", "blur-0.5", "noise-1", "shift", "rescale"])
def test_a_damaged_image_stands_for_all_frames(frames: np.ndarray, damage: str):
    image = DEGRADATIONS[damage](codec_image(frames))
    assert (codec_frames(image, 8) == image).all()


@pytest.mark.parametrize("place", [0, 5, 40, 90, 2000])
def test_one_flipped_bit_is_noticed(frames: np.ndarray, place: int):
    image = codec_image(frames)
    image.reshape(-1)[place] ^= 1
    assert (codec_frames(image, 8) == image).all()


def test_another_number_of_frames_is_not_shown(frames: np.ndarray):
    image = codec_image(frames)
    assert (codec_frames(image, 16) == np.broadcast_to(image, (16, *image.shape))).all()


@pytest.mark.parametrize("stream", [b"", b"no stream at all", b"\0\0\1\x67" + bytes(40)])
def test_a_lying_header_is_harmless(frames: np.ndarray, stream: bytes):
    content = struct.pack("<4sII", b"AVDc", len(stream), zlib.crc32(stream)) + stream
    bits = np.unpackbits(np.frombuffer(content, np.uint8))
    image = middle_frame(frames).copy()
    image.reshape(-1)[: len(bits)] = image.reshape(-1)[: len(bits)] // 2 * 2 + bits
    assert (codec_frames(image, 8) == image).all()


def test_a_stream_of_another_size_is_not_shown(frames: np.ndarray):
    smaller = codec_image(np.ascontiguousarray(frames[:, :32, :48])).reshape(-1)
    image = middle_frame(frames).copy()
    image.reshape(-1)[: len(smaller)] = smaller
    assert (codec_frames(image, 8) == image).all()
