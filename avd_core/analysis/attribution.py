"""Attribution of a distilled image's pixels to frames of its clip, and of changes in a restored clip to its image.

For the first, each frame in turn is replaced by the mean of the others; the change of the image is that frame's
contribution. Unlike the weights of an encoder's blend this includes what the network adds, and needs no blend.

Axes: T frames, H, W; the last axis is RGB.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np


def contributions(distill: Callable[[np.ndarray], np.ndarray], frames: np.ndarray) -> Iterator[np.ndarray]:
    """Yield for each frame in turn how much it contributes to each pixel.

    Args:
        distill: uint8 (T, H, W, 3) -> uint8 (H, W, 3); called once, and once more for each frame.
        frames: uint8 (T, H, W, 3), at least two.

    Yields:
        float32 (H, W), mean absolute change over the colours, in grey levels.
    """
    assert len(frames) > 1, "a single frame contributes everything"
    whole, total = distill(frames).astype(np.int16), frames.sum(axis=0, dtype=np.int64)
    for index in range(len(frames)):
        without = frames.copy()
        without[index] = np.rint((total - frames[index]) / (len(frames) - 1))
        yield np.abs(distill(without) - whole).mean(axis=-1, dtype=np.float32)


@dataclass(frozen=True)
class Change:
    """Differences between two clips.

    Attributes:
        map: (T, H, W) float32, the absolute difference at each place, mean over the colours, in levels of 255.
    """

    map: np.ndarray

    @property
    def per_frame(self) -> tuple[float, ...]:
        """Return the mean absolute difference of each frame, in levels of 255."""
        return tuple(self.map.mean(axis=(1, 2), dtype=np.float64).tolist())

    @property
    def most(self) -> float:
        """Return the largest difference at any place and time, in levels of 255."""
        return float(self.map.max())


def change(before: np.ndarray, after: np.ndarray) -> Change:
    """Compare two clips of one shape, uint8 (T, H, W, 3)."""
    assert before.shape == after.shape, (before.shape, after.shape)
    # Through int16: the difference of two uint8 wraps around.
    difference = np.abs(before.astype(np.int16) - after.astype(np.int16))
    return Change(difference.mean(axis=-1, dtype=np.float32))


def moving_part(frames: np.ndarray, share: float = 0.9) -> tuple[int, int, int, int]:
    """Return the box in which most of a clip's motion happens: (top, left, height, width) in pixels.

    Rows and columns are taken from where the frames vary most over time until the box holds about that `share` of all
    variation. A clip without motion has its middle for a box.

    Args:
        frames: uint8 (T, H, W, 3).
        share: of the variation that the box must hold along each side, 0 to 1.
    """
    variation = frames.astype(np.float32).std(axis=0).mean(axis=-1)  # (H, W)
    if variation.max() < 1e-3:
        height, width = variation.shape
        return height // 4, width // 4, height // 2, width // 2
    # Squared: slight flicker all over must not outweigh a small thing that really moves.
    rows, columns = (_core(np.square(variation).sum(axis=axis), share) for axis in (1, 0))
    return rows[0], columns[0], rows[1] - rows[0], columns[1] - columns[0]


def _core(amount: np.ndarray, share: float) -> tuple[int, int]:
    """Return the ends [first, last) of the shortest stretch that holds `share` of an amount along a line."""
    sums = np.concatenate([[0.0], np.cumsum(amount, dtype=np.float64)])
    ends = np.searchsorted(sums, sums[:-1] + share * sums[-1] * (1 - 1e-9))
    lengths = np.where(ends < len(sums), ends - np.arange(len(amount)), len(amount) + 1)
    first = int(lengths.argmin())
    return first, int(ends[first])
