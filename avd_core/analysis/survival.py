"""What a distilled image survives: how well its clip still comes back when the file was blurred, noisy or a JPEG.

Axes: T frames, H, W; the last axis is RGB.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np

from avd_core.analysis.degradations import Degradation
from avd_core.analysis.metrics import psnr

Decode = Callable[[np.ndarray], np.ndarray]  # uint8 (H, W, 3) -> uint8 (T, H, W, 3)

# The strengths of each curve, the mildest first; a key is an attribute of `Degradation`.
SWEEPS: dict[str, tuple[float, ...]] = {
    "jpeg": (98, 95, 90, 80, 65, 50, 30, 10),
    "blur": (0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0),
    "noise": (1, 2, 4, 8, 12, 16, 24, 32),
}


@dataclass(frozen=True)
class Survival:
    """How much of a clip came back from a damaged image.

    Attributes:
        wear: the damage.
        psnr_undamaged: in dB, against what the undamaged image gives back; `metrics.PSNR_CAP` where nothing changed.
        psnr_original: in dB, against the clip itself; None where the clip is not known.
    """

    wear: Degradation
    psnr_undamaged: float
    psnr_original: float | None


def survival(
    wear: Degradation, restored: np.ndarray, undamaged: np.ndarray, original: np.ndarray | None = None
) -> Survival:
    """Measures what came back, all of it uint8 (T, H, W, 3)."""
    return Survival(wear, psnr(undamaged, restored), None if original is None else psnr(original, restored))


def curves(
    image: np.ndarray,
    undamaged: np.ndarray,
    decode: Decode,
    original: np.ndarray | None = None,
    sweeps: Mapping[str, tuple[float, ...]] = SWEEPS,
) -> Iterator[tuple[str, float, Survival]]:
    """The points of all curves, one by one; all curves grow together.

    Args:
        image: uint8 (H, W, 3), the undamaged image.
        undamaged: what it plays as.
        decode: the decoder.
        original: the clip, where it is known.
        sweeps: the strengths of each damage.

    Yields:
        The kind of damage, its strength, and what came back.
    """
    for strengths in zip_longest(*sweeps.values()):
        for kind, strength in zip(sweeps, strengths, strict=True):
            if strength is not None:
                wear = Degradation(**{kind: strength})
                yield kind, strength, survival(wear, decode(wear(image)), undamaged, original)
