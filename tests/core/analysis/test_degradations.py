"""What a damaged picture still is, by a few independent lines."""

from __future__ import annotations

import math

import numpy as np
import pytest

from avd_core.analysis.degradations import (
    DEGRADATIONS,
    SWEEPS,
    Degradation,
    DegradationError,
    blur,
    degradation_sweep,
    degraded_quality,
    noise,
    shift,
    through_jpeg,
    through_png,
)
from avd_core.analysis.metrics import PSNR_CAP, psnr


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


def blocks() -> np.ndarray:
    squares = np.random.default_rng(0).integers(40, 216, (8, 9, 3), dtype=np.uint8)
    return squares.repeat(8, 0).repeat(8, 1)


def repeated(image: np.ndarray) -> np.ndarray:
    """A decoder whose clip is known: four copies, each a little darker."""
    return np.stack([image - 10 * t for t in range(4)])


def test_a_degradation_is_blur_then_noise_then_jpeg():
    image = blocks()
    assert (Degradation()(image) == image).all()
    assert (Degradation(blur=1.5)(image) == blur(image, 1.5)).all()
    assert (Degradation(blur=1.5, noise=6, jpeg=70)(image) == through_jpeg(noise(blur(image, 1.5), 6), 70)).all()


@pytest.mark.parametrize(
    "strengths",
    [{"blur": -1}, {"blur": math.nan}, {"blur": 99}, {"noise": 1e9}, {"jpeg": 0}, {"jpeg": 101}, {"jpeg": 50.5}],
)
def test_a_strength_that_there_is_not_is_told_in_a_sentence(strengths: dict):
    with pytest.raises(DegradationError, match="There is no"):
        Degradation(**strengths)


def test_what_came_back_is_psnr_against_both():
    image = blocks()
    undamaged, original = repeated(image), repeated(image)[::-1]
    same = degraded_quality(Degradation(), undamaged, undamaged)
    assert same.psnr_undamaged == PSNR_CAP and same.psnr_original is None
    off = degraded_quality(Degradation(noise=5), undamaged + np.uint8(3), undamaged, original)
    assert off.psnr_undamaged == pytest.approx(20 * math.log10(255 / 3))
    assert off.psnr_original == psnr(original, undamaged + np.uint8(3))


def test_every_curve_holds_every_strength_and_all_grow_together():
    image = blocks()
    points = list(degradation_sweep(image, repeated(image), repeated, repeated(image)))
    assert [kind for kind, *_ in points[:3]] == list(SWEEPS)
    for kind, strengths in SWEEPS.items():
        line = [(strength, survived) for name, strength, survived in points if name == kind]
        assert tuple(strength for strength, _ in line) == strengths
        assert all(getattr(survived.degradation, kind) == strength for strength, survived in line)
        fall = [survived.psnr_undamaged for _, survived in line]
        assert fall == sorted(fall, reverse=True) and fall[0] > fall[-1] + 3, kind  # the stronger, the worse
        # This decoder's undamaged clip is the clip itself.
        assert fall == [survived.psnr_original for _, survived in line]
