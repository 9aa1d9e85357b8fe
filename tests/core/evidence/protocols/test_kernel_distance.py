"""The kernel distance: nothing between draws of one distribution, something between two, as the formula says."""

from __future__ import annotations

import numpy as np
import pytest

from avd_core.evidence.protocols import kernel_distance
from avd_core.evidence.report import NotMeasurable


def test_draws_of_one_distribution_are_no_distance_apart_and_others_are():
    rng = np.random.default_rng(0)
    real, same, other = rng.normal(size=(60, 16)), rng.normal(size=(60, 16)), rng.normal(1, 1, size=(60, 16))
    near, spread = kernel_distance.kernel_distance(real, same, size=30)
    far, _ = kernel_distance.kernel_distance(real, other, size=30)
    assert abs(near) < 2 * spread < far


def test_it_is_the_unbiased_estimate_of_the_cubic_kernel():
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(20, 5)), rng.normal(0.5, 1, size=(20, 5))
    value, spread = kernel_distance.kernel_distance(real, fake, size=20)  # every subset is the whole
    x, y = real / real.std(), fake / real.std()
    kernel = lambda a, b: (a @ b.T / 5 + 1) ** 3  # noqa: E731
    off = lambda k: (k.sum() - np.trace(k)) / (20 * 19)  # noqa: E731
    assert value == pytest.approx(off(kernel(x, x)) + off(kernel(y, y)) - 2 * kernel(x, y).mean(), rel=1e-4)
    assert spread == pytest.approx(0, abs=1e-4)


def test_the_table_holds_the_floor(cache, scorer):
    cache.members = lambda *parts: np.arange(24)
    report = kernel_distance.measure(cache, [scorer])
    distances = {row["representation"]: row["distance"] for row in report.rows}
    assert distances["other real"] < distances["random"] and "tiny" in distances
    assert report.summary["subset_size"] == 12 and "no verdicts" in report.text


def test_few_clips_allow_none(cache, scorer):
    with pytest.raises(NotMeasurable, match="at least 10 clips"):
        kernel_distance.measure(cache, [scorer])
