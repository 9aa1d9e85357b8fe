"""Line plots as SVG, without a plotting library or scripts, in the colours of the style sheet."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from avd_core.templates import TEMPLATES

WIDTH, HEIGHT = 440, 230
LEFT, RIGHT, TOP, BOTTOM = 42, 10, 22, 34  # room for the numbers and the words around the plot


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Return at most ``most`` round numbers; low and high lie between the first and the last."""
    span = max(high - low, 1e-3)
    for exponent in range(-6, 7):
        for factor in (1, 2, 5):
            step = factor * 10.0**exponent
            first, last = math.floor(low / step), math.ceil(high / step)
            if last - first + 1 <= most and step * most >= span:
                return [round(k * step, 6) for k in range(first, max(last, first + 1) + 1)]
    return [low, high]


def line_plot(words: str, unit: str, lines: Mapping[str, Sequence[float | None]]) -> Markup:
    """Draw one value for each frame, as lines over the frames' numbers.

    Args:
        words: a description for screen readers.
        unit: label of the vertical axis.
        lines: T values each, by the CSS class of the line; None (infinitely good) is drawn beyond the top.
    """
    known = [value for line in lines.values() for value in line if value is not None]
    marks = ticks(min(known, default=0), max(known, default=1))
    frames = max(map(len, lines.values()))

    def x(frame: int) -> float:
        return LEFT + (frame + 0.5) / frames * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return TOP + (marks[-1] - value) / (marks[-1] - marks[0]) * (HEIGHT - TOP - BOTTOM)

    every = 1 if frames <= 8 else 3 if frames <= 18 else 5 if frames <= 40 else 10
    points = {
        kind: " ".join(f"{x(k):.2f},{TOP - 12 if value is None else y(value):.3f}" for k, value in enumerate(line))
        for kind, line in lines.items()
    }
    drawn = TEMPLATES.get_template("explore/line_plot.html").render(
        words=words, unit=unit, width=WIDTH, height=HEIGHT, left=LEFT, right=WIDTH - RIGHT, bottom=HEIGHT - BOTTOM,
        marks=[(f"{mark:g}", y(mark)) for mark in marks], numbers=[(k, x(k)) for k in range(0, frames, every)],
        lines=points.items(),
    )  # fmt: skip
    return Markup(drawn)
