"""A linear probe on frozen features: what can be read off an image by drawing straight lines.

Logistic regression on standardised features, the strength of its regularisation chosen on clips (and people) that
neither train nor report. With `choose` clips at hand: fitted on `train`, chosen on `choose`, fitted again on both.
Without them: chosen by cross-validation inside the fitting clips, each group on one side.

Axes: N clips, D features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from avd_core.evidence.feature_cache import Gallery
from avd_core.evidence.report import NotMeasurable

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
    """Numbers of clips: to fit on, to choose by (none: by cross-validation of those to fit on), to report on."""

    fit: np.ndarray
    choose: np.ndarray
    report: np.ndarray


def folds(gallery: Gallery, *, left_out: int = MOST_LEFT_OUT) -> list[Fold]:
    """One fold where the split keeps clips to fit on apart; else a cross-validation of the reported clips by group.

    Of up to `left_out` people or source videos each is left out once; of more, or of clips of which nobody says whose
    they are, five folds are made.

    Raises:
        NotMeasurable: when neither is possible.
    """
    reported, train = gallery.members(), gallery.members("train")
    if len(train) and gallery.reported != "train":
        choose = gallery.members("choose") if gallery.reported == "test" else np.array([], dtype=int)
        return [Fold(train, choose, reported)]
    groups = gallery.folds(reported)
    if len(set(groups)) < 3:
        raise NotMeasurable("these clips are of fewer than three groups, and the split keeps none to fit on")
    count = len(set(groups)) if _is_left_out(gallery, left_out) else FOLDS
    return [
        Fold(reported[fit], np.array([], dtype=int), reported[held_out])
        for fit, held_out in group_folds(groups, count=count)
    ]


def told_of(gallery: Gallery, *, left_out: int = MOST_LEFT_OUT) -> str:
    """What `folds` does with these clips, in a sentence."""
    if len(gallery.members("train")) and gallery.reported != "train":
        return "It is fitted on the split's training clips and reported on clips of other groups."
    count = len(set(gallery.folds(gallery.members())))
    if _is_left_out(gallery, left_out):
        return f"Each of the {count} groups is left out once: fitted on all others, reported on it."
    if gallery.groups(gallery.members()) is None:
        return f"Cross-validated in {FOLDS} folds; nothing is known of people or source videos."
    return f"Cross-validated in {FOLDS} folds of the {count} groups, no group on two sides."


def _is_left_out(gallery: Gallery, most: int) -> bool:
    groups = gallery.groups(gallery.members())
    return groups is not None and len(set(groups)) <= most


def group_folds(groups: Sequence[str], *, count: int = FOLDS) -> list[tuple[np.ndarray, np.ndarray]]:
    """(kept, held out) numbers of up to `count` folds of about equal size, no group on two sides."""
    from sklearn.model_selection import GroupKFold

    return list(GroupKFold(min(count, len(set(groups)))).split(np.zeros(len(groups)), groups=groups))


class Probe:
    """A fitted probe.

    Attributes:
        strength: the chosen one of `STRENGTHS`.
    """

    def __init__(self, fit: Samples, choose: Samples | None = None) -> None:
        scores = np.zeros(len(STRENGTHS))
        if choose is not None:
            scores += [_accuracy(fit, choose, strength) for strength in STRENGTHS]
            fit = Samples(*(np.concatenate(pair) for pair in zip(_parts(fit), _parts(choose), strict=True)))
        elif len(set(fit.groups)) > 1:
            inner_folds = group_folds(fit.groups)
            for kept, held_out in inner_folds[: 1 if len(fit.labels) > MANY else None]:
                inner, outer = (Samples(*(part[which] for part in _parts(fit))) for which in (kept, held_out))
                if len(set(inner.labels)) > 1:
                    scores += [_accuracy(inner, outer, strength) * len(held_out) for strength in STRENGTHS]
        self.strength = STRENGTHS[int(scores.argmax())]  # of equals the most regularised
        self._model = _fit(fit, self.strength)

    def predict(self, features: np.ndarray) -> np.ndarray:
        """The label of each of (N, D)."""
        return self._model.predict(features)

    @property
    def classes(self) -> np.ndarray:
        """The labels it knows, in the order of `probabilities`."""
        return self._model.classes_

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Of every class for each of (N, D): (N, classes)."""
        return self._model.predict_proba(features)


def _parts(samples: Samples) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return samples.features, samples.labels, samples.groups


def _fit(samples: Samples, strength: float):
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=2000, tol=1e-3))
    return model.fit(samples.features.astype(np.float64), samples.labels)


def _accuracy(fit: Samples, held_out: Samples, strength: float) -> float:
    return float((_fit(fit, strength).predict(held_out.features) == held_out.labels).mean())
