"""The part of a clip to distil, chosen with two handles on a filmstrip.

The browser moves the handles and keeps the two numbers with them; the server hears of a window once it is wanted.
"""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from avd_core.media.thumbnails import Filmstrip
from avd_core.media.video import DEFAULT_WINDOW

# Seconds between time marks, as clocks divide time; the first that gives no more than so many marks is taken.
STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)
MOST_MARKS = 9


def waiting() -> str:
    """Hold the strip's place while its pictures are being read."""
    return (
        '<section class="trim" aria-label="Part of the clip"><div class="strip waiting"></div>'
        '<div class="x"><span></span></div></section>'
    )


def panel(film: Filmstrip, start: float, seconds: float) -> str:
    """Draw a filmstrip with its time marks, and on it the window in use.

    Args:
        film: The pictures.
        start: Where the window begins, in seconds.
        seconds: Its length.
    """
    total = film.seconds
    end = min(start + seconds, total)
    cells = "".join(
        f'<i><img src="{_address(frame)}" alt="" draggable="false"></i>' if frame is not None else "<i></i>"
        for frame in film.frames
    )
    step = next((step for step in STEPS if total / step < MOST_MARKS), STEPS[-1])
    marks = "".join(
        f'<span class="{"last" if at > 0.97 * total else ""}" style="left:{100 * at / total:.2f}%">'
        f"{_clock(at, total)}</span>"
        for at in (number * step for number in range(int(total / step) + 1))
    )

    def handle(side: str, words: str, at: float) -> str:
        return (
            f'<b class="handle {side}" data-side="{side}" role="slider" tabindex="0" aria-label="{words}" '
            f'aria-valuemin="0" aria-valuemax="{total:.1f}" aria-valuenow="{at:.1f}" '
            f'aria-valuetext="{at:.1f} seconds"></b>'
        )

    def number(side: str, words: str, at: float) -> str:
        return (
            f'<label>{words}<input type="number" data-side="{side}" min="0" max="{total:.1f}" step="0.1" '
            f'value="{at:.1f}"></label>'
        )

    liveliest = ""
    if total > DEFAULT_WINDOW:
        at = film.liveliest
        liveliest = (
            f'<button type="button" data-window="{at:.1f} {at + DEFAULT_WINDOW:.1f}" '
            f'title="The {DEFAULT_WINDOW:g} seconds in which most moves">Most motion</button>'
        )
    return f"""
<section class="trim" aria-label="Part of the clip to distil" data-total="{total:.3f}"
  data-start="{start:.1f}" data-end="{end:.1f}" data-from="{start:.1f}" data-to="{end:.1f}"
  style="--from:{100 * start / total:.2f}%;--to:{100 * end / total:.2f}%">
  <div class="strip">{cells}<u class="before"></u><u class="after"></u>
    <div class="chosen" title="Drag to move the part">
      {handle("from", "Start of the part", start)}{handle("to", "End of the part", end)}</div></div>
  <div class="x" aria-hidden="true">{marks}</div>
  <div class="bounds">{number("from", "From", start)}{number("to", "to", end)}<span>s</span></div>
  <button type="button" class="go" data-act="distill" disabled>Distil this part</button>
  <div class="presets">{liveliest}<button type="button" data-window="0 {total:.1f}">Whole clip</button></div>
</section>"""


def _clock(at: float, total: float) -> str:
    return f"{round(at, 1):g} s" if total < 60 else f"{at // 60:.0f}:{at % 60:02.0f}"


def _address(frame: np.ndarray) -> str:
    # In the page itself: a dozen requests would cost more than their two kilobytes each.
    file = io.BytesIO()
    Image.fromarray(frame).save(file, "JPEG", quality=72)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
