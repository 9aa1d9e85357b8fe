"""Agreement: is a classifier's first class for one picture among its top classes for another?"""

from __future__ import annotations

import numpy as np

TOP = 5


def hit(logits: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Return 1 where the class `first` (N,) is among the `TOP` largest of logits (N, classes), else 0: (N,)."""
    best = np.argpartition(-logits, TOP - 1, axis=1)[:, :TOP]
    return (best == first[:, None]).any(axis=1).astype(float)
