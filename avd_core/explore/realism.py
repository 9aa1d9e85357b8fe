"""Rate images by a checkpoint's own critic, which describes them and proves nothing.

Axes: T frames, H, W; the last axis is RGB. Frames and images are uint8.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from avd_core.explore.parts import Realism

if TYPE_CHECKING:
    from avd_core.networks.avd import AVD


def rate_realism(model: AVD, image: np.ndarray, frames: np.ndarray) -> Realism:
    """Rate a distilled image (H, W, 3) in each patch, and the frames (T, H, W, 3) of its clip."""
    import torch

    from avd_core.networks.avd import image_to_tensor, to_tensor

    device = next(model.parameters()).device
    with torch.inference_mode():
        patches = model.realism_map(image_to_tensor(image).to(device))[0]  # (h, w)
        own = model.realism(to_tensor(frames)[0].transpose(0, 1).to(device)).tolist()  # (T, 3, H, W) -> T
    logit = float(patches.mean())
    calibration = model.calibration.at(min(image.shape[:2])) if model.calibration else None
    return Realism(
        logit=logit,
        percentile_among_real=calibration.percentile_among_real(logit) if calibration else None,
        percentile_among_distilled=calibration.percentile_among_distilled(logit) if calibration else None,
        own_frames=tuple(calibration.percentile_among_real(score) for score in own) if calibration else (),
        own_logits=tuple(own),
        map=patches.float().cpu().numpy(),
    )


def realism_percentile(model: AVD, image: np.ndarray) -> float | None:
    """Return the share of real reference frames that look less real than an image (H, W, 3), 0 to 100.

    None if the checkpoint has no reference scores.
    """
    import torch

    from avd_core.networks.avd import image_to_tensor

    if model.calibration is None:
        return None
    with torch.inference_mode():
        logit = model.realism(image_to_tensor(image).to(next(model.parameters()).device)).item()
    return model.calibration.at(min(image.shape[:2])).percentile_among_real(logit)
