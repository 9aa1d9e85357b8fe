"""Detect cuts between the shots of a video by colour histograms of blocks, with an adaptive threshold.

A picture is described by the colour histograms of 4 x 4 blocks (local histograms: Nagasaka and Tanaka 1992, "Automatic
video indexing and full-video search for object appearances"). The difference of two pictures is the mean distance of
their blocks' histograms in grey levels, by the 1-D Wasserstein distance of each channel, computed on the sorted values;
it grows evenly with brightness, unlike counts in bins.

At a cut, each of the `REACH` pictures before differs from each of those after by at least `FLOOR` levels, and by
`RATIO` times the mean difference among the pictures of the livelier side. So a shaking camera, a pan or a fade raises
the threshold, and a flash, after which the scene is the same, is no cut. Fades and dissolves are no cuts either.

Axes: H, W; the last axis is RGB.
"""

from __future__ import annotations

from collections import deque
from itertools import combinations

import numpy as np

# In grey levels. The last picture of a real clip and the first of another differed by 26 or more (130 pairs).
FLOOR = 12.0
RATIO = 1.75
REACH = 5  # pictures on either side; shorter flashes are no cuts
_BLOCKS = 4  # along each side


class CutDetector:
    """Takes pictures one by one, and reports a cut `REACH` pictures later."""

    def __init__(self) -> None:
        self._latest: deque[np.ndarray] = deque(maxlen=2 * REACH + 1)

    def feed(self, picture: np.ndarray) -> bool:
        """Add a picture; return whether a new shot began with the one `REACH` pictures before.

        Args:
            picture: uint8 (H, W, 3), all of one size.
        """
        self._latest.append(colours(picture))
        latest = list(self._latest)
        before, after = latest[: -1 - REACH], latest[-1 - REACH :]
        if not before or change(before[-1], after[0]) < FLOOR:
            return False
        apart = min(change(a, b) for a in before for b in after)
        among = max(_spread(before), _spread(after))
        return apart >= max(FLOOR, RATIO * among)


def _spread(pictures: list[np.ndarray]) -> float:
    """Return the mean difference of the pictures of one shot."""
    pairs = [change(a, b) for a, b in combinations(pictures, 2)]
    return sum(pairs) / max(1, len(pairs))


def colours(picture: np.ndarray) -> np.ndarray:
    """Return the sorted values of each block and channel: int16 (blocks * 3, values)."""
    half = picture[::2, ::2]
    height, width = (side // _BLOCKS for side in half.shape[:2])
    blocks = half[: height * _BLOCKS, : width * _BLOCKS].reshape(_BLOCKS, height, _BLOCKS, width, 3)
    return np.sort(blocks.transpose(0, 2, 4, 1, 3).reshape(_BLOCKS * _BLOCKS * 3, -1), axis=1).astype(np.int16)


def change(before: np.ndarray, after: np.ndarray) -> float:
    """Return the difference of two pictures' `colours`, in grey levels."""
    return float(np.abs(before - after).mean())
