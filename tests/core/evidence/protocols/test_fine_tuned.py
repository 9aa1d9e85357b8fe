"""The fine-tuned classifier: it learns what is there, the same every time, on clips that it does not report on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from avd_core.classifiers.loading import Classifier, Preprocessing
from avd_core.evidence.array_store import Memory
from avd_core.evidence.protocols import fine_tuned
from avd_core.evidence.protocols.network_fitting import fit, named, with_new_head


def test_it_learns_what_is_in_the_picture_and_only_that(plant, scorer):
    cache = plant(lambda frames: np.full_like(frames[0], 90))  # a picture that knows nothing
    cache.baselines = ("middle",)
    before = [parameter.clone() for parameter in scorer.network.parameters()]
    report = fine_tuned.measure(cache, [scorer], damage="jpeg-75+shift", steps=30)
    assert all(torch.equal(a, b) for a, b in zip(before, scorer.network.parameters(), strict=True))
    figures = {name: one["mean"] for name, one in report.summary["figures"]["random features, fine-tuned"].items()}
    assert figures["middle"] == 1 and figures["planted"] == 0.5
    assert report.summary["per_class"]["middle"] == {"blue": 1.0, "red": 1.0}
    people = {row["clip"].split("/p")[1][0] for row in report.rows}
    assert people == {"4", "5"}, "those of the reported part alone"
    (wrong,) = {one["why"] for one in report.summary["failures"]["planted"]}
    assert wrong in ("red taken for blue", "blue taken for red")


def test_what_a_stopped_run_has_trained_is_not_trained_again(plant, scorer, monkeypatch):
    cache = plant(lambda frames: frames[4])
    cache.baselines = ("middle",)
    trained = []

    def watched(*args, **kwargs):
        if len(trained) == 1:
            raise KeyboardInterrupt
        trained.append(kwargs["seed"])
        return fit(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr("avd_core.evidence.protocols.network_fitting.fit", watched)
        with pytest.raises(KeyboardInterrupt):
            fine_tuned.measure(cache, [scorer], damage="jpeg-75+shift", steps=2)
    trained.clear()
    monkeypatch.setattr(
        "avd_core.evidence.protocols.network_fitting.fit",
        lambda *args, **kwargs: (trained.append(kwargs["seed"]), fit(*args, **kwargs))[1],
    )
    again = fine_tuned.measure(cache, [scorer], damage="jpeg-75+shift", steps=2)
    assert len(trained) == 1, "the middle frame's alone"
    cache.store = Memory()
    assert again.rows == fine_tuned.measure(cache, [scorer], damage="jpeg-75+shift", steps=2).rows


def test_the_seed_decides_and_nothing_else(scorer):
    pictures = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    labels = np.array([0, 1] * 4)

    def trained(seed: int) -> list[torch.Tensor]:
        network, head = with_new_head(scorer, 2, seed)
        return list(fit(network, [head], lambda chosen: pictures[chosen], labels, steps=3, seed=seed).parameters())

    once, again, other = trained(0), trained(0), trained(1)
    assert all(torch.equal(a, b) for a, b in zip(once, again, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(once, other, strict=True))


def test_a_classifier_that_ends_in_a_convolution_gets_a_new_head_too():
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 10, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    classifier = Classifier("convolutions", network, list("abcdefghij"), Preprocessing(32))
    changed, head = with_new_head(classifier, 3, seed=0)
    assert isinstance(head, nn.Conv2d) and changed(torch.zeros(2, 3, 32, 32)).shape == (2, 3)
    assert named(changed, lambda some: torch.zeros(len(some), 3, 32, 32), 5).shape == (5,)
