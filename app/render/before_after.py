"""What came of a fine-tune: clips before and after, side by side.

Axes: T frames, H, W.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.render.fragments import macros
from avd_core.explore.before_after import BeforeAfter

_HTML = macros("before_after.html")
HELP = "More time helps (5 or 30 minutes instead of one), and more clips of this kind, or longer ones."
STILL_RISING = "It was still getting better when it ended: a longer training promises more."


def card(
    pairs: Sequence[BeforeAfter],
    sheets: Sequence[Mapping[str, Any]],
    apart: bool,
    best: Mapping[str, Any] | None = None,
) -> str:
    """Draw the clips before and after the training, one below the other.

    Args:
        pairs: The clips, each explored before and after.
        sheets: For each clip the addresses of its images, "before" and "after", and its sprite sheets "original",
            "restored-before" and "restored-after".
        apart: Whether these clips were neither trained on nor used to choose among the weights.
        best: "step" of the weights that were kept, 0 for those of the beginning, and whether the training was still
            "rising"; None: the last weights were kept.
    """
    if best and not best["step"]:
        return _HTML.nothing_better(HELP)
    explanation = (
        "Gain: how much closer the clip comes back from its image than its mean frame repeated would be. Image: how "
        "near the image is to what it is drawn to, the middle frame unless its checkpoint shows the movement. Realism: "
        "the percentile among real frames, to the critic from before the training."
    )
    if apart:
        explanation = (
            "These moments were not trained on, and other ones chose the weights that are kept. " + explanation
        )
    else:
        explanation = (
            "These moments were trained on or chose the weights, since there were no others: expect less of new ones. "
            + explanation
        )
    if best and best["rising"]:
        explanation = f"{STILL_RISING} {explanation}"
    return _HTML.card([_clip(pair, pictures) for pair, pictures in zip(pairs, sheets, strict=True)], explanation)


def _clip(pair: BeforeAfter, pictures: Mapping[str, Any]) -> dict[str, Any]:
    count, height, width, _ = pair.before.restored.shape
    window = pair.before.request.window
    start = window.start or 0.0

    def side(when: str) -> dict[str, Any]:
        after = when == "after"
        return {
            "image": pictures[when],
            "restored": pictures[f"restored-{when}"],
            "gain": pair.gains[after],
            "psnr": pair.image_psnrs[after],
            "realism": None if pair.realism is None else pair.realism[after],
            "first": (pair.after if after else pair.before).recognition.topk[0],
        }

    return {
        "title": pair.title,
        "moment": "" if window.whole else f", {start:.1f} to {start + (window.seconds or 0.0):.1f} s,",
        "better": pair.gains[1] - pair.gains[0],
        "frames": count,
        "fps": pair.before.clip.fps,
        "size": (height, width),
        "original": pictures["original"],
        "before": side("before"),
        "after": side("after"),
    }


def progress_card() -> str:
    """Draw the card while the clips are being explored by both checkpoints."""
    return _HTML.working()
