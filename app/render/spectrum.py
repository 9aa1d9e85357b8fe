"""What the image hides: its difference to the nearest frame, and both spectra.

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
    return _HTML.card(TITLE, hidden, frame, size, difference, spectrum, frame_spectrum, TIMES)
