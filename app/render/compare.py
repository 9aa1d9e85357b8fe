"""The same clip as one image in every way there is: a grid of cards, and two of them side by side.

Axes: T frames, H, W.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from app.render import fragments
from app.render.fragments import card, hint, ordinal, percent, ticks
from avd_core.explore.comparison import Comparison, Row
from avd_core.explore.requests import DEFAULT_CHECKPOINT

# One line for each way to make one image of a clip.
ABOUT = {
    "first": "where the clip begins: a photograph, no motion",
    "middle": "the honest baseline: one real frame",
    "mean": "the average of all frames; blind to their order",
    "dynamic": "frames weighted by their rank in time and summed",
    "motion-history": "where something moved, brighter the later",
    "super": "all frames, tiled and scaled down",
    "chronophotograph": "each pixel from the frame that stands out there",
    "random": "noise: the floor under every figure",
    "codec": "H.264 of the frames in the middle frame’s lowest bits",
}
CHECKPOINT = "distilled: a decoder plays the clip from it"
ORDERS = [("As listed", None), ("Restoration", "restoration"), ("Realism", "realism"), ("Agreement", "agreement"),
          ("Confidence", "confidence")]  # fmt: skip
DUEL = "Two side by side"
DIFFERENCE = 8  # times, so that a few levels can be seen
# What the figures on the cards are, in one line each; the judge is always the default checkpoint's critic.
TERMS = f"""<dl class="terms">
<div><dt>Restoration</dt><dd>How close the clip comes back: PSNR in dB; 3 dB more halve the squared error. A still
  picture can only be repeated.</dd></div>
<div><dt>Realism</dt><dd>Percentile among real frames, to the critic trained beside <b>{DEFAULT_CHECKPOINT}</b>; the
  same judge for all. It knows photographs’ fine grain and nothing of what they show: of pictures that are none
  (motion history, super image, noise) its number means little. A hint, not proof.</dd></div>
<div><dt>Agreement</dt><dd>Of how many of the clip’s own frames the classifier’s first choice is among the picture’s
  top five.</dd></div></dl>"""
EMPTY = '<p class="status">Nothing to compare yet: Explore is still at its first clip.</p>'


def summary(comparison: Comparison, title: str) -> str:
    """Say which clip is compared, and which classifier names the classes."""
    clip = comparison.clip
    return (
        f'<p class="status"><b>{escape(title)}</b><span>{len(clip.frames)} frames from '
        f"{clip.start:.1f}–{clip.start + clip.seconds:.1f} s</span>"
        f"<span>classes by <b>{escape(comparison.classifier)}</b></span></p>"
    )


def cancelled_summary(comparison: Comparison, title: str) -> str:
    """Say how much of a cancelled comparison there is."""
    return (
        f'<p class="status"><b>{escape(title)}</b><span>cancelled: {len(comparison.rows)} of '
        f"{len(comparison.planned)} are there</span></p>"
    )


def notes(comparison: Comparison) -> str:
    """List what a person should know about this comparison."""
    sentences = [*comparison.notes, *([comparison.notice] if comparison.notice else [])]
    if comparison.complete:
        sentences += filter(None, [comparison.rival()])
    if comparison.classes < 100:
        sentences.append(
            f"{comparison.classifier} knows only {comparison.classes} classes: agreement comes by chance too."
        )
    return fragments.notes(sentences)


def grid(comparison: Comparison | None, addresses: Mapping[str, str], by: str | None, waiting: bool = True) -> str:
    """Draw every representation as a card; those to come keep their places.

    Args:
        comparison: what is ready; None draws empty places.
        addresses: of the pictures, by the rows' names.
        by: a key of `comparison.ORDERS`, used once all rows are there: cards do not move while others arrive.
        waiting: whether what is missing is on its way.
    """
    if comparison is None:
        return f'<div class="reps" style="--w:152;--h:112">{_place("", "") * 10}</div>'
    rows = comparison.ordered(by if comparison.complete or not waiting else None)
    ready = {row.name for row in rows}
    count, height, width, _ = comparison.clip.frames.shape
    cards = "".join(_card(row, addresses[row.name], count) for row in rows)
    if waiting:
        cards += "".join(_place(title, _about(name)) for name, title in comparison.planned if name not in ready)
    return f'<div class="reps" style="--w:{width};--h:{height}">{cards}</div>'


def _about(name: str) -> str:
    return ABOUT.get(name, CHECKPOINT)


def _place(title: str, about: str) -> str:
    return (
        f'<section class="rep coming"><div class="picture waiting"></div><h3>{escape(title) or "&nbsp;"}</h3>'
        f'<p class="about">{escape(about) or "&nbsp;"}</p></section>'
    )


def _card(row: Row, address: str, count: int) -> str:
    restored = "—" if row.psnr is None else f"{row.psnr:.1f} dB"
    how = "no decoder" if row.psnr is None else "repeated" if row.copied else "restored"
    realism = "—" if row.realism is None else ordinal(row.realism)
    agreement = "—" if row.agreeing is None else f"{row.agreeing} of {count}"
    guesses = "".join(
        f'<li><span title="{escape(p.label)}">{escape(p.label)}</span><em>{percent(p.probability)}</em></li>'
        for p in row.topk[:3]
    )
    if row.topk[0].refusal:
        guesses = f"<li><span>{row.topk[0].refusal}</span></li>"
    kind = "made" if row.info else "real" if row.name in ("first", "middle") else ""
    weights = f"; weights {escape(row.info.fingerprint)}" if row.info else ""
    notes = "".join(f'<p class="aside">{escape(note)}</p>' for note in row.notes)
    return f"""
<section class="rep {kind}" data-row="{escape(row.name)}" aria-label="{escape(row.title)}">
  <img class="picture" src="{escape(address)}" alt="The clip as one picture: {escape(row.title)}, {_about(row.name)}">
  <h3>{escape(row.title)}</h3><p class="about" title="{_about(row.name)}{weights}">{_about(row.name)}</p>
  <dl><div><dt>Restoration</dt><dd>{restored}<small>{how}</small></dd></div>
    <div><dt>Realism</dt><dd>{realism}<small>percentile</small></dd></div>
    <div><dt>Agreement</dt><dd>{agreement}<small>frames</small></dd></div></dl>
  <ol class="guesses" aria-label="What the classifier sees">{guesses}</ol>{notes}</section>"""


def duel(first: Row, second: Row, *, frames: int, fps: float, size: tuple[int, int], files: Mapping[str, str]) -> str:
    """Draw two representations side by side, with their difference.

    Args:
        first, second: they have `restored`.
        frames: T of the original.
        fps: of the original.
        size: (H, W) of the original.
        files: addresses: original.mp4, a.png, b.png, a.mp4, b.mp4; difference.png where the two can be subtracted.
    """

    def picture(key: str, head: str, words: str, kind: str = "") -> str:
        return (
            f'<figure class="{kind}"><figcaption>{head}</figcaption>'
            f'<img src="{escape(files[key])}" alt="{escape(words)}"></figure>'
        )

    def video(key: str, head: str, words: str, kind: str = "") -> str:
        return (
            f'<figure class="{kind}"><figcaption>{head}</figcaption>'
            f'<video src="{escape(files[key])}" muted playsinline preload="auto" aria-label="{escape(words)}"></video>'
            "</figure>"
        )

    names = (f"<b>A</b> {escape(first.title)}", f"<b>B</b> {escape(second.title)}")
    if "difference.png" in files:
        apart = picture("difference.png", f"Difference ×{DIFFERENCE}", "Where the two pictures differ", "apart")
        explanation = f"Difference: what A and B put in different levels, times {DIFFERENCE}; black is equal."
    else:
        apart = '<figure class="apart"><figcaption>Difference</figcaption><p class="none">of two sizes</p></figure>'
        explanation = "A and B work at different sizes, so their pixels cannot be subtracted."
    body = f"""
<div class="duel" style="--w:{size[1]};--h:{size[0]}" data-frames="{frames}" data-fps="{fps:.4f}">
  <div class="three">{picture("a.png", names[0], f"Picture A, {first.title}", "a")}{apart}
    {picture("b.png", names[1], f"Picture B, {second.title}", "b")}</div>
  <div class="three">{video("a.mp4", "A, played", "What comes back from A", "a")}
    {video("original.mp4", "Original", "The original clip", "real")}
    {video("b.mp4", "B, played", "What comes back from B", "b")}</div>
  <div class="transport"><button type="button" class="play" data-duel="play" aria-label="Pause"><i></i></button>
    <input type="range" class="scrub" data-duel="scrub" min="0" max="{frames - 1}" step="1" value="0"
      aria-label="Frame of the three clips"><output>1 / {frames}</output></div>
  {_plot(first, second)}{hint(f"{explanation} The three clips play in step.")}</div>"""
    return card("duelling", DUEL, body)


def _plot(first: Row, second: Row) -> str:
    lines = (("a", "A", first), ("b", "B", second))
    known = [value for _, _, row in lines for value in row.per_frame if value is not None] or [0.0, 60.0]
    # Where one frame is copied, that frame and its neighbours may leave the plot, and not flatten the rest.
    whole = [value for _, _, row in lines if not row.copied for value in row.per_frame if value is not None]
    top = max([*whole, min(max(known), max(row.psnr or 0.0 for _, _, row in lines) + 8)])
    marks = ticks(min(known), top)
    low, high = marks[0], marks[-1]

    def y(value: float) -> float:
        return 100 * (high - value) / (high - low)

    shapes, key = "", ""
    for kind, letter, row in reversed(lines):
        count = len(row.per_frame)
        points = " ".join(
            f"{100 * (k + 0.5) / count:.2f},{-6 if v is None else y(v):.2f}" for k, v in enumerate(row.per_frame)
        )
        shapes += f'<polyline class="{kind}" points="{points}"/>'
        words = f"{letter}, {escape(row.title)}{', repeated' if row.copied else ''}"
        key = f'<li class="{kind}">{words} <b class="mono">{row.psnr:.1f} dB</b></li>' + key
    rows = "".join(f'<span style="top:{y(t):.1f}%">{t:g}</span>' for t in marks)
    rules = "".join(f'<line x1="0" x2="100" y1="{y(t):.1f}" y2="{y(t):.1f}"/>' for t in marks)
    words = "; ".join(f"{letter} {row.title} {row.psnr:.1f} dB" for _, letter, row in lines)
    return f"""
<ul class="legend">{key}</ul>
<div class="plot paired" role="img" aria-label="PSNR of each frame: {escape(words)}"><div class="y">{rows}</div>
  <div class="area"><svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">{rules}{shapes}</svg>
  <i class="playhead"></i></div>{_frames(first, second)}<p class="axis up">PSNR, dB</p></div>"""


def _frames(first: Row, second: Row) -> str:
    """Number the frames; where the two clips differ in length, only name the direction of time."""
    count = len(first.per_frame)
    if count != len(second.per_frame):
        return '<p class="axis">time in the clip →</p>'
    step = 1 if count <= 8 else 3 if count <= 18 else 5
    columns = "".join(
        f'<span style="left:{100 * (k + 0.5) / count:.2f}%">{k + 1}</span>' for k in range(0, count, step)
    )
    return f'<div class="x">{columns}</div><p class="axis">frame →</p>'


def choices(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """List the rows that can stand side by side as (words, name), checkpoints first."""
    playing = sorted((row for row in rows if row.restored is not None), key=lambda row: row.info is None)
    return [(f"{row.title}, repeated" if row.copied else row.title, row.name) for row in playing]
