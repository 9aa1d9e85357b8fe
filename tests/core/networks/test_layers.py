"""The blocks: inverses are inverses, rounding rounds and lets the gradient pass."""

from __future__ import annotations

import pytest
import torch

from avd_core.networks.layers import Bands, ClipBlock, ImageBlock, ImageTrunk, preserve_variance, round_to_8_bits


@pytest.mark.parametrize("patch", [2, 4])
def test_bands_lose_nothing(patch):
    bands, image = Bands(patch), torch.rand(2, 3, 16, 24) * 2 - 1
    assert bands(image).shape == (2, 3 * patch**2, 16 // patch, 24 // patch)
    assert torch.allclose(bands.inverse(bands(image)), image, atol=1e-5)


def test_the_first_band_is_brightness_and_colour_is_its_own():
    grey = Bands(4)(torch.full((1, 3, 8, 8), 0.5))[0, :, 0, 0].reshape(3, 4, 4)
    expected = torch.zeros(3, 4, 4)
    expected[0, 0, 0] = 0.5 * 4 * 3**0.5 / 3.21
    assert torch.allclose(grey, expected, atol=1e-5)


def test_bands_of_a_clip_are_of_about_unit_size(rendered_clip):
    from avd_core.media.video import read_clip

    frames = torch.from_numpy(read_clip(rendered_clip).frames.copy()).permute(0, 3, 1, 2) / 127.5 - 1
    sizes = Bands(4)(frames).std(dim=(0, 2, 3))
    assert sizes.max() / sizes.median() < 30
    assert 0.03 < sizes.median() < 3


@pytest.mark.parametrize("conv", [torch.nn.Conv2d(32, 64, 3, padding=1), torch.nn.ConvTranspose2d(32, 64, 2, stride=2)])
def test_a_fresh_convolution_keeps_the_size_of_its_signal(conv):
    torch.manual_seed(0)
    assert preserve_variance(conv, 0.5)(torch.randn(4, 32, 24, 24)).std().item() == pytest.approx(0.5, rel=0.1)


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


def test_blocks_keep_shape_and_add_to_what_they_get():
    clip, image = torch.randn(1, 8, 4, 8, 8), torch.randn(1, 8, 8, 8)
    for block, features in ((ClipBlock(8), clip), (ImageBlock(8), image)):
        out = block(features)
        assert out.shape == features.shape
        assert 0 < (out - features).std() < features.std()


def test_the_trunk_keeps_size_and_width():
    assert ImageTrunk(8, 1, 16, 1)(torch.rand(2, 8, 6, 10)).shape == (2, 8, 6, 10)
