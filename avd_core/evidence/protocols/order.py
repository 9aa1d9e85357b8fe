"""Order: is it in the image which way the clip ran? A referee's question to every picture of a motion.

Each clip is made into an image forwards and backwards, from frames at bin centres (which are the same, reversed), both
ways through the same code and file. A linear probe on frozen features is fitted on other people's clips and has to
tell the two apart. The mean frame cannot do it and the middle frame may not; both read exactly 50 %. The ceiling sees
a few frames in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from avd_core.analysis.intervals import scoreboard, scoreboard_table
from avd_core.evidence.feature_cache import Look
from avd_core.evidence.protocols.linear_probe import Probe, Samples, folds, told_of
from avd_core.evidence.report import Report, account

if TYPE_CHECKING:
    from avd_core.classifiers.loading import Classifier
    from avd_core.evidence.feature_cache import Gallery

CEILING = "ordered frames"


QUESTION = "Is it in the one image whether the clip ran forwards or backwards?"
HOW = (
    "Every clip is made into an image both ways, from the same frames, through the same file. A linear probe on a "
    "frozen classifier's features tells the two apart. Guessing gives 50 %; the middle and the mean frame read 50 % by "
    "construction; the ceiling sees eight frames in order."
)


def wants(gallery: Gallery, scorers: Sequence[Classifier], *, damage: str) -> list[Look]:
    """What is looked at."""
    names = (*gallery.contenders, CEILING, *gallery.baselines)
    ways = [(reverse, one) for reverse in (False, True) for one in ("png", damage)]
    return [Look(scorer, name, reverse, one) for scorer in scorers for name in names for reverse, one in ways]


def measure(gallery: Gallery, scorers: Sequence[Classifier], *, damage: str, seed: int = 0) -> Report:
    """Probes every representation with every scorer, undamaged and through `damage`.

    A clip's figure is 1 where both its images are told rightly, 0.5 where one is.

    Raises:
        NotMeasurable: when there are too few groups, and no clips to fit on.
    """
    parts = folds(gallery)
    reported = np.concatenate([fold.report for fold in parts])
    columns: dict[str, dict[str, np.ndarray]] = {}
    rows = []
    for scorer in scorers:
        for name in (*gallery.contenders, CEILING, *gallery.baselines):
            found: dict[str, list[np.ndarray]] = {"png": [], damage: []}
            for fold in parts:
                choose = _both_ways(gallery, scorer, name, fold.choose) if len(fold.choose) else None
                probe = Probe(_both_ways(gallery, scorer, name, fold.fit), choose)
                for through, right in found.items():
                    samples = _both_ways(gallery, scorer, name, fold.report, through)
                    right.append((probe.predict(samples.features) == samples.labels).reshape(2, -1).mean(axis=0))
            for through, right in found.items():
                values = np.concatenate(right)
                column = scorer.name if through == "png" else f"{scorer.name}, {through}"
                columns.setdefault(column, {})[name] = values
                rows += [
                    {"clip": gallery.entries[i].name, "scorer": scorer.name, "through": through,
                     "representation": name, "right": float(values[place])}
                    for place, i in enumerate(reported)
                ]  # fmt: skip
    unseen = gallery.unseen(reported)
    board = scoreboard(columns, gallery.contenders, gallery.groups(reported), seed=seed, unseen=unseen)
    title = "Order: forwards and backwards told apart from the image alone, % of images (50 is guessing)"
    summary = {**board, **account(QUESTION, f"{HOW} {told_of(gallery)}"), "chance": 0.5}
    return Report(title, summary, scoreboard_table(board), rows)


def _both_ways(gallery: Gallery, scorer: Classifier, name: str, members: np.ndarray, damage: str = "png") -> Samples:
    """The clips forwards (labelled 0), then all of them backwards (1)."""
    ways = [gallery.features(scorer, name, members, reverse=reverse, damage=damage) for reverse in (False, True)]
    return Samples(np.concatenate(ways), np.repeat([0, 1], len(members)), np.array(gallery.folds(members) * 2))
