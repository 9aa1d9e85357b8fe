"""An image that plays as a clip, while it is painted on and damaged, and what of the clip survives.

Axes: T frames, H, W; the last axis is RGB.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from app.render.fragments import macros, signed, ticks
from app.render.sprites import SpriteSheet
from avd_core.analysis.attribution import Change
from avd_core.analysis.degradations import SWEEPS, DegradedQuality
from avd_core.analysis.metrics import PSNR_CAP
from avd_core.explore.parts import Restoration, keeping

BRUSHES = {"Small": 4, "Medium": 10, "Large": 22}  # pixels of the image
QUIET_LEVELS = 4.0  # the plot of changes reaches at least this high: a slight change is drawn as slight
# By the kind of damage: its title, its unit, and the strength without effect.
CURVES = {
    "jpeg": ("Saved as JPEG", "quality, 100 to 10", 100.0),
    "blur": ("Blurred", "pixels", 0.0),
    "noise": ("With noise", "levels of 255", 0.0),
}
_HTML = macros("restore.html")
_GLOW = np.array([[20, 17, 15], [120, 48, 20], [222, 128, 66], [255, 240, 214]], np.float32)


def summary(title: str, restoration: Restoration, known: bool) -> str:
    """Say which image is shown, by which checkpoint it was restored, and what such images survive."""
    count, size = len(restoration.frames), restoration.image.shape[:2]
    kept = keeping(restoration.through_jpeg)
    return _HTML.summary(title, count, count / restoration.fps, size, restoration.checkpoint, kept, known)


def notice(restoration: Restoration) -> str:
    """Say plainly when the picture is no distilled image, and what had to be guessed."""
    unmarked = restoration.info is None
    # Of an unmarked picture the first note says the same in fewer words.
    return _HTML.notice(unmarked, restoration.notes[unmarked:])


def easel(address: str, size: tuple[int, int], moving: tuple[int, int, int, int]) -> str:
    """Draw the image to paint on, with brushes; static/restore.js paints.

    Args:
        address: of the image, exact.
        size: (H, W).
        moving: (top, left, height, width) of where most of its clip's motion is.
    """
    return _HTML.easel(address, size, moving, BRUSHES)


def played(
    *, before: SpriteSheet, after: SpriteSheet, heat: SpriteSheet, change: Change, fps: float, fed: str, touched: bool
) -> str:
    """Draw the clip before and after, and where and when it changed.

    Args:
        before: the clip of the untouched image; an empty address keeps the one that the browser has.
        after: the clip of the changed image.
        heat: the change between them, as the function `heat` paints it.
        change: its figures.
        fps: the rate at which they play.
        fed: address of the damaged image, or empty when the decoder gets what the easel shows.
        touched: whether anything was done to the image.
    """
    return _HTML.played(before, after, heat, change.most, fps, fed, touched, _moments(change))


def _moments(change: Change) -> dict[str, Any]:
    values = change.per_frame
    marks = ticks(0, max(QUIET_LEVELS, *values), most=4)
    count = len(values)
    step = 1 if count <= 8 else 3 if count <= 18 else 5
    most, least = int(np.argmax(values)), int(np.argmin(values))
    return {
        "rows": [(100 * mark / marks[-1], f"{mark:g}") for mark in marks],
        "bars": [100 * value / marks[-1] for value in values],
        "columns": [(f"{100 * (k + 0.5) / count:.2f}", k + 1) for k in range(0, count, step)],
        "most": (most + 1, values[most]),
        "least": (least + 1, values[least]),
    }


def figures(survived: DegradedQuality, intact: float | None, still: float | None, touched: bool) -> str:
    """List how much of the clip is left, as numbers.

    Args:
        survived: closeness of the clip that comes back now.
        intact: PSNR of the untouched image's restoration against the clip, in dB; None: the clip is not known.
        still: PSNR of the clip's mean frame, repeated; None: the clip is not known.
        touched: whether anything was done to the image.
    """
    degradation, now = survived.degradation, survived.psnr_undamaged
    near = "unchanged" if now >= PSNR_CAP else f"{now:.1f} dB"
    rows = [("the untouched restoration", near, "")]
    shown = now
    if survived.psnr_original is not None and intact is not None and still is not None:
        shown = survived.psnr_original
        fate = "good" if shown > still else "bad"
        loss = f" ({signed(shown - intact, 1)})" if touched else ""
        rows = [("the clip itself", f"{shown:.1f} dB{loss}", fate), *rows]
        rows.append(("(its mean frame, repeated, is at", f"{still:.1f} dB)", ""))
    words = "PSNR: 3 dB more halve the squared error; 30 dB look clean."
    if still is not None:
        words += " Below its mean frame, one blurred still picture would do as well."
    return _HTML.figures(rows, shown, degradation, words)


def curves(
    points: Mapping[str, Sequence[tuple[float, DegradedQuality]]], intact: float | None, still: float | None
) -> str:
    """Plot what survives each degradation alone, over its strength; static/restore.js marks where the sliders stand.

    Args:
        points: (strength, closeness) of each kind, the mildest first, as far as they are known.
        intact: PSNR without damage against the clip, in dB; None: the clip is not known, and all closeness is to the
            untouched restoration.
        still: PSNR of the clip's mean frame, repeated; None: the clip is not known.
    """

    def value(survived: DegradedQuality) -> float:
        return survived.psnr_undamaged if survived.psnr_original is None else survived.psnr_original

    known = [value(survived) for line in points.values() for _, survived in line]
    known += [figure for figure in (intact, still) if figure is not None]
    marks = ticks(min(known, default=20), max(known, default=40))
    low, high = marks[0], marks[-1]

    def y(figure: float) -> float:
        return 100 * (high - figure) / (high - low)

    plots = []
    for kind, (title, unit, start) in CURVES.items():
        end = SWEEPS[kind][-1]
        ends = [(start, intact)] if intact is not None else []
        line = [*ends, *((strength, value(survived)) for strength, survived in points.get(kind, ()))]
        plots.append({
            "kind": kind, "title": title, "unit": unit, "start": start, "end": end, "low": low, "high": high,
            "words": ", ".join(f"{v:.1f} dB at {s:g}" for s, v in line),
            "points": " ".join(f"{100 * abs(s - start) / abs(end - start):.2f},{y(v):.2f}" for s, v in line),
            "columns": [(f"{100 * share:.0f}", f"{start + share * (end - start):g}") for share in (0, 0.5, 1)],
            "known": bool(points.get(kind)),
        })  # fmt: skip
    rows = [(y(mark), f"{mark:g}") for mark in marks]
    against = "the clip itself" if intact is not None else "the untouched restoration"
    return _HTML.curves(plots, rows, None if still is None else y(still), against)


def heat(change: Change) -> np.ndarray:
    """Paint the change in glowing colours, scaled to its own maximum: (T, H, W, 3) uint8."""
    place = change.map / max(change.most, 1e-6) * (len(_GLOW) - 1)
    lower = np.minimum(place.astype(int), len(_GLOW) - 2)
    share = (place - lower)[..., None]
    return (_GLOW[lower] * (1 - share) + _GLOW[lower + 1] * share).astype(np.uint8)
