"""Recognition: can the clip's class be read off its image, by a linear probe on a classifier's frozen features?

All representations stand in one table, all at one size. The ceiling sees a few frames in order. The probe is fitted on
undamaged images; the second figure of each scorer damages only those that it reports on. With several windows a clip
has an image of each, and the probabilities of its classes are averaged over them, as is usual for clips of video
networks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from avd_core.analysis.intervals import scoreboard, scoreboard_table
from avd_core.evidence.protocols.linear_probe import MOST_LEFT_OUT, Fold, Probe, Samples, describe_folds, folds
from avd_core.evidence.report import MOST_FAILURES, NotMeasurable, Report, describe
from avd_core.evidence.requirements import ClassifierOutput

if TYPE_CHECKING:
    from avd_core.classifiers.loading import Classifier
    from avd_core.evidence.feature_cache import FeatureCache

CEILING = "ordered frames"
QUESTION = "Can the clip's class be read off one image of it?"
HOW = (
    "A linear probe on a frozen classifier's features, its regularisation chosen inside the clips to fit on. The "
    "ceiling sees eight frames in order. Probes are fitted on undamaged images; the second column of each classifier "
    "reports on images that went through a JPEG of quality 75 and a shift by one pixel."
)


def requirements(cache: FeatureCache, scorers: Sequence[Classifier], *, damage: str) -> list[ClassifierOutput]:
    """List the classifier outputs to compute."""
    names = (*cache.contenders, CEILING, *cache.baselines)
    return [
        ClassifierOutput(scorer, name, damage=one, window=window)
        for scorer in scorers
        for name in names
        for one in ("png", damage)
        for window in windows(cache)
    ]


def measure(cache: FeatureCache, scorers: Sequence[Classifier], *, damage: str, seed: int = 0) -> Report:
    """Probe every representation with every scorer, undamaged and through `damage`.

    Raises:
        NotMeasurable: there are no clips to fit on, or they are all of one class.
    """
    parts = checked_folds(cache)
    reported = np.concatenate([fold.report for fold in parts])
    truth = cache.labels(reported)
    columns: dict[str, dict[str, np.ndarray]] = {}
    strengths: dict[str, dict[str, list[float]]] = {}
    predictions: dict[str, np.ndarray] = {}
    rows = []
    for scorer in scorers:
        for name in (*cache.contenders, CEILING, *cache.baselines):
            probes = [fitted(cache, scorer, name, fold) for fold in parts]
            strengths.setdefault(scorer.name, {})[name] = [probe.strength for probe in probes]
            for through in ("png", damage):
                labels = np.concatenate(
                    [
                        predict(cache, scorer, name, fold, probe, through)
                        for fold, probe in zip(parts, probes, strict=True)
                    ]
                )
                column = scorer.name if through == "png" else f"{scorer.name}, {through}"
                columns.setdefault(column, {})[name] = (labels == truth).astype(float)
                if column == scorers[0].name:
                    predictions[name] = labels
                rows += [
                    {"clip": cache.entries[i].name, "scorer": scorer.name, "through": through,
                     "representation": name, "label": cache.entries[i].label, "said": str(labels[place])}
                    for place, i in enumerate(reported)
                ]  # fmt: skip
    unseen = cache.unseen(reported)
    board = scoreboard(columns, cache.contenders, cache.groups(reported), seed=seed, unseen=unseen)
    chance = 1 / len(set(truth))
    names = [cache.entries[i].name for i in reported]
    averaged = f" Averaged over {cache.windows} windows of each clip." if cache.windows > 1 else ""
    summary = {
        **board,
        **describe(QUESTION, f"{HOW} {describe_folds(cache)}{averaged}"),
        "chance": chance,
        "windows": cache.windows,
        "strengths": strengths,
        **by_class(truth, predictions),
        "failures": {name: wrong(names, truth, predictions[name]) for name in cache.contenders},
    }
    text = f"{scoreboard_table(board)}\n\nGuessing: {chance:.1%}."
    return Report("Recognition: linear probe on frozen features, % of clips", summary, text, rows)


def checked_folds(cache: FeatureCache, *, left_out: int = MOST_LEFT_OUT) -> list[Fold]:
    """As `folds`; raises NotMeasurable also where there are not two classes."""
    parts = folds(cache, left_out=left_out)
    reported = np.concatenate([fold.report for fold in parts])
    if any(len(set(cache.labels(fold.fit))) < 2 for fold in parts) or len(set(cache.labels(reported))) < 2:
        raise NotMeasurable("there are not two classes to tell apart")
    return parts


def windows(cache: FeatureCache) -> Sequence[int | None]:
    """Return the windows of a clip to classify; None is the whole clip."""
    return range(cache.windows) if cache.windows > 1 else (None,)


def fitted(cache: FeatureCache, scorer: Classifier, name: str, fold: Fold) -> Probe:
    """Fit the probe of one fold; every window of a training clip is a sample."""

    def samples(members: np.ndarray) -> Samples:
        features = [cache.features(scorer, name, members, window=window) for window in windows(cache)]
        labels, groups = cache.labels(members), np.array(cache.folds(members))
        return Samples(np.concatenate(features), np.tile(labels, len(features)), np.tile(groups, len(features)))

    return Probe(samples(fold.fit), samples(fold.choose) if len(fold.choose) else None)


def predict(cache: FeatureCache, scorer: Classifier, name: str, fold: Fold, probe: Probe, through: str) -> np.ndarray:
    """Predict the class of each clip that a fold reports on, averaged over its windows: (N,)."""
    shares = [
        probe.probabilities(cache.features(scorer, name, fold.report, damage=through, window=window))
        for window in windows(cache)
    ]
    return probe.classes[np.mean(shares, axis=0).argmax(axis=1)]


def by_class(truth: np.ndarray, predictions: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return for each representation the accuracy of every class and the confusion matrix."""
    classes = sorted(set(truth))
    return {
        "classes": {label: int((truth == label).sum()) for label in classes},
        "per_class": {
            name: {label: float((found[truth == label] == label).mean()) for label in classes}
            for name, found in predictions.items()
        },
        "confusion": {
            name: {label: dict(Counter(map(str, found[truth == label]))) for label in classes}
            for name, found in predictions.items()
        },
    }


def wrong(names: Sequence[str], truth: np.ndarray, found: np.ndarray) -> list[dict[str, str]]:
    """List misclassified clips, those of the least accurate classes first."""
    right = {label: float((found[truth == label] == label).mean()) for label in set(truth)}
    places = sorted(np.flatnonzero(found != truth).tolist(), key=lambda place: (right[truth[place]], names[place]))
    return [
        {"clip": names[place], "why": f"{truth[place]} taken for {found[place]}"} for place in places[:MOST_FAILURES]
    ]
