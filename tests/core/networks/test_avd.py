"""AVD: shapes of every preset, the 8-bit grid, who gets a gradient, and what is refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from avd_core.config import PRESETS, ModelConfig
from avd_core.networks.avd import AVD, image_to_tensor, tensor_to_image, to_frames, to_tensor

TINY = PRESETS["tiny"]


def clip_of(config: ModelConfig, height: int = 64, width: int = 64, batch: int = 1) -> torch.Tensor:
    return torch.rand(batch, 3, config.frames, height, width, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("sides", [(64, 64), (64, 128), (72, 64)])
def test_shapes_and_ranges(preset, sides):
    model = AVD(PRESETS[preset]).eval()
    clip = clip_of(model.config, *sides)
    with torch.inference_mode():
        image = model.encode(clip)
        restored = model.decode(image)
        logits, patches = model.realism(image), model.realism_map(image)
    assert image.shape == (1, 3, *sides)
    assert restored.shape == clip.shape
    assert logits.shape == (1,)
    assert patches.ndim == 3
    assert logits.item() == pytest.approx(patches.mean().item(), abs=1e-5)
    assert image.abs().max() <= 1
    assert restored.abs().max() <= 1


def test_every_preset_fits_ten_megabytes():
    for config in PRESETS.values():
        with torch.device("meta"):
            parameters = sum(weight.numel() for weight in AVD(config).state_dict().values())
        assert 2 * parameters < 9.9e6, config.preset


@pytest.mark.parametrize("rounding", [True, False])
def test_the_image_is_on_the_8_bit_grid_exactly_if_asked(rounding):
    torch.manual_seed(0)
    model = AVD(dataclasses.replace(TINY, residual=False, rounding=rounding)).eval()
    levels = (model.encode(clip_of(TINY)).detach() + 1) * 127.5
    assert torch.allclose(levels, levels.round(), atol=1e-3) is rounding


def test_a_saved_picture_holds_exactly_what_the_decoder_saw():
    model = AVD(TINY).eval()
    image = model.encode(clip_of(TINY)).detach()
    assert torch.allclose(image_to_tensor(tensor_to_image(image)), image, atol=1e-6)


def test_an_untrained_residual_model_shows_the_middle_frame():
    model, clip = AVD(TINY).eval(), clip_of(TINY)
    weights = model.encoder.blend_weights(clip)
    assert torch.allclose(weights.sum(dim=1), torch.ones(1, 64, 64), atol=1e-5)
    assert weights.mean(dim=(0, 2, 3)).argmax() == TINY.frames // 2


def test_reconstruction_reaches_encoder_and_decoder_but_not_the_discriminator():
    model = AVD(dataclasses.replace(TINY, residual=False))
    clip = clip_of(TINY)
    (model.decoder(model.encode(clip)) - clip).abs().mean().backward()
    assert model.encoder.to_image.weight.grad.abs().sum() > 0
    assert model.decoder.to_frames.weight.grad.abs().sum() > 0
    assert all(weight.grad is None for weight in model.discriminator.parameters())


@pytest.mark.parametrize(
    ("shape", "sentence"),
    [((1, 3, 7, 64, 64), "Expected a clip"), ((1, 3, 8, 60, 64), "multiples of 8"), ((3, 8, 64, 64), "Expected")],
)
def test_encode_refuses_other_shapes(shape, sentence):
    with pytest.raises(ValueError, match=sentence):
        AVD(TINY).encode(torch.zeros(shape))


@pytest.mark.parametrize("shape", [(1, 4, 64, 64), (1, 3, 62, 64), (1, 3, 8, 64, 64)])
def test_decode_and_realism_refuse_other_shapes(shape):
    for method in (AVD(TINY).decode, AVD(TINY).realism):
        with pytest.raises(ValueError, match=r"Expected an image|multiples of 8"):
            method(torch.zeros(shape))


def test_8_bit_frames_survive_the_way_through_a_tensor():
    frames = np.random.default_rng(0).integers(0, 256, (5, 16, 24, 3), dtype=np.uint8)
    assert np.array_equal(to_frames(to_tensor(frames)), frames)
    assert to_tensor(frames).shape == (1, 3, 5, 16, 24)
