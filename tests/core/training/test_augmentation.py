"""Differentiable augmentation: the same seed, the same change; what each kind does; gradients pass."""

from __future__ import annotations

import pytest
import torch

from avd_core.training.augmentation import KINDS, augment

SEEDS = [(0, 5, item, 1) for item in range(6)]


@pytest.fixture
def images():
    return torch.rand(6, 3, 64, 48, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_nothing_named_changes_nothing(images):
    assert augment(images, (), SEEDS) is images


@pytest.mark.parametrize("kind", KINDS)
def test_a_change_depends_on_the_seed_of_its_sample_alone(images, kind):
    whole = augment(images, (kind,), SEEDS)
    assert whole.shape == images.shape and not torch.equal(whole, images)
    parts = [augment(images[part], (kind,), SEEDS[part]) for part in (slice(0, 2), slice(2, 6))]
    assert torch.equal(torch.cat(parts), whole)
    repeated = augment(images[:1].expand(6, -1, -1, -1), (kind,), SEEDS)
    assert len({image.sum().item() for image in repeated}) > 1  # and differs from sample to sample
    assert torch.equal(augment(images, (kind,), SEEDS[::-1])[2:4], augment(images[2:4], (kind,), SEEDS[::-1][2:4]))


def test_a_shift_moves_whole_pixels_and_lets_zeros_in(images):
    for before, after in zip(images, augment(images, ("shift",), SEEDS), strict=True):
        rows, columns = (after != 0).any(0).any(1).nonzero(), (after != 0).any(0).any(0).nonzero()
        height, width = len(rows), len(columns)
        assert height >= 64 - 8 and width >= 48 - 6
        kept = after[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        top = 64 - height if rows[0] == 0 else 0
        left = 48 - width if columns[0] == 0 else 0
        assert torch.equal(kept, before[:, top : top + height, left : left + width])


def test_a_cutout_hides_one_square(images):
    hidden = (augment(images, ("cutout",), SEEDS) == 0).all(1)
    assert 0 < hidden.sum() <= 6 * 16 * 16
    for mask in hidden:
        assert mask.sum() == mask.any(0).sum() * mask.any(1).sum()


def test_colour_keeps_where_things_are(images):
    grey = images.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    changed = augment(grey, ("colour",), SEEDS)
    for before, after in zip(grey[:, 0], changed[:, 0], strict=True):
        slope = (after.max() - after.min()) / (before.max() - before.min())
        assert 0.5 <= slope <= 1.5
        assert torch.allclose(after - after.mean(), (before - before.mean()) * slope, atol=1e-5)
        assert (after.mean() - before.mean()).abs() <= 0.5


def test_gradients_pass(images):
    images.requires_grad_()
    augment(images, KINDS, SEEDS).square().sum().backward()
    assert (images.grad != 0).float().mean() > 0.5
    images.grad = None
    seen = augment(images, ("cutout",), SEEDS)
    seen.sum().backward()
    assert torch.equal(images.grad, (seen != 0).float())  # what is hidden from the discriminator teaches nothing
