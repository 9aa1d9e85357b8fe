"""Plots of the evidence, as SVG in the colours of the page that holds them and as PNG files.

Nothing here keeps state between figures (no pyplot): plots are drawn on the server's threads too.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup, escape

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

# In a page each stands for a variable of its style sheet, so that a plot is light or dark as the page is.
INK, SOFT, LINE, COPPER, BLUE = "#1c1917", "#5c554d", "#e6e1d9", "#b4531f", "#35689c"
_VARIABLES = {INK: "var(--ink)", SOFT: "var(--soft)", LINE: "var(--line)", COPPER: "var(--copper)", BLUE: "var(--blue)"}
_STYLE: dict[Any, Any] = {  # keys as matplotlib names them
    "font.family": "sans-serif",
    "font.size": 9,
    "svg.fonttype": "none",
    "axes.edgecolor": SOFT,
    "axes.labelcolor": SOFT,
    "axes.titlesize": 9,
    "axes.titlecolor": INK,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
MOST_CLASSES = 40  # of a confusion matrix or a plot by class that can still be read
DASHES = ("-", "--", ":", "-.")

Draw = Callable[[], "Figure"]


def plots(name: str, protocol: Mapping[str, Any], contenders: Sequence[str]) -> Iterator[tuple[str, str, Draw]]:
    """Return the plots of one protocol: (file name, caption, drawing function)."""
    if protocol.get("figures"):
        yield name, f"{protocol['title']}: means and intervals", lambda: intervals_plot(protocol, contenders)
    if protocol.get("curves"):
        yield f"{name}-curves", f"{protocol['title']}: by strength", lambda: curves_plot(protocol, contenders)
    if 1 < len(protocol.get("classes", {})) <= MOST_CLASSES:
        yield f"{name}-by-class", "Each class, named rightly", lambda: class_plot(protocol, contenders)
        for one in contenders:
            yield (
                f"{name}-confusion-{one}",
                f"{one}: what is taken for what",
                partial(confusion_plot, protocol, one),
            )


def intervals_plot(protocol: Mapping[str, Any], contenders: Sequence[str]) -> Figure:
    """Draw one panel a column: the mean of every representation with its interval, contenders in copper."""
    columns = protocol["figures"]
    names = list(dict.fromkeys(name for rows in columns.values() for name in rows))
    scale = protocol.get("scale", 1)
    figure, panels = _figure(len(columns), height=0.9 + 0.24 * len(names), share=True)
    for panel, (column, rows) in zip(panels, columns.items(), strict=True):
        for place, name in enumerate(names):
            if name in rows:
                mean, low, high = (scale * rows[name][key] for key in ("mean", "low", "high"))
                colour = COPPER if _is_one_of(name, contenders) else BLUE
                panel.plot([low, high], [place, place], color=colour, linewidth=2, solid_capstyle="round")
                panel.plot([mean], [place], "o", color=colour, markersize=5)
        if "chance" in protocol:
            panel.axvline(scale * protocol["chance"], color=SOFT, linewidth=0.8, linestyle=":")
        panel.set_title(_wrapped(column), loc="left")
        panel.set_yticks(range(len(names)), names)
        panel.set_ylim(len(names) - 0.5, -0.5)
        panel.grid(axis="x", color=LINE, linewidth=0.6)
        panel.set_axisbelow(True)
        panel.set_xlabel(protocol.get("unit", "") or "", fontsize=8)
    return figure


def curves_plot(protocol: Mapping[str, Any], contenders: Sequence[str]) -> Figure:
    """Draw the curves: a row for each measurement, a column for each kind of degradation, strongest to the right."""
    measured, kinds, words = protocol["curves"], protocol["order"], protocol["words"]
    figure, panels = _figure(len(kinds), rows=len(measured), height=2.3 * len(measured) + 0.5, share=True)
    for row, (label, lines) in enumerate(measured.items()):
        for column, (kind, damages) in enumerate(kinds.items()):
            panel = panels[row * len(kinds) + column]
            for number, (name, line) in enumerate(lines.items()):
                means = [line[damage]["mean"] for damage in damages]
                low, high = ([line[damage][end] for damage in damages] for end in ("low", "high"))
                is_ours = _is_one_of(name, contenders)
                colour = COPPER if is_ours else BLUE
                dash = DASHES[number % len(DASHES)]
                panel.plot(range(len(damages)), means, dash, color=colour, linewidth=2 if is_ours else 1, label=name)
                if is_ours:
                    panel.fill_between(range(len(damages)), low, high, color=colour, alpha=0.15, linewidth=0)
            panel.set_xticks(range(len(damages)), [words[damage] for damage in damages], rotation=35, ha="right")
            panel.grid(axis="y", color=LINE, linewidth=0.6)
            panel.set_title(kind, loc="left")
            if column == 0:
                panel.set_ylabel(label)
        panels[row * len(kinds) + len(kinds) - 1].legend(fontsize=7, frameon=False, labelcolor=SOFT)
    return figure


def class_plot(protocol: Mapping[str, Any], contenders: Sequence[str]) -> Figure:
    """Draw the accuracy of each class: contenders in copper, middle frame and ceiling in blue."""
    shares = protocol["per_class"]
    classes = list(protocol["classes"])
    shown = [name for name in (*contenders, "middle", "ordered frames") if name in shares]
    figure, (panel,) = _figure(1, height=0.9 + 0.24 * len(classes))
    marks = iter("o^sDv" * 4)
    for name in shown:
        colour = COPPER if name in contenders else BLUE
        values = [100 * shares[name][label] for label in classes]
        panel.plot(values, range(len(classes)), next(marks), color=colour, markersize=5, label=name, alpha=0.9)
    panel.set_yticks(range(len(classes)), [f"{label} ({protocol['classes'][label]})" for label in classes])
    panel.set_ylim(len(classes) - 0.5, -0.5)
    panel.set_xlim(-3, 103)
    panel.grid(color=LINE, linewidth=0.6)
    panel.set_axisbelow(True)
    panel.set_xlabel("%", fontsize=8)
    panel.legend(fontsize=8, frameon=False, labelcolor=SOFT, loc="lower center", bbox_to_anchor=(0.5, 1), ncol=4)
    return figure


def confusion_plot(protocol: Mapping[str, Any], name: str) -> Figure:
    """Draw a confusion matrix: rows are the true classes, columns the predicted ones, cells the number of clips."""
    confusion = protocol["confusion"][name]
    classes = list(protocol["classes"])
    counts = np.array([[confusion[label].get(other, 0) for other in classes] for label in classes])
    side = 1.2 + 0.26 * len(classes)
    figure, (panel,) = _figure(1, height=side, width=side + 1.2)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    for (row, column), share in np.ndenumerate(shares):  # squares, not a picture: they take the page's colours
        if share:
            size = 0.92 * share**0.5
            colour = BLUE if row == column else COPPER
            corner = (column - size / 2, row - size / 2)
            panel.add_patch(_rectangle(corner, size, colour))
            if len(classes) <= 16:
                panel.text(column, row, str(counts[row, column]), ha="center", va="center", fontsize=7, color=INK)
    panel.set_xticks(range(len(classes)), classes, rotation=60, ha="right")
    panel.set_yticks(range(len(classes)), classes)
    panel.set_xlim(-0.5, len(classes) - 0.5)
    panel.set_ylim(len(classes) - 0.5, -0.5)
    panel.set_aspect("equal")
    panel.set_xlabel("taken for", fontsize=8)
    return figure


def svg(draw: Draw, words: str, key: str) -> Markup:
    """Render a plot for a page that defines --ink, --soft, --line, --copper and --blue.

    Args:
        draw: what draws it.
        words: what it shows, for who cannot see it.
        key: sets its parts' names apart from those of the page's other plots.
    """
    import matplotlib

    file = io.StringIO()
    with matplotlib.rc_context(_STYLE | {"svg.hashsalt": key}):
        draw().savefig(file, format="svg", transparent=True, bbox_inches="tight", metadata={"Date": None})
    text = file.getvalue()
    text = text[text.index("<svg") :]
    # A style element inside of it would be the whole page's.
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", text, flags=re.DOTALL)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, variable)
    # Ids are the page's: two plots may both have an axes_1.
    prefix = re.sub(r"\W+", "-", key)
    text = re.sub(r'id="([^"]+)"', rf'id="{prefix}-\1"', text)
    text = re.sub(r'(xlink:href="|url\()#', rf"\1#{prefix}-", text)
    text = re.sub(r"font: ([\d.]+)px [^;\"]+", r"font: \1px system-ui, sans-serif", text)
    lines = 'stroke-linejoin="round" stroke-linecap="butt"'
    return Markup(text.replace("<svg ", f'<svg role="img" aria-label="{escape(words)}" {lines} ', 1))


def png(draw: Draw) -> bytes:
    """Render a plot as a PNG file on white."""
    import matplotlib

    file = io.BytesIO()
    with matplotlib.rc_context(_STYLE):
        draw().savefig(file, format="png", dpi=160, bbox_inches="tight", facecolor="white")
    return file.getvalue()


def _figure(
    columns: int, *, rows: int = 1, height: float, width: float | None = None, share: bool = False
) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width or min(2.2 + 2.4 * columns, 11), height), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharey="row" if share else False)
    return figure, list(panels.ravel())


def _rectangle(corner: tuple[float, float], size: float, colour: str) -> Rectangle:
    from matplotlib.patches import Rectangle

    return Rectangle(corner, size, size, color=colour, alpha=0.45, linewidth=0)


def _is_one_of(name: str, contenders: Sequence[str]) -> bool:
    return any(name == one or name.startswith(f"{one} through ") for one in contenders)


def _wrapped(text: str) -> str:
    return text.replace(", ", ",\n", 1) if len(text) > 24 else text
