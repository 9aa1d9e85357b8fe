"""The still representations against values computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from avd_core.distillers import DISTILLERS, first_frame, mean_frame, middle_frame


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
    for distil in DISTILLERS.values():
        image = distil(clip)
        assert image.shape == (4, 5, 3) and image.dtype == np.uint8
