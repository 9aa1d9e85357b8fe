"""Pieces that several tabs use: words for numbers, cards, lines and messages, as HTML.

Every function takes numbers and addresses and returns a self-contained piece of the page, as Markup. The markup lies in
`templates/`, one file of macros for each module; they escape what is not Markup, so what a person typed or a file said
stays text. Nothing in this package imports gradio.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from avd_core.explore.line_plot import ticks as ticks  # for every plot of the page
from avd_core.templates import environment

HEADER = """
<header class="masthead">
  <svg class="mark" viewBox="0 0 44 32" aria-hidden="true">
    <rect x="1" y="3" width="20" height="20"/><rect x="5" y="6" width="20" height="20"/>
    <rect x="9" y="9" width="20" height="20"/><rect class="one" x="21" y="9" width="22" height="22"/>
  </svg>
  <div><h1>One realistic image that carries a whole clip</h1>
  <p><b>AVD Explorer</b> distills the frames of a video into a single picture, then restores the motion from that
  picture alone.</p></div>
  <button class="theme-switch" type="button" data-act="theme" aria-label="Switch between light and dark"><i></i>
  </button>
</header>"""


def ordinal(percentile: float) -> str:
    """Write a percentile: 63.2 -> '63rd'; only 0 and 100 themselves are written so."""
    if 0 < percentile < 1:
        return "<1st"
    if 99 < percentile < 100:
        return ">99th"
    number = round(percentile)
    suffix = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"


def seconds(value: float) -> str:
    """Write seconds as a person says them: '0.04 s', '2.1 s', '1 min 5 s'."""
    if value >= 60:
        minutes, rest = divmod(round(value), 60)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{value:.2f} s" if value < 0.995 else f"{value:.1f} s"


def signed(value: float, digits: int) -> str:
    return f"{value:+.{digits}f}".replace("-", "−")


def percent(share: float) -> str:
    return "<1 %" if 0 < share < 0.01 else f"{100 * share:.0f} %"


_TEMPLATES = environment(
    Path(__file__).parent / "templates",
    {"ordinal": ordinal, "percent": percent, "seconds": seconds, "signed": signed},
)


def macros(name: str) -> Any:
    """Return the macros of a template, by their names; each gives Markup."""
    return _TEMPLATES.get_template(name).module


_HTML = macros("fragments.html")


def waiting(kind: str, title: str) -> str:
    """Draw an empty card, while its figures are still being computed."""
    return _HTML.waiting(kind, title)


def hint(text: str) -> str:
    """Draw a remark."""
    return _HTML.hint(text)


def progress(words: str, share: float) -> str:
    """Draw a status line with a bar; `share` (0 to 1) of the work is done."""
    return _HTML.progress(words, share)


def nothing() -> str:
    """Draw the status line when there is no result."""
    return '<p class="status">Nothing to show yet: drop in a clip, or try an example.</p>'


def summary(name: str, *, frames: int, start: float, length: float, total: float, checkpoint: str) -> str:
    """Say which clip, which window of it in seconds and which checkpoint a finished result shows."""
    window = f"{start:.1f}–{start + length:.1f} s of {seconds(total)}"
    if length >= total - 0.05:
        window = f"all {seconds(total)}"
    return _HTML.summary(name, frames, window, checkpoint)


def problem(sentence: str, advice: str, *, role: str = "alert", close: bool = True) -> str:
    """Draw a message: what went wrong and what to do next; with `close`, it stays until a person closes it."""
    return _HTML.problem(sentence, advice, role, close)


def notes(sentences: Sequence[str]) -> str:
    """List what a person should know about the clip: cropped, damaged, shortened."""
    return _HTML.notes(sentences) if sentences else ""


def downloads(links: Sequence[tuple[str, str, str]], also: str = "") -> str:
    """Draw links that save files.

    Args:
        links: (title, address, name to save under).
        also: Markup that follows them.
    """
    return _HTML.downloads(links, also)


def details(timings: Mapping[str, float], fingerprint: str) -> str:
    """List how long each step took, and the weights' fingerprint."""
    # What was loaded already took no time, and needs no place.
    steps = [(name, value) for name, value in timings.items() if value >= 0.005]
    return _HTML.details(steps, sum(timings.values()), fingerprint)
