"""Agreement: does an unchanged ImageNet classifier predict the same class for the image and for the middle frame?

A clip is a hit if the first class of its middle frame is among the top five of its image. Copying the middle frame
passes by construction; the frame after it is the ceiling. Floors are noise, and the middle frame of *another* clip,
which is high if all clips show similar scenes. Predictions of low probability seldom repeat, so figures are also given
by confidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from avd_core.analysis.agreement import TOP, hit
from avd_core.analysis.intervals import aligned, scoreboard, scoreboard_table
from avd_core.evidence.report import NotMeasurable, Report, describe
from avd_core.evidence.requirements import ClassifierOutput

if TYPE_CHECKING:
    from avd_core.classifiers.loading import Classifier
    from avd_core.evidence.feature_cache import FeatureCache

IMAGENET_CLASSES = 1000
STRATA = ((0.0, 0.2), (0.2, 0.5), (0.5, 1.0))  # probability of the middle frame's first class
CEILING = "adjacent"
ANOTHER = "another clip"


QUESTION = "Does an unchanged ImageNet classifier see in the one image what it sees in the clip's middle frame?"
HOW = (
    f"A hit is a clip whose image holds, among the classifier's top {TOP}, the class that comes first for the middle "
    "frame. The middle frame passes by construction; the frame after it is the ceiling; noise, and the middle frame of "
    "another clip, are the floors."
)


def requirements(cache: FeatureCache, scorers: Sequence[Classifier], *, damage: str) -> list[ClassifierOutput]:
    """List the classifier outputs to compute."""
    names = [*cache.contenders, CEILING, "middle", *cache.baselines]
    scorers = [scorer for scorer in scorers if len(scorer.labels) == IMAGENET_CLASSES]
    return [
        ClassifierOutput(scorer, name, damage=one) for scorer in scorers for name in names for one in ("png", damage)
    ]


def measure(cache: FeatureCache, scorers: Sequence[Classifier], *, damage: str, seed: int = 0) -> Report:
    """Count hits for every representation, with every scorer, undamaged and through `damage`.

    Raises:
        NotMeasurable: no ImageNet classifier can be loaded.
    """
    scorers = [scorer for scorer in scorers if len(scorer.labels) == IMAGENET_CLASSES]
    if not scorers:
        raise NotMeasurable("no ImageNet classifier can be had")
    members = cache.members()
    names = [*cache.contenders, CEILING, *cache.baselines]
    columns: dict[str, dict[str, np.ndarray]] = {}
    strata: dict[str, dict[str, Any]] = {}
    rows = []
    for scorer in scorers:
        reference = cache.logits(scorer, "middle", members)
        first = reference.argmax(axis=1)
        confidence = _softmax(reference).max(axis=1)
        for through in ("png", damage):
            column = scorer.name if through == "png" else f"{scorer.name}, {through}"
            columns[column] = hits = {
                name: hit(cache.logits(scorer, name, members, damage=through), first) for name in names
            }
            hits[ANOTHER] = another_clips_hits(
                cache.logits(scorer, "middle", members, damage=through), first, cache.folds(members), seed
            )
            strata[column] = stratify(hits, confidence)
            rows += [
                {"clip": cache.entries[i].name, "scorer": scorer.name, "through": through, "representation": name,
                 "confidence": float(confidence[place]), "hit": float(values[place])}
                for name, values in hits.items() for place, i in enumerate(members)
            ]  # fmt: skip
    unseen = cache.unseen(members)
    board = scoreboard(columns, cache.contenders, cache.groups(members), seed=seed, unseen=unseen)
    summary = {**board, **describe(QUESTION, HOW), "strata": strata}
    text = f"{scoreboard_table(board)}\n\n{_strata_table(strata[scorers[0].name], scorers[0].name)}"
    return Report(f"Agreement: top-{TOP} of the image holds the middle frame's top-1, % of clips", summary, text, rows)


def another_clips_hits(logits: np.ndarray, first: np.ndarray, groups: Sequence[str], seed: int) -> np.ndarray:
    """Return for each clip the share of other groups' middle frames (up to 20, drawn) that are hits: (N,)."""
    rng = np.random.default_rng(seed)
    of_group = np.array(groups)
    values = np.zeros(len(first))
    for place, group in enumerate(groups):
        others = np.flatnonzero(of_group != group)
        if len(others) == 0:  # one person only: then another clip of that person
            others = np.delete(np.arange(len(first)), place)
        if len(others):
            drawn = rng.choice(others, min(20, len(others)), replace=False)
            values[place] = hit(logits[drawn], np.repeat(first[place], len(drawn))).mean()
    return values


def stratify(hits: dict[str, np.ndarray], confidence: np.ndarray) -> dict[str, Any]:
    """Count clips and hits in each interval of confidence; the last one includes its upper bound."""
    result = {}
    for low, high in STRATA:
        inside = (confidence >= low) & ((confidence < high) | (high == 1.0))
        shares = {name: float(values[inside].mean()) if inside.any() else None for name, values in hits.items()}
        result[f"{low:.1f}-{high:.1f}"] = {"clips": int(inside.sum()), "hits": shares}
    return result


def _strata_table(strata: dict[str, Any], column: str) -> str:
    names = list(next(iter(strata.values()))["hits"])
    body = [[f"by confidence, {column}", *(f"{bounds} ({one['clips']} clips)" for bounds, one in strata.items())]]
    for name in names:
        shares = [one["hits"][name] for one in strata.values()]
        body.append([name, *("-" if share is None else f"{100 * share:.1f}" for share in shares)])
    return "\n".join(aligned(body))


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
