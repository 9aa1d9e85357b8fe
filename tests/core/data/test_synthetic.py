"""Synthetic training clips: seeded, moving, well formed."""

from __future__ import annotations

import time

import numpy as np
import pytest

from avd_core.data import synthetic


def motion(clip: np.ndarray) -> np.ndarray:
    """Mean absolute difference of neighbouring frames, in levels, per pair."""
    return np.abs(np.diff(clip.astype(np.int16), axis=0)).mean(axis=(1, 2, 3))


@pytest.mark.parametrize(
    "size, shape", [(112, (112, 112)), (64, (64, 64)), ((96, 160), (96, 160)), ((128, 72), (128, 72))]
)
def test_random_scene_has_the_shape_asked_for(size, shape):
    clip = synthetic.random_scene(3, frames=5, size=size)
    assert clip.dtype == np.uint8
    assert clip.shape == (5, *shape, 3)


def test_random_scene_repeats_with_its_seed_and_only_then():
    first, again, other = (synthetic.random_scene(seed, frames=4, size=64) for seed in (11, 11, 12))
    assert np.array_equal(first, again)
    assert np.abs(first.astype(int) - other).mean() > 5


def test_random_scene_does_not_depend_on_what_was_made_before():
    alone = synthetic.random_scene(21, frames=3, size=64)
    for seed in range(5):
        synthetic.random_scene(seed, frames=2, size=48)
    assert np.array_equal(alone, synthetic.random_scene(21, frames=3, size=64))


@pytest.fixture(scope="module")
def many() -> list[np.ndarray]:
    return [synthetic.random_scene(seed, frames=6, size=48) for seed in range(60)]


def test_random_scenes_move_are_lit_and_vary(many):
    clips = many
    moved = np.array([motion(clip).mean() for clip in clips])
    assert (moved > 0.3).mean() > 0.85, "nearly every scene moves; a few have a still camera and nobody in them"
    assert np.quantile(moved, 0.9) > 5 * np.quantile(moved, 0.2), "slow ones and fast ones"
    light = np.array([clip.mean() for clip in clips])
    assert 60 < light.mean() < 180 and light.std() > 15
    detail = np.array([clip[0].std() for clip in clips])
    assert np.median(detail) > 20, "worlds have structure"


def test_about_two_cameras_of_five_stand_still(many):
    corner = [clip[:, :6, :6].astype(int) for clip in many]
    still = np.mean([np.abs(c[-1] - c[0]).mean() < 4 for c in corner])
    assert 0.25 < still < 0.75


def test_random_scene_uses_the_photographs_given():
    red = np.zeros((90, 140, 3), np.uint8) + np.array([250, 5, 5], np.uint8)
    clips = [synthetic.random_scene(seed, frames=1, size=64, photos=[red]) for seed in range(12)]
    reddish = [(clip[..., 0].astype(int) - clip[..., 1] > 90).mean() for clip in clips]
    assert np.median(reddish) > 0.4
    assert np.array_equal(red[0, 0], [250, 5, 5]) and red.std(axis=(0, 1)).max() == 0, (
        "the caller's picture is untouched"
    )


def test_random_scene_is_quick():
    synthetic.random_scene(0)
    begun = time.process_time()
    for seed in range(10):
        synthetic.random_scene(seed)
    assert (time.process_time() - begun) / 10 < 0.4  # about 0.07 s on one free core


@pytest.mark.parametrize("frames, size", [(0, 64), (4, 8), (4, (64, 4))])
def test_random_scene_refuses_the_impossible(frames, size):
    with pytest.raises(ValueError, match="at least 1 frame of 16x16"):
        synthetic.random_scene(0, frames=frames, size=size)
