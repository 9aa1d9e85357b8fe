"""Losses against values computed by hand."""

from __future__ import annotations

import math

import pytest
import torch

from avd_core.training import losses


def test_reconstruction_is_the_mean_absolute_error():
    assert losses.reconstruction_loss(torch.zeros(1, 3, 2, 4, 4), torch.full((1, 3, 2, 4, 4), 0.25)) == 0.25


def test_the_log_error_is_minus_psnr_in_nepers_clip_by_clip():
    clip = torch.zeros(2, 3, 2, 4, 4)
    restored = torch.stack([torch.full((3, 2, 4, 4), 0.2), torch.full((3, 2, 4, 4), 0.02)])
    expected = 0.5 * (math.log(0.04 + 1e-5) + math.log(0.0004 + 1e-5)) / 2
    assert losses.log_error_loss(restored, clip).item() == pytest.approx(expected, rel=1e-5)
    restored.requires_grad_(True)
    losses.log_error_loss(restored, restored.detach()).backward()
    assert not restored.grad.any()  # nothing to mend: finite, and zero


def test_a_peak_is_what_exceeds_the_levels_beside_the_target():
    target = torch.full((1, 3, 2, 2), 0.5)
    image = target.clone()
    image[0, 0, 0, 0] += 12 / 127.5  # allowed
    assert losses.peak_loss(image, target, 12.0).item() == pytest.approx(0, abs=1e-12)
    image[0, 1, 1, 1] -= 22 / 127.5  # ten levels too many, in one of twelve values
    assert losses.peak_loss(image, target, 12.0).item() == pytest.approx((10 / 127.5) ** 2 / 12, rel=1e-4)


def test_the_guide_is_the_squared_distance_to_the_target():
    target = torch.full((1, 3, 4, 4), 3.0)
    assert losses.guide_loss(target, target) == 0
    assert losses.guide_loss(target - 1, target) == 1


def test_adversarial_losses_mirror_each_other():
    real, fake = torch.full((2, 3, 3), 1.0), torch.full((2, 3, 3), -1.0)
    assert losses.adversarial_loss_d(real, fake).item() == pytest.approx(math.log1p(math.exp(-2)), abs=1e-6)
    assert losses.adversarial_loss_g(real, fake).item() == pytest.approx(math.log1p(math.exp(2)), abs=1e-6)
    assert losses.adversarial_loss_d(real, real).item() == pytest.approx(math.log(2), abs=1e-6)


def test_gradient_penalty_of_a_linear_critic_is_its_squared_slope():
    slope = torch.tensor([0.5, -2.0, 1.0])
    images = torch.rand(4, 3, 2, 2, requires_grad=True)
    logits = (images * slope[:, None, None]).sum(dim=1)  # (B,2,2); the mean map's slope is a quarter at each place
    expected = (slope.square().sum() / 4).item()
    assert losses.gradient_penalty(logits, images).item() == pytest.approx(expected, rel=1e-5)


def test_the_spectrum_loss_counts_frequencies_and_not_places():
    generator = torch.Generator().manual_seed(0)
    frame = torch.rand(2, 3, 8, 8, generator=generator)
    assert losses.spectrum_loss(frame, frame).item() == pytest.approx(0, abs=1e-6)
    assert losses.spectrum_loss(frame.roll((3, 1), dims=(2, 3)), frame).item() == pytest.approx(0, abs=1e-6)
    # A checkerboard of amplitude a is one coefficient, a * sqrt(8 * 8), of the 8 x 5 that a real transform has.
    board = (-1.0) ** (torch.arange(8)[:, None] + torch.arange(8))
    constant = torch.zeros(2, 3, 8, 8)
    assert losses.spectrum_loss(0.1 * board.expand(2, 3, 8, 8), constant).item() == pytest.approx(
        0.1 * 8 / 40, rel=1e-4
    )
