"""The decoder: the clip comes back from the image alone (AVD, arXiv 1907.05640).

The mirror of the encoder: a 2D trunk reads the image, its channels unfold into a short time axis, and 3D convolutions
double that axis stage by stage. With `ModelConfig.residual` the frames are the image plus residuals.

Axes: B batch, C channels, T frames, H, W.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avd_core.config import ModelConfig
from avd_core.layers import ClipBlock, ImageTrunk, flatten_time, head, unflatten_time, unfold_pixels


class Decoder(nn.Module):
    """Image (B,3,H,W) in [-1,1] -> clip (B,3,T,H,W), about [-1,1], not clamped. H and W are multiples of 8."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.clip_channels[::-1]
        self.time_start = config.frames // 2 ** (len(widths) - 1)
        self.stem = nn.Conv2d(3 * config.patch**2, config.image_channels, 3, padding=1)
        self.trunk = ImageTrunk(
            config.image_channels, 2 * config.image_blocks, config.deep_channels, config.deep_blocks
        )
        self.part = nn.Conv2d(config.image_channels, widths[0] * self.time_start, 1)
        stages: list[nn.Module] = []
        for index, (width, blocks) in enumerate(zip(widths, config.clip_blocks[::-1], strict=True)):
            if index:
                stages.append(nn.ConvTranspose3d(widths[index - 1], width, (2, 1, 1), stride=(2, 1, 1)))
            stages += [ClipBlock(width) for _ in range(blocks)]
        self.clip_stages = nn.Sequential(*stages)
        self.to_frames = head(widths[-1], 3 * config.patch**2, zero=config.residual)

    def forward(self, image: Tensor) -> Tensor:
        features = self.part(self.trunk(self.stem(F.pixel_unshuffle(image, self.config.patch))))
        features = self.clip_stages(features.unflatten(1, (-1, self.time_start)))
        frames = unflatten_time(self.to_frames(flatten_time(features)), image.shape[0])
        residual = unfold_pixels(frames.float(), self.config.patch)
        return image.unsqueeze(2) + residual if self.config.residual else torch.tanh(residual)
