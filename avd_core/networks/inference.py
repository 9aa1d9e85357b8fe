"""Distill and restore clips as 8-bit arrays.

torch is imported by the first call, so that pages and commands start without it.

Axes: T frames, H, W; the last axis is RGB.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

    from avd_core.networks.avd import AVD


def distiller(model: AVD) -> Callable[[np.ndarray], np.ndarray]:
    """Return a checkpoint as a function from a clip to its image, with the interface of `analysis.baselines`."""
    return partial(distill, model)


def distill(model: AVD, frames: np.ndarray) -> np.ndarray:
    """Return the distilled image, uint8 (H, W, 3), as a file holds it.

    Args:
        model: a checkpoint.
        frames: uint8 (T, H, W, 3), T as its config says, sides multiples of 8.
    """
    import torch

    from avd_core.networks.avd import tensor_to_image, to_tensor

    with torch.inference_mode():
        return tensor_to_image(model.encode(to_tensor(frames).to(_device(model))))


def restore(model: AVD, image: np.ndarray) -> np.ndarray:
    """Return the frames, uint8 (T, H, W, 3), that are restored from an image, uint8 (H, W, 3)."""
    import torch

    from avd_core.networks.avd import image_to_tensor, to_frames

    with torch.inference_mode():
        return to_frames(model.decode(image_to_tensor(image).to(_device(model))))


def _device(model: AVD) -> torch.device:
    return next(model.parameters()).device
