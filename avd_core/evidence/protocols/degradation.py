"""Leakage: how much of an image's information is a hidden code? Accuracy and restoration by degradation.

A network that stores a clip in a picture may store it invisibly (arXiv 1712.02950). Visible content survives a mild
JPEG, a blur or a shift; a hidden code does not. The probe is fitted on undamaged images. Curves have intervals and no
verdicts, because there would be too many comparisons.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from avd_core.analysis.intervals import aligned, bootstrap, cell
from avd_core.evidence.protocols import recognition, restoration
from avd_core.evidence.protocols.restoration import FIGURES, RestorationFigures
from avd_core.evidence.report import NotMeasurable, Report, describe
from avd_core.evidence.requirements import ClassifierOutput

if TYPE_CHECKING:
    from avd_core.classifiers.loading import Classifier
    from avd_core.evidence.feature_cache import FeatureCache
    from avd_core.evidence.requirements import Requirement

# Each curve begins with the undamaged 8-bit PNG and goes on to the strongest.
CURVES: dict[str, tuple[str, ...]] = {
    "JPEG": ("png", "jpeg-95", "jpeg-90", "jpeg-75", "jpeg-50"),
    "blur": ("png", "blur-0.5", "blur", "blur-2"),
    "noise": ("png", "noise-1", "noise-2", "noise", "noise-8"),
    "scaling and shift": ("png", "rescale", "shift"),
}
WORDS = {
    "png": "PNG, 8 bit", "jpeg-95": "JPEG 95", "jpeg-90": "JPEG 90", "jpeg-75": "JPEG 75", "jpeg-50": "JPEG 50",
    "blur-0.5": "blur 0.5 px", "blur": "blur 1 px", "blur-2": "blur 2 px", "noise-1": "noise 1/255",
    "noise-2": "noise 2/255", "noise": "noise 4/255", "noise-8": "noise 8/255", "rescale": "half size and back",
    "shift": "one pixel shift",
}  # fmt: skip
DAMAGED = tuple(WORDS)
QUESTION = "Does what the image carries survive what happens to pictures?"
HOW = (
    "Accuracy of a linear probe, fitted on undamaged images, on images that went through each damage; and PSNR of the "
    "clip restored from such an image. A hidden code is gone with the first of them; what is visible stays."
)


def requirements(cache: FeatureCache, scorers: Sequence[Classifier]) -> list[ClassifierOutput | Requirement]:
    """List what to compute, with the first scorer only, since there are many degradations."""
    names = (*cache.contenders, *cache.baselines)
    classified: list[ClassifierOutput | Requirement] = [
        ClassifierOutput(scorer, name, damage=damage, window=window)
        for scorer in scorers[:1]
        for name in names
        for damage in DAMAGED
        for window in recognition.windows(cache)
    ]
    return [*classified, *restoration.requirements(cache, damages=DAMAGED)]


def measure(cache: FeatureCache, scorers: Sequence[Classifier], *, seed: int = 0) -> Report:
    """Measure both curves for every contender, and accuracy for the baselines too if there are at least two classes."""
    members = cache.members()
    groups = cache.groups(members)
    rows: list[dict[str, Any]] = []
    curves: dict[str, dict[str, dict[str, Any]]] = {}
    why = None
    try:
        parts = recognition.checked_folds(cache)
    except NotMeasurable as error:
        parts, why = [], str(error)
    if parts:
        reported = np.concatenate([fold.report for fold in parts])
        truth, its_groups = cache.labels(reported), cache.groups(reported)
        accuracy = curves["accuracy, %"] = {}
        for name in (*cache.contenders, *cache.baselines):
            probes = [(fold, recognition.fitted(cache, scorers[0], name, fold)) for fold in parts]
            for damage in DAMAGED:
                predicted = [
                    recognition.predict(cache, scorers[0], name, fold, probe, damage) for fold, probe in probes
                ]
                right = 100.0 * (np.concatenate(predicted) == truth)
                accuracy.setdefault(name, {})[damage] = asdict(bootstrap(right, its_groups, seed=seed))
                rows += _rows(cache, reported, "accuracy, %", name, damage, right)
    psnr = curves["PSNR, dB"] = {}
    for name in (*cache.contenders, *restoration.rivals(cache)):
        for damage in DAMAGED:
            found = [cache.get(RestorationFigures(name, damage), i)[0][2 + FIGURES.index("psnr")] for i in members]
            psnr.setdefault(name, {})[damage] = asdict(bootstrap(np.array(found), groups, seed=seed))
            rows += _rows(cache, members, "PSNR, dB", name, damage, np.array(found))
    still = np.array([cache.get(RestorationFigures(cache.contenders[0], "png"), i)[0] for i in members])
    for copy, words in restoration.COPIES.items():  # of undamaged still pictures, which a degraded image should beat
        values = still[:, 2 + FIGURES.index(f"psnr_{copy}")]
        psnr[words] = dict.fromkeys(DAMAGED, asdict(bootstrap(values, groups, seed=seed)))
    scorer = f" By {scorers[0].name}." if parts else f" Accuracy is not measured: {why}."
    summary = {**describe(QUESTION, HOW + scorer, unit="", scale=1), "curves": curves, "order": CURVES, "words": WORDS}
    text = "\n\n".join(_table(measured, lines) for measured, lines in curves.items())
    return Report("Leakage: what survives a worn image", summary, text, rows)


def _rows(
    cache: FeatureCache, members: np.ndarray, measured: str, name: str, damage: str, values: np.ndarray
) -> list[dict[str, Any]]:
    return [
        {"clip": cache.entries[i].name, "measured": measured, "representation": name, "through": damage,
         "value": float(value)}
        for i, value in zip(members, values, strict=True)
    ]  # fmt: skip


def _table(measured: str, lines: dict[str, dict[str, Any]]) -> str:
    body = [[measured, *(WORDS[damage] for damage in DAMAGED)]]
    body += [[name, *(cell(line[damage], 1) for damage in DAMAGED)] for name, line in lines.items()]
    return "\n".join(aligned(body))
