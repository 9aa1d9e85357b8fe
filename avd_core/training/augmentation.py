"""Differentiable augmentation of what the discriminator sees (after DiffAugment, arXiv 2006.10738).

A discriminator memorises a small set of clips. Here each pair of a real and a fake image is changed in the same way, in
the discriminator's step and in the generator's, and the gradient passes through. A sample's change depends only on its
seed, not on the size of a micro-batch or the number of processes.

Axes: B batch, H, W.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

KINDS = ("colour", "shift", "cutout")
SHIFT, CUTOUT = 1 / 8, 1 / 3  # at most this part of each side, as published; a cutout of 1/2 hides too much of a frame


def augment(images: Tensor, kinds: Sequence[str], seeds: Sequence[tuple[int, ...]]) -> Tensor:
    """Change each image of (B,3,H,W) at random; the same seeds make the same changes.

    Args:
        images: values in [-1, 1], which colour changes may leave.
        kinds: some of `KINDS`. colour: brightness by up to +-0.5, saturation times 0 to 2, contrast times 0.5 to 1.5;
            shift: by whole pixels, up to an eighth of a side, zeros coming in; cutout: a square of zeros somewhere.
        seeds: one per image.
    """
    height, width = images.shape[-2:]
    # Every kind draws its own numbers, so that switching one on leaves the others as they were.
    draws = {kind: _draws(seeds, KINDS.index(kind), images) for kind in kinds}
    if "colour" in draws:
        brightness, saturation, contrast = draws["colour"][:, :3, None, None, None].unbind(1)
        images = images + (brightness - 0.5)
        grey = images.mean(dim=1, keepdim=True)
        images = grey + (images - grey) * (saturation * 2)
        level = images.mean(dim=(1, 2, 3), keepdim=True)
        images = level + (images - level) * (contrast + 0.5)
    if "shift" in draws:
        down, right = (
            ((2 * draw - 1) * SHIFT * side).round().long()
            for draw, side in zip(draws["shift"][:, :2].unbind(1), (height, width), strict=True)
        )
        rows, inside_rows = _moved(height, down)
        columns, inside_columns = _moved(width, right)
        batch = torch.arange(len(images), device=images.device)[:, None, None]
        moved = images.permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
        images = moved * (inside_rows[:, :, None] & inside_columns[:, None, :])[:, None]
    if "cutout" in draws:
        side = max(1, round(CUTOUT * min(height, width)))
        rows, columns = (
            _between(length, draw * length - side / 2, side)
            for draw, length in zip(draws["cutout"][:, :2].unbind(1), (height, width), strict=True)
        )
        images = images * ~(rows[:, :, None] & columns[:, None, :])[:, None]
    return images


def _draws(seeds: Sequence[tuple[int, ...]], kind: int, like: Tensor) -> Tensor:
    """Draw three numbers from [0, 1) for each seed: (B,3)."""
    drawn = [np.random.default_rng((*seed, kind)).random(3) for seed in seeds]
    return torch.tensor(np.array(drawn), dtype=like.dtype, device=like.device)


def _moved(length: int, by: Tensor) -> tuple[Tensor, Tensor]:
    """Return the source position of each position of a shifted side, (B,length), and whether it lies inside."""
    source = torch.arange(length, device=by.device) - by[:, None]
    return source.clamp(0, length - 1), (source >= 0) & (source < length)


def _between(length: int, first: Tensor, size: int) -> Tensor:
    """Return which positions of a side lie in the `size` pixels from `first` (B,) on: bool (B,length)."""
    places = torch.arange(length, device=first.device)
    first = first.round()[:, None]
    return (places >= first) & (places < first + size)
