"""The blocks that encoder, decoder and discriminator are made of.

No normalisation layers: a distilled image carries the clip in small differences of its pixels, and statistics shared
over a batch or an image would blur them. Residual branches start at zero, so that every network starts as its shortcut.

Axes: B batch, C channels, T frames, H, W.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def fold_pixels(clip: Tensor, patch: int) -> Tensor:
    """Moves `patch` x `patch` pixel blocks of each frame into channels.

    (B,C,T,H,W) -> (B,C*patch^2,T,H/patch,W/patch).
    """
    return F.pixel_unshuffle(clip.transpose(1, 2), patch).transpose(1, 2)


def unfold_pixels(features: Tensor, patch: int) -> Tensor:
    """The inverse of `fold_pixels`."""
    return F.pixel_shuffle(features.transpose(1, 2), patch).transpose(1, 2)


def round_to_8_bits(image: Tensor) -> Tensor:
    """Rounds values in [-1, 1] to the 256 levels of an 8-bit file; the gradient passes straight through.

    Values outside the range are clamped. Their gradient passes too, so that a saturated pixel can come back.
    """
    levels = ((image.detach().clamp(-1, 1) + 1) * 127.5).round()
    return image + (levels / 127.5 - 1 - image.detach())


def _zeroed(conv: nn.Module) -> nn.Module:
    nn.init.zeros_(conv.weight)
    nn.init.zeros_(conv.bias)
    return conv


class ClipBlock(nn.Module):
    """Residual 3D block, its 3x3x3 kernel factorised into 1x3x3 and 3x1x1 (R(2+1)D, arXiv 1711.11248)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.SiLU(),
            nn.Conv3d(channels, channels, (1, 3, 3), padding=(0, 1, 1)),
            nn.SiLU(),
            _zeroed(nn.Conv3d(channels, channels, (3, 1, 1), padding=(1, 0, 0))),
        )

    def forward(self, features: Tensor) -> Tensor:
        return features + self.branch(features)


class ImageBlock(nn.Module):
    """Residual 2D block of two 3x3 convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.SiLU(),
            _zeroed(nn.Conv2d(channels, channels, 3, padding=1)),
        )

    def forward(self, features: Tensor) -> Tensor:
        return features + self.branch(features)


class ImageTrunk(nn.Module):
    """2D trunk with a deep part at half resolution, where one kernel spans a larger movement."""

    def __init__(self, channels: int, blocks: int, deep_channels: int, deep_blocks: int) -> None:
        super().__init__()
        self.before = nn.Sequential(*(ImageBlock(channels) for _ in range(blocks)))
        self.down = nn.Conv2d(channels, deep_channels, 2, stride=2)
        self.deep = nn.Sequential(*(ImageBlock(deep_channels) for _ in range(deep_blocks)))
        self.up = nn.ConvTranspose2d(deep_channels, channels, 2, stride=2)
        self.after = nn.Sequential(*(ImageBlock(channels) for _ in range(blocks)))

    def forward(self, features: Tensor) -> Tensor:
        features = self.before(features)
        return self.after(features + self.up(self.deep(self.down(features))))


def head(channels: int, out_channels: int, *, zero: bool) -> nn.Conv2d:
    """Last convolution of a network; `zero` starts it at nothing, for networks that add to a shortcut."""
    conv = nn.Conv2d(channels, out_channels, 3, padding=1)
    return _zeroed(conv) if zero else conv


def flatten_time(features: Tensor) -> Tensor:
    """(B,C,T,H,W) -> (B*T,C,H,W), for a 2D convolution on every frame."""
    return features.transpose(1, 2).flatten(0, 1)


def unflatten_time(features: Tensor, batch: int) -> Tensor:
    """(B*T,C,H,W) -> (B,C,T,H,W)."""
    return features.unflatten(0, (batch, -1)).transpose(1, 2)


def middle_bias(frames: int) -> Tensor:
    """Starting logits of a temporal blend (T,): nearly all weight on the middle frame, T // 2."""
    bias = torch.zeros(frames)
    bias[frames // 2] = 6.0
    return bias
