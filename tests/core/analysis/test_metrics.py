"""The figures against independent few-line computations."""

from __future__ import annotations

import math

import numpy as np
import pytest

from avd_core.analysis.baselines import mean_frame, middle_frame
from avd_core.analysis.metrics import PSNR_CAP, psnr, quality, ssim_per_frame


def moving_clip(num_frames: int = 5, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    scene = rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)
    return np.stack([np.roll(scene, 2 * t, axis=1)[:, :48] for t in range(num_frames)])


def noisy(clip: np.ndarray, amplitude: int = 9) -> np.ndarray:
    noise = np.random.default_rng(1).integers(-amplitude, amplitude + 1, clip.shape)
    return np.clip(clip.astype(int) + noise, 0, 255).astype(np.uint8)


def test_psnr_of_a_known_error():
    black = np.zeros((2, 8, 8, 3), np.uint8)
    assert psnr(black, black + 5) == pytest.approx(10 * math.log10(255**2 / 25))
    assert psnr(np.uint8([0]), np.uint8([255])) == pytest.approx(0.0)  # a wrapped difference would read 48 dB


def test_the_error_is_pooled_over_the_clip_not_averaged_over_frames():
    clip = np.full((2, 16, 16, 3), 100, np.uint8)
    restored = clip.copy()
    restored[0] += 10
    restored[1] += 1
    assert quality(clip, restored).psnr == pytest.approx(10 * math.log10(255**2 / ((100 + 1) / 2)))


def test_identical_clips_are_capped_and_null_per_frame():
    clip = moving_clip()
    figures = quality(clip, clip.copy())
    assert figures.psnr == PSNR_CAP and figures.ssim == pytest.approx(1.0)
    assert figures.per_frame["psnr"] == (None,) * 5 and figures.per_frame["ssim"] == (None,) * 5


def test_a_single_wrong_value_is_capped_too():
    clip = np.zeros((64, 112, 112, 3), np.uint8)
    restored = clip.copy()
    restored[0, 0, 0, 0] = 1  # 10 log10(255^2 * 2408448) = 112 dB
    assert psnr(clip, restored) == PSNR_CAP


def test_the_copies_are_measured_as_defined():
    clip = moving_clip(num_frames=4)
    figures = quality(clip, noisy(clip))
    middle, mean = clip[2], np.round(clip.astype(float).mean(axis=0))
    for copy, value in ((middle, figures.psnr_middle_copy), (mean, figures.psnr_mean_copy)):
        mse = np.mean((clip.astype(float) - copy.astype(float)) ** 2)
        assert value == pytest.approx(10 * np.log10(255**2 / mse))
    assert figures.per_frame["psnr_middle_copy"][2] is None
    assert [value is None for value in figures.per_frame["psnr_middle_copy"]].count(True) == 1
    assert all(len(values) == 4 for values in figures.per_frame.values())


def test_per_frame_values_are_each_frames_own():
    clip = moving_clip()
    restored = noisy(clip)
    figures = quality(clip, restored)
    assert figures.per_frame["psnr"] == tuple(psnr(a, b) for a, b in zip(clip, restored, strict=True))
    assert figures.ssim == pytest.approx(np.mean(figures.per_frame["ssim"]))


def test_ssim_agrees_with_an_independent_computation():
    a, b = moving_clip(1)[0], noisy(moving_clip(1))[0]
    assert ssim_per_frame(a[None], b)[0] == pytest.approx(slow_ssim(a, b), abs=1e-3)


def slow_ssim(a: np.ndarray, b: np.ndarray) -> float:
    """SSIM (Wang et al. 2004) window by window: Gaussian, sigma 1.5, 11 x 11, inside the image."""
    axis = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(axis, axis) / axis.sum() ** 2
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    values = []
    for y in range(a.shape[0] - 10):
        for x in range(a.shape[1] - 10):
            for c in range(3):
                p = a[y : y + 11, x : x + 11, c].astype(float)
                q = b[y : y + 11, x : x + 11, c].astype(float)
                mp, mq = (window * p).sum(), (window * q).sum()
                vp, vq = (window * (p - mp) ** 2).sum(), (window * (q - mq) ** 2).sum()
                cov = (window * (p - mp) * (q - mq)).sum()
                values.append((2 * mp * mq + c1) * (2 * cov + c2) / ((mp**2 + mq**2 + c1) * (vp + vq + c2)))
    return float(np.mean(values))


def test_a_black_clip_gives_numbers():
    black = np.zeros((3, 16, 16, 3), np.uint8)
    figures = quality(black, black)
    assert figures.psnr_mean_copy == PSNR_CAP and figures.ssim == pytest.approx(1.0)


def test_other_shapes_and_types_are_refused():
    clip = moving_clip()
    with pytest.raises(ValueError, match="one shape"):
        quality(clip, clip[:2])
    with pytest.raises(ValueError, match="8-bit"):
        quality(clip.astype(np.float32), clip)


def test_copies_are_the_distillers_images():
    clip = moving_clip()
    assert psnr(clip, middle_frame(clip)) == quality(clip, clip).psnr_middle_copy
    assert psnr(clip, mean_frame(clip)) == quality(clip, clip).psnr_mean_copy
