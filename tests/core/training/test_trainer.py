"""The trainer: who is updated by what, resume equals uninterrupted, divergence told."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from avd_core.config import PRESETS, TrainConfig
from avd_core.networks.layers import round_to_8_bits
from avd_core.training import divergence, losses, objectives
from avd_core.training import trainer as training_steps
from avd_core.training.guide_targets import guide_target
from avd_core.training.objectives import in_bf16
from avd_core.training.trainer import TrainingError
from tests.squares import QUICK, WIDE, NamedSquares, make_trainer

TINY = PRESETS["tiny"]
# Everything that draws random numbers for a sample is on.
BUSY = {
    "augment": "colour,shift,cutout", "noise_levels": 2.0, "jpeg_share": 0.5, "spectrum_weight": 0.1,
    "label_weight": 0.1, "psnr_weight": 0.1, "peak_weight": 1.0, "peak_levels": 2.0,
    "guide_target": "multiple-exposure",
}  # fmt: skip


def copies(module):
    return [weight.detach().clone() for weight in module.parameters()]


def changed(module, before):
    return any(not torch.equal(new, old) for new, old in zip(module.parameters(), before, strict=True))


def touched(module):
    return [weight.grad is not None and bool(weight.grad.any()) for weight in module.parameters()]


def test_each_player_has_its_own_gradient_and_moves_by_it():
    trainer = make_trainer()
    model, clip = trainer.model, trainer.sampler.batch(0)
    real = trainer.real_frames(clip)
    image, terms = trainer.objectives.generator_step(clip, real, 0)
    assert any(touched(model.encoder)) and any(touched(model.decoder))
    assert not any(touched(model.discriminator))
    assert {"recon_loss", "guide_loss", "adv_loss_g"} <= set(terms)
    assert not any(tensor.requires_grad for tensor in (image, *terms.values()))

    gradients = [weight.grad.clone() for weight in model.encoder.parameters()]
    terms = trainer.objectives.discriminator_step(real, image, 0)
    assert any(touched(model.discriminator))
    assert all(map(torch.equal, gradients, (weight.grad for weight in model.encoder.parameters())))
    assert {"adv_loss_d", "r1_penalty", "r2_penalty"} <= set(terms)
    assert not any(tensor.requires_grad for tensor in terms.values())

    players = ("encoder", "decoder", "discriminator")
    before = {name: copies(getattr(model, name)) for name in players}
    trainer.train_step(clip, rate=1e-3)
    assert all(changed(getattr(model, name), before[name]) for name in players)


def test_both_players_see_the_8_bit_grid():
    trainer = make_trainer(model_config=dataclasses.replace(TINY, residual=False))
    clip = trainer.sampler.batch(0)
    real = trainer.real_frames(clip)
    image, _ = trainer.objectives.generator_step(clip, real, 0)
    for seen in (real, image):
        levels = (seen + 1) * 127.5
        assert torch.allclose(levels, levels.round(), atol=1e-3)
    # The real one is of the same clip's middle half (frames 2 to 5 of 8), and not its middle frame.
    same = (real.unsqueeze(2) == clip).flatten(3).all(dim=3).all(dim=1)  # (b,T)
    assert same.any(dim=1).all() and not same[:, [0, 1, 4, 6, 7]].any()


@pytest.mark.parametrize(("field", "absent"), [("adv_weight", "adv_loss_d"), ("penalty_weight", "r1_penalty")])
def test_a_weight_of_zero_is_an_ablation(field, absent):
    events = list(make_trainer(dataclasses.replace(QUICK, **{field: 0.0})).steps())
    assert all(absent not in event.losses for event in events)


def test_without_reconstruction_the_adversarial_loss_alone_trains():
    trainer = make_trainer(dataclasses.replace(QUICK, recon_weight=0.0, guide_weight=0.0))
    before = {name: copies(getattr(trainer.model, name)) for name in ("encoder", "decoder", "discriminator")}
    list(trainer.steps())
    moved = {name for name, weights in before.items() if changed(getattr(trainer.model, name), weights)}
    assert moved == {"encoder", "discriminator"}


@pytest.mark.parametrize("name", ["middle", "strobe"])
def test_the_change_of_the_target_is_watched(name: str):
    trainer = make_trainer(dataclasses.replace(QUICK, guide_target=name, guide_strength=0.7))
    clip = trainer.sampler.batch(0)
    image, terms = trainer.objectives.generator_step(clip, clip[:, :, 4], 0)
    change = (image - guide_target(clip, name, 0.7)).flatten(1)
    psnr = 10 * torch.log10(4 / change.square().mean(dim=1))
    assert terms["image_psnr"].item() == pytest.approx(psnr.mean().item(), rel=1e-4)
    assert terms["guide_loss"].item() == pytest.approx(change.square().mean().item(), rel=1e-4)
    assert terms["image_peak"].item() == pytest.approx(127.5 * change.abs().amax(dim=1).mean().item(), rel=1e-5)


@pytest.mark.parametrize(("field", "reached"), [("psnr_weight", {"encoder", "decoder"}), ("peak_weight", {"encoder"})])
def test_a_weight_alone_trains_what_its_loss_depends_on(field, reached):
    # A guide without weight to speak of, since peaks alone are no training.
    losses_off = {"recon_weight": 0.0, "adv_weight": 0.0, "guide_weight": 1e-30 if field == "peak_weight" else 0.0}
    trainer = make_trainer(dataclasses.replace(QUICK, peak_levels=0.0, **losses_off, **{field: 1.0}))
    clip = trainer.sampler.batch(0)
    trainer.objectives.generator_step(clip, clip[:, :, 4], 0)
    assert {part for part in ("encoder", "decoder") if any(touched(getattr(trainer.model, part)))} == reached


def test_the_image_learns_to_show_the_movement():
    config = dataclasses.replace(QUICK, steps=30, adv_weight=0.0, guide_target="multiple-exposure", guide_strength=1.0)
    events = list(make_trainer(dataclasses.replace(config, learning_rate=3e-3)).steps())
    first, last = (np.mean([event.losses["guide_loss"] for event in part]) for part in (events[:6], events[-6:]))
    assert last < 0.7 * first


def test_muon_trains_as_well():
    config = dataclasses.replace(QUICK, steps=30, adv_weight=0.0, learning_rate=3e-3, optimizer="muon")
    events = list(make_trainer(config, WIDE).steps())
    first, last = (np.mean([event.losses["recon_loss"] for event in part]) for part in (events[:6], events[-6:]))
    assert last < 0.8 * first


def test_without_the_adversarial_loss_reconstruction_alone_trains():
    trainer = make_trainer(dataclasses.replace(QUICK, adv_weight=0.0, guide_weight=0.0))
    before = {name: copies(getattr(trainer.model, name)) for name in ("encoder", "decoder", "discriminator")}
    list(trainer.steps())
    moved = {name for name, weights in before.items() if changed(getattr(trainer.model, name), weights)}
    assert moved == {"encoder", "decoder"}


def test_labels_reach_the_encoder_and_a_classifier_that_trains_along():
    labels_alone = {"recon_weight": 0.0, "guide_weight": 0.0, "adv_weight": 0.0, "label_weight": 1.0}
    trainer = make_trainer(dataclasses.replace(QUICK, steps=60, **labels_alone), clips=NamedSquares())
    assert trainer.label_head.config.labels == ("a", "b")
    before = {part: copies(part) for part in (trainer.model.encoder, trainer.label_head)}
    events = list(trainer.steps())
    assert all(changed(part, was) for part, was in before.items())
    first, last = (np.mean([event.losses["label_loss"] for event in some]) for some in (events[:5], events[-5:]))
    assert last < 0.7 * first


def test_labels_want_two_classes():
    with pytest.raises(TrainingError, match="two classes at least"):
        make_trainer(dataclasses.replace(QUICK, label_weight=0.1))


def test_the_discriminator_joins_when_it_should():
    events = list(make_trainer(dataclasses.replace(QUICK, adv_start=3)).steps())
    assert ["adv_loss_d" in event.losses for event in events] == [False] * 3 + [True] * 3


def test_jpeg_begins_when_it_should():
    torch.manual_seed(0)
    trainer, seen = make_trainer(dataclasses.replace(QUICK, jpeg_share=1.0, jpeg_start=2)), []
    decode = trainer.model.decoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    encoded = trainer.model.encoder.register_forward_hook(lambda _, __, image: seen.append(image.detach()))
    list(trainer.steps(4))
    decode.remove(), encoded.remove()
    moved = [
        (round_to_8_bits(image) - read).abs().max().item() for image, read in zip(seen[::2], seen[1::2], strict=True)
    ]
    assert max(moved[:2]) < 1e-5 < 1 / 255 < min(moved[2:])


def test_training_restores_better_than_before():
    config = dataclasses.replace(QUICK, steps=60, adv_start=100, learning_rate=3e-3)
    events = list(make_trainer(config, TINY).steps())
    first, last = (np.mean([event.losses["recon_loss"] for event in part]) for part in (events[:8], events[-8:]))
    assert last < 0.8 * first


def test_the_learning_rate_rises_then_falls():
    trainer = make_trainer(dataclasses.replace(QUICK, steps=100, warmup=10))
    rates = [trainer.learning_rate(step) for step in range(100)]
    assert rates[0] < rates[9]
    assert max(rates) <= QUICK.learning_rate
    assert rates[-1] < 0.1 * QUICK.learning_rate


@pytest.mark.parametrize(("stop", "optimizer"), [(1, "adamw"), (4, "adamw"), (4, "muon")])
def test_resume_equals_uninterrupted(stop, optimizer, tmp_path):
    config = dataclasses.replace(QUICK, optimizer=optimizer, **BUSY)
    whole = [event.losses for event in make_trainer(config, WIDE, clips=NamedSquares()).steps()]
    first = make_trainer(config, WIDE, clips=NamedSquares())
    losses = [event.losses for event in first.steps(stop)]
    torch.save(first.state(), tmp_path / "training.pt")
    second = make_trainer(config, WIDE, clips=NamedSquares())
    second.load_state(torch.load(tmp_path / "training.pt", weights_only=True))
    losses += [event.losses for event in second.steps()]
    assert losses == whole


def test_a_state_of_the_first_version_still_loads():
    state = make_trainer().state()
    del state["detector"]
    make_trainer().load_state(state)


def gradient(module):
    return torch.cat([weight.grad.flatten() for weight in module.parameters()])


def test_a_batch_worked_off_in_parts_gives_the_same_update():
    """Tolerance: losses to 1e-4 of their size, gradients to 1e-3 of their norm (a pixel may round the other way)."""
    configs = [dataclasses.replace(QUICK, batch_size=4, accumulate=k, **BUSY) for k in (1, 2, 4)]
    trainers = [make_trainer(config, clips=NamedSquares()) for config in configs]
    terms = [trainer.train_step(trainer.sampler.batch(0), rate=1e-3) for trainer in trainers]
    named = {"psnr_loss", "peak_loss", "spectrum_loss", "label_loss", "adv_loss_g", "r1_penalty", "r2_penalty"}
    assert named | {"gain_over_mean", "image_psnr", "image_peak"} <= set(terms[0])
    for name in ("encoder", "decoder", "discriminator"):
        whole, *divided = [gradient(getattr(trainer.model, name)) for trainer in trainers]
        assert all((parts - whole).norm() <= 1e-3 * whole.norm() for parts in divided)
    for divided in terms[1:]:
        assert divided == pytest.approx(terms[0], rel=1e-4, abs=1e-6)


@pytest.mark.parametrize(("capability", "half"), [("AVX512", True), ("AVX2", False), ("DEFAULT", False)])
def test_precision_is_what_the_machine_is_fast_in_unless_it_is_said(monkeypatch, capability, half):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: half)
    for device in (torch.device("cpu"), torch.device("cuda")):
        assert [in_bf16(said, device) for said in ("auto", "bf16", "fp32")] == [half, True, False]
    assert not in_bf16("auto", torch.device("mps"))
    assert TrainConfig().precision == "auto"


def test_bf16_trains_with_everything_on():
    config = dataclasses.replace(QUICK, steps=3, precision="bf16", accumulate=2, **BUSY)
    trainer = make_trainer(config, clips=NamedSquares())
    before = copies(trainer.model.encoder)
    exact = next(make_trainer(dataclasses.replace(config, precision="fp32"), clips=NamedSquares()).steps()).losses
    rough, *_ = (event.losses for event in trainer.steps())
    assert changed(trainer.model.encoder, before)
    assert rough != exact
    assert rough == pytest.approx(exact, rel=0.05, abs=0.05)
    assert {weight.dtype for weight in trainer.model.parameters()} == {torch.float32}


def test_a_batch_that_cannot_be_divided_is_refused():
    trainer = make_trainer(dataclasses.replace(QUICK, batch_size=4, accumulate=4))
    trainer.sampler.items = range(2)  # as with two processes
    with pytest.raises(TrainingError, match="cannot be worked off in 4 equal parts"):
        training_steps.Trainer(trainer.model, trainer.config, trainer.sampler)


def test_both_players_see_a_pair_changed_in_one_way(monkeypatch):
    trainer = make_trainer(dataclasses.replace(QUICK, augment="shift"))
    calls = []

    def recorded(images, kinds, seeds):
        calls.append((kinds, seeds))
        return images

    monkeypatch.setattr(objectives, "augment", recorded)
    trainer.train_step(trainer.sampler.batch(0), rate=1e-3)
    assert calls == [(("shift",), [(0, 0, 0, 1), (0, 0, 1, 1)])] * 4  # real and fake, in each player's half


def test_real_images_may_come_from_elsewhere():
    asked = []

    class White:
        def batch(self, seed, step, count, crop, *, first=0):
            asked.append((seed, step, count, crop, first))
            return torch.ones(count, 3, crop, crop)

    trainer = make_trainer(real=White())
    clip = trainer.sampler.batch(0)
    assert trainer.real_images(clip).eq(1).all()
    list(trainer.steps(2))
    assert asked == [(0, 0, 2, 64, 0), (0, 0, 2, 64, 0), (0, 1, 2, 64, 0)]


def test_the_decoder_alone_sees_the_disturbed_image(monkeypatch):
    monkeypatch.setattr(objectives, "disturb", lambda image, seeds, **how: torch.zeros_like(image))
    trainer = make_trainer(dataclasses.replace(QUICK, noise_levels=1.0))
    clip = trainer.sampler.batch(0)
    image, restored, _ = trainer.objectives.generator(clip, [], 0.0)
    assert image.any()
    assert torch.equal(restored, trainer.model.decoder(torch.zeros_like(image)))


def flat(state, name=""):
    """Every tensor and number of a state by its path."""
    if isinstance(state, dict):
        return {path: leaf for key, value in state.items() for path, leaf in flat(value, f"{name}/{key}").items()}
    if isinstance(state, (list, tuple)):
        return flat(dict(enumerate(state)), name)
    return {name: state.clone() if isinstance(state, torch.Tensor) else state}


def assert_same_state(one, other):
    assert one.keys() == other.keys()
    for name, leaf in one.items():
        assert torch.equal(leaf, other[name]) if isinstance(leaf, torch.Tensor) else leaf == other[name], name


@pytest.mark.parametrize("culprit", ["reconstruction_loss", "adversarial_loss_d"])
@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_no_number_is_told_and_changes_nothing(monkeypatch, culprit, broken):
    """Also when the discriminator fails after the generator's half of the step went well."""
    trainer = make_trainer()
    list(trainer.steps(2))
    before = flat(trainer.state())
    healthy = getattr(losses, culprit)
    monkeypatch.setattr(losses, culprit, lambda *arguments: healthy(*arguments) * broken)
    with pytest.raises(TrainingError, match="no longer a number at step 3"):
        list(trainer.steps())
    assert_same_state(flat(trainer.state()), before)
    assert "/average/encoder.stem.weight" in before and "/generator_optimizer/state/0/exp_avg" in before


def test_a_divergence_falls_back_on_the_last_good_state(monkeypatch):
    monkeypatch.setattr(divergence, "FEWEST", 3)
    monkeypatch.setattr(training_steps, "GOOD_EVERY", 4)
    config = dataclasses.replace(QUICK, steps=40, divergence_patience=5)
    healthy = losses.reconstruction_loss
    calls = []

    def failing(restored, clip):
        calls.append(1)
        return healthy(restored, clip) * (1 if len(calls) <= 10 else 50)

    monkeypatch.setattr(losses, "reconstruction_loss", failing)
    trainer, seen, states = make_trainer(config), [], {0: flat(make_trainer(config).state())}
    with pytest.raises(TrainingError, match=r"diverged: at step 15 .* Step 4 is kept"):
        for event in trainer.steps():
            seen.append(event.step)
            states[event.step] = flat(trainer.state())
    assert seen == list(range(1, 16))
    assert_same_state(flat(trainer.state()), states[4])  # not 8: what its weights do had been seen twice only
