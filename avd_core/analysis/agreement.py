"""Agreement: is the class that a classifier puts first for one picture among its first for another?"""

from __future__ import annotations

import numpy as np

TOP = 5


def hit(logits: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Return whether the `TOP` best of each of (N, classes) hold the class `first` (N,): 0 or 1, (N,)."""
    best = np.argpartition(-logits, TOP - 1, axis=1)[:, :TOP]
    return (best == first[:, None]).any(axis=1).astype(float)
