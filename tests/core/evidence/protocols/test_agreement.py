"""Agreement: hits by hand, the middle frame by construction, floors that are floors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from avd_core.classifiers.loading import Classifier, Preprocessing
from avd_core.evidence.protocols import agreement
from avd_core.evidence.report import NotMeasurable


def test_the_middle_frame_passes_by_construction_and_a_copy_of_it_is_told_from_nothing(plant, scorer):
    report = agreement.measure(plant(lambda frames: frames[len(frames) // 2]), [scorer], damage="jpeg-50")
    figures = {name: one["mean"] for name, one in report.summary["figures"]["random features"].items()}
    assert figures["planted"] == figures["middle"] == 1
    assert set(figures) == {"planted", "adjacent", "middle", "mean", "random", "another clip"}
    assert list(report.summary["figures"]) == ["random features", "random features, jpeg-50"]


def test_an_image_of_something_else_does_not_agree(plant):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(3, 1000, 8, stride=8), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        network = nn.Sequential(*network, nn.Linear(1000, 1000))
    scorer = Classifier("eight", network, [str(n) for n in range(1000)], Preprocessing(32))
    report = agreement.measure(plant(lambda frames: 255 - frames[0]), [scorer], damage="jpeg-50")
    assert report.summary["figures"]["eight"]["planted"]["mean"] < 0.3


def test_strata_hold_every_clip_once():
    hits = {"x": np.array([1.0, 0.0, 1.0, 1.0])}
    strata = agreement.stratify(hits, np.array([0.1, 0.2, 0.9, 1.0]))
    assert [one["clips"] for one in strata.values()] == [1, 1, 2]
    assert [one["hits"]["x"] for one in strata.values()] == [1.0, 0.0, 1.0]
    assert agreement.stratify(hits, np.full(4, 0.1))["0.5-1.0"] == {"clips": 0, "hits": {"x": None}}


def test_another_clip_is_of_another_group():
    logits = np.eye(4)[[0, 0, 1, 1]] * 9 + np.arange(4) / 100
    logits = np.concatenate([logits, np.full((4, 6), 1.0)], axis=1)  # ten classes: five of them are not in a top five
    values = agreement.another_clips_hits(logits, np.array([0, 0, 1, 1]), ["a", "a", "b", "b"], seed=0)
    assert values.tolist() == [0, 0, 0, 0]
    same = agreement.another_clips_hits(logits, np.array([0, 0, 0, 0]), ["b", "b", "a", "a"], seed=0)
    assert same.tolist() == [0, 0, 1, 1]


def test_a_bundled_classifier_is_no_imagenet_classifier(plant, scorer):
    few = Classifier("few", nn.Sequential(nn.Conv2d(3, 7, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(7, 4)),
                     list("abcd"), Preprocessing(32))  # fmt: skip
    with pytest.raises(NotMeasurable, match="no ImageNet classifier"):
        agreement.measure(plant(lambda frames: frames[0]), [few], damage="shift")
