"""Building blocks of encoder, decoder and discriminator.

There are no normalisation layers: a distilled image stores the clip in small differences of its pixels, which
statistics over a batch or an image would disturb. Instead convolutions are initialised to preserve the variance of
their input (`preserve_variance`), and the networks' inputs and outputs have about unit variance (`Bands`).

Axes: B batch, C channels, T frames, H, W.
"""

from __future__ import annotations

import math
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Conv = TypeVar("Conv", nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)

BRANCH_GAIN = 0.5
RESIDUAL_GAIN = 0.3


class Bands(nn.Module):
    """Images as bands and back: each `patch` x `patch` block becomes 3 * patch^2 channels of about unit variance.

    A fixed orthonormal transform (opponent colours times a DCT of the block), each channel divided by its standard
    deviation in frames of video. In pixels, brightness is a thousand times larger than the finest colour detail, which
    networks learn very late; in bands all scales are equally large. It is invertible: `inverse(forward(x)) == x`.
    """

    analysis: Tensor
    synthesis: Tensor

    def __init__(self, patch: int) -> None:
        super().__init__()
        self.patch = patch
        steps = torch.arange(patch, dtype=torch.float64)
        dct = torch.cos(math.pi * (2 * steps + 1) * steps[:, None] / (2 * patch)) * math.sqrt(2 / patch)
        dct[0] /= math.sqrt(2)
        colours = torch.tensor([[1, 1, 1], [1, 0, -1], [1, -2, 1]], dtype=torch.float64)
        colours /= colours.norm(dim=1, keepdim=True)
        filters = torch.einsum("ac,ux,vy->auvcxy", colours, dct, dct)
        # Standard deviations, to a factor of two, measured on frames of the training clips: a constant part, a power
        # law of the squared frequency, little colour, and at least the noise of 8-bit rounding.
        frequency = (steps[:, None].square() + steps.square()).clamp(min=1) ** -0.9 * 0.43
        frequency[0, 0] = 3.2
        usual = torch.tensor([1.0, 0.15, 0.06], dtype=torch.float64)[:, None, None] * frequency + 0.01
        shape = (3 * patch**2, 3, patch, patch)
        filters, usual = filters.reshape(shape).float(), usual.reshape(-1, 1, 1, 1).float()
        self.register_buffer("analysis", filters / usual, persistent=False)
        self.register_buffer("synthesis", filters * usual, persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """Transform (B,3,H,W) to (B,3*patch^2,H/patch,W/patch), in fp32 also under autocast."""
        with torch.autocast(image.device.type, enabled=False):
            return F.conv2d(image.float(), self.analysis, stride=self.patch)

    def inverse(self, bands: Tensor) -> Tensor:
        """Transform (B,3*patch^2,h,w) to (B,3,h*patch,w*patch), in fp32."""
        with torch.autocast(bands.device.type, enabled=False):
            return F.conv_transpose2d(bands.float(), self.synthesis, stride=self.patch)


def round_to_8_bits(image: Tensor) -> Tensor:
    """Round values in [-1, 1] to the 256 levels of an 8-bit file; the gradient passes straight through.

    Values outside the range are clamped. Their gradient passes too, so that training can leave saturation.
    """
    levels = ((image.detach().clamp(-1, 1) + 1) * 127.5).round()
    return image + (levels / 127.5 - 1 - image.detach())


def preserve_variance(conv: Conv, gain: float = 1.0) -> Conv:
    """Initialise a convolution so that its output is `gain` times as large as its input, without a bias.

    torch's default makes each layer's output 0.58 times its input, so that the signal vanishes in the dozen layers
    between encoder and decoder, and training is slow to start.
    """
    # Transposed ones are used with kernel = stride: each output sees one place, so the fan-in is the channels.
    transposed = isinstance(conv, nn.ConvTranspose2d | nn.ConvTranspose3d)
    fan_in = conv.weight.shape[0] if transposed else conv.weight[0].numel()
    nn.init.normal_(conv.weight, std=gain / math.sqrt(fan_in))
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv


class ClipBlock(nn.Module):
    """Residual 3D block, its 3x3x3 kernel factorised into 1x3x3 and 3x1x1 (R(2+1)D, arXiv 1711.11248)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.SiLU(),
            preserve_variance(nn.Conv3d(channels, channels, (1, 3, 3), padding=(0, 1, 1))),
            nn.SiLU(),
            preserve_variance(nn.Conv3d(channels, channels, (3, 1, 1), padding=(1, 0, 0)), BRANCH_GAIN),
        )

    def forward(self, features: Tensor) -> Tensor:
        return features + self.branch(features)


class ImageBlock(nn.Module):
    """Residual 2D block of two 3x3 convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.SiLU(),
            preserve_variance(nn.Conv2d(channels, channels, 3, padding=1)),
            nn.SiLU(),
            preserve_variance(nn.Conv2d(channels, channels, 3, padding=1), BRANCH_GAIN),
        )

    def forward(self, features: Tensor) -> Tensor:
        return features + self.branch(features)


class ImageTrunk(nn.Module):
    """2D trunk with a deep part at half resolution, where one kernel spans a larger movement."""

    def __init__(self, channels: int, blocks: int, deep_channels: int, deep_blocks: int) -> None:
        super().__init__()
        self.before = nn.Sequential(*(ImageBlock(channels) for _ in range(blocks)))
        self.down = preserve_variance(nn.Conv2d(channels, deep_channels, 2, stride=2))
        self.deep = nn.Sequential(*(ImageBlock(deep_channels) for _ in range(deep_blocks)))
        self.up = preserve_variance(nn.ConvTranspose2d(deep_channels, channels, 2, stride=2), BRANCH_GAIN)
        self.after = nn.Sequential(*(ImageBlock(channels) for _ in range(blocks)))

    def forward(self, features: Tensor) -> Tensor:
        features = self.before(features)
        return self.after(features + self.up(self.deep(self.down(features))))


def flatten_time(features: Tensor) -> Tensor:
    """Reshape (B,C,T,H,W) to (B*T,C,H,W), for a 2D convolution on every frame."""
    return features.transpose(1, 2).flatten(0, 1)


def unflatten_time(features: Tensor, batch: int) -> Tensor:
    """Reshape (B*T,C,H,W) to (B,C,T,H,W)."""
    return features.unflatten(0, (batch, -1)).transpose(1, 2)


def middle_bias(frames: int) -> Tensor:
    """Return the initial logits of a temporal blend (T,): nearly all weight on the middle frame, T // 2."""
    bias = torch.zeros(frames)
    bias[frames // 2] = 6.0
    return bias
