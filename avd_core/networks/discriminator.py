"""The discriminator, which rates how much an image looks like a real frame at each place.

Convolutions only and no normalisation, as zero-centred gradient penalties require (R3GAN, arXiv 2501.05441). Traces of
the code are fine and faint, so its input is the image and, amplified, the difference of the image to a slightly blurred
copy. Its output is a map of logits, shown on the page as "where it looks real" and averaged into one score.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avd_core.config import ModelConfig

FINE_GAIN = 16.0  # one level of 255 becomes about an eighth


class Discriminator(nn.Module):
    """Image (B,3,H,W) in [-1,1], on the 8-bit grid -> logits (B,h,w); h = H / 2^stages. Higher is more real."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        widths = config.discriminator_channels
        layers: list[nn.Module] = [nn.Conv2d(6, widths[0], 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        for before, width in pairwise(widths):
            layers += [nn.Conv2d(before, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
            layers += [nn.Conv2d(width, width, 3, padding=1), nn.LeakyReLU(0.2)]
        layers.append(nn.Conv2d(widths[-1], 1, 1))
        self.layers = nn.Sequential(*layers)

    def forward(self, image: Tensor) -> Tensor:
        fine = image - F.avg_pool2d(F.pad(image, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
        return self.layers(torch.cat([image, (FINE_GAIN * fine).clamp(-2, 2)], dim=1)).squeeze(1)
