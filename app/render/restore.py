"""An image that plays: painted on, damaged, and what of its clip survives.

Axes: T frames, H, W; the last axis is RGB.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from app.render import reels
from app.render.fragments import hint, notes, seconds, signed, ticks
from app.render.sprites import SpriteSheet
from avd_core.analysis.attribution import Change
from avd_core.analysis.degradations import SWEEPS, DegradedQuality
from avd_core.analysis.metrics import PSNR_CAP
from avd_core.explore.parts import Restoration

BRUSHES = {"Small": 4, "Medium": 10, "Large": 22}  # pixels of the image
QUIET_LEVELS = 4.0  # the plot of changes reaches at least this high: a slight change is drawn as slight
# Of each curve: its title, its unit, and the strength that does nothing.
CURVES = {
    "jpeg": ("Saved as JPEG", "quality, 100 to 10", 100.0),
    "blur": ("Blurred", "pixels", 0.0),
    "noise": ("With noise", "levels of 255", 0.0),
}
ALONE = hint("Each curve is one damage alone, done to the image as it was before it was painted on.")
_GLOW = np.array([[20, 17, 15], [120, 48, 20], [222, 128, 66], [255, 240, 214]], np.float32)


def summary(title: str, restoration: Restoration, known: bool) -> str:
    """Say which image is shown, and by which checkpoint it was restored."""
    count = len(restoration.frames)
    height, width = restoration.image.shape[:2]
    clip = "its clip is here to compare with" if known else "its clip is not here to compare with"
    return (
        f'<p class="status"><b>{escape(title)}</b><span>{count} frames, {seconds(count / restoration.fps)}</span>'
        f"<span>{width}×{height}</span><span>restored by <b>{escape(restoration.checkpoint)}</b></span>"
        f"<span>{clip}</span></p>"
    )


def notice(restoration: Restoration) -> str:
    """Say plainly when the picture is no distilled image, and what had to be guessed."""
    lead = ""
    if restoration.info is None:
        lead = (
            '<p class="plain"><b>This picture does not say that it was distilled from a clip.</b> If it is an ordinary '
            "one, there is no clip in it to get back: any picture “plays”, and what moves is made up by the decoder "
            "out of what it takes for traces of motion. A distilled image that went through a messenger, a crop or a "
            "JPEG file has lost its mark like this, and most of its clip."
            "</p>"
        )
        return lead + notes(restoration.notes[1:])  # the first says the same in fewer words
    return notes(restoration.notes)


def easel(address: str, size: tuple[int, int], moving: tuple[int, int, int, int]) -> str:
    """Draw the image to paint on, with brushes; static/restore.js paints.

    Args:
        address: of the image, exact.
        size: (H, W).
        moving: (top, left, height, width) of where most of its clip's motion is.
    """
    height, width = size
    box = " ".join(map(str, moving))
    sizes = "".join(
        f'<button type="button" data-brush="{pixels}" aria-pressed="{"true" if name == "Medium" else "false"}" '
        f'aria-label="{name} brush" title="{name} brush"><i style="--d:{6 + pixels * 0.55:.0f}px"></i></button>'
        for name, pixels in BRUSHES.items()
    )
    return f"""
<figure class="easel" style="--w:{width};--h:{height}" data-image="{address}" data-moving="{box}">
  <figcaption><b>The image</b><span>paint on it: this is all the decoder gets</span></figcaption>
  <div class="board"><canvas width="{width}" height="{height}" role="img"
    aria-label="The distilled image, to paint on; the buttons below change it without a pointer"></canvas>
    <img class="fed" alt="" hidden></div>
  <div class="tools" role="group" aria-label="Brushes">
    <span class="set"><button type="button" data-tool="paint" aria-pressed="true">Paint</button><button type="button"
      data-tool="erase" aria-pressed="false" title="Paints with the image’s mean colour">Erase</button></span>
    <span class="set">{sizes}</span>
    <label class="colour" title="Colour of the brush"><input type="color" value="#c8321e" aria-label="Colour"></label>
    <span class="set"><button type="button" data-undo disabled>Undo</button><button type="button" data-reset
      disabled>Reset</button></span>
  </div>
  <div class="tools" role="group" aria-label="Ready changes">
    <button type="button" data-preset="middle">Erase the middle</button>
    <button type="button" data-preset="still">Erase what moves</button>
    <button type="button" data-preset="paste">Paste what moves elsewhere</button>
  </div>
</figure>"""


def played(
    *, before: SpriteSheet, after: SpriteSheet, heat: SpriteSheet, change: Change, fps: float, fed: str, touched: bool
) -> str:
    """Draw the clip before and after, and where and when it changed.

    Args:
        before: of the untouched image; an empty address keeps the one that the browser has.
        after: of the changed one.
        heat: the change itself, see `heat`.
        change: its figures.
        fps: the rate at which they play.
        fed: address of the damaged image, or empty when the decoder gets what the easel shows.
        touched: whether anything was done to the image.
    """
    most = f"by up to {change.most:.0f} of 255" if touched else "nothing yet"
    panes = "".join(
        f"<figure><figcaption><b>{title}</b><span>{caption}</span></figcaption>{reels.reel(key, sheet, words)}</figure>"
        for key, sheet, title, caption, words in (
            ("before", before, "Restored before", "image untouched", "The clip restored from the untouched image"),
            ("after", after, "Restored now", "image changed" if touched else "the same", "The clip restored now"),
            ("heat", heat, "What changed", most, "Where the restored clip changed; bright is much"),
        )
    )
    body = f'<i class="fed-now" data-fed="{fed}"></i><div class="panes">{panes}</div>{_moments(change, touched)}'
    return reels.group(
        "restore", body, frames=after.frames, fps=fps, size=after.size, words="The restored clip, before and now"
    )


def _moments(change: Change, touched: bool) -> str:
    values = change.per_frame
    marks = ticks(0, max(QUIET_LEVELS, *values), most=4)
    bars = "".join(f'<i style="height:{100 * value / marks[-1]:.1f}%"></i>' for value in values)
    rows = "".join(f'<span style="bottom:{100 * t / marks[-1]:.0f}%">{t:g}</span>' for t in marks)
    count = len(values)
    step = 1 if count <= 8 else 3 if count <= 18 else 5
    columns = "".join(
        f'<span style="left:{100 * (k + 0.5) / count:.2f}%">{k + 1}</span>' for k in range(0, count, step)
    )
    sentence = "Nothing is changed yet: paint on the image, try a button below it, or pull a slider."
    if touched and max(values) == 0:
        sentence = "Not one pixel of the restored clip changed."
    elif touched:
        most, least = int(np.argmax(values)), int(np.argmin(values))
        sentence = (
            f"Frame <b>{most + 1}</b> changes most (by <b>{values[most]:.1f}</b> of 255 levels on average), frame "
            f"<b>{least + 1}</b> least (<b>{values[least]:.1f}</b>)."
        )
    return f"""<div class="when"><div class="y" aria-hidden="true">{rows}</div>
  <div class="moments" role="img" aria-label="Mean change of each frame" title="Click to go to a frame">{bars}
    <b class="head"></b></div><div class="x" aria-hidden="true">{columns}</div>
  <p class="axis">frame →</p><p class="axis up">mean change, levels of 255</p></div>
  <p class="hint" role="status">{sentence}</p>"""


def figures(survived: DegradedQuality, intact: float | None, still: float | None, touched: bool) -> str:
    """List how much of the clip is left, as numbers.

    Args:
        survived: what came back now.
        intact: PSNR of what the untouched image gives back, against the clip; None where that is not known.
        still: of the clip's mean frame.
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
    items = "".join(f'<div><dt>{term}</dt><dd class="{fate}">{value}</dd></div>' for term, value, fate in rows)
    strengths = (
        f'data-jpeg="{degradation.jpeg or 100}" data-blur="{degradation.blur:g}" data-noise="{degradation.noise:g}"'
    )
    words = "PSNR: 3 dB more halve the squared error; 30 dB look clean."
    if still is not None:
        words += " Below its mean frame, one blurred still picture would do as well."
    head = '<p class="of">How close the restored clip is to</p>'
    return f'{head}<dl class="closeness" data-now="{shown:.3f}" {strengths}>{items}</dl>{hint(words)}'


def curves(
    points: Mapping[str, Sequence[tuple[float, DegradedQuality]]], intact: float | None, still: float | None
) -> str:
    """Plot what survives each degradation alone, over its strength; static/restore.js marks where the sliders stand.

    Args:
        points: of each kind, the mildest first, as far as they are known.
        intact: PSNR at no damage; None where the clip is not known, and closeness is to the untouched restoration.
        still: of the clip's mean frame.
    """

    def value(survived: DegradedQuality) -> float:
        return survived.psnr_undamaged if survived.psnr_original is None else survived.psnr_original

    known = [value(survived) for line in points.values() for _, survived in line]
    known += [figure for figure in (intact, still) if figure is not None]
    marks = ticks(min(known, default=20), max(known, default=40))
    low, high = marks[0], marks[-1]

    def y(figure: float) -> float:
        return 100 * (high - figure) / (high - low)

    plots = ""
    for kind, (title, unit, start) in CURVES.items():
        end = SWEEPS[kind][-1]
        ends = [(start, intact)] if intact is not None else []
        line = [*ends, *((strength, value(survived)) for strength, survived in points.get(kind, ()))]
        path = " ".join(f"{100 * abs(s - start) / abs(end - start):.2f},{y(v):.2f}" for s, v in line)
        rules = "".join(f'<line x1="0" x2="100" y1="{y(t):.1f}" y2="{y(t):.1f}"/>' for t in marks)
        below = "" if still is None else f'<polyline class="mean" points="0,{y(still):.1f} 100,{y(still):.1f}"/>'
        rows = "".join(f'<span style="top:{y(t):.1f}%">{t:g}</span>' for t in marks)
        columns = "".join(
            f'<span style="left:{100 * share:.0f}%">{start + share * (end - start):g}</span>' for share in (0, 0.5, 1)
        )
        words = ", ".join(f"{v:.1f} dB at {s:g}" for s, v in line)
        scales = f'data-start="{start:g}" data-end="{end:g}" data-low="{low:g}" data-high="{high:g}"'
        wanting = "" if points.get(kind) else "<em>not drawn yet</em>"
        plots += f"""<figure><figcaption>{title}</figcaption>
<div class="plot curve" role="img" aria-label="{title}: {words}" data-kind="{kind}" {scales}>
  <div class="y">{rows}</div><div class="area"><svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">
    <g class="rules">{rules}</g>{below}<polyline class="made" points="{path}"/></svg>{wanting}<i class="dot" hidden></i>
  </div><div class="x">{columns}</div><p class="axis">{unit} →</p></div></figure>"""
    against = "the clip itself" if intact is not None else "the untouched restoration"
    mean = '<li class="mean">its mean frame, repeated</li>' if still is not None else ""
    legend = (
        f'<li class="made">restored, PSNR in dB, to {against}</li>{mean}<li class="dot">where the sliders stand</li>'
    )
    return f'<div class="curves"><ul class="legend">{legend}</ul><div>{plots}</div>{ALONE}</div>'


def heat(change: Change) -> np.ndarray:
    """Paint the change in glowing colours, scaled to its own maximum: (T, H, W, 3) uint8."""
    place = change.map / max(change.most, 1e-6) * (len(_GLOW) - 1)
    lower = np.minimum(place.astype(int), len(_GLOW) - 2)
    share = (place - lower)[..., None]
    return (_GLOW[lower] * (1 - share) + _GLOW[lower + 1] * share).astype(np.uint8)
