"""Where the classifier looks.

Axes: H, W.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from app.render.parts import card

TITLE = "Where it looks"


def show(distilled: str, heat: str, label: str, method: str, size: tuple[int, int], colours: Sequence[str]) -> str:
    """The distilled image under a heat map; the browser mixes the two, so the strength needs no server.

    Args:
        distilled: address of the image.
        heat: address of the map in false colours, same size.
        label: the class whose evidence is shown.
        method: the method's title.
        size: (H, W).
        colours: of the map's scale, from nothing to the most.
    """
    height, width = size
    words = f"Heat map: where the classifier finds “{label}”, by {method}"
    body = f"""
<div class="cam" style="--w:{width};--h:{height}" role="img" aria-label="{escape(words)}">
  <img src="{escape(distilled)}" alt=""><img class="heat" src="{escape(heat)}" alt=""></div>
<div class="strength"><label>Overlay<input type="range" min="0" max="100" value="50" data-act="strength"
  aria-label="Strength of the overlay"></label>
  <span class="scale" aria-hidden="true"><em>little</em>
    <i style="background:linear-gradient(90deg,{",".join(colours)})"></i><em>much</em></span></div>
<p class="hint">What speaks for <b>{escape(label)}</b>. Scaled to this picture’s own maximum.</p>"""
    return card("saliency", TITLE, body)
