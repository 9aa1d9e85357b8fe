"""Faithfulness: a map of what the class is made of is true, the same turned around is false, and chance is chance."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from avd_core.classifiers.loading import Classifier, Preprocessing
from avd_core.classifiers.road import MOVED, TAKEN, road

SIDE = 48


class Corner(nn.Module):
    """Class 1 is how bright the upper left corner is against the rest: what it needs is known."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 2, 8, stride=8)
        self.head = nn.Linear(2, 2)
        with torch.no_grad():
            self.features.weight.fill_(1 / 192)
            self.features.bias.zero_()

    def forward(self, image: Tensor) -> Tensor:
        bright = self.features(image)[:, 0]
        score = 4 * bright[:, :2, :2].mean(dim=(1, 2)) + 0 * self.head(self.features(image).mean(dim=(2, 3)))[:, 0]
        return torch.stack([torch.zeros_like(score), score], dim=1)


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier("corner", Corner(), ("dark", "bright"), Preprocessing(SIDE))


@pytest.fixture(scope="module")
def image() -> Tensor:
    image = torch.full((1, 3, SIDE, SIDE), -1.0)
    image[..., :16, :16] = 1.0
    return image


def corner(rows: slice = slice(0, 16)) -> np.ndarray:
    heat = np.zeros((SIDE, SIDE), np.float32)
    heat[rows, :16] = 1
    return heat


def test_a_true_map_scores_beyond_its_copies_elsewhere(classifier: Classifier, image: Tensor) -> None:
    told = road(classifier, image, corner(), 1)
    assert told.untouched > 0.95
    assert told.most_first < 0.2 < 0.7 < told.least_first
    assert told.score == pytest.approx((told.least_first - told.most_first) / 2) and told.score > 0.25
    assert len(told.moved) == len(MOVED) and told.score > max(told.moved) + 0.1


def test_a_map_turned_around_scores_the_negative(classifier: Classifier, image: Tensor) -> None:
    graded = np.random.default_rng(0).random((SIDE, SIDE)).astype(np.float32) + corner()  # no two places are equal
    true, false = (road(classifier, image, heat, 1) for heat in (graded, -graded))
    assert false.score == pytest.approx(-true.score, abs=0.01) and false.score < -0.2


def test_a_map_of_the_wrong_place_is_no_better_than_chance(classifier: Classifier, image: Tensor) -> None:
    told = road(classifier, image, corner(slice(32, 48)), 1)
    assert told.score < 0.1 and sum(told.score > score for score in told.moved) < len(MOVED)


def test_equal_places_are_taken_in_random_order_and_only_as_many_as_were_told(
    classifier: Classifier, image: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pytorch_grad_cam.metrics.road import NoisyLinearImputer

    kept: list[float] = []
    fill = NoisyLinearImputer.__call__

    def noted(self, picture: Tensor, mask: Tensor) -> Tensor:
        kept.append(float(mask.mean()))
        return fill(self, picture, mask)

    monkeypatch.setattr(NoisyLinearImputer, "__call__", noted)
    told = road(classifier, image, np.zeros((SIDE, SIDE), np.float32), 1)  # a map that says nothing at all
    assert kept == pytest.approx([1 - percent / 100 for percent in TAKEN] * 2 * (1 + len(MOVED)), abs=1e-3)
    assert np.isfinite([told.score, *told.moved]).all() and abs(told.score) < 0.1


def test_it_is_seeded_and_draws_nothing_from_anybody_else(classifier: Classifier, image: Tensor) -> None:
    before = torch.random.get_rng_state()
    first = road(classifier, image, corner(), 1, seed=3)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.rand(7)
    assert road(classifier, image, corner(), 1, seed=3) == first
    assert road(classifier, image, corner(), 1, seed=4) != first


def test_it_tells_how_far_it_is_and_stops_when_told(classifier: Classifier, image: Tensor) -> None:
    shares: list[float] = []
    road(classifier, image, corner(), 1, progress=shares.append)
    assert shares == sorted(shares) and shares[-1] == pytest.approx(1)

    class Enough(Exception):
        pass

    def stop(share: float) -> None:
        if share > 0.1:
            raise Enough

    with pytest.raises(Enough):
        road(classifier, image, corner(), 1, progress=stop)
