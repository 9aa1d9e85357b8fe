"""Order: does the image hold the direction of time?

Each clip is made into an image forwards and backwards, from frames at bin centres (which are the same, reversed), both
ways through the same code and file. A linear probe on frozen features, fitted on other people's clips, classifies the
direction. The mean frame and the middle frame reach exactly 50 % by construction. The ceiling sees a few frames in
order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from avd_core.analysis.intervals import scoreboard, scoreboard_table
from avd_core.evidence.protocols.linear_probe import Probe, Samples, describe_folds, folds
from avd_core.evidence.report import Report, describe
from avd_core.evidence.requirements import ClassifierOutput

if TYPE_CHECKING:
    from avd_core.classifiers.loading import Classifier
    from avd_core.evidence.feature_cache import FeatureCache

CEILING = "ordered frames"


QUESTION = "Is it in the one image whether the clip ran forwards or backwards?"
HOW = (
    "Every clip is made into an image both ways, from the same frames, through the same file. A linear probe on a "
    "frozen classifier's features tells the two apart. Guessing gives 50 %; the middle and the mean frame read 50 % by "
    "construction; the ceiling sees eight frames in order."
)


def requirements(cache: FeatureCache, scorers: Sequence[Classifier], *, damage: str) -> list[ClassifierOutput]:
    """List the classifier outputs to compute."""
    names = (*cache.contenders, CEILING, *cache.baselines)
    ways = [(reverse, one) for reverse in (False, True) for one in ("png", damage)]
    return [
        ClassifierOutput(scorer, name, reverse, one) for scorer in scorers for name in names for reverse, one in ways
    ]


def measure(cache: FeatureCache, scorers: Sequence[Classifier], *, damage: str, seed: int = 0) -> Report:
    """Probe every representation with every scorer, undamaged and through `damage`.

    A clip's figure is 1 if both its images are classified correctly, 0.5 if one is.

    Raises:
        NotMeasurable: there are no clips to fit on and too few groups to cross-validate.
    """
    parts = folds(cache)
    reported = np.concatenate([fold.report for fold in parts])
    columns: dict[str, dict[str, np.ndarray]] = {}
    rows = []
    for scorer in scorers:
        for name in (*cache.contenders, CEILING, *cache.baselines):
            found: dict[str, list[np.ndarray]] = {"png": [], damage: []}
            for fold in parts:
                choose = _both_ways(cache, scorer, name, fold.choose) if len(fold.choose) else None
                probe = Probe(_both_ways(cache, scorer, name, fold.fit), choose)
                for through, right in found.items():
                    samples = _both_ways(cache, scorer, name, fold.report, through)
                    right.append((probe.predict(samples.features) == samples.labels).reshape(2, -1).mean(axis=0))
            for through, right in found.items():
                values = np.concatenate(right)
                column = scorer.name if through == "png" else f"{scorer.name}, {through}"
                columns.setdefault(column, {})[name] = values
                rows += [
                    {"clip": cache.entries[i].name, "scorer": scorer.name, "through": through,
                     "representation": name, "right": float(values[place])}
                    for place, i in enumerate(reported)
                ]  # fmt: skip
    unseen = cache.unseen(reported)
    board = scoreboard(columns, cache.contenders, cache.groups(reported), seed=seed, unseen=unseen)
    title = "Order: forwards and backwards told apart from the image alone, % of images (50 is guessing)"
    summary = {**board, **describe(QUESTION, f"{HOW} {describe_folds(cache)}"), "chance": 0.5}
    return Report(title, summary, scoreboard_table(board), rows)


def _both_ways(cache: FeatureCache, scorer: Classifier, name: str, members: np.ndarray, damage: str = "png") -> Samples:
    """The clips forwards (labelled 0), then all of them backwards (1)."""
    ways = [cache.features(scorer, name, members, reverse=reverse, damage=damage) for reverse in (False, True)]
    return Samples(np.concatenate(ways), np.repeat([0, 1], len(members)), np.array(cache.folds(members) * 2))
