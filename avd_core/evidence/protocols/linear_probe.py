"""A linear probe on frozen features: logistic regression on standardised features.

The regularisation is chosen on clips (and people) that neither train nor report. With `choose` clips: fitted on
`train`, chosen on `choose`, refitted on both. Without them: chosen by cross-validation by group inside the fitting
clips.

Axes: N clips, D features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from avd_core.evidence.feature_cache import FeatureCache
from avd_core.evidence.report import NotMeasurable

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # scikit-learn's C, the inverse of the regularisation
FOLDS = 5
MOST_LEFT_OUT = 20  # groups of which each is left out once; of more, five folds are made
MANY = 4000  # samples from which one fold is enough to choose on


@dataclass(frozen=True)
class Samples:
    """Features (N, D) with their labels (N,) and groups (N,)."""

    features: np.ndarray
    labels: np.ndarray
    groups: np.ndarray


@dataclass(frozen=True)
class Fold:
    """Indices of clips to fit on, to choose on (empty: cross-validate those to fit on) and to report on."""

    fit: np.ndarray
    choose: np.ndarray
    report: np.ndarray


def folds(cache: FeatureCache, *, left_out: int = MOST_LEFT_OUT) -> list[Fold]:
    """Return one fold if the split has training clips, else the folds of a cross-validation of the reported clips.

    Up to `left_out` people or source videos are each left out once; with more, or with unknown groups, there are five
    folds.

    Raises:
        NotMeasurable: the split has no training clips, and the reported ones are of fewer than three groups.
    """
    reported, train = cache.members(), cache.members("train")
    if len(train) and cache.reported != "train":
        choose = cache.members("choose") if cache.reported == "test" else np.array([], dtype=int)
        return [Fold(train, choose, reported)]
    groups = cache.folds(reported)
    if len(set(groups)) < 3:
        raise NotMeasurable("these clips are of fewer than three groups, and the split keeps none to fit on")
    count = len(set(groups)) if _is_left_out(cache, left_out) else FOLDS
    return [
        Fold(reported[fit], np.array([], dtype=int), reported[held_out])
        for fit, held_out in group_folds(groups, count=count)
    ]


def describe_folds(cache: FeatureCache, *, left_out: int = MOST_LEFT_OUT) -> str:
    """Describe in one sentence what `folds` does with these clips."""
    if len(cache.members("train")) and cache.reported != "train":
        return "It is fitted on the split's training clips and reported on clips of other groups."
    count = len(set(cache.folds(cache.members())))
    if _is_left_out(cache, left_out):
        return f"Each of the {count} groups is left out once: fitted on all others, reported on it."
    if cache.groups(cache.members()) is None:
        return f"Cross-validated in {FOLDS} folds; nothing is known of people or source videos."
    return f"Cross-validated in {FOLDS} folds of the {count} groups, no group on two sides."


def _is_left_out(cache: FeatureCache, most: int) -> bool:
    groups = cache.groups(cache.members())
    return groups is not None and len(set(groups)) <= most


def group_folds(groups: Sequence[str], *, count: int = FOLDS) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return (training, held-out) indices of up to `count` folds of similar size, with no group on both sides."""
    from sklearn.model_selection import GroupKFold

    return list(GroupKFold(min(count, len(set(groups)))).split(np.zeros(len(groups)), groups=groups))


class Probe:
    """A fitted probe.

    Attributes:
        strength: the chosen element of `STRENGTHS`.
    """

    def __init__(self, fit: Samples, choose: Samples | None = None) -> None:
        scores = np.zeros(len(STRENGTHS))
        if choose is not None:
            scores += [_accuracy(fit, choose, strength) for strength in STRENGTHS]
            fit = Samples(*(np.concatenate(pair) for pair in zip(_parts(fit), _parts(choose), strict=True)))
        elif len(set(fit.groups)) > 1:
            inner_folds = group_folds(fit.groups.tolist())
            for kept, held_out in inner_folds[: 1 if len(fit.labels) > MANY else None]:
                inner, outer = (Samples(*(part[which] for part in _parts(fit))) for which in (kept, held_out))
                if len(set(inner.labels)) > 1:
                    scores += [_accuracy(inner, outer, strength) * len(held_out) for strength in STRENGTHS]
        self.strength = STRENGTHS[int(scores.argmax())]  # of equals the most regularised
        self._model = _fit(fit, self.strength)

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Predict the label of each of the features (N, D)."""
        return self._model.predict(features)

    @property
    def classes(self) -> np.ndarray:
        """Its labels, in the order of `probabilities`."""
        return self._model.classes_

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Return the probability of every class for features (N, D): (N, classes)."""
        return self._model.predict_proba(features)


def _parts(samples: Samples) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return samples.features, samples.labels, samples.groups


def _fit(samples: Samples, strength: float) -> Pipeline:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=2000, tol=1e-3))
    return model.fit(samples.features.astype(np.float64), samples.labels)


def _accuracy(fit: Samples, held_out: Samples, strength: float) -> float:
    return float((_fit(fit, strength).predict(held_out.features) == held_out.labels).mean())
