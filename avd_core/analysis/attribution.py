"""Which frame each pixel of a distilled image draws on, for whatever makes the image.

One frame after the other is taken away (the mean of the others takes its place); where the image changes, and by how
much, is what that frame had contributed. Unlike the weights of an encoder's blend this also counts what the network
adds to it, and it needs no blend.

Axes: T frames, H, W.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np


def contributions(distill: Callable[[np.ndarray], np.ndarray], frames: np.ndarray) -> Iterator[np.ndarray]:
    """Yields for each frame in turn how much it contributes to each pixel.

    Args:
        distil: uint8 (T, H, W, 3) -> uint8 (H, W, 3); called once, and once more for each frame.
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
