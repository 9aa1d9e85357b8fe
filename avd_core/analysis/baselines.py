"""Baselines for the distilled image: other ways to make one image of a clip, without a network.

All take a clip, uint8 (T, H, W, 3), and return an image, uint8 (H, W, 3). Figures of a distilled image should always be
reported beside those of a single frame and of the mean frame.

Sources: dynamic image by approximate rank pooling, Bilen et al. 2016 (CVPR, "Dynamic Image Networks for Action
Recognition"); motion history image, Bobick and Davis 2001 (PAMI 23:3); super image, Fan et al. 2022 (SIFAR, arXiv
2106.14104); the chronophotograph after Marey's plates.

Axes: T frames, H, W; the last axis is RGB.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image

Distiller = Callable[[np.ndarray], np.ndarray]  # uint8 (T, H, W, 3) -> uint8 (H, W, 3)

MOVED = 25  # grey levels that must change from one frame to the next before the motion history calls it motion


def first_frame(frames: np.ndarray) -> np.ndarray:
    """Return the first sampled frame."""
    return frames[0]


def middle_frame(frames: np.ndarray) -> np.ndarray:
    """Return sampled frame ``T // 2``, counted from 0: the honest still-image baseline."""
    return frames[len(frames) // 2]


def mean_frame(frames: np.ndarray) -> np.ndarray:
    """Average all frames, rounded to 8 bit: blind to order, hard to beat in PSNR."""
    return np.rint(frames.mean(axis=0, dtype=np.float64)).astype(np.uint8)


def rank_pooling_weights(count: int) -> np.ndarray:
    """Return the weights of approximate rank pooling, ``2 (T - t + 1) - (T + 1) (H_T - H_(t-1))``, H harmonic numbers.

    They sum to 0, so that what stands still leaves no trace. (The widespread ``(2i - T) / i`` sums to T and leaks the
    mean frame.)

    Args:
        count: T.

    Returns:
        float64 (T,).
    """
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, count + 1))])
    t = np.arange(1, count + 1)
    return 2 * (count - t + 1) - (count + 1) * (harmonic[count] - harmonic[t - 1])


def dynamic_image(frames: np.ndarray) -> np.ndarray:
    """Sum the frames with the weights of approximate rank pooling, scaled from minimum and maximum to 0..255.

    A clip in which nothing changes has no extremes to scale, and gives an even grey.
    """
    pooled = np.tensordot(rank_pooling_weights(len(frames)), frames.astype(np.float64), axes=1)
    low, high = pooled.min(), pooled.max()
    if high - low < 1e-6:  # a still clip leaves rounding errors, which are no picture
        return np.full(frames.shape[1:], 128, np.uint8)
    return np.rint((pooled - low) * (255 / (high - low))).astype(np.uint8)


def motion_history_image(frames: np.ndarray) -> np.ndarray:
    """Draw where something moved, the brighter the later: white in the last step, black where nothing ever did."""
    grey = frames.astype(np.float64) @ (0.299, 0.587, 0.114)  # ITU-R BT.601
    history = np.zeros(grey.shape[1:])
    for t in range(1, len(frames)):
        history[np.abs(grey[t] - grey[t - 1]) > MOVED] = t
    levels = np.rint(history * (255 / max(1, len(frames) - 1))).astype(np.uint8)
    return np.repeat(levels[..., None], 3, axis=-1)


def super_image(frames: np.ndarray) -> np.ndarray:
    """Lay all frames in reading order on a near-square grid of the size of one; places left over are black."""
    count, height, width, _ = frames.shape
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    sheet = np.zeros((rows * columns, height, width, 3), np.uint8)
    sheet[:count] = frames
    sheet = sheet.reshape(rows, columns, height, width, 3).transpose(0, 2, 1, 3, 4)
    grid = Image.fromarray(np.ascontiguousarray(sheet.reshape(rows * height, columns * width, 3)))
    return np.asarray(grid.resize((width, height), Image.Resampling.BILINEAR))  # Pillow's is antialiased


def chronophotograph(frames: np.ndarray) -> np.ndarray:
    """Take every pixel from the frame that differs there most from the median frame: all poses on one plate."""
    unusual = np.abs(frames - np.median(frames, axis=0)).sum(axis=-1).argmax(axis=0)  # (H, W)
    return np.take_along_axis(frames, unusual[None, :, :, None], axis=0)[0]


def random_image(frames: np.ndarray) -> np.ndarray:
    """Draw noise of the clip's size, seeded by the clip: the floor, which carries nothing of it."""
    seed = zlib.crc32(np.ascontiguousarray(frames).data)
    return np.random.default_rng(seed).integers(0, 256, frames.shape[1:], dtype=np.uint8)


DISTILLERS: dict[str, Distiller] = {
    "first": first_frame,
    "middle": middle_frame,
    "mean": mean_frame,
    "dynamic": dynamic_image,
    "motion-history": motion_history_image,
    "super": super_image,
    "chronophotograph": chronophotograph,
    "random": random_image,
}
