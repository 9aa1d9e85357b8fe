"""Layout: do detection and segmentation networks find in the image what they find in the clip's middle frame?

Recognition asks what is in a picture; this asks where. Boxes of one class that overlap by half count as the same box,
and figures are F1 over a clip's boxes; of the mask it is the share of pixels given the same class, among those that
either picture gives to anything but background. The middle frame passes by construction, and the frame after it is the
ceiling.

Axes: H, W; K boxes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlparse

import numpy as np
import torch
from torch import nn

from avd_core.analysis.intervals import scoreboard, scoreboard_table
from avd_core.classifiers.weights import WeightsUnavailable, fetch
from avd_core.evidence.report import NotMeasurable, Report, describe

if TYPE_CHECKING:
    from avd_core.evidence.feature_cache import FeatureCache

DETECTOR, SEGMENTER = "fasterrcnn_mobilenet_v3_large_320_fpn", "lraspp_mobilenet_v3_large"
SURE = 0.5  # score of a box that counts
SAME = 0.5  # intersection over union of two boxes that are one
CEILING = "adjacent"
COLUMNS = {"boxes": "boxes, F1", "mask": "mask, same class"}
QUESTION = "Does the image keep where things are?"
HOW = (
    "torchvision's detection and segmentation networks look at the image and at the clip's middle frame. Boxes: F1 of "
    "those above 0.5, one class and an overlap of half making two of them one. Mask: pixels of one class in both, "
    "among those that are not background in either. Clips in whose middle frame nothing is found say nothing, and are "
    "left out."
)


@dataclass(frozen=True)
class LayoutNetworks:
    """A detection and a segmentation network."""

    detector: nn.Module
    segmenter: nn.Module
    name: str = f"{DETECTOR}+{SEGMENTER}"

    def detect(self, picture: np.ndarray) -> dict[str, np.ndarray]:
        """`boxes` (K,5): class and corners in pixels; `mask` (H, W): class of each pixel, 0 is background."""
        image = torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255
        mean, std = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
        with torch.inference_mode():
            found = self.detector([image])[0]
            masked = self.segmenter(((image - mean) / std)[None])["out"][0]
        sure = found["scores"] >= SURE
        boxes = torch.cat([found["labels"][sure, None].float(), found["boxes"][sure]], dim=1)
        return {"boxes": boxes.numpy(), "mask": masked.argmax(dim=0).to(torch.uint8).numpy()}


def load_layout_networks() -> LayoutNetworks:
    """Load torchvision's networks with their weights.

    Raises:
        WeightsUnavailable: weights are neither here nor can be downloaded.
    """
    from torchvision import models

    networks = []
    for name in (DETECTOR, SEGMENTER):
        weights = models.get_model_weights(name).DEFAULT
        path = fetch(weights.url, Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(weights.url).path).name)
        network = models.get_model(name, weights=None, weights_backbone=None)
        try:
            network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True), strict=False)
        except Exception as error:
            raise WeightsUnavailable(f"its file {path.name} does not load; delete it to have it anew") from error
        networks.append(network.eval().requires_grad_(False))
    return LayoutNetworks(*networks)


@lru_cache(maxsize=1)
def find_layout_networks() -> LayoutNetworks | str:
    """Load the networks once; return them, or the reason why they cannot be loaded."""
    try:
        return load_layout_networks()
    except WeightsUnavailable as error:
        return str(error)


@dataclass(frozen=True)
class DetectedLayout:
    """Boxes and mask that the networks find in a representation's picture; a `Requirement`."""

    networks: LayoutNetworks
    name: str
    fits: ClassVar[bool] = False

    def keys(self, cache: FeatureCache) -> tuple[str, str]:
        what = f"{self.networks.name}|{cache.cache_key(self.name)}"
        return f"boxes|{what}", f"mask|{what}"

    def make(self, cache: FeatureCache, index: int) -> dict[str, np.ndarray]:
        found = self.networks.detect(cache.image(self.name, index))
        return dict(zip(self.keys(cache), (found["boxes"], found["mask"]), strict=True))


def requirements(cache: FeatureCache, *, networks: LayoutNetworks | str | None = None) -> list[DetectedLayout]:
    """List what to compute; nothing if the networks cannot be loaded."""
    networks = networks or find_layout_networks()
    return [DetectedLayout(networks, name) for name in _names(cache)] if isinstance(networks, LayoutNetworks) else []


def measure(cache: FeatureCache, *, networks: LayoutNetworks | str | None = None, seed: int = 0) -> Report:
    """Compare detections in every representation with those in the middle frame.

    Raises:
        NotMeasurable: the networks' weights cannot be loaded, or they find nothing in any clip.
    """
    networks = networks or find_layout_networks()
    if isinstance(networks, str):
        raise NotMeasurable(f"the weights of {DETECTOR} and {SEGMENTER} cannot be had ({networks})")
    members = cache.members()
    columns: dict[str, dict[str, np.ndarray]] = {}
    rows = []
    figures: dict[str, dict[str, np.ndarray]] = {kind: {} for kind in COLUMNS}
    for name in _names(cache):
        pairs = [
            (cache.get(DetectedLayout(networks, "middle"), i), cache.get(DetectedLayout(networks, name), i))
            for i in members
        ]
        for place, kind in enumerate(COLUMNS):
            figures[kind][name] = np.array([MEASURES[kind](one[place], other[place]) for one, other in pairs])
    for kind, column in COLUMNS.items():
        there = ~np.isnan(figures[kind]["middle"])
        if there.any():
            columns[column] = {name: values[there] for name, values in figures[kind].items()}
        rows += [
            {"clip": cache.entries[i].name, "measured": column, "representation": name, "value": float(values[place])}
            for name, values in figures[kind].items() for place, i in enumerate(members) if there[place]
        ]  # fmt: skip
    if not columns:
        raise NotMeasurable("the networks find nothing in the clips' middle frames")
    boards = []
    for kind, column in COLUMNS.items():
        if column in columns:
            kept = members[~np.isnan(figures[kind]["middle"])]
            one = {column: columns[column]}
            boards.append(scoreboard(one, cache.contenders, cache.groups(kept), seed=seed, among=len(columns)))
    board = _joined(boards)
    summary = {
        **board,
        **describe(QUESTION, HOW),
        "clips": {c: len(next(iter(v.values()))) for c, v in columns.items()},
    }
    text = "\n\n".join(scoreboard_table(one) for one in boards)
    return Report("Layout: boxes and masks as in the middle frame, %", summary, text, rows)


def boxes_f1(reference: np.ndarray, found: np.ndarray) -> float:
    """Return the F1 of two sets of boxes (K,5), each matched once, best overlap first; NaN for an empty reference."""
    if not len(reference):
        return float("nan")
    overlaps = sorted(
        ((_overlap(a[1:], b[1:]), i, j) for i, a in enumerate(reference) for j, b in enumerate(found) if a[0] == b[0]),
        reverse=True,
    )
    taken: tuple[set[int], set[int]] = (set(), set())
    for overlap, i, j in overlaps:
        if overlap >= SAME and i not in taken[0] and j not in taken[1]:
            taken[0].add(i)
            taken[1].add(j)
    return 2 * len(taken[0]) / (len(reference) + len(found))


def same_mask(reference: np.ndarray, found: np.ndarray) -> float:
    """Return the share of pixels with one class in both, among those that are foreground in either; NaN for an empty
    reference."""
    if not reference.any():
        return float("nan")
    something = (reference > 0) | (found > 0)
    return float((reference == found)[something].mean())


MEASURES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {"boxes": boxes_f1, "mask": same_mask}


def _overlap(one: np.ndarray, other: np.ndarray) -> float:
    left, top = np.maximum(one[:2], other[:2])
    right, bottom = np.minimum(one[2:], other[2:])
    shared = max(0.0, right - left) * max(0.0, bottom - top)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return float(shared / max(sum(areas) - shared, 1e-9))


def _names(cache: FeatureCache) -> list[str]:
    return list(dict.fromkeys([*cache.contenders, CEILING, "middle", *cache.baselines]))


def _joined(boards: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Join scoreboards of different clips into one."""
    figures = {column: rows for board in boards for column, rows in board["figures"].items()}
    differences = [difference for board in boards for difference in board["differences"]]
    return {**boards[0], "figures": figures, "differences": differences, "comparisons": len(differences), "groups": {}}
