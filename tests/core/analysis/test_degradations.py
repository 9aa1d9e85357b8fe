"""What a damaged picture still is, by a few independent lines."""

from __future__ import annotations

import numpy as np
import pytest

from avd_core.analysis.degradations import DEGRADATIONS, noise, shift, through_jpeg, through_png


def scene() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (8, 9, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_every_damage_keeps_shape_and_8_bits_and_gives_the_same_again(name):
    image = scene()
    damaged = DEGRADATIONS[name](image)
    assert damaged.shape == image.shape and damaged.dtype == np.uint8
    assert (DEGRADATIONS[name](image) == damaged).all()
    assert (damaged == image).all() == (name == "png")
    assert (image == scene()).all()


def test_the_png_is_really_written_and_read():
    image = np.random.default_rng(0).integers(0, 256, (64, 72, 3), dtype=np.uint8)
    assert (through_png(image) == image).all()
    with pytest.raises((TypeError, KeyError, ValueError)):
        through_png(image.astype(np.float32) / 255)  # what is not 8 bit does not pass


def test_jpeg_keeps_colours_at_half_resolution():
    stripes = np.zeros((32, 32, 3), np.uint8)
    stripes[:, ::2] = (200, 0, 0)
    stripes[:, 1::2] = (0, 102, 0)  # as bright as the red: only the colour alternates
    restored = through_jpeg(stripes, 95).astype(int)
    assert abs(restored[:, ::2, 0].mean() - restored[:, 1::2, 0].mean()) < 60


def test_a_lower_quality_damages_more():
    errors = [np.abs(through_jpeg(scene(), q).astype(int) - scene()).mean() for q in (95, 90, 75, 50)]
    assert errors == sorted(errors) and errors[0] < errors[-1]


def test_the_shift_is_one_pixel_each_way():
    image = scene()
    assert (shift(image)[1:, 1:] == image[:-1, :-1]).all() and (shift(image)[0, 1:] == image[0, :-1]).all()


def test_the_noise_is_as_strong_as_it_says():
    grey = np.full((64, 64, 3), 128, np.uint8)
    assert (noise(grey) - 128.0).std() == pytest.approx(4, rel=0.05)
