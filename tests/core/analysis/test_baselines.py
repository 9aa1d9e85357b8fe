"""The still representations against values computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from avd_core.analysis.baselines import (
    DISTILLERS,
    chronophotograph,
    dynamic_image,
    first_frame,
    mean_frame,
    middle_frame,
    motion_history_image,
    random_image,
    rank_pooling_weights,
    super_image,
)


def grey_clip(*values: int) -> np.ndarray:
    return np.stack([np.full((2, 3, 3), value, np.uint8) for value in values])


@pytest.mark.parametrize(("values", "middle"), [((10, 20, 30), 20), ((10, 20, 30, 40), 30), ((7,), 7)])
def test_middle_frame_is_frame_half_of_t_counted_from_zero(values, middle):
    assert (middle_frame(grey_clip(*values)) == middle).all()


def test_first_frame():
    assert (first_frame(grey_clip(9, 8)) == 9).all()


def test_mean_frame_is_rounded_and_does_not_overflow():
    assert (mean_frame(grey_clip(255, 255, 254)) == 255).all()
    assert (mean_frame(grey_clip(0, 0, 1)) == 0).all()


def test_mean_frame_is_blind_to_order():
    clip = np.random.default_rng(0).integers(0, 256, (6, 4, 5, 3), dtype=np.uint8)
    assert (mean_frame(clip) == mean_frame(clip[::-1])).all()


def test_every_distiller_gives_one_8_bit_image_of_the_clips_size():
    clip = np.random.default_rng(0).integers(0, 256, (6, 4, 5, 3), dtype=np.uint8)
    for distill in DISTILLERS.values():
        image = distill(clip)
        assert image.shape == (4, 5, 3) and image.dtype == np.uint8


def test_rank_pooling_weights_are_those_of_the_paper():
    weights = rank_pooling_weights(8)
    assert weights == pytest.approx([-8.46, -1.46, 1.04, 2.04, 2.29, 2.09, 1.59, 0.88], abs=0.0051)
    direct = [sum((2 * i - 8 - 1) / i for i in range(t, 9)) for t in range(1, 9)]
    assert weights == pytest.approx(direct)


@pytest.mark.parametrize("count", [1, 2, 8, 16, 31])
def test_rank_pooling_weights_sum_to_zero(count):
    assert rank_pooling_weights(count).sum() == pytest.approx(0, abs=1e-9)


def test_the_dynamic_image_forgets_what_stands_still_and_fills_the_range():
    clip = np.random.default_rng(0).integers(0, 256, (1, 4, 5, 3), dtype=np.uint8).repeat(8, 0)
    assert (dynamic_image(clip) == 128).all()
    clip[:, 0, 0], clip[0, 0, 0] = 255, 0  # lights up, and stays
    clip[:, 1, 1], clip[0, 1, 1] = 0, 255  # goes out
    image = dynamic_image(clip)
    assert image.min() == image[1, 1, 0] == 0 and image.max() == image[0, 0, 0] == 255
    assert np.ptp(image[2:]) <= 1, "what stands still is one grey, up to rounding"
    assert (dynamic_image(clip) != dynamic_image(clip[::-1])).any()


def test_motion_history_is_brightest_where_it_moved_last():
    clip = np.zeros((5, 1, 6, 3), np.uint8)
    for t in range(5):
        clip[t, 0, t] = 200
    assert motion_history_image(clip)[0, :, 0].tolist() == [64, 128, 191, 255, 255, 0]
    assert (motion_history_image(clip // 10) == 0).all(), "faint flicker is no motion"


@pytest.mark.parametrize(("count", "columns", "rows"), [(16, 4, 4), (8, 3, 3), (2, 2, 1), (1, 1, 1)])
def test_the_super_image_lays_frames_in_reading_order(count, columns, rows):
    values = [20 + 10 * t for t in range(count)]
    clip = np.stack([np.full((24, 24, 3), value, np.uint8) for value in values])
    image = super_image(clip)
    height, width = 24 // rows, 24 // columns
    centres = image[height // 2 :: height, width // 2 :: width, 0].ravel().tolist()
    assert centres == values + [0] * (columns * rows - count)


def test_the_chronophotograph_shows_every_pose_over_the_background():
    background = np.random.default_rng(0).integers(0, 100, (1, 6, 9, 3), dtype=np.uint8)
    clip = background.repeat(7, 0)
    for t in range(7):
        clip[t, 2:4, t] = (250, 200, 180 + t)
    image = chronophotograph(clip)
    assert (image[2:4, :7, 2] == 180 + np.arange(7)).all()
    assert (image[:2] == background[0, :2]).all() and (image[:, 7:] == background[0, :, 7:]).all()


def test_the_random_image_knows_nothing_of_the_clip_and_is_the_same_again():
    clip = np.random.default_rng(0).integers(0, 256, (6, 64, 64, 3), dtype=np.uint8)
    image = random_image(clip)
    assert (image == random_image(clip.copy())).all() and (image != random_image(clip[::-1])).any()
    assert abs(np.corrcoef(image.ravel(), clip[3].ravel())[0, 1]) < 0.05
    assert image.std() == pytest.approx(256 / 12**0.5, rel=0.02)
