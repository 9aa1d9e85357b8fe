"""A batch: a grid of distilled images, one for each clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from app.render import fragments
from app.render.fragments import macros, progress, seconds
from avd_core.classifiers.names import titled
from avd_core.explore.batch import Inspected, ordered

_HTML = macros("batch.html")
ORDERS = [("As they came", ""), ("Class", "class"), ("Restoration gain", "gain"), ("Realism", "realism"),
          ("Confidence", "confidence")]  # fmt: skip
TERMS = """<dl class="terms">
<div><dt>Gain</dt><dd>How much closer the clip comes back from its image than its mean frame repeated would be: PSNR
  in dB; 3 dB halve the squared error.</dd></div>
<div><dt>Realism</dt><dd>Percentile among real frames, to the critic trained beside the checkpoint. A hint, not
  proof.</dd></div>
<div><dt>Confidence</dt><dd>How sure the image classifier is of its first choice for the image.</dd></div></dl>"""
EMPTY = (
    """<div class="nothing-yet"><p>Drop in several clips, or one zip. Folders inside the zip name classes.</p></div>"""
)


def status_line(done: int, total: int, left: float | None) -> str:
    """Say how many clips are done; `left` in seconds, None while it cannot be estimated."""
    remaining = "" if left is None else f", about {seconds(max(round(left), 1)).replace('.0 s', ' s')} left"
    return progress(f"{done} of {total} clips{remaining}", done / total)


def summary(rows: Sequence[Inspected], total: int) -> str:
    """Say what a finished or a cancelled batch holds."""
    explored = [row for row in rows if row.problem is None]
    return _HTML.summary(len(explored), total, len(rows), titled(explored[-1].classifier) if explored else "")


def grid(rows: Sequence[Inspected], addresses: Mapping[int, str], by: str | None, coming: int = 0) -> str:
    """Draw the images as cards; those to come keep their places.

    Args:
        rows: What is ready; rows with a problem appear in `notes` alone.
        addresses: Of the images, by the row's place in `rows`.
        by: A key of `batch.ORDERS` in the core; None: in order of arrival.
        coming: How many more are on their way.
    """
    places = {id(row): number for number, row in enumerate(rows)}

    def group(members: Sequence[Inspected], gain: float | None) -> dict[str, Any]:
        numbers = [places[id(row)] for row in members]
        cards = [(number, addresses[number], row) for number, row in zip(numbers, members, strict=True)]
        return {"label": members[0].source.label if members else "", "gain": gain, "cards": cards}

    sorted_rows = ordered(rows, by)
    groups = [group(sorted_rows, None)]
    if by == "class":
        classes = [list(some) for _, some in groupby(sorted_rows, key=lambda row: row.source.label.casefold())]
        groups = [group(members, sum(row.gain for row in members) / len(members)) for members in classes]
    return _HTML.grid(groups, coming)


def notes(skipped: Sequence[str], rows: Sequence[Inspected], most: int = 12) -> str:
    """List what was left out, by name, and the classifier that stands in for another."""
    sentences = [*skipped, *(row.problem for row in rows if row.problem is not None)]
    more = [f"And {len(sentences) - most} more files; the CSV names them."] if len(sentences) > most else []
    notice = next((row.notice for row in rows if row.notice), None)
    lines = [*sentences[:most], *more, *([notice] if notice else [])]
    return fragments.notes(lines)
