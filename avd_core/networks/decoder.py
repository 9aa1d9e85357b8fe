"""The decoder, which restores a clip from its image alone (AVD, arXiv 1907.05640).

It mirrors the encoder: a 2D trunk reads the image, its channels are reshaped into a short time axis, and 3D
convolutions double that axis stage by stage. With `ModelConfig.residual` the frames are the image plus residuals.

Axes: B batch, C channels, T frames, H, W.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from avd_core.config import ModelConfig
from avd_core.networks.layers import (
    RESIDUAL_GAIN,
    Bands,
    ClipBlock,
    ImageTrunk,
    flatten_time,
    preserve_variance,
    unflatten_time,
)


class Decoder(nn.Module):
    """Image (B,3,H,W) in [-1,1] -> clip (B,3,T,H,W), about [-1,1], not clamped. H and W are multiples of 8."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.clip_channels[::-1]
        self.time_start = config.frames // 2 ** (len(widths) - 1)
        self.bands = Bands(config.patch)
        self.stem = preserve_variance(nn.Conv2d(3 * config.patch**2, config.image_channels, 3, padding=1))
        self.trunk = ImageTrunk(
            config.image_channels, 2 * config.image_blocks, config.deep_channels, config.deep_blocks
        )
        self.part = preserve_variance(nn.Conv2d(config.image_channels, widths[0] * self.time_start, 1))
        stages: list[nn.Module] = []
        for index, (width, blocks) in enumerate(zip(widths, config.clip_blocks[::-1], strict=True)):
            if index:
                double = nn.ConvTranspose3d(widths[index - 1], width, (2, 1, 1), stride=(2, 1, 1))
                stages.append(preserve_variance(double))
            stages += [ClipBlock(width) for _ in range(blocks)]
        self.clip_stages = nn.Sequential(*stages)
        gain = RESIDUAL_GAIN if config.residual else 1.0
        self.to_frames = preserve_variance(nn.Conv2d(widths[-1], 3 * config.patch**2, 3, padding=1), gain)

    def forward(self, image: Tensor) -> Tensor:
        features = self.part(self.trunk(self.stem(self.bands(image))))
        features = self.clip_stages(features.unflatten(1, (-1, self.time_start)))
        frames = self.bands.inverse(self.to_frames(flatten_time(features)))
        residual = unflatten_time(frames, image.shape[0])
        return image.unsqueeze(2) + residual if self.config.residual else torch.tanh(residual)
