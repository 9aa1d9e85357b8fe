"""Where the image stands among real frames, by the checkpoint's own critic.

Plots are drawn as an SVG stretched over the plot area (``preserveAspectRatio="none"``, strokes that do not scale) with
HTML labels around it: so the text keeps its size from a phone to a wall, the colours are CSS variables that follow
light and dark, and no figure library is needed.

Axes: H, W.
"""

from __future__ import annotations

from html import escape

import numpy as np
from PIL import Image

from app.render import fragments
from app.render.fragments import hint, ordinal, percent
from avd_core.explore.parts import Realism
from avd_core.networks.calibration import Calibration

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
    picture = f"""
<figure class="patches" style="--w:{size[1]};--h:{size[0]}"><img src="{escape(patches)}"
  alt="The distilled image, tinted by how real the critic finds each part of it against the rest">
  <figcaption><i class="more">more</i> / <i class="less">less real</i></figcaption></figure>"""
    percentile, among_distilled = realism.percentile_among_real, realism.percentile_among_distilled
    if calibration is None or percentile is None or among_distilled is None:
        return fragments.card("realism", TITLE, picture + hint(
            "This checkpoint carries no reference scores, so its critic’s score of the whole image cannot be given in "
            "a way that means something. The small picture compares its parts with each other."
        ))  # fmt: skip
    own = "–".join(dict.fromkeys(ordinal(share) for share in (min(realism.own_frames), max(realism.own_frames))))
    lead = f"""{picture}
<p class="figure"><b>{ordinal(percentile)}</b> percentile of real frames</p>
<p class="versus">among distilled images of this size: <b class="mono">{ordinal(among_distilled)}</b>
· this clip’s own frames: <b class="mono">{own}</b></p>"""
    below = hint(
        f"To the critic trained beside this model the image looks {_beside(realism)}. The clip’s own frames are the "
        "fair comparison: it also reacts to content. A hint, not proof."
    )
    return fragments.card("realism", TITLE, lead + _plot(realism, calibration) + below)


def _plot(realism: Realism, calibration: Calibration) -> str:
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

    shapes = (
        f'<polygon class="real" points="0,100 {curve(real)} 100,100"/>'
        f'<polyline class="real" points="{curve(real)}"/><polyline class="made" points="{curve(distilled)}"/>'
    )
    ticks, last = "", -100.0
    for share in (5, 25, 50, 75, 95):
        x = at(float(np.quantile(real, share / 100)))
        if x - last > 8:
            ticks, last = ticks + f'<span style="left:{x:.1f}%">{share}</span>', x
    own = "".join(f'<i class="own" style="left:{at(score):.2f}%"></i>' for score in realism.own_logits)
    x = at(realism.logit)
    side = "left" if x > 70 else "right"
    percentile = realism.percentile_among_real
    assert percentile is not None, "there are reference scores to draw"
    words = (
        f"The image stands at the {ordinal(percentile)} percentile of {len(real)} real frames; "
        f"for comparison the scores of {len(distilled)} distilled images"
    )
    return f"""
<div class="plot dense" role="img" aria-label="{escape(words)}"><div class="area">
  <svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">{shapes}</svg>
  {own}<i class="marker {side}" style="left:{x:.2f}%"><em>this image</em></i></div>
  <div class="x">{ticks}</div><p class="axis">percentile among real frames →</p></div>
<ul class="legend"><li class="real">{len(real)} real frames</li><li class="made">{len(distilled)} distilled images</li>
  <li class="own">this clip’s frames</li></ul>"""


def _density(scores: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Return the Gaussian kernel density with Silverman's bandwidth, at the grid's points, up to a factor."""
    spread = min(scores.std(), (np.quantile(scores, 0.75) - np.quantile(scores, 0.25)) / 1.34) or scores.std()
    width = max(0.9 * spread * len(scores) ** -0.2, 0.01 * (grid[-1] - grid[0]))
    return np.exp(-0.5 * ((grid[:, None] - scores) / width) ** 2).sum(axis=1)
