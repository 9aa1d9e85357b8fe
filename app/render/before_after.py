"""What came of a fine-tune: clips before and after, side by side.

Axes: T frames, H, W.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from app.render import fragments, reels
from app.render.fragments import hint, ordinal, percent, progress, signed
from app.render.sprites import SpriteSheet
from avd_core.explore.before_after import BeforeAfter


def card(pairs: Sequence[BeforeAfter], sheets: Sequence[Mapping[str, SpriteSheet | str]], held_out: bool) -> str:
    """Draw the clips before and after the training, one below the other.

    Args:
        pairs: Of the clips.
        sheets: Of each clip the addresses "before" and "after" of the images, and the sheets "original",
            "restored-before" and "restored-after".
        held_out: Whether the clips were kept out of the training.
    """
    body = ""
    for number, (pair, pictures) in enumerate(zip(pairs, sheets, strict=True)):
        body += _clip(number, pair, pictures)
    explanation = (
        "Gain: how much closer the clip comes back from its image than its mean frame repeated would be. Realism: the "
        "percentile among real frames, to the critic from before the training."
    )
    if not held_out:
        explanation = (
            "These are clips that were trained on, since there was no other: expect less of new ones. " + explanation
        )
    return fragments.card("tune-before-after", "Before and after", body + hint(explanation))


def _clip(number: int, pair: BeforeAfter, pictures: Mapping[str, SpriteSheet | str]) -> str:
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
    <div><dt>Realism</dt><dd>{realism}</dd></div>
    <div><dt>Seen as</dt><dd>{escape(first.label)} {percent(first.probability)}</dd></div></dl></div>"""

    better = pair.gains[1] - pair.gains[0]
    kind, word = ("good", "better") if better > 0 else ("bad", "worse")
    lead = (
        f'<p class="tune-lead"><b>{escape(pair.title)}</b> comes back '
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
    return fragments.card("tune-before-after", "Before and after", progress("Judging on the held-out clip", 0.5))
