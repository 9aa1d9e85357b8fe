"""Recognition: can the clip's class be read off its image, by a linear probe on a classifier's frozen features?

All representations stand in one table, all at one size. The ceiling sees a few frames in order. The probe is fitted on
undamaged images; the second figure of each scorer damages only those that it reports on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from avd_core.protocols.probe import Probe, Samples, folds
from avd_core.protocols.report import NotMeasurable, Report
from avd_core.verdicts import scoreboard, scoreboard_table

if TYPE_CHECKING:
    from avd_core.classifiers import Classifier
    from avd_core.protocols.gallery import Gallery

CEILING = "ordered frames"


def measure(gallery: Gallery, scorers: Sequence[Classifier], *, damage: str, seed: int = 0) -> Report:
    """Probes every representation with every scorer, undamaged and through `damage`.

    Raises:
        NotMeasurable: when the split keeps no clips to fit on, or they are all of one class.
    """
    parts = folds(gallery)
    reported = np.concatenate([fold.report for fold in parts])
    if any(len(set(gallery.labels(fold.fit))) < 2 for fold in parts) or len(set(gallery.labels(reported))) < 2:
        raise NotMeasurable("there are not two classes to tell apart")
    columns: dict[str, dict[str, np.ndarray]] = {}
    strengths: dict[str, dict[str, list[float]]] = {}
    rows = []
    for scorer in scorers:
        for name in (*gallery.contenders, CEILING, *gallery.baselines):
            found: dict[str, list[np.ndarray]] = {"png": [], damage: []}
            for fold in parts:
                fit, choose = (
                    Samples(gallery.features(scorer, name, m), gallery.labels(m), np.array(gallery.folds(m)))
                    if len(m)
                    else None
                    for m in (fold.fit, fold.choose)
                )
                probe = Probe(fit, choose)
                strengths.setdefault(scorer.name, {}).setdefault(name, []).append(probe.strength)
                for through, said in found.items():
                    said.append(probe.predict(gallery.features(scorer, name, fold.report, damage=through)))
            for through, said in found.items():
                labels = np.concatenate(said)
                right = (labels == gallery.labels(reported)).astype(float)
                column = scorer.name if through == "png" else f"{scorer.name}, {through}"
                columns.setdefault(column, {})[name] = right
                rows += [
                    {"clip": gallery.entries[i].name, "scorer": scorer.name, "through": through,
                     "representation": name, "label": gallery.entries[i].label, "said": str(labels[place])}
                    for place, i in enumerate(reported)
                ]  # fmt: skip
    board = scoreboard(columns, gallery.contenders, gallery.groups(reported), seed=seed)
    chance = 1 / len(set(gallery.labels(reported)))
    text = f"{scoreboard_table(board)}\n\nGuessing: {chance:.1%}."
    return Report(
        "Recognition: linear probe on frozen features, % of clips",
        {**board, "chance": chance, "strengths": strengths},
        text,
        rows,
    )
