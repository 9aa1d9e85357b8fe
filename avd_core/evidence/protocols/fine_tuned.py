"""Recognition by a fine-tuned classifier: trained on the images of each representation separately.

A network trained on such pictures may recognise what a frozen one does not. Every representation gets the same network,
number of steps and seed; the clips to report on are of other groups.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from avd_core.analysis.degradations import DEGRADATIONS
from avd_core.analysis.intervals import scoreboard, scoreboard_table
from avd_core.evidence.protocols.linear_probe import FOLDS, describe_folds
from avd_core.evidence.protocols.recognition import by_class, checked_folds, wrong
from avd_core.evidence.report import Report, describe
from avd_core.evidence.requirements import RepresentationPictures

if TYPE_CHECKING:
    from torch import Tensor

    from avd_core.classifiers.loading import Classifier
    from avd_core.evidence.feature_cache import FeatureCache

STEPS = 150
AGAINST = ("middle", "mean", "dynamic", "motion-history")  # a network is trained for each
QUESTION = "Can a classifier that is fine-tuned on such images name the clip's class?"


def requirements(cache: FeatureCache, scorers: Sequence[Classifier], *, damage: str) -> list[RepresentationPictures]:
    """List the pictures to train and to report on."""
    return [RepresentationPictures(name) for name in _names(cache)]


def measure(
    cache: FeatureCache, scorers: Sequence[Classifier], *, damage: str, seed: int = 0, steps: int = STEPS
) -> Report:
    """Fine-tune the first scorer for every representation.

    Raises:
        NotMeasurable: there are no clips to fit on, or they are all of one class.
    """
    scorer = scorers[0]
    parts = checked_folds(cache, left_out=FOLDS)
    reported = np.concatenate([fold.report for fold in parts])
    truth = cache.labels(reported)
    plain, damaged = f"{scorer.name}, fine-tuned", f"{scorer.name}, fine-tuned, {damage}"
    columns: dict[str, dict[str, np.ndarray]] = {plain: {}, damaged: {}}
    predictions: dict[str, np.ndarray] = {}
    rows = []
    for name in _names(cache):
        found: dict[str, list[np.ndarray]] = {"png": [], damage: []}
        for fold in parts:
            members = np.concatenate([fold.fit, fold.choose])
            classes = np.unique(cache.labels(members))
            answers = _answers(cache, scorer, name, members, fold.report, tuple(found), seed=seed, steps=steps)
            for through, predicted in zip(found, answers, strict=True):
                found[through].append(classes[predicted])
        for through, column in (("png", plain), (damage, damaged)):
            predicted = np.concatenate(found[through])
            columns[column][name] = (predicted == truth).astype(float)
            rows += [
                {"clip": cache.entries[i].name, "scorer": scorer.name, "through": through, "representation": name,
                 "label": cache.entries[i].label, "said": str(predicted[place])}
                for place, i in enumerate(reported)
            ]  # fmt: skip
        predictions[name] = np.concatenate(found["png"])
    unseen = cache.unseen(reported)
    board = scoreboard(columns, cache.contenders, cache.groups(reported), seed=seed, unseen=unseen)
    chance = 1 / len(set(truth))
    names = [cache.entries[i].name for i in reported]
    how = (
        f"{scorer.name} with ImageNet weights and a new last layer, all of it trained for {steps} steps of 16 images, "
        f"separately on the images of each representation and reported on undamaged and on worn ones. "
        f"{describe_folds(cache, left_out=FOLDS)}"
    )
    summary = {
        **board,
        **describe(QUESTION, how),
        "chance": chance,
        "steps": steps,
        **by_class(truth, predictions),
        "failures": {name: wrong(names, truth, predictions[name]) for name in cache.contenders},
    }
    text = f"{scoreboard_table(board)}\n\nGuessing: {chance:.1%}."
    return Report("Fine-tuned: a classifier trained on such images, % of clips", summary, text, rows)


def _names(cache: FeatureCache) -> list[str]:
    return [*cache.contenders, *(name for name in AGAINST if name in cache.baselines)]


def _answers(
    cache: FeatureCache, scorer: Classifier, name: str, fit_on: np.ndarray, report_on: np.ndarray,
    damages: Sequence[str], *, seed: int, steps: int,
) -> np.ndarray:  # fmt: skip
    """Return the class index that the fine-tuned network predicts for every reported clip: (damages, N).

    It takes minutes, so the result is cached.
    """
    import torch

    from avd_core.evidence.protocols.network_fitting import fit, named, with_new_head
    from avd_core.networks.avd import image_to_tensor

    classes, labels = np.unique(cache.labels(fit_on), return_inverse=True)
    network, head = with_new_head(scorer, len(classes), seed)

    def inputs(members: np.ndarray, damage: str) -> Callable[[Sequence[int]], Tensor]:
        def batch(places: Sequence[int]) -> Tensor:
            pictures = [cache.get(RepresentationPictures(name), members[place])[0][0] for place in places]
            return torch.cat([scorer.prepare(image_to_tensor(DEGRADATIONS[damage](picture))) for picture in pictures])

        return batch

    def learnt() -> np.ndarray:
        fit(network, [head], inputs(fit_on, "png"), labels, steps=steps, seed=seed)
        return np.stack([named(network, inputs(report_on, damage), len(report_on)) for damage in damages])

    first = report_on[0]  # tells the fold
    key = f"fine-tuned|{cache.model_key(scorer)}|{cache.cache_key(name)}|{'|'.join(damages)}|{first}|{steps}|{seed}"
    return cache.get_result(key, learnt)
