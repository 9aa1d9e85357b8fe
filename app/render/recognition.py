"""What an image classifier sees in the distilled image, and whether the clip's own frame looks the same to it."""

from __future__ import annotations

from html import escape

from app.render.parts import card, hint, ordinal, percent
from avd_core.exploration import Recognition

TITLE = "What a classifier sees"


def show(seen: Recognition) -> str:
    """The image classifier's best guesses for the distilled image, and its first for the clip's middle frame."""
    rows = "".join(
        f'<li><span>{escape(guess.label)}</span><em class="mono">{percent(guess.probability)}</em>'
        f'<i><b style="width:{100 * guess.probability:.1f}%"></b></i></li>'
        for guess in seen.topk
    )
    note = f'<p class="notice">{escape(seen.notice)}</p>' if seen.notice else ""
    told = hint(
        f"What <b>{escape(seen.classifier)}</b> takes the image for, if it were a photograph; bars are probabilities."
    )
    return card("recognition", TITLE, f'<ol class="bars">{rows}</ol>{_agreement(seen)}{note}{told}')


def _agreement(seen: Recognition) -> str:
    """Does the image keep what a frame says?"""
    if not seen.frame:
        return ""
    first, rank = seen.frame[0], seen.rank_of_frame
    kept = f"The image keeps that, {ordinal(rank)} of its five." if rank else "That is not among the image’s five."
    return (
        f'<p class="agreement {"kept" if rank else "lost"}">The clip’s middle frame by itself: '
        f"<b>{escape(first.label)}</b> {percent(first.probability)}. <em>{kept}</em></p>"
    )
