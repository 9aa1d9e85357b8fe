"""What an image classifier sees in the distilled image."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from app.render.parts import card, hint, percent

TITLE = "What a classifier sees"


def show(classifier: str, topk: Sequence[tuple[str, float]], notice: str | None) -> str:
    """The image classifier's best guesses for the distilled image.

    Args:
        classifier: the name of the one in use.
        topk: (label, probability) best first.
        notice: a sentence when it is not the one that was asked for.
    """
    rows = "".join(
        f'<li><span>{escape(label)}</span><em class="mono">{percent(share)}</em>'
        f'<i><b style="width:{100 * share:.1f}%"></b></i></li>'
        for label, share in topk
    )
    note = f'<p class="notice">{escape(notice)}</p>' if notice else ""
    told = hint(
        f"What <b>{escape(classifier)}</b> takes the image for, if it were a photograph; bars are probabilities."
    )
    return card("recognition", TITLE, f'<ol class="bars">{rows}</ol>{note}{told}')
