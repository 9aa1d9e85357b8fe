"""Disturb distilled images between encoder and decoder in training: noise, and JPEG.

Trained through these, encoder and decoder learn a code that survives them. JPEG (4:2:0) is computed with tensors; the
gradient passes straight through its roundings. A sample's disturbance depends only on its seed.

Axes: B batch, H, W.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

BEST_QUALITY = 95
# The example tables of the JPEG standard (ITU-T T.81, annex K), which libjpeg scales by quality: luma, chroma.
_LUMA = """16 11 10 16 24 40 51 61  12 12 14 19 26 58 60 55  14 13 16 24 40 57 69 56  14 17 22 29 51 87 80 62
18 22 37 56 68 109 103 77  24 35 55 64 81 104 113 92  49 64 78 87 103 121 120 101  72 92 95 98 112 100 103 99"""
_CHROMA = """17 18 24 47 99 99 99 99  18 21 26 66 99 99 99 99  24 26 56 99 99 99 99 99  47 66 99 99 99 99 99 99
99 99 99 99 99 99 99 99  99 99 99 99 99 99 99 99  99 99 99 99 99 99 99 99  99 99 99 99 99 99 99 99"""
_TO_YCC = [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]]
_FROM_YCC = [[1.0, 0.0, 1.402], [1.0, -0.344136, -0.714136], [1.0, 1.772, 0.0]]


def disturb(
    image: Tensor, seeds: Sequence[tuple[int, ...]], *, noise: float = 0.0, jpeg_share: float = 0.0,
    jpeg_quality: int = BEST_QUALITY,
) -> Tensor:  # fmt: skip
    """Disturb images (B,3,H,W) in [-1, 1] at random; they stay in [-1, 1].

    Args:
        image: distilled images.
        seeds: one per image.
        noise: largest magnitude of the uniform noise on each value, in levels of 255.
        jpeg_share: share of the images that go through JPEG.
        jpeg_quality: the lowest quality drawn; the highest is `BEST_QUALITY`.
    """
    if not (noise or jpeg_share):
        return image
    rngs = [np.random.default_rng(seed) for seed in seeds]
    with torch.autocast(image.device.type, enabled=False):
        if jpeg_share > 0:
            chosen = torch.tensor([rng.random() < jpeg_share for rng in rngs], device=image.device)
            quality = torch.tensor([float(rng.integers(jpeg_quality, BEST_QUALITY + 1)) for rng in rngs])
            image = torch.where(chosen[:, None, None, None], jpeg(image, quality.to(image.device)), image)
        if noise > 0:
            drawn = np.stack([rng.random(image.shape[1:], dtype=np.float32) for rng in rngs])
            image = image + torch.from_numpy(drawn).to(image.device).sub(0.5).mul(2 * noise / 127.5)
    return image.clamp(-1, 1)


def jpeg(image: Tensor, quality: Tensor) -> Tensor:
    """Return images (B,3,H,W) in [-1, 1] as read from a JPEG file (4:2:0), at 8-bit levels.

    Args:
        image: the images to save.
        quality: of each file (B,), 1 to 100, on libjpeg's scale.
    """
    height, width = image.shape[-2:]
    to_ycc, from_ycc = (torch.tensor(matrix, device=image.device) for matrix in (_TO_YCC, _FROM_YCC))
    ycc = torch.einsum("ij,bjhw->bihw", to_ycc, (image + 1) * 127.5)
    # Whole blocks, also of the halved chroma; edges are repeated, as encoders do.
    ycc = F.pad(ycc, (0, -width % 16, 0, -height % 16), mode="replicate")
    # libjpeg rounds in between, which matters for coefficients near the middle of two steps.
    ycc = _rounded(ycc)
    luma = _rounded(_through_blocks(ycc[:, :1] - 128, _table(_LUMA, quality))) + 128
    chroma = _rounded(_through_blocks(_rounded(F.avg_pool2d(ycc[:, 1:], 2)), _table(_CHROMA, quality)))
    chroma = F.interpolate(chroma, scale_factor=2, mode="bilinear", align_corners=False)
    rgb = torch.einsum("ij,bjhw->bihw", from_ycc, torch.cat([luma, chroma], dim=1))
    rgb = rgb[..., :height, :width].clamp(0, 255)
    return _rounded(rgb) / 127.5 - 1


def _rounded(values: Tensor) -> Tensor:
    return values + (values.round() - values).detach()


def _table(base: str, quality: Tensor) -> Tensor:
    """Return the quantisation steps (B,64,1,1), computed like libjpeg's."""
    steps = torch.tensor([float(step) for step in base.split()], device=quality.device)
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality).floor()
    return ((steps * scale[:, None] + 50) / 100).floor().clamp(1, 255)[:, :, None, None]


def _through_blocks(planes: Tensor, table: Tensor) -> Tensor:
    """Return planes (B,C,H,W) with the DCT of their 8 x 8 blocks quantised by `table` (B,64,1,1)."""
    batch, channels, height, width = planes.shape
    steps = torch.arange(8, dtype=torch.float32, device=planes.device)
    dct = torch.cos(math.pi * (2 * steps + 1) * steps[:, None] / 16) / 2
    dct[0] /= math.sqrt(2)
    filters = torch.einsum("ux,vy->uvxy", dct, dct).reshape(64, 1, 8, 8)
    coefficients = F.conv2d(planes.reshape(batch * channels, 1, height, width), filters, stride=8)
    table = table.repeat_interleave(channels, dim=0)
    coefficients = _rounded(coefficients / table) * table
    return F.conv_transpose2d(coefficients, filters, stride=8).reshape(planes.shape)
