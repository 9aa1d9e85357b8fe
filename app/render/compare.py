"""One clip as one image by every method and checkpoint: a grid of cards, and two of them side by side.

Axes: T frames, H, W.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.render import fragments
from app.render.fragments import macros, ticks
from avd_core.explore.comparison import Comparison, ComparisonRow
from avd_core.explore.requests import DEFAULT_CHECKPOINT

_HTML = macros("compare.html")
# One line for each way to make one image of a clip.
ABOUT = {
    "first": "where the clip begins: a photograph, no motion",
    "middle": "the honest baseline: one real frame",
    "mean": "the average of all frames; blind to their order",
    "dynamic": "frames weighted by their rank in time and summed",
    "motion-history": "where something moved, brighter the later",
    "super": "all frames, tiled and scaled down",
    "chronophotograph": "each pixel from the frame that stands out there",
    "random": "noise: the floor under every figure",
    "codec": "H.264 of the frames in the middle frame’s lowest bits",
}
CHECKPOINT = "distilled: a decoder plays the clip from it"
ORDERS = [("As listed", None), ("Restoration", "restoration"), ("Realism", "realism"), ("Agreement", "agreement"),
          ("Confidence", "confidence")]  # fmt: skip
DUEL = "Two side by side"
DIFFERENCE = 8  # times, so that a few levels can be seen
# What the figures on the cards are, in one line each; the judge is always the default checkpoint's critic.
TERMS = _HTML.terms(DEFAULT_CHECKPOINT)
EMPTY = '<p class="status">Nothing to compare yet: Explore is still at its first clip.</p>'


def summary(comparison: Comparison, title: str) -> str:
    """Say which clip is compared, and which classifier names the classes."""
    return _HTML.summary(title, comparison.clip, comparison.classifier)


def cancelled_summary(comparison: Comparison, title: str) -> str:
    """Say how much of a cancelled comparison there is."""
    return _HTML.cancelled_summary(title, len(comparison.rows), len(comparison.planned))


def notes(comparison: Comparison) -> str:
    """List what a person should know about this comparison."""
    sentences = [*comparison.notes, *([comparison.notice] if comparison.notice else [])]
    if comparison.complete:
        sentences += filter(None, [comparison.rival()])
    if comparison.classes < 100:
        sentences.append(
            f"{comparison.classifier} knows only {comparison.classes} classes: agreement comes by chance too."
        )
    return fragments.notes(sentences)


def grid(comparison: Comparison | None, addresses: Mapping[str, str], by: str | None, waiting: bool = True) -> str:
    """Draw every representation as a card; those to come keep their places.

    Args:
        comparison: what is ready; None draws empty places.
        addresses: of the pictures, by the rows' names.
        by: a key of `comparison.ORDERS`, used once all rows are there: cards do not move while others arrive.
        waiting: whether the missing rows are being computed.
    """
    if comparison is None:
        return _HTML.grid((112, 152), (), [("", "")] * 10)
    rows = comparison.ordered(by if comparison.complete or not waiting else None)
    ready = {row.name for row in rows}
    count, height, width, _ = comparison.clip.frames.shape
    coming = [(title, _about(name)) for name, title in comparison.planned if name not in ready] if waiting else []
    return _HTML.grid((height, width), [_card(row, addresses[row.name], count) for row in rows], coming)


def _about(name: str) -> str:
    return ABOUT.get(name, CHECKPOINT)


def _card(row: ComparisonRow, address: str, count: int) -> dict[str, Any]:
    return {
        "row": row,
        "address": address,
        "about": _about(row.name),
        "kind": "made" if row.info else "real" if row.name in ("first", "middle") else "",
        "restored": "—" if row.psnr is None else f"{row.psnr:.1f} dB",
        "how": "no decoder" if row.psnr is None else "repeated" if row.copied else "restored",
        "agreement": "—" if row.agreeing is None else f"{row.agreeing} of {count}",
    }


def duel(
    first: ComparisonRow,
    second: ComparisonRow,
    *,
    frames: int,
    fps: float,
    size: tuple[int, int],
    files: Mapping[str, str],
) -> str:
    """Draw two representations side by side, with their difference.

    Args:
        first, second: two rows whose `restored` is not None.
        frames: T of the original.
        fps: of the original.
        size: (H, W) of the original.
        files: addresses: original.mp4, a.png, b.png, a.mp4, b.mp4; difference.png where the two can be subtracted.
    """

    return _HTML.duel(DUEL, first, second, frames, fps, size, files, DIFFERENCE, _plot(first, second))


def _plot(first: ComparisonRow, second: ComparisonRow) -> dict[str, Any]:
    lines = (("a", first), ("b", second))
    known = [value for _, row in lines for value in row.per_frame if value is not None] or [0.0, 60.0]
    # Where one frame is copied, that frame and its neighbours may leave the plot, and not flatten the rest.
    whole = [value for _, row in lines if not row.copied for value in row.per_frame if value is not None]
    top = max([*whole, min(max(known), max(row.psnr or 0.0 for _, row in lines) + 8)])
    marks = ticks(min(known), top)
    low, high = marks[0], marks[-1]

    def y(value: float) -> float:
        return 100 * (high - value) / (high - low)

    count = len(first.per_frame)
    step = 1 if count <= 8 else 3 if count <= 18 else 5
    # Where the two clips differ in length, only the direction of time is named.
    numbered = range(0, count, step) if count == len(second.per_frame) else ()
    return {
        "rows": [(y(mark), f"{mark:g}") for mark in marks],
        "columns": [(f"{100 * (k + 0.5) / count:.2f}", k + 1) for k in numbered],
        "lines": [
            {
                "kind": kind,
                "row": row,
                "points": " ".join(
                    f"{100 * (k + 0.5) / len(row.per_frame):.2f},{-6 if value is None else y(value):.2f}"
                    for k, value in enumerate(row.per_frame)
                ),
            }
            for kind, row in reversed(lines)
        ],
    }


def choices(rows: Sequence[ComparisonRow]) -> list[tuple[str, str]]:
    """List the rows that can stand side by side as (words, name), checkpoints first."""
    playing = sorted((row for row in rows if row.restored is not None), key=lambda row: row.info is None)
    return [(f"{row.title}, repeated" if row.copied else row.title, row.name) for row in playing]
