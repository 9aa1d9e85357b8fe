"""The part of a clip to distill, chosen with two handles on a filmstrip.

The browser moves the handles and keeps the numbers; the server gets a window only when the visitor requests it.
"""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from app.render.fragments import macros
from avd_core.media.thumbnails import Filmstrip
from avd_core.media.video import DEFAULT_WINDOW

_HTML = macros("trimmer.html")
# Seconds between time marks, as clocks divide time; the first with at most MOST_MARKS marks is taken.
STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)
MOST_MARKS = 9


def waiting() -> str:
    """Hold the strip's place while its pictures are being read."""
    return _HTML.waiting()


def panel(film: Filmstrip, start: float, seconds: float) -> str:
    """Draw a filmstrip with its time marks, and on it the window in use.

    Args:
        film: The pictures.
        start: Where the window begins, in seconds.
        seconds: Its length.
    """
    total = film.seconds
    end = min(start + seconds, total)
    step = next((step for step in STEPS if total / step < MOST_MARKS), STEPS[-1])
    marks = [(at, _clock(at, total)) for at in (number * step for number in range(int(total / step) + 1))]
    pictures = [None if frame is None else _address(frame) for frame in film.frames]
    return _HTML.panel(pictures, start, end, total, marks, film.liveliest, DEFAULT_WINDOW)


def _clock(at: float, total: float) -> str:
    return f"{round(at, 1):g} s" if total < 60 else f"{at // 60:.0f}:{at % 60:02.0f}"


def _address(frame: np.ndarray) -> str:
    # In the page itself: a dozen requests would cost more than their two kilobytes each.
    file = io.BytesIO()
    Image.fromarray(frame).save(file, "JPEG", quality=72)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
