"""What the image hides: its difference to the nearest frame, and both spectra.

Axes: H, W.
"""

from __future__ import annotations

from html import escape

import numpy as np

from app.render import fragments
from app.render.fragments import hint
from avd_core.analysis.spectrum import TIMES, Hidden

TITLE = "What the image hides"
FAINTEST = 1e-3  # of the strongest amplitude: what is drawn black


def spectra(hidden: Hidden) -> tuple[np.ndarray, np.ndarray]:
    """Draw the image's spectrum and the frame's as grey pictures on one logarithmic scale, uint8 (H, W, 3)."""
    strongest = max(hidden.spectrum.max(), hidden.frame_spectrum.max(), 1e-9)

    def drawn(spectrum: np.ndarray) -> np.ndarray:
        share = 1 - np.log(np.maximum(spectrum / strongest, FAINTEST)) / np.log(FAINTEST)
        return np.repeat(np.rint(255 * share).astype(np.uint8)[..., None], 3, axis=-1)

    return drawn(hidden.spectrum), drawn(hidden.frame_spectrum)


def card(hidden: Hidden, size: tuple[int, int], difference: str, spectrum: str, frame_spectrum: str) -> str:
    """Draw the difference and the two spectra side by side.

    Args:
        hidden: What they show.
        size: (H, W) of each picture.
        difference, spectrum, frame_spectrum: Their addresses.
    """
    frame = f"frame {hidden.frame + 1}"

    def picture(address: str, words: str, caption: str) -> str:
        return f'<figure><img src="{escape(address)}" alt="{words}"><figcaption>{caption}</figcaption></figure>'

    fine = ""
    if hidden.fine is not None:
        fine = f'<p class="versus">fine detail: <b class="mono">{hidden.fine:.2f} ×</b> that frame’s</p>'
    below = hint(
        f"It looks like {frame}. What it has more or less than that frame is what lets the other frames come back; "
        f"here it is {TIMES} times as strong, and grey is no difference."
    ) + hint(
        "Spectra: which patterns a picture is made of, by size: broad shapes in the middle, the finest grain at the "
        "edges; brighter is more, in powers of ten. Fine detail is what repeats within four pixels."
    )
    return fragments.card(
        "spectrum",
        TITLE,
        f'<p class="figure"><b>{hidden.psnr:.1f}</b> dB PSNR to {frame}, the nearest</p>{fine}'
        f'<div class="trio" style="--w:{size[1]};--h:{size[0]}">'
        + picture(difference, f"The image less {frame}, {TIMES} times as strong", f"image − {frame}, ×{TIMES}")
        + picture(spectrum, "Amplitude spectrum of the image", "spectrum of the image")
        + picture(frame_spectrum, f"Amplitude spectrum of {frame}", f"spectrum of {frame}")
        + f"</div>{below}",
    )
