"""Previews of a training's network on whole clips, and the calibration that ships with its checkpoint.

Axes: T frames, H, W.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from avd_core.config import ModelConfig
from avd_core.data.datasets import ClipSource
from avd_core.networks.avd import AVD, to_frames, to_tensor
from avd_core.networks.calibration import Calibration

CALIBRATION_CLIPS = 200


def calibrate(
    model: AVD, clips: ClipSource, *, size: int | None = None, sizes: Sequence[int] = (),
    limit: int = CALIBRATION_CLIPS, device: str = "cpu",
) -> Calibration:  # fmt: skip
    """Return reference scores of up to `limit` clips: of one frame of each, and of its distilled image.

    Clips are taken at even distances from the source and sampled over their whole length, at a short side of `size`
    pixels (by default the model's own), and also at each of `sizes`.
    """

    def at(size: int) -> Calibration:
        real, distilled = [], []
        for number, index in enumerate(np.linspace(0, len(clips) - 1, min(limit, len(clips))).astype(int)):
            clip = whole_clip(clips[int(index)], model.config, size).to(device)
            frame = clip[:, :, number % model.config.frames]
            real.append(model.realism(frame).item())
            distilled.append(model.realism(model.encode(clip)).item())
        return Calibration.from_scores(real, distilled)

    by_size, size = {one: at(one) for one in sizes}, size or model.config.size
    return replace(by_size.get(size) or at(size), sizes=by_size)


def whole_clip(stored: np.ndarray, config: ModelConfig, size: int | None = None) -> Tensor:
    """Convert stored frames (T',H,W,3), uint8, to a checkpoint's input (1,3,T,h,w) in [-1, 1].

    Frames are taken at the middles of T equal parts of the clip. The short side is `size`, by default the checkpoint's
    own; sides are multiples of 8.
    """
    picks = ((np.arange(config.frames) + 0.5) * len(stored) / config.frames).astype(int)
    height, width = stored.shape[1:3]
    scale = (size or config.size) / min(height, width)
    clip = to_tensor(stored[picks])
    shape = (config.frames, *(max(8, round(side * scale / 8) * 8) for side in (height, width)))
    if clip.shape[2:] != shape:
        clip = F.interpolate(
            clip.squeeze(0).transpose(0, 1), size=shape[1:], mode="bilinear", antialias=True, align_corners=False
        )
        clip = clip.transpose(0, 1).unsqueeze(0)
    return clip


@torch.inference_mode()
def preview(model: AVD, clip: Tensor) -> tuple[np.ndarray, float]:
    """Return a picture (first, middle, last frame | image | the same restored) and the restoration's PSNR in dB."""
    image = model.encode(clip)
    restored = to_frames(model.decode(image))
    original = to_frames(clip)
    picks = [0, len(original) // 2, len(original) - 1]
    row = [*original[picks], to_frames(image.unsqueeze(2))[0], *restored[picks]]
    error = np.mean((original.astype(np.float64) - restored) ** 2)
    return np.concatenate(row, axis=1), float(10 * np.log10(255**2 / max(error, 1e-9)))
