"""What came of a fine-tune: clips before and after, side by side.

Axes: T frames, H, W.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from app.render import fragments, reels
from app.render.fragments import first_guess, hint, ordinal, progress, signed
from avd_core.explore.before_after import BeforeAfter

NOTHING_BETTER = """<p class="tune-lead"><b>Nothing better was found in this time</b>, by the moments that choose: the
checkpoint is the one that it began with.</p>"""
HELP = "More time helps (5 or 30 minutes instead of one), and more clips of this kind, or longer ones."
STILL_RISING = "It was still getting better when it ended: a longer training promises more."


def card(
    pairs: Sequence[BeforeAfter],
    sheets: Sequence[Mapping[str, Any]],
    apart: bool,
    best: Mapping[str, Any] | None = None,
) -> str:
    """Draw the clips before and after the training, one below the other.

    Args:
        pairs: Of the clips.
        sheets: Of each clip the addresses "before" and "after" of the images, and the sheets "original",
            "restored-before" and "restored-after".
        apart: Whether what is shown was neither trained on nor chose among the weights.
        best: Which weights were kept; None where they were the last ones.
    """
    if best and not best["step"]:
        return fragments.card("tune-before-after", "Before and after", NOTHING_BETTER + hint(HELP))
    body = ""
    for number, (pair, pictures) in enumerate(zip(pairs, sheets, strict=True)):
        body += _clip(number, pair, pictures)
    explanation = (
        "Gain: how much closer the clip comes back from its image than its mean frame repeated would be. Image: how "
        "near the image is to what it is drawn to, the middle frame unless its checkpoint shows the movement. Realism: "
        "the percentile among real frames, to the critic from before the training."
    )
    if apart:
        explanation = (
            "These moments were not trained on, and other ones chose the weights that are kept. " + explanation
        )
    else:
        explanation = (
            "These moments were trained on or chose the weights, since there were no others: expect less of new ones. "
            + explanation
        )
    if best and best["rising"]:
        explanation = f"{STILL_RISING} {explanation}"
    return fragments.card("tune-before-after", "Before and after", body + hint(explanation))


def _clip(number: int, pair: BeforeAfter, pictures: Mapping[str, Any]) -> str:
    count, height, width, _ = pair.before.restored.shape
    original = pictures["original"]

    def column(when: str, words: str) -> str:
        one, reel = getattr(pair, when), pictures[f"restored-{when}"]
        first = one.recognition.topk[0]
        gain = pair.gains[when == "after"]
        realism = "—" if pair.realism is None else ordinal(pair.realism[when == "after"])
        return f"""
<div class="tune-side"><h3>{words}</h3>
  <div class="tune-pair"><figure><img class="reel" src="{pictures[when]}" alt="The distilled image {words.lower()}">
    <figcaption>image</figcaption></figure>
  <figure>{reels.reel(f"{number}-{when}", reel, f"The clip restored {words.lower()}")}
    <figcaption>restored</figcaption></figure></div>
  <dl><div><dt>Gain</dt><dd class="{"good" if gain > 0 else "bad"}">{signed(gain, 1)} dB</dd></div>
    <div><dt>Image</dt><dd>{pair.image_psnrs[when == "after"]:.1f} dB</dd></div>
    <div><dt>Realism</dt><dd>{realism}</dd></div>
    <div><dt>Seen as</dt><dd>{first_guess(first)}</dd></div></dl></div>"""

    better = pair.gains[1] - pair.gains[0]
    kind, word = ("good", "better") if better > 0 else ("bad", "worse")
    window = pair.before.request.window
    start = window.start or 0.0
    moment = "" if window.whole else f", {start:.1f} to {start + (window.seconds or 0.0):.1f} s,"
    lead = (
        f'<p class="tune-lead"><b>{escape(pair.title)}</b>{moment} comes back '
        f'<b class="{kind}">{signed(better, 1)} dB</b> {word} than before.</p>'
    )
    inside = f"""
<div class="tune-sides"><div class="tune-side original"><h3>The clip</h3>
  <figure>{reels.reel(f"{number}-original", original, "The clip")}<figcaption>original</figcaption></figure></div>
  {column("before", "Before")}{column("after", "After")}</div>"""
    return lead + reels.group(
        f"tune-{number}", inside, frames=count, fps=pair.before.clip.fps, size=(height, width),
        words="The clip, and what comes back of it before and after the training",
    )  # fmt: skip


def progress_card() -> str:
    """Draw the card while the clips are being explored by both checkpoints."""
    return fragments.card("tune-before-after", "Before and after", progress("Judging by what was kept back", 0.5))
