"""The encoder, which makes one image of a clip (AVD, arXiv 1907.05640).

3D convolutions halve the time axis stage by stage; the rest of it is reshaped into channels for a 2D trunk. With
`ModelConfig.residual` the image is a learned temporal blend of the frames (weights that sum to one at every place) plus
a residual; without it the network computes the image directly, as published.

Axes: B batch, C channels, T frames, H, W.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avd_core.config import ModelConfig
from avd_core.networks.layers import (
    RESIDUAL_GAIN,
    Bands,
    ClipBlock,
    ImageTrunk,
    flatten_time,
    middle_bias,
    preserve_variance,
    unflatten_time,
)


class Encoder(nn.Module):
    """Clip (B,3,T,H,W) in [-1,1] -> image (B,3,H,W), about [-1,1], not yet rounded. H and W are multiples of 8."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.clip_channels
        self.bands = Bands(config.patch)
        self.stem = preserve_variance(nn.Conv3d(3 * config.patch**2, widths[0], 3, padding=1))
        stages: list[nn.Module] = []
        for index, (width, blocks) in enumerate(zip(widths, config.clip_blocks, strict=True)):
            if index:
                halve = nn.Conv3d(widths[index - 1], width, (2, 1, 1), stride=(2, 1, 1))
                stages.append(preserve_variance(halve))
            stages += [ClipBlock(width) for _ in range(blocks)]
        self.clip_stages = nn.Sequential(*stages)
        time_left = config.frames // 2 ** (len(widths) - 1)
        self.join = preserve_variance(nn.Conv2d(widths[-1] * time_left, config.image_channels, 1))
        self.trunk = ImageTrunk(config.image_channels, config.image_blocks, config.deep_channels, config.deep_blocks)
        width, gain = config.image_channels, RESIDUAL_GAIN if config.residual else 1.0
        self.to_image = preserve_variance(nn.Conv2d(width, 3 * config.patch**2, 3, padding=1), gain)
        self.to_blend = None
        if config.residual:
            self.to_blend = preserve_variance(nn.Conv2d(width, config.frames, 3, padding=1), RESIDUAL_GAIN)
        self.register_buffer("blend_bias", middle_bias(config.frames)[:, None, None], persistent=False)

    def _image_features(self, clip: Tensor) -> Tensor:
        bands = unflatten_time(self.bands(flatten_time(clip)), clip.shape[0])
        features = self.clip_stages(self.stem(bands))
        return self.trunk(self.join(features.flatten(1, 2)))

    def _blend_weights(self, features: Tensor, size: tuple[int, int]) -> Tensor:
        assert self.to_blend is not None
        weights = (self.to_blend(features).float() + self.blend_bias).softmax(dim=1)
        return F.interpolate(weights, size=size, mode="bilinear", align_corners=False)

    def blend_weights(self, clip: Tensor) -> Tensor | None:
        """Return each frame's weight at each pixel, (B,T,H,W), summing to 1 over T; None without a blend."""
        return (
            self._blend_weights(self._image_features(clip), (clip.shape[-2], clip.shape[-1]))
            if self.to_blend is not None
            else None
        )

    def forward(self, clip: Tensor) -> Tensor:
        features = self._image_features(clip)
        residual = self.bands.inverse(self.to_image(features))
        if self.to_blend is None:
            return torch.tanh(residual)
        weights = self._blend_weights(features, (clip.shape[-2], clip.shape[-1]))
        return (clip * weights.unsqueeze(1)).sum(dim=2) + residual
