"""Which frame an image draws on, what changed and what moves, where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from avd_core.analysis.attribution import change, contributions, moving_part
from avd_core.analysis.baselines import mean_frame, middle_frame


@pytest.fixture
def frames() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, 8, 16, 3), dtype=np.uint8)


def test_copied_frame_contributes_alone(frames: np.ndarray):
    maps = np.stack(list(contributions(middle_frame, frames)))
    others = np.delete(frames, 2, axis=0).mean(axis=0)
    assert maps.shape == (5, 8, 16) and maps.dtype == np.float32
    assert not np.delete(maps, 2, axis=0).any()
    assert np.allclose(maps[2], np.abs(frames[2] - np.rint(others)).mean(axis=-1))


def test_half_and_half_is_told_place_by_place(frames: np.ndarray):
    def halves(clip: np.ndarray) -> np.ndarray:
        return np.concatenate([clip[0][:, :8], clip[4][:, 8:]], axis=1)

    maps = np.stack(list(contributions(halves, frames)))
    assert (maps[:, :, :8].argmax(axis=0) == 0).all() and (maps[:, :, 8:].argmax(axis=0) == 4).all()


def test_frames_are_left_as_they_were_and_a_still_clip_contributes_nothing(frames: np.ndarray):
    before = frames.copy()
    list(contributions(mean_frame, frames))
    assert np.array_equal(frames, before)
    still = np.repeat(frames[:1], 5, axis=0)
    assert not np.stack(list(contributions(mean_frame, still))).any()


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def test_a_change_is_found_in_its_frame_at_its_place():
    before = np.full((6, 40, 50, 3), 200, np.uint8)
    after = before.copy()
    after[2, 10:20, 5:30] = (230, 200, 110)  # up by 30, not at all, down by 90: 40 on average
    changed = change(before, after)
    assert changed.per_frame == pytest.approx((0, 0, 40 * 250 / 2000, 0, 0, 0)) and changed.most == 40
    assert (changed.map[2, 10:20, 5:30] == 40).all() and changed.map.sum() == 40 * 250


def test_a_difference_does_not_wrap_around_nor_depend_on_its_direction():
    black, white = np.zeros((1, 8, 8, 3), np.uint8), np.full((1, 8, 8, 3), 255, np.uint8)
    assert change(black, white).per_frame == change(white, black).per_frame == (255.0,)
    clip = noise(3, 8, 8, 3)
    assert change(clip, clip).most == 0


@pytest.mark.parametrize("place", [(8, 4), (30, 60), (0, 0)])
def test_what_moves_is_found_through_flicker(place: tuple[int, int]):
    frames = 100 + noise(12, 64, 96, 3) // 64  # flickers by a level or two everywhere
    top, left = place
    for t in range(12):
        frames[t, top : top + 20, left + 2 * t % 12 : left + 2 * t % 12 + 12] = 250
    y, x, height, width = moving_part(frames)
    # Nine tenths of the motion of a thing 20 high, which moves inside 22 columns.
    assert top - 1 <= y and y + height <= top + 21 and height >= 16
    assert left - 1 <= x and x + width <= left + 24 and width >= 14


def test_a_still_clip_has_its_middle_for_a_moving_part():
    assert moving_part(np.full((4, 64, 96, 3), 7, np.uint8)) == (16, 24, 32, 48)
