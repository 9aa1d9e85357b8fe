"""A cache of small clips of which the truth is known, and a scorer that needs no weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from avd_core.classifiers.loading import Classifier, Preprocessing
from avd_core.evidence.clip_reader import Entry
from avd_core.evidence.feature_cache import FeatureCache
from avd_core.evidence.representations import Representation
from avd_core.networks.avd import AVD

T = 8
SAMPLING = (T, 64)


def clip(number: int, label: str) -> np.ndarray:
    """A scene of its own that grows brighter; clips of class "red" are reddish, others bluish; uint8 (T,64,64,3)."""
    rng = np.random.default_rng(number)
    scene = rng.integers(60, 120, (16, 16, 3)).repeat(4, 0).repeat(4, 1)
    scene[..., 0 if label == "red" else 2] += 60
    grain = rng.integers(-3, 4, (T, 64, 64, 3))
    return (scene + 8 * np.arange(T)[:, None, None, None] + grain).clip(0, 255).astype(np.uint8)


@pytest.fixture
def cache(tiny_checkpoint: Path) -> FeatureCache:
    """Six people, two to each part, with two clips of each class, and the untrained checkpoint `tiny`."""
    entries = []
    for person in range(6):
        part = ("train", "choose", "test")[person // 2]
        for number in range(4):
            label = ("red", "blue")[number % 2]
            frames = {SAMPLING: clip(10 * person + number, label)}
            entries.append(Entry(f"{label}/p{person}_{number}.mp4", "set", part, label, str(person), frames))
    return FeatureCache(entries, {"tiny": AVD.from_pretrained(tiny_checkpoint)}, "test")


@pytest.fixture
def shared(cache: FeatureCache) -> FeatureCache:
    """Of the two people who report one, "4", has two clips among those to fit on, as a film of HMDB51 may."""
    entries = [replace(one, group="4") if one.name.startswith("blue/p0") else one for one in cache.entries]
    cache.entries = tuple(entries)
    return cache


@pytest.fixture
def plant(cache: FeatureCache) -> Callable[[Callable[[np.ndarray], np.ndarray]], FeatureCache]:
    """Makes a representation of which the truth is known the only contender, beside a few cheap baselines."""

    def put(make: Callable[[np.ndarray], np.ndarray]) -> FeatureCache:
        cache.representations["planted"] = Representation(SAMPLING, lambda frames: make(frames)[None])
        cache.contenders = ("planted",)
        cache.baselines = ("middle", "mean", "random")
        return cache

    return put


@pytest.fixture(scope="session")
def scorer() -> Classifier:
    """A classifier of a thousand classes with random weights: quick, and it sees colour, brightness and place."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Conv2d(3, 24, 5, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(96, 1000)
        )
    return Classifier("random features", network, [str(n) for n in range(1000)], Preprocessing(32))
