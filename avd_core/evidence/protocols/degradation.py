"""Leakage: how much of what an image carries is a hidden code? Accuracy and restoration as the image is worn.

A network trained to hide a clip in a picture may hide it in what no eye sees (arXiv 1712.02950). What is really in the
picture goes on being read off it through a mild JPEG, a blur or a shift; a code is gone at once. The probe is fitted on
undamaged images. Curves carry intervals; no verdicts are passed, which would be too many.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from avd_core.analysis.intervals import aligned, bootstrap, cell
from avd_core.evidence.feature_cache import Look
from avd_core.evidence.protocols import recognition, restoration
from avd_core.evidence.protocols.restoration import FIGURES, Restored
from avd_core.evidence.report import NotMeasurable, Report, account

if TYPE_CHECKING:
    from avd_core.classifiers.loading import Classifier
    from avd_core.evidence.feature_cache import Gallery, Want

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


def wants(gallery: Gallery, scorers: Sequence[Classifier]) -> list[Look | Want]:
    """What is looked at: by the first scorer alone, since there are many damages."""
    names = (*gallery.contenders, *gallery.baselines)
    seen: list[Look | Want] = [
        Look(scorer, name, damage=damage, window=window)
        for scorer in scorers[:1]
        for name in names
        for damage in DAMAGED
        for window in recognition.windows(gallery)
    ]
    return [*seen, *restoration.wants(gallery, damages=DAMAGED)]


def measure(gallery: Gallery, scorers: Sequence[Classifier], *, seed: int = 0) -> Report:
    """Both curves for every contender; accuracy for the baselines too, where there are classes to tell apart."""
    members = gallery.members()
    groups = gallery.groups(members)
    rows: list[dict[str, Any]] = []
    curves: dict[str, dict[str, dict[str, Any]]] = {}
    why = None
    try:
        parts = recognition.checked_folds(gallery)
    except NotMeasurable as error:
        parts, why = [], str(error)
    if parts:
        reported = np.concatenate([fold.report for fold in parts])
        truth, its_groups = gallery.labels(reported), gallery.groups(reported)
        curves["accuracy, %"] = accuracy = {}
        for name in (*gallery.contenders, *gallery.baselines):
            probes = [(fold, recognition.fitted(gallery, scorers[0], name, fold)) for fold in parts]
            for damage in DAMAGED:
                said = [recognition.said(gallery, scorers[0], name, fold, probe, damage) for fold, probe in probes]
                right = 100.0 * (np.concatenate(said) == truth)
                accuracy.setdefault(name, {})[damage] = asdict(bootstrap(right, its_groups, seed=seed))
                rows += _rows(gallery, reported, "accuracy, %", name, damage, right)
    curves["PSNR, dB"] = psnr = {}
    for name in (*gallery.contenders, *restoration.rivals(gallery)):
        for damage in DAMAGED:
            found = [gallery.kept(Restored(name, damage), i)[0][2 + FIGURES.index("psnr")] for i in members]
            psnr.setdefault(name, {})[damage] = asdict(bootstrap(np.array(found), groups, seed=seed))
            rows += _rows(gallery, members, "PSNR, dB", name, damage, np.array(found))
    still = np.array([gallery.kept(Restored(gallery.contenders[0], "png"), i)[0] for i in members])
    for copy, words in restoration.COPIES.items():  # never damaged: what a worn image must still beat
        values = still[:, 2 + FIGURES.index(f"psnr_{copy}")]
        psnr[words] = dict.fromkeys(DAMAGED, asdict(bootstrap(values, groups, seed=seed)))
    scorer = f" By {scorers[0].name}." if parts else f" Accuracy is not measured: {why}."
    summary = {**account(QUESTION, HOW + scorer, unit="", scale=1), "curves": curves, "order": CURVES, "words": WORDS}
    text = "\n\n".join(_table(measured, lines) for measured, lines in curves.items())
    return Report("Leakage: what survives a worn image", summary, text, rows)


def _rows(
    gallery: Gallery, members: np.ndarray, measured: str, name: str, damage: str, values: np.ndarray
) -> list[dict[str, Any]]:
    return [
        {"clip": gallery.entries[i].name, "measured": measured, "representation": name, "through": damage,
         "value": float(value)}
        for i, value in zip(members, values, strict=True)
    ]  # fmt: skip


def _table(measured: str, lines: dict[str, dict[str, Any]]) -> str:
    body = [[measured, *(WORDS[damage] for damage in DAMAGED)]]
    body += [[name, *(cell(line[damage], 1) for damage in DAMAGED)] for name, line in lines.items()]
    return "\n".join(aligned(body))
