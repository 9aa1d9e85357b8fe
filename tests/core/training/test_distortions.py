"""Disturbances: noise within its bounds, JPEG as libjpeg makes it, gradients that pass, seeds of each sample."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from avd_core.training.distortions import disturb, jpeg

SEEDS = [(0, 5, item, 2) for item in range(4)]


@pytest.fixture(scope="module")
def images():
    """Shapes, an edge and grain, on the 8-bit grid, of sides that are no multiple of 16: (4,3,72,88)."""
    rows, columns = np.mgrid[:72, :88] / 20.0
    waves = [np.stack([np.sin(rows * (1 + n)), np.cos(columns + n), np.sin(rows * columns / 3)]) for n in range(4)]
    pictures = np.stack(waves) * 70 + 127 + 30 * (columns > 2)
    pictures += np.random.default_rng(0).normal(0, 12, (4, 1, 72, 88))
    return torch.from_numpy(pictures.clip(0, 255).round().astype(np.float32)) / 127.5 - 1


def test_nothing_asked_changes_nothing(images):
    assert disturb(images, SEEDS) is images


@pytest.mark.parametrize("quality", [20, 50, 75, 90])
def test_jpeg_is_what_libjpeg_makes(images, quality):
    ours = ((jpeg(images, torch.full((4,), float(quality))) + 1) * 127.5).permute(0, 2, 3, 1).numpy()
    levels = ((images + 1) * 127.5).round().permute(0, 2, 3, 1).to(torch.uint8).numpy()
    for before, after in zip(levels, ours, strict=True):
        file = io.BytesIO()
        Image.fromarray(before).save(file, "JPEG", quality=quality, subsampling=2)
        theirs = np.asarray(Image.open(file)).astype(np.float32)
        damage = np.abs(theirs - before).mean()
        assert np.abs(after - theirs).mean() < min(1.2, 0.35 * damage)


def test_noise_keeps_within_its_levels(images):
    change = (disturb(images, SEEDS, noise=2.0) - images) * 127.5
    assert 1.9 < change.abs().max() <= 2.001
    assert abs(change.mean()) < 0.05
    assert change.std() == pytest.approx(2 / 3**0.5, rel=0.05)


def test_a_share_of_the_images_goes_through_jpeg(images):
    many = images[:1].expand(200, -1, -1, -1)
    changed = disturb(many, [(0, 0, n, 2) for n in range(200)], jpeg_share=0.25, jpeg_quality=60) != many
    assert changed.flatten(1).any(1).float().mean() == pytest.approx(0.25, abs=0.1)


def test_a_disturbance_depends_on_the_seed_of_its_sample_alone(images):
    how = {"noise": 2.0, "jpeg_share": 0.5, "jpeg_quality": 50}
    whole = disturb(images, SEEDS, **how)
    parts = [disturb(images[part], SEEDS[part], **how) for part in (slice(0, 1), slice(1, 4))]
    assert torch.allclose(torch.cat(parts), whole, atol=1e-6)
    assert not torch.equal(disturb(images[:1], [(0, 6, 0, 2)], **how), whole[:1])


def test_gradients_pass(images):
    image = images.clone().requires_grad_()
    disturb(image, SEEDS, noise=1.0, jpeg_share=1.0).square().sum().backward()
    assert torch.isfinite(image.grad).all()
    assert torch.nn.functional.cosine_similarity(image.grad.flatten(), image.detach().flatten(), dim=0) > 0.9
