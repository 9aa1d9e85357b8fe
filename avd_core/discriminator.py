"""The discriminator: how much an image looks like a real frame, place by place.

Convolutions only and no normalisation, as zero-centred gradient penalties want (R3GAN, arXiv 2501.05441). The first
layer works at full resolution, since what gives a distilled image away is fine. Its answer is a map of logits: shown
to people as "where it looks real", averaged into one score.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from avd_core.config import ModelConfig


class Discriminator(nn.Module):
    """Image (B,3,H,W) in [-1,1], on the 8-bit grid -> logits (B,h,w); h = H / 2^(stages-1). Higher is more real."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        widths = config.discriminator_channels
        layers: list[nn.Module] = [nn.Conv2d(3, widths[0], 3, padding=1), nn.LeakyReLU(0.2)]
        for before, width in pairwise(widths):
            layers += [nn.Conv2d(before, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
            layers += [nn.Conv2d(width, width, 3, padding=1), nn.LeakyReLU(0.2)]
        layers.append(nn.Conv2d(widths[-1], 1, 1))
        self.layers = nn.Sequential(*layers)

    def forward(self, image: Tensor) -> Tensor:
        return self.layers(image).squeeze(1)
