"""Has a training diverged? A loss that stays far above its usual value for many steps says so.

A single bad batch is none: the clips of one batch are harder than those of the next. What is usual is the median of
the latest losses that were not far above it.
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
        factor: a loss above `factor` times the median is far above it.
        patience: how many in a row are a divergence; 0 never finds one.
    """

    def __init__(self, *, factor: float, patience: int) -> None:
        self.factor, self.patience = factor, patience
        self.usual: deque[float] = deque(maxlen=WINDOW)
        self.streak = 0

    def watch(self, loss: float) -> bool:
        """Takes one more loss; whether the training has diverged with it."""
        if len(self.usual) >= FEWEST and loss > self.factor * median(self.usual):
            self.streak += 1
        else:
            self.streak = 0
            self.usual.append(loss)
        return 0 < self.patience <= self.streak

    def state(self) -> dict[str, Any]:
        """What an exact resume needs."""
        return {"usual": list(self.usual), "streak": self.streak}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Goes on where `state()` was taken."""
        self.usual = deque(state["usual"], maxlen=WINDOW)
        self.streak = int(state["streak"])
