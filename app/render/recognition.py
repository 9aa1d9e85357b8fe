"""What an image classifier sees in the distilled image, and whether the clip's own frame looks the same to it."""

from __future__ import annotations

from html import escape

from app.render.fragments import card, hint, ordinal, percent
from avd_core.classifiers.names import titled, without_labels
from avd_core.explore.results import Recognition

TITLE = "What a classifier sees"


def show(seen: Recognition) -> str:
    """The image classifier's best guesses for the distilled image, and its first for the clip's middle frame."""
    rows = "".join(
        f'<li><span>{escape(guess.label)}</span><em class="mono">{percent(guess.probability)}</em>'
        f'<i><b style="width:{100 * guess.probability:.1f}%"></b></i></li>'
        for guess in seen.topk
    )
    note = f'<p class="notice">{escape(seen.notice)}</p>' if seen.notice else ""
    name = f"<b>{escape(titled(without_labels(seen.classifier)))}</b>"
    told = hint(f"What {name} takes the image for, if it were a photograph; bars are probabilities.")
    return card("recognition", TITLE, f'<ol class="bars">{rows}</ol>{_agreement(seen)}{note}{told}')


def _agreement(seen: Recognition) -> str:
    """Does the image keep what a frame says?"""
    if not seen.frame:
        return ""
    first, rank, count = seen.frame[0], seen.rank_of_frame, len(seen.topk)
    everything = sum(guess.probability for guess in seen.topk) > 0.999  # of few labels, all are among the five
    if everything and rank:
        same, kept = rank == 1, f"The image puts that {ordinal(rank)} of {count}."
    else:
        same = rank is not None
        kept = f"The image keeps that, {ordinal(rank)} of its five." if rank else "That is not among the image’s five."
    return (
        f'<p class="agreement {"kept" if same else "lost"}">The clip’s middle frame by itself: '
        f"<b>{escape(first.label)}</b> {percent(first.probability)}. <em>{kept}</em></p>"
    )
