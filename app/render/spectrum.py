"""What the image hides: its difference to the picture it looks like, and both spectra.

Axes: H, W.
"""

from __future__ import annotations

import numpy as np

from app.render.fragments import macros
from avd_core.analysis.spectrum import TIMES, Hidden

_HTML = macros("spectrum.html")
TITLE = "What the image hides"
FAINTEST = 1e-3  # of the strongest amplitude: what is drawn black


def spectra(hidden: Hidden) -> tuple[np.ndarray, np.ndarray]:
    """Draw the image's spectrum and its reference's as grey pictures on one logarithmic scale, uint8 (H, W, 3)."""
    strongest = max(hidden.spectrum.max(), hidden.reference_spectrum.max(), 1e-9)

    def drawn(spectrum: np.ndarray) -> np.ndarray:
        share = 1 - np.log(np.maximum(spectrum / strongest, FAINTEST)) / np.log(FAINTEST)
        return np.repeat(np.rint(255 * share).astype(np.uint8)[..., None], 3, axis=-1)

    return drawn(hidden.spectrum), drawn(hidden.reference_spectrum)


def card(hidden: Hidden, size: tuple[int, int], difference: str, spectrum: str, reference_spectrum: str) -> str:
    """Draw the difference and the two spectra side by side.

    Args:
        hidden: What they show.
        size: (H, W) of each picture.
        difference, spectrum, reference_spectrum: Their addresses.
    """
    reference = "its target" if hidden.frame is None else f"frame {hidden.frame + 1}"
    return _HTML.card(TITLE, hidden, reference, size, difference, spectrum, reference_spectrum, TIMES)
