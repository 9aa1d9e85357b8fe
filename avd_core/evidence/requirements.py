"""What protocols require of each clip: pictures in a representation, classifier outputs for them, figures of their own.

A requirement names the arrays by its keys in the store of a `FeatureCache`, and computes them.

Axes: T frames, K pictures, H, W; D features.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np

from avd_core.analysis.degradations import DEGRADATIONS

if TYPE_CHECKING:
    from avd_core.classifiers.loading import Classifier
    from avd_core.evidence.feature_cache import FeatureCache

BATCH = 4  # more would be slower on a CPU
BATCH_ON_GPU = 64


@dataclass(frozen=True)
class ClassifierOutput:
    """Features and logits of a frozen classifier for the picture of each clip.

    Attributes:
        scorer: the classifier.
        name: the representation.
        reverse: whether the clip is played backwards.
        damage: the degradation of the picture, a key of `DEGRADATIONS`.
        window: number of the clip's window; None is the whole clip.
    """

    scorer: Classifier
    name: str
    reverse: bool = False
    damage: str = "png"
    window: int | None = None

    @property
    def fits(self) -> bool:
        """Whether a model may be fitted on it: models are fitted on undamaged pictures only."""
        return self.damage == "png"

    def keys(self, cache: FeatureCache) -> tuple[str, str]:
        """Keys of its features and its logits."""
        way = "backwards" if self.reverse else "forwards"
        part = "" if self.window is None else f"|{self.window}/{cache.windows}"
        what = f"{cache.model_key(self.scorer)}|{cache.cache_key(self.name)}|{way}|{self.damage}{part}"
        return f"features|{what}", f"logits|{what}"


class Requirement(Protocol):
    """Arrays that a protocol needs of every clip; `make` computes them, under the names that `keys` lists.

    Attributes:
        fits: whether models are fitted on them, so that clips that are not reported need them too.
    """

    @property
    def fits(self) -> bool: ...

    def keys(self, cache: FeatureCache) -> tuple[str, ...]: ...

    def make(self, cache: FeatureCache, index: int) -> Mapping[str, np.ndarray]: ...


@dataclass(frozen=True)
class RepresentationPictures:
    """The pictures themselves of a representation."""

    name: str
    fits: ClassVar[bool] = True

    def keys(self, cache: FeatureCache) -> tuple[str, ...]:
        return (f"pictures|{cache.cache_key(self.name)}",)

    def make(self, cache: FeatureCache, index: int) -> Mapping[str, np.ndarray]:
        return {self.keys(cache)[0]: cache.pictures(self.name, index)}


def classify(
    cache: FeatureCache, index: int, scorer: Classifier, outputs: Sequence[ClassifierOutput]
) -> dict[str, np.ndarray]:
    """Compute outputs of one classifier for a clip.

    Where the reversed clip has the pictures of the clip itself in reverse order, they are classified once.

    Returns:
        Features (K, D) and logits (K, classes) of each output, by its keys.
    """
    pictures = {
        output: cache.pictures(output.name, index, reverse=output.reverse, window=output.window) for output in outputs
    }
    mirrored: dict[ClassifierOutput, ClassifierOutput] = {}
    for output in outputs:
        forwards = replace(output, reverse=False)
        if output.reverse and forwards in pictures and np.array_equal(pictures[output], pictures[forwards][::-1]):
            mirrored[output] = forwards
    degraded = [
        (output, DEGRADATIONS[output.damage](picture))
        for output in outputs
        if output not in mirrored
        for picture in pictures[output]
    ]
    made: dict[str, np.ndarray] = {}
    for output, pairs in _embed(scorer, degraded).items():
        made |= zip(output.keys(cache), (np.stack(arrays) for arrays in zip(*pairs, strict=True)), strict=True)
    for output, forwards in mirrored.items():
        made |= {key: made[other][::-1] for key, other in zip(output.keys(cache), forwards.keys(cache), strict=True)}
    return made


def _embed(
    scorer: Classifier, pictures: Sequence[tuple[ClassifierOutput, np.ndarray]]
) -> dict[ClassifierOutput, list[tuple[np.ndarray, np.ndarray]]]:
    """Return (features, logits) of each picture (H, W, 3) by output, in order; neighbours of one size share a batch."""
    import torch

    from avd_core.networks.avd import image_to_tensor

    found: dict[ClassifierOutput, list[tuple[np.ndarray, np.ndarray]]] = {}
    size = BATCH if scorer.device.type == "cpu" else BATCH_ON_GPU
    for _, run in itertools.groupby(pictures, key=lambda pair: pair[1].shape):
        while batch := list(itertools.islice(run, size)):
            with torch.inference_mode():
                features, logits = scorer.embed(torch.cat([image_to_tensor(picture) for _, picture in batch]))
            for (output, _), *pair in zip(batch, features.cpu().numpy(), logits.cpu().numpy(), strict=True):
                found.setdefault(output, []).append(tuple(pair))
    return found
