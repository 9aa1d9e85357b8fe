"""Detect a diverged training: its loss stays far above its usual value for many steps.

A single high loss is no divergence, since some batches are harder than others. The usual value is the median of the
latest losses, without those far above it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from statistics import median
from typing import Any

WINDOW, FEWEST = 200, 20


class DivergenceDetector:
    """Watches one loss, step by step.

    Args:
        factor: a loss above `factor` times the median counts as far above.
        patience: number of such losses in a row that is a divergence; 0 switches the detector off.
    """

    def __init__(self, *, factor: float, patience: int) -> None:
        self.factor, self.patience = factor, patience
        self.usual: deque[float] = deque(maxlen=WINDOW)
        self.streak = 0

    def watch(self, loss: float) -> bool:
        """Add a step's loss; return whether the training has diverged."""
        if len(self.usual) >= FEWEST and loss > self.factor * median(self.usual):
            self.streak += 1
        else:
            self.streak = 0
            self.usual.append(loss)
        return 0 < self.patience <= self.streak

    def state(self) -> dict[str, Any]:
        """Return what an exact resume needs, as plain values."""
        return {"usual": list(self.usual), "streak": self.streak}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `state()` returned."""
        self.usual = deque(state["usual"], maxlen=WINDOW)
        self.streak = int(state["streak"])
