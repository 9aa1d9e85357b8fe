"""Compute the figures of the report, one row a representation.

They are the restoration gain, the image's distance to its middle frame, its distance from real frames in a classifier's
features (KID), and a classifier's agreement between image and middle frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from PIL import Image, ImageFilter

from avd_core.analysis.baselines import middle_frame, motion_history_image
from avd_core.analysis.metrics import psnr
from avd_core.evidence import runner
from avd_core.evidence.feature_cache import FeatureCache
from avd_core.evidence.report import Report
from avd_core.evidence.requirements import ClassifierOutput, Requirement

PROTOCOLS = ("restoration", "kernel-distance", "agreement")
STILL = {"mean": "mean frame", "middle": "middle frame"}
NEAR = 8  # pixels around moving places


def requirements(cache: FeatureCache, request: runner.Request) -> list[ClassifierOutput | Requirement]:
    """Return what to compute of every clip."""
    found = [requirement for name in PROTOCOLS for requirement in runner.PROTOCOLS[name].requirements(cache, request)]
    return [*found, *(Nearness(name) for name in (*cache.contenders, *cache.baselines))]


@dataclass(frozen=True)
class Nearness:
    """The figures of `nearness` of a representation's image; a `Requirement` of the cache."""

    name: str
    fits: ClassVar[bool] = False

    def keys(self, cache: FeatureCache) -> tuple[str, ...]:
        return (f"nearness|{cache.cache_key(self.name)}",)

    def make(self, cache: FeatureCache, index: int) -> dict[str, np.ndarray]:
        frames = cache.frames(index, cache.representations[self.name].sampling)
        return {self.keys(cache)[0]: np.array(nearness(frames, cache.image(self.name, index)))}


def nearness(frames: np.ndarray, image: np.ndarray) -> tuple[float, float, float]:
    """Measure the distance of an image to the middle frame of its clip.

    Args:
        frames: uint8 (T, H, W, 3).
        image: uint8 (H, W, 3).

    Returns:
        PSNR in dB; the largest change of a value in levels; the 99.9th percentile of the changes within `NEAR` pixels
        of where the motion history image is not black, NaN where nothing moves.
    """
    middle = middle_frame(frames)
    change = np.abs(image.astype(np.int16) - middle)
    moving = Image.fromarray(motion_history_image(frames)[..., 0]).filter(ImageFilter.MaxFilter(2 * NEAR + 1))
    near = change[np.asarray(moving) > 0]
    return psnr(middle, image), float(change.max()), float(np.percentile(near, 99.9)) if near.size else float("nan")


def measure(cache: FeatureCache, request: runner.Request) -> list[dict[str, Any]]:
    """Return a row for each representation of the reported clips, as plain JSON values."""
    reports = runner.measure_protocols(cache, request, PROTOCOLS)
    found = {name: report.summary for name, report in reports.items() if isinstance(report, Report)}
    restored = found["restoration"]["checkpoints"]
    copies = next(iter(restored.values()))["figures"]
    members = cache.members()
    rows = []
    for name in (*cache.contenders, *cache.baselines):
        own = restored[name]["figures"] if name in restored else copies
        came_back, alike = (own[one if name in restored else f"{one}_{name}_copy"]["mean"] for one in ("psnr", "ssim"))
        near = np.stack([cache.get(Nearness(name), i)[0] for i in members])
        moving = near[~np.isnan(near[:, 2]), 2]
        model = cache.models.get(name)
        rows.append(
            {
                "name": STILL.get(name, name),
                "fingerprint": model.fingerprint if model else None,
                "clips": len(members),
                "restored": came_back,
                "over_mean": came_back - own["psnr_mean_copy"]["mean"],
                "over_middle": came_back - own["psnr_middle_copy"]["mean"],
                "ssim": alike,
                "image": float(near[:, 0].mean()),
                "image_p10": float(np.percentile(near[:, 0], 10)),
                "largest_p95": float(np.percentile(near[:, 1], 95)),
                "near_motion": float(moving.mean()) if len(moving) else None,
                "kid": _kid(found.get("kernel-distance"), name),
                "agreement": _agreement(found.get("agreement"), name),
            }
        )
    return rows


def _kid(summary: Mapping[str, Any] | None, name: str) -> dict[str, dict[str, float]]:
    """Return by classifier the kernel distance, and its floor: real frames against others of the same clips."""
    figures = summary["figures"] if summary else {}
    return {scorer: {"value": one[name]["mean"], "floor": one["other real"]["mean"]} for scorer, one in figures.items()}


def _agreement(summary: Mapping[str, Any] | None, name: str) -> dict[str, dict[str, Any]]:
    """Return by classifier the share of clips that agree, that of the next frame, and the verdict on the two."""
    if not summary:
        return {}
    verdicts = {
        one["measured"]: one["verdict"]
        for one in summary["differences"]
        if one["of"] == name and one["against"] == "adjacent"
    }
    return {
        scorer: {"value": one[name]["mean"], "next_frame": one["adjacent"]["mean"], "verdict": verdicts.get(scorer)}
        for scorer, one in summary["figures"].items()
    }
