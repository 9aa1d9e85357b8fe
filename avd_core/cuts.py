"""Where one shot of a video gives way to the next: colour histograms of blocks, against a threshold that adapts.

Each picture is described by the colours of 4 x 4 blocks, without regard to where in its block a colour is (local
histograms: Nagasaka and Tanaka 1992, "Automatic video indexing and full-video search for object appearances"). The
change from one picture to the next is the distance in grey levels between the blocks' histograms (the 1-D Wasserstein
distance of each channel, that is of the sorted values: it grows evenly with brightness, where a count in bins leaps).
A cut changes at least `FLOOR` levels, and `RATIO` times as much as the changes around it, so that a shaking camera or a
slow fade raises the threshold by itself; and nothing just before it looks like anything just after, as it does around a
flash. A fade or dissolve has no single such place and is no cut.

Axes: H, W; the last axis is RGB.
"""

from __future__ import annotations

from collections import deque

import numpy as np

# In grey levels. The last picture of a real clip and the first of another were 26 apart at the least (132 pairs).
FLOOR = 12.0
RATIO = (
    2.5  # over the second largest of the changes around: one may belong to the cut, where a picture blends the shots
)
REACH = 3  # pictures to either side
_BLOCKS = 4  # along each side


class CutDetector:
    """Takes pictures one by one; what it says of one it says `REACH` pictures later."""

    def __init__(self) -> None:
        self._seen: deque[np.ndarray] = deque(maxlen=2 * REACH + 2)
        self._changes: deque[float] = deque(maxlen=2 * REACH + 1)

    def feed(self, picture: np.ndarray) -> bool:
        """Whether a new shot began with the picture given `REACH` pictures ago.

        Args:
            picture: uint8 (H, W, 3), all of one size.
        """
        self._seen.append(colours(picture))
        if len(self._seen) > 1:
            self._changes.append(change(self._seen[-2], self._seen[-1]))
        if len(self._changes) <= REACH:
            return False
        # The newest are known to the end; before the first picture there may be fewer than REACH.
        around = list(self._changes)
        here = around.pop(-1 - REACH)
        if here < FLOOR or here < RATIO * sorted(around)[-2]:
            return False
        before, after = list(self._seen)[: -1 - REACH], list(self._seen)[-REACH:]
        return min(change(a, b) for a in before[-REACH:] for b in after) >= FLOOR


def colours(picture: np.ndarray) -> np.ndarray:
    """The sorted values of each block and channel: int16 (blocks * 3, values)."""
    half = picture[::2, ::2]
    height, width = (side // _BLOCKS for side in half.shape[:2])
    blocks = half[: height * _BLOCKS, : width * _BLOCKS].reshape(_BLOCKS, height, _BLOCKS, width, 3)
    return np.sort(blocks.transpose(0, 2, 4, 1, 3).reshape(_BLOCKS * _BLOCKS * 3, -1), axis=1).astype(np.int16)


def change(before: np.ndarray, after: np.ndarray) -> float:
    """How far two pictures' colours are apart, in grey levels."""
    return float(np.abs(before - after).mean())
