"""A batch: a grid of distilled images, one for each clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from itertools import groupby

from app.render.fragments import ordinal, percent, progress, seconds, signed
from avd_core.classifiers.names import titled
from avd_core.explore.batch import Inspected, ordered

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
    by = f"<span>classes by <b>{escape(titled(explored[-1].classifier))}</b></span>" if explored else ""
    words = "" if len(rows) == total else f"<span>cancelled: {len(rows)} of {total} looked at</span>"
    return f'<p class="status"><b>{len(explored)} clip{"" if len(explored) == 1 else "s"}</b>{words}{by}</p>'


def grid(rows: Sequence[Inspected], addresses: Mapping[int, str], by: str | None, coming: int = 0) -> str:
    """Draw the images as cards; those to come keep their places.

    Args:
        rows: What is ready; rows with a problem appear in `notes` alone.
        addresses: Of the images, by the row's place in `rows`.
        by: A key of `batch.ORDERS` in the core; None: in order of arrival.
        coming: How many more are on their way.
    """
    places = {id(row): number for number, row in enumerate(rows)}

    def cards(some: Sequence[Inspected]) -> str:
        return "".join(_card(row, places[id(row)], addresses[places[id(row)]]) for row in some)

    sorted_rows = ordered(rows, by)
    if by == "class":
        body = ""
        for _, group in groupby(sorted_rows, key=lambda row: row.source.label.casefold()):
            members = list(group)
            label = members[0].source.label
            mean = sum(row.gain for row in members) / len(members)
            body += (
                f'<h3 class="class">{escape(label) or "No class"} <span>{len(members)} '
                f"clip{'' if len(members) == 1 else 's'}, mean gain {signed(mean, 1)} dB</span></h3>{cards(members)}"
            )
    else:
        body = cards(sorted_rows)
    body += '<div class="thumb coming"><div class="picture waiting"></div></div>' * coming
    return f'<div class="batch">{body}</div>'


def _card(row: Inspected, number: int, address: str) -> str:
    assert row.info is not None, "cards are drawn of clips that could be read"
    first, (height, width) = row.topk[0], row.info.size
    share = "" if first.refusal else f"<em>{percent(first.probability)}</em>"
    guess = f"<span>{escape(first.refusal or first.label)}</span>{share}"
    realism = "—" if row.realism is None else ordinal(row.realism)
    title, label = escape(row.source.title), escape(row.source.label)
    kind = "good" if row.gain > 0 else "bad"
    return f"""
<button type="button" class="thumb" data-open="{number}" title="Open {title} in Explore">
  <img class="picture" width="{width}" height="{height}" src="{escape(address)}" loading="lazy"
    alt="The distilled image of {title}"><b class="name">{title}</b><span class="label">{label or "&nbsp;"}</span>
  <span class="figures"><span>Gain <b class="{kind}">{signed(row.gain, 1)} dB</b></span>
    <span>Realism <b>{realism}</b></span></span>
  <span class="guess">{guess}</span></button>"""


def notes(skipped: Sequence[str], rows: Sequence[Inspected], most: int = 12) -> str:
    """List what was left out, by name, and the classifier that stands in for another."""
    sentences = [*skipped, *(row.problem for row in rows if row.problem is not None)]
    more = [f"And {len(sentences) - most} more files; the CSV names them."] if len(sentences) > most else []
    notice = next((row.notice for row in rows if row.notice), None)
    lines = [*sentences[:most], *more, *([notice] if notice else [])]
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'<ul class="notes">{items}</ul>' if items else ""
