"""Where the image stands among real frames, by the checkpoint's own critic.

Plots are drawn as an SVG stretched over the plot area (``preserveAspectRatio="none"``, strokes that do not scale) with
HTML labels around it: so the text keeps its size from a phone to a wall, the colours are CSS variables that follow
light and dark, and no figure library is needed.

Axes: H, W.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from app.render.fragments import macros, ordinal, percent
from avd_core.explore.parts import Realism
from avd_core.networks.calibration import Calibration

_HTML = macros("realism.html")
TITLE = "Realism"


def _beside(realism: Realism) -> str:
    """Say how the image looks beside real frames, and beside distilled images where that alone tells them apart."""
    if not realism.at_the_end:
        return f"more real than {_share(realism.percentile_among_real)} of real video frames"
    return (
        f"{realism.at_the_end}, so that figure no longer tells one image from another; among this model’s own "
        f"images of other clips it looks more real than {_share(realism.percentile_among_distilled)}"
    )


def _share(percentile: float | None) -> str:
    assert percentile is not None, "there are reference scores"
    return percent(percentile / 100) if percentile < 99.5 or percentile == 100 else "over 99 %"


def patch_map(image: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Tint an image by the critic's score of each patch, against the image's own mean: blue above, copper below.

    Args:
        image: uint8 (H, W, 3).
        scores: (h, w).

    Returns:
        uint8 (H, W, 3); full colour two standard deviations from the mean.
    """
    height, width = image.shape[:2]
    scaled = Image.fromarray(scores.astype(np.float32)).resize((width, height), Image.Resampling.BICUBIC)
    offset = np.clip((np.asarray(scaled) - scores.mean()) / (2 * scores.std() + 1e-6), -1, 1)[..., None]
    colour = np.where(offset > 0, (70, 140, 210), (205, 95, 40))
    grey = image.mean(axis=2, keepdims=True) * 0.9
    strength = 0.75 * np.abs(offset)
    return (grey * (1 - strength) + colour * strength).clip(0, 255).astype(np.uint8)


def card(realism: Realism, calibration: Calibration | None, patches: str, size: tuple[int, int]) -> str:
    """Draw where the image stands among real frames, by the checkpoint's own critic.

    Args:
        realism: The critic's scores; only their places on the axis are shown, never the numbers.
        calibration: The reference scores; None where the checkpoint has none.
        patches: Address of the image tinted by `patch_map`.
        size: (H, W) of that picture.
    """
    if calibration is None or realism.percentile_among_real is None or realism.percentile_among_distilled is None:
        return _HTML.uncalibrated(TITLE, patches, size)
    own = "–".join(dict.fromkeys(ordinal(share) for share in (min(realism.own_frames), max(realism.own_frames))))
    return _HTML.card(TITLE, patches, size, realism, own, _beside(realism), _plot(realism, calibration))


def _plot(realism: Realism, calibration: Calibration) -> dict[str, Any]:
    real, distilled = np.asarray(calibration.real), np.asarray(calibration.distilled)
    scores = [realism.logit, *realism.own_logits]
    # The axis is the critic's score, labelled with percentiles of real frames; it leaves out the rarest references.
    ends = np.concatenate([np.quantile(real, [0.005, 0.995]), np.quantile(distilled, [0.02, 0.98]), scores])
    low, high = float(ends.min()), float(ends.max())
    low, high = low - 0.04 * (high - low or 1), high + 0.04 * (high - low or 1)
    grid = np.linspace(low, high, 121)

    def at(score: float) -> float:
        return 100 * min(max((score - low) / (high - low), 0.0), 1.0)

    def curve(scores: np.ndarray) -> str:
        density = _density(scores, grid)
        points = zip(np.linspace(0, 100, len(grid)), 100 - 92 * density / density.max(), strict=True)
        return " ".join(f"{x:.2f},{y:.2f}" for x, y in points)

    columns: list[tuple[str, int]] = []
    last = -100.0
    for share in (5, 25, 50, 75, 95):
        x = at(float(np.quantile(real, share / 100)))
        if x - last > 8:
            columns.append((f"{x:.1f}", share))
            last = x
    return {
        "real": curve(real),
        "made": curve(distilled),
        "real_count": len(real),
        "made_count": len(distilled),
        "columns": columns,
        "own": [at(score) for score in realism.own_logits],
        "image": at(realism.logit),
    }


def _density(scores: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Return the Gaussian kernel density with Silverman's bandwidth, at the grid's points, up to a factor."""
    spread = min(scores.std(), (np.quantile(scores, 0.75) - np.quantile(scores, 0.25)) / 1.34) or scores.std()
    width = max(0.9 * spread * len(scores) ** -0.2, 0.01 * (grid[-1] - grid[0]))
    return np.exp(-0.5 * ((grid[:, None] - scores) / width) ** 2).sum(axis=1)
