"""The blocks: inverses are inverses, rounding rounds and lets the gradient pass."""

from __future__ import annotations

import torch

from avd_core.layers import ClipBlock, ImageBlock, ImageTrunk, fold_pixels, round_to_8_bits, unfold_pixels


def test_unfolding_undoes_folding():
    clip = torch.rand(2, 3, 4, 16, 24)
    folded = fold_pixels(clip, 4)
    assert folded.shape == (2, 48, 4, 4, 6)
    assert torch.equal(unfold_pixels(folded, 4), clip)


def test_rounding_lands_on_the_256_levels_of_a_file():
    image = torch.linspace(-1.3, 1.3, 1001)
    levels = (round_to_8_bits(image) + 1) * 127.5
    assert torch.allclose(levels, levels.round(), atol=1e-4)
    assert levels.min() >= -1e-4
    assert levels.max() <= 255 + 1e-4
    assert (round_to_8_bits(image) - image.clamp(-1, 1)).abs().max() <= 0.5 / 127.5 + 1e-6


def test_the_gradient_passes_rounding_untouched():
    image = torch.tensor([-2.0, -0.3, 0.0, 0.4, 1.5], requires_grad=True)
    (round_to_8_bits(image) * torch.arange(5.0)).sum().backward()
    assert torch.equal(image.grad, torch.arange(5.0))


def test_residual_blocks_start_as_the_identity():
    clip, image = torch.rand(1, 8, 4, 8, 8), torch.rand(1, 8, 8, 8)
    assert torch.equal(ClipBlock(8)(clip), clip)
    assert torch.equal(ImageBlock(8)(image), image)


def test_the_trunk_keeps_size_and_width():
    assert ImageTrunk(8, 1, 16, 1)(torch.rand(2, 8, 6, 10)).shape == (2, 8, 6, 10)
