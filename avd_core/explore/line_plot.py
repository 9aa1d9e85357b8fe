"""A line plot as SVG: no figure library, no script, and its colours are the style sheet's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 440, 230
LEFT, RIGHT, TOP, BOTTOM = 42, 10, 22, 34  # room for the numbers and the words around the plot


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers that hold low and high between the first and the last, at most ``most`` of them."""
    span = max(high - low, 1e-3)
    for exponent in range(-6, 7):
        for factor in (1, 2, 5):
            step = factor * 10.0**exponent
            first, last = math.floor(low / step), math.ceil(high / step)
            if last - first + 1 <= most and step * most >= span:
                return [round(k * step, 6) for k in range(first, max(last, first + 1) + 1)]
    return [low, high]


def line_plot(words: str, unit: str, lines: Mapping[str, Sequence[float | None]]) -> str:
    """One value for each frame, as lines over the frames' numbers.

    Args:
        words: what the plot shows, for who cannot see it.
        unit: stands above the upright axis.
        lines: values by the CSS class of their line; T each. None (infinitely good) leaves through the top.
    """
    known = [value for line in lines.values() for value in line if value is not None]
    marks = ticks(min(known, default=0), max(known, default=1))
    frames = max(map(len, lines.values()))

    def x(frame: int) -> float:
        return LEFT + (frame + 0.5) / frames * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return TOP + (marks[-1] - value) / (marks[-1] - marks[0]) * (HEIGHT - TOP - BOTTOM)

    rules = "".join(
        f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(t):.1f}" y2="{y(t):.1f}"/>'
        f'<text x="{LEFT - 6}" y="{y(t) + 4:.1f}" text-anchor="end">{t:g}</text>'
        for t in marks
    )
    every = 1 if frames <= 8 else 3 if frames <= 18 else 5 if frames <= 40 else 10
    numbers = "".join(
        f'<text x="{x(k):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{k + 1}</text>'
        for k in range(0, frames, every)
    )
    drawn = ""
    for kind, line in lines.items():
        points = [f"{x(k):.2f},{TOP - 12 if value is None else y(value):.3f}" for k, value in enumerate(line)]
        drawn += f'<polyline class="{kind}" points="{" ".join(points)}"/>'
    return f"""
<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(words)}"
  data-low="{marks[0]:g}" data-high="{marks[-1]:g}">
  {rules}{numbers}{drawn}
  <text x="{LEFT}" y="10" class="unit">{escape(unit)}</text>
  <text x="{WIDTH - RIGHT}" y="{HEIGHT - 2}" text-anchor="end">frame →</text></svg>"""
