"""Leakage: a class that is hidden in the last bit is lost with the first damage; one that is seen stays."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from avd_core.classifiers.loading import Classifier, Preprocessing
from avd_core.evidence.protocols import degradation


class LastBit(nn.Module):
    """Reads the mean of the image, and how often its values are odd: a reader of hidden codes."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 3, 1)
        self.last = nn.Linear(6, 1000)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        levels = (127.5 * (image + 1)).round()
        odd = (levels % 2).mean(dim=(2, 3))
        return self.last(torch.cat([levels.mean(dim=(2, 3)) / 255, 10 * odd], dim=1)) + 0 * self.body(image).mean()


def test_a_hidden_code_is_lost_and_what_is_seen_stays(plant, monkeypatch):
    reader = Classifier("reader", LastBit(), [str(n) for n in range(1000)], Preprocessing(64))

    def hide(frames: np.ndarray) -> np.ndarray:
        """A grey picture of the clip's own; that the clip is reddish is written into its last bits alone."""
        red = frames[..., 0].mean() > frames[..., 2].mean()
        rows, columns = np.indices(frames.shape[1:3])
        board = np.where((rows + columns) % 2, 1, -1)[..., None] * int(red)  # odd everywhere, and the mean is the same
        return np.broadcast_to(80 + 2 * (int(frames.sum()) % 20) + board, frames.shape[1:]).astype(np.uint8)

    cache = plant(hide)
    cache.contenders, cache.baselines = ("planted",), ("middle",)
    monkeypatch.setattr("avd_core.evidence.protocols.degradation.RestorationFigures", lambda name, through: Same(name))
    report = degradation.measure(cache, [reader])
    accuracy = report.summary["curves"]["accuracy, %"]
    assert accuracy["planted"]["png"]["mean"] == 100
    assert accuracy["planted"]["blur-2"]["mean"] == 50, "a blur leaves nothing of the last bit"
    assert accuracy["planted"]["noise-8"]["mean"] < 100, "noise drowns it"
    assert accuracy["middle"]["noise-8"]["mean"] == accuracy["middle"]["png"]["mean"] == 100, "colour stays"
    assert set(accuracy["planted"]) == set(degradation.DAMAGED)
    assert {damage for some in degradation.CURVES.values() for damage in some} == set(degradation.WORDS)
    assert "JPEG 50" in report.text and len(report.rows) == len(degradation.DAMAGED) * 8 * 3


class Same:
    """Figures that no checkpoint is needed for."""

    fits = False

    def __init__(self, name: str) -> None:
        self.name = name

    def keys(self, cache) -> tuple[str, ...]:
        return (f"same|{self.name}",)

    def make(self, cache, index) -> dict[str, np.ndarray]:
        return {self.keys(cache)[0]: np.arange(8, dtype=float)}


def test_restoration_is_worn_with_the_image(cache, scorer):
    cache.entries = tuple(one for number, one in enumerate(cache.entries) if number % 4 < 2)  # a clip of each class
    cache.baselines = ("middle",)
    report = degradation.measure(cache, [scorer])
    psnr = report.summary["curves"]["PSNR, dB"]
    assert set(psnr) == {"tiny", "copying the middle frame", "the mean frame"}
    assert psnr["tiny"]["png"]["mean"] != psnr["tiny"]["noise-8"]["mean"]
    assert len({psnr["the mean frame"][damage]["mean"] for damage in degradation.DAMAGED}) == 1
