"""One image for a whole clip: the distilled image, and what it must be compared with.

One interface: a clip as uint8 (T, H, W, 3) in, one image as uint8 (H, W, 3) out. A single frame and the mean
frame need no network at all, so a number quoted for a distilled image means something only beside theirs.

Axes: T frames, H, W; the last axis is RGB.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # the still ones need no torch
    from avd_core.model import AVD


def first_frame(frames: np.ndarray) -> np.ndarray:
    """The first sampled frame."""
    return frames[0]


def middle_frame(frames: np.ndarray) -> np.ndarray:
    """Sampled frame ``T // 2``, counted from 0: the honest still-image baseline."""
    return frames[len(frames) // 2]


def mean_frame(frames: np.ndarray) -> np.ndarray:
    """The average of all frames, rounded to 8 bit: blind to order, hard to beat in PSNR."""
    return np.rint(frames.mean(axis=0, dtype=np.float64)).astype(np.uint8)


DISTILLERS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "first": first_frame,
    "middle": middle_frame,
    "mean": mean_frame,
}


def distil(model: AVD, frames: np.ndarray) -> np.ndarray:
    """The distilled image, as an 8-bit file holds it.

    Args:
        model: a checkpoint.
        frames: uint8 (T, H, W, 3), T as its config says, sides multiples of 8.
    """
    import torch

    from avd_core.model import tensor_to_image, to_tensor

    with torch.inference_mode():
        return tensor_to_image(model.encode(to_tensor(frames).to(_device(model))))


def restore(model: AVD, image: np.ndarray) -> np.ndarray:
    """The inverse of `distil`: frames (T, H, W, 3) from an 8-bit image (H, W, 3)."""
    import torch

    from avd_core.model import image_to_tensor, to_frames

    with torch.inference_mode():
        return to_frames(model.decode(image_to_tensor(image).to(_device(model))))


def _device(model: AVD) -> object:
    return next(model.parameters()).device
