"""Pictures of the movement against a square that moves over a still scene, where it is known what must be seen."""

from __future__ import annotations

import numpy as np
import pytest

from avd_core.analysis.motion_pictures import (
    MOTION_PICTURES,
    departure,
    fading_strobe,
    guide_picture,
    multiple_exposure,
    plate,
    steadiness,
    strobe,
)

SIDE, PLACES = 12, (4, 20, 36, 52, 68, 84, 100, 116)  # of a square in frames of 32 x 132 pixels
STILL, SQUARE = 60, 200


def moving_square() -> np.ndarray:
    frames = np.full((len(PLACES), 32, 132, 3), STILL, np.uint8)
    for t, left in enumerate(PLACES):
        frames[t, 10 : 10 + SIDE, left : left + SIDE] = SQUARE
    return frames


def test_where_the_camera_moves_it_is_the_middle_frame():
    still = moving_square()
    assert steadiness(departure(still)[0]) == 1
    assert np.array_equal(MOTION_PICTURES["steady-exposure"](still, 0.5), multiple_exposure(still, 0.5))
    rng = np.random.default_rng(0)
    scene = rng.integers(0, 256, (32, 200, 3), dtype=np.uint8)
    moving = np.stack([scene[:, 8 * t : 8 * t + 132] for t in range(8)])
    assert steadiness(departure(moving)[0]) == 0
    assert np.array_equal(MOTION_PICTURES["steady-exposure"](moving, 0.5), moving[4])
    assert np.array_equal(guide_picture(still, "middle", 0.5), still[4])
    assert np.array_equal(guide_picture(still, "strobe", 0.5), strobe(still, 0.5))


def seen(picture: np.ndarray) -> list[int]:
    """The level in the middle of each place that the square passed."""
    return [int(picture[16, left + SIDE // 2, 0]) for left in PLACES]


@pytest.mark.parametrize("name", MOTION_PICTURES)
@pytest.mark.parametrize("strength", [0.25, 0.5, 1.0])
def test_every_picture_is_one_8_bit_image_and_always_the_same(name: str, strength: float):
    frames = np.random.default_rng(0).integers(0, 256, (7, 16, 24, 3), dtype=np.uint8)
    picture = MOTION_PICTURES[name](frames, strength)
    assert picture.shape == (16, 24, 3) and picture.dtype == np.uint8
    assert np.array_equal(picture, MOTION_PICTURES[name](frames.copy(), strength))


@pytest.mark.parametrize("name", sorted(set(MOTION_PICTURES) - {"history-overlay"}))
def test_a_clip_in_which_nothing_moves_stays_as_it_is(name: str):
    scene = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    assert np.abs(MOTION_PICTURES[name](np.stack([scene] * 6), 1.0).astype(int) - scene).max() <= 1


def test_departure_is_the_distance_to_the_median_over_three_pixels():
    apart, median = departure(moving_square())
    assert (median == STILL).all()
    assert apart[0, 16, PLACES[0] + 6] == SQUARE - STILL
    assert apart[1, 16, PLACES[0] + 6] == 0
    assert apart[0, 10, PLACES[0]] == pytest.approx((SQUARE - STILL) * 4 / 9)  # a corner: four of nine pixels


def test_departure_at_the_border_averages_over_fewer_places():
    frames = np.stack([np.full((3, 3, 3), level, np.uint8) for level in (0, 0, 9)])
    assert (departure(frames)[0][2] == 9).all()


def test_the_multiple_exposure_shows_every_pose_and_the_stronger_the_more():
    assert min(seen(multiple_exposure(moving_square(), 1.0))) > SQUARE - 10
    weak, strong = (min(seen(multiple_exposure(moving_square(), strength))) for strength in (0.1, 0.2))
    assert STILL < weak < strong


def test_the_multiple_exposure_shows_the_middle_frame_where_something_departs_too_little():
    frames = np.stack([np.full((8, 8, 3), level, np.uint8) for level in (100, 100, 100, 104, 100)])
    assert (multiple_exposure(frames, 1.0) == 100).all()


def test_the_plate_mixes_the_middle_frame_with_all_poses():
    poses = seen(plate(moving_square(), 0.5))
    middle = len(PLACES) // 2
    assert poses[middle] == SQUARE
    assert {pose for t, pose in enumerate(poses) if t != middle} == {(STILL + SQUARE) // 2}


def test_the_fading_strobe_fades_from_the_last_frame_to_the_first():
    poses = seen(fading_strobe(moving_square(), 0.25))
    assert poses[-1] == SQUARE and poses[0] == STILL + (SQUARE - STILL) // 4
    assert poses == sorted(poses) and len(set(poses)) == len(poses)
    turned = seen(fading_strobe(moving_square()[::-1], 0.25))
    assert turned == poses[::-1]  # which way the clip ran can be seen


def test_the_strobe_shows_five_moments_and_the_middle_frame_whole():
    poses = seen(strobe(moving_square(), 0.5))
    middle = len(PLACES) // 2
    assert poses[middle] == SQUARE
    assert [t for t, pose in enumerate(poses) if pose != STILL] == [0, 2, middle, 5, 7]
    assert {poses[t] for t in (0, 2, 5, 7)} == {(STILL + SQUARE) // 2}
