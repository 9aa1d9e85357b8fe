"""The trainer: who is updated by what, resume equals uninterrupted, divergence told."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from avd_core.config import PRESETS, TrainConfig
from avd_core.model import AVD
from avd_core.sampling import ClipSampler
from avd_core.trainer import Trainer, TrainingError
from tests.squares import Squares

TINY = PRESETS["tiny"]
QUICK = TrainConfig(
    steps=6, batch_size=2, crop=64, adv_start=0, warmup=2, penalty_every=2, precision="fp32", preview_every=3
)


def make_trainer(config=QUICK, model_config=TINY) -> Trainer:
    torch.manual_seed(0)
    sampler = ClipSampler(
        [Squares()], frames=TINY.frames, crop=config.crop, batch_size=config.batch_size, seed=config.seed
    )
    return Trainer(AVD(model_config), config, sampler)


def copies(module):
    return [weight.detach().clone() for weight in module.parameters()]


def changed(module, before):
    return any(not torch.equal(new, old) for new, old in zip(module.parameters(), before, strict=True))


def test_each_player_updates_only_itself():
    trainer = make_trainer()
    model, clip = trainer.model, trainer.sampler.batch(0)
    before = {name: copies(getattr(model, name)) for name in ("encoder", "decoder", "discriminator")}
    real = trainer._real_frames(clip)
    image, terms = trainer.generator_step(clip, real)
    assert changed(model.decoder, before["decoder"])
    assert changed(model.encoder, before["encoder"])
    assert not changed(model.discriminator, before["discriminator"])
    assert {"recon_loss", "guide_loss", "adv_loss_g"} <= set(terms)
    assert not image.requires_grad

    before = {name: copies(getattr(model, name)) for name in ("encoder", "decoder")}
    critic = copies(model.discriminator)
    terms = trainer.discriminator_step(real, image)
    assert changed(model.discriminator, critic)
    assert not any(changed(getattr(model, name), before[name]) for name in before)
    assert {"adv_loss_d", "r1_penalty", "r2_penalty"} <= set(terms)


def test_both_players_see_the_8_bit_grid():
    trainer = make_trainer(model_config=dataclasses.replace(TINY, residual=False))
    clip = trainer.sampler.batch(0)
    real = trainer._real_frames(clip)
    image, _ = trainer.generator_step(clip, real)
    for seen in (real, image):
        levels = (seen + 1) * 127.5
        assert torch.allclose(levels, levels.round(), atol=1e-3)
    # and no pair shares its clip
    assert not any((real[i][:, None] - clip[i]).abs().flatten(2).sum(2).eq(0).all(0).any() for i in range(len(real)))


@pytest.mark.parametrize(("field", "absent"), [("adv_weight", "adv_loss_d"), ("penalty_weight", "r1_penalty")])
def test_a_weight_of_zero_is_an_ablation(field, absent):
    events = list(make_trainer(dataclasses.replace(QUICK, **{field: 0.0})).steps())
    assert all(absent not in event.losses for event in events)


def test_reconstruction_can_be_switched_off():
    trainer = make_trainer(dataclasses.replace(QUICK, recon_weight=0.0, guide_weight=0.0))
    before = copies(trainer.model.decoder)
    list(trainer.steps())
    assert not changed(trainer.model.decoder, before)


def test_the_discriminator_joins_when_it_should():
    events = list(make_trainer(dataclasses.replace(QUICK, adv_start=3)).steps())
    assert ["adv_loss_d" in event.losses for event in events] == [False] * 3 + [True] * 3


def test_training_restores_better_than_before():
    config = dataclasses.replace(QUICK, steps=60, adv_start=100, learning_rate=3e-3)
    events = list(make_trainer(config).steps())
    first, last = (np.mean([event.losses["recon_loss"] for event in part]) for part in (events[:8], events[-8:]))
    assert last < 0.8 * first


def test_the_learning_rate_rises_then_falls():
    trainer = make_trainer(dataclasses.replace(QUICK, steps=100, warmup=10))
    rates = [trainer.learning_rate(step) for step in range(100)]
    assert rates[0] < rates[9]
    assert max(rates) <= QUICK.learning_rate
    assert rates[-1] < 0.1 * QUICK.learning_rate


@pytest.mark.parametrize("stop", [1, 4])
def test_resume_equals_uninterrupted(stop, tmp_path):
    whole = [event.losses for event in make_trainer().steps()]
    first = make_trainer()
    losses = [event.losses for event in first.steps(stop)]
    torch.save(first.state(), tmp_path / "training.pt")
    second = make_trainer()
    second.load_state(torch.load(tmp_path / "training.pt", weights_only=True))
    losses += [event.losses for event in second.steps()]
    assert losses == whole


def test_divergence_is_told_and_changes_nothing():
    trainer = make_trainer()
    list(trainer.steps(2))
    before = copies(trainer.model)
    trainer.sampler.batch = lambda step: torch.full((2, 3, 8, 64, 64), float("nan"))
    with pytest.raises(TrainingError, match="no longer a number at step 3"):
        list(trainer.steps())
    assert not changed(trainer.model, before)
