"""Where one shot of a video gives way to the next: colour histograms of blocks, against a threshold that adapts.

Each picture is described by the colours of 4 x 4 blocks, without regard to where in its block a colour is (local
histograms: Nagasaka and Tanaka 1992, "Automatic video indexing and full-video search for object appearances"). Two
pictures differ by the distance in grey levels between the blocks' histograms (the 1-D Wasserstein distance of each
channel, that is of the sorted values: it grows evenly with brightness, where a count in bins leaps).

Between two shots, each of the `REACH` pictures before differs from each of those after by at least `FLOOR` levels, and
by `RATIO` times what they differ among themselves on the livelier side: so a shaking camera, a pan or a fade raises the
threshold by itself, and a flash, after which all is as before, is no cut. Fades and dissolves have no such
place either: they are no cuts, and lie within a window.

Axes: H, W; the last axis is RGB.
"""

from __future__ import annotations

from collections import deque
from itertools import combinations

import numpy as np

# In grey levels. The last picture of a real clip and the first of another were 26 apart at the least (130 pairs).
FLOOR = 12.0
RATIO = 1.75
REACH = 5  # pictures to either side; shorter flashes are seen through
_BLOCKS = 4  # along each side


class CutDetector:
    """Takes pictures one by one; what it says of one it says `REACH` pictures later."""

    def __init__(self) -> None:
        self._seen: deque[np.ndarray] = deque(maxlen=2 * REACH + 1)

    def feed(self, picture: np.ndarray) -> bool:
        """Whether a new shot began with the picture given `REACH` pictures ago.

        Args:
            picture: uint8 (H, W, 3), all of one size.
        """
        self._seen.append(colours(picture))
        seen = list(self._seen)
        before, after = seen[: -1 - REACH], seen[-1 - REACH :]
        if not before or change(before[-1], after[0]) < FLOOR:
            return False
        apart = min(change(a, b) for a in before for b in after)
        among = max(_spread(before), _spread(after))
        return apart >= max(FLOOR, RATIO * among)


def _spread(pictures: list[np.ndarray]) -> float:
    """How much pictures of one shot differ, in the mean."""
    pairs = [change(a, b) for a, b in combinations(pictures, 2)]
    return sum(pairs) / max(1, len(pairs))


def colours(picture: np.ndarray) -> np.ndarray:
    """The sorted values of each block and channel: int16 (blocks * 3, values)."""
    half = picture[::2, ::2]
    height, width = (side // _BLOCKS for side in half.shape[:2])
    blocks = half[: height * _BLOCKS, : width * _BLOCKS].reshape(_BLOCKS, height, _BLOCKS, width, 3)
    return np.sort(blocks.transpose(0, 2, 4, 1, 3).reshape(_BLOCKS * _BLOCKS * 3, -1), axis=1).astype(np.int16)


def change(before: np.ndarray, after: np.ndarray) -> float:
    """How far two pictures' colours are apart, in grey levels."""
    return float(np.abs(before - after).mean())
