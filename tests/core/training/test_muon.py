"""Muon against linear algebra, AdamW and itself resumed."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from torch import nn

from avd_core.training.muon import Muon, matrices, orthogonalise
from tests.squares import QUICK, WIDE, NamedSquares, make_trainer


def networks() -> nn.Sequential:
    """Two convolutions that are wide enough for Muon, one that is not, and biases."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 32, 3), nn.Conv2d(32, 48, 3), nn.Conv3d(48, 32, (1, 1, 1)))


def give_gradients(module: nn.Module, seed: int) -> None:
    numbers = torch.Generator().manual_seed(seed)
    for weight in module.parameters():
        weight.grad = torch.randn(weight.shape, generator=numbers)


def make(module: nn.Module) -> Muon:
    return Muon(module.parameters(), matrices(module.parameters()), lr=0.01)


def test_only_wide_convolutions_are_matrices():
    module = networks()
    assert [id(weight) for weight in matrices(module.parameters())] == [id(module[1].weight), id(module[2].weight)]
    assert matrices(nn.Linear(64, 64).parameters()) == []


@pytest.mark.parametrize("shape", [(32, 288), (288, 32), (48, 48)])
def test_orthogonalising_keeps_the_directions_and_makes_their_sizes_equal(shape):
    torch.manual_seed(0)
    matrix = torch.randn(shape)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    near = orthogonalise(matrix)
    assert near.shape == matrix.shape
    sizes = torch.diagonal(left.T @ near @ right.T)
    assert sizes.min() > 0.6 and sizes.max() < 1.3
    assert (left.T @ near @ right.T - torch.diag(sizes)).abs().max() < 1e-3
    assert torch.allclose(orthogonalise(1000 * matrix), near, atol=1e-4)
    assert not orthogonalise(torch.zeros(shape)).any()


def test_a_matrix_moves_by_its_orthogonalised_momentum():
    module = networks()
    optimizer, weight = make(module), module[1].weight
    before, momentum = weight.detach().clone(), torch.zeros_like(weight)
    for seed in range(3):
        give_gradients(module, seed)
        optimizer.step()
        momentum = 0.95 * momentum + 0.05 * weight.grad
        direction = 0.05 * weight.grad + 0.95 * momentum
        before -= 0.01 * 0.2 * 288**0.5 * orthogonalise(direction.flatten(1)).view_as(weight)
    assert torch.allclose(weight, before, atol=1e-6)


def test_every_other_weight_moves_as_by_adamw_and_gradients_stay():
    module, other = networks(), networks()
    ours, theirs = make(module), torch.optim.AdamW(other.parameters(), lr=0.01, betas=(0.9, 0.99), weight_decay=0.0)
    for seed in range(3):
        give_gradients(module, seed)
        give_gradients(other, seed)
        ours.step()
        theirs.step()
    assert all(torch.equal(a.grad, b.grad) for a, b in zip(module.parameters(), other.parameters(), strict=True))
    same = [torch.equal(a, b) for a, b in zip(module.parameters(), other.parameters(), strict=True)]
    assert same == [True, True, False, True, False, True]


def test_gradients_stay_where_a_step_fails(monkeypatch):
    module = networks()
    optimizer = make(module)
    give_gradients(module, 0)
    monkeypatch.setattr(torch.optim.AdamW, "step", lambda self: (_ for _ in ()).throw(RuntimeError("broken")))
    with pytest.raises(RuntimeError, match="broken"):
        optimizer.step()
    assert all(weight.grad is not None for weight in module.parameters())


def test_a_weight_without_a_gradient_rests():
    module = networks()
    optimizer, before = make(module), copy.deepcopy(module.state_dict())
    give_gradients(module, 0)
    module[1].weight.grad = None
    optimizer.step()
    assert torch.equal(module[1].weight, before["1.weight"]) and not torch.equal(module[2].weight, before["2.weight"])


def test_a_resume_is_exact():
    module = networks()
    optimizer = make(module)
    give_gradients(module, 0)
    optimizer.step()
    resumed = copy.deepcopy(module)
    again = make(resumed)
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for each, one in ((module, optimizer), (resumed, again)):
        give_gradients(each, 1)
        one.step()
    assert all(map(torch.equal, module.parameters(), resumed.parameters()))


def test_the_classifier_that_trains_along_is_not_trained_by_muon():
    config = dataclasses.replace(QUICK, optimizer="muon", label_weight=0.1)
    trainer = make_trainer(config, WIDE, clips=NamedSquares())
    trainer.train_step(trainer.sampler.batch(0), rate=1e-3)
    state = trainer.generator_optimizer.state
    by_muon = {name for name, weight in trainer.model.named_parameters() if "momentum" in state.get(weight, {})}
    assert by_muon and all(".deep." in name for name in by_muon)
    wide = matrices(trainer.label_head.parameters())
    assert wide and not any("momentum" in state[weight] for weight in wide)
