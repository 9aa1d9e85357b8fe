"""Cuts are found where they are, and nothing else is taken for one: fades, shakes, flashes, repeated pictures."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from avd_core.media.shot_detection import REACH, CutDetector

H, W = 112, 152


def scene(seed: int) -> np.ndarray:
    """A large picture of soft coloured blotches, (2 H, 2 W, 3): a window of it is what a camera sees."""
    blotches = np.random.default_rng(seed).integers(0, 256, (8, 10, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(blotches).resize((2 * W, 2 * H), Image.Resampling.BICUBIC))


def seen(seed: int, count: int, shake: float = 0.0, pan: float = 1.0) -> list[np.ndarray]:
    """A shot: the camera pans by `pan` pixels a picture and trembles by up to `shake`."""
    rng, whole = np.random.default_rng(seed + 100), scene(seed)
    shots = []
    for i in range(count):
        top, left = np.clip(np.rint(rng.uniform(-shake, shake, 2) + np.array([20, 20 + pan * i])), 0, (H, W)).astype(
            int
        )
        grain = rng.normal(0, 3, (H, W, 3))
        shots.append((whole[top : top + H, left : left + W] + grain).clip(0, 255).astype(np.uint8))
    return shots


def cuts(pictures: list[np.ndarray]) -> list[int]:
    detector = CutDetector()
    return [number - REACH for number, picture in enumerate(pictures) if detector.feed(picture)]


def fade(a: np.ndarray, b: np.ndarray, steps: int) -> list[np.ndarray]:
    return [((1 - w) * a + w * b).astype(np.uint8) for w in np.linspace(0, 1, steps)]


def test_every_cut_is_found_at_its_very_picture():
    lengths = [20, 31, 16, 40]
    film = [picture for seed, length in enumerate(lengths) for picture in seen(seed, length)]
    assert cuts(film) == [20, 51, 67]


def test_a_shaking_camera_is_no_cut_and_hides_none():
    film = seen(1, 60, shake=10) + seen(2, 60, shake=10)
    assert cuts(film) == [60]


def test_a_fast_pan_is_no_cut():
    assert cuts(seen(3, 25, pan=6)) == []


@pytest.mark.parametrize("steps", [12, 25, 50])
def test_fades_and_dissolves_are_no_cut(steps: int):
    first, second = seen(4, 15), seen(5, 15)
    black = np.zeros((H, W, 3), np.uint8)
    through_black = fade(first[-1], black, steps) + [black] * 5 + fade(black, second[0], steps)
    assert cuts(first + through_black + second) == []
    assert cuts(first + fade(first[-1], second[0], steps) + second) == []
    # Whatever is of one colour changes all at once, and evenly: counts in bins would leap.
    wall = [np.full((H, W, 3), level, np.uint8) for level in np.linspace(30, 220, steps)]
    assert cuts(wall[:1] * 10 + wall + wall[-1:] * 10) == []


@pytest.mark.parametrize("length", [1, 2])
def test_a_flash_is_no_cut(length: int):
    film = seen(6, 30)
    for number in range(14, 14 + length):
        film[number] = np.full_like(film[number], 250)
    assert cuts(film) == []


def test_a_cut_that_a_converter_blended_is_one_cut():
    first, second = seen(7, 20), seen(8, 20)
    blend = ((first[-1].astype(int) + second[0]) // 2).astype(np.uint8)
    assert cuts([*first, blend, *second])[0] in (20, 21)


def test_a_video_that_repeats_pictures_has_no_more_cuts():
    film = [picture for picture in seen(9, 30, shake=8) for _ in range(2)]
    assert cuts(film) == []
    film += [picture for picture in seen(10, 20) for _ in range(2)]
    assert cuts(film) == [60]


def test_a_cut_right_after_the_start_is_found():
    assert cuts(seen(11, 4) + seen(12, 20)) == [4]
    assert cuts(seen(11, 4)) == []
