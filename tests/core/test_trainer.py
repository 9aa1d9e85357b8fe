"""The trainer: who is updated by what, resume equals uninterrupted (also after kill -9), divergence told."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest
import torch

from avd_core import datasets
from avd_core import trainer as trainer_module
from avd_core.config import PRESETS, ConfigError, TrainConfig
from avd_core.datasets import ClipSampler
from avd_core.model import AVD
from avd_core.runs import Run, RunError
from avd_core.trainer import RunningTrainer, Trainer, TrainingError

TINY = PRESETS["tiny"]
QUICK = TrainConfig(
    steps=6, batch_size=2, crop=64, adv_start=0, warmup=2, penalty_every=2, precision="fp32", preview_every=3
)


class Squares:
    """A moving square on noise, in memory."""

    names = tuple(f"squares/{n}" for n in range(4))

    def __len__(self):
        return len(self.names)

    def read(self, index):
        frames = np.random.default_rng(index).integers(0, 60, (12, 72, 72, 3), dtype=np.uint8)
        for t in range(12):
            frames[t, 4 * t : 4 * t + 20, 20:40] = (250, 40 * index, 90)
        return frames

    __getitem__ = read


@pytest.fixture(scope="module")
def squares(tmp_path_factory):
    """A pack of them."""
    path, index = tmp_path_factory.mktemp("packs") / "squares.pack", []
    with zipfile.ZipFile(path, "w") as archive:
        assert datasets.pack(Squares(), archive, index) == 0
        archive.writestr("index.json", json.dumps(index))
    return path


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


def arguments(folder, squares, *extra) -> list[str]:
    overrides = {"batch_size": 2, "crop": 64, "adv_start": 0, "precision": "fp32", "preview_every": 3}
    overrides["synthetic_share"] = 0
    settings = [f"--set={name}={value}" for name, value in overrides.items()]
    return ["--run", str(folder), "--data", str(squares), "--preset", "tiny", "--steps", "6", *settings, *extra]


def train(*arguments: str) -> int:
    import argparse

    parser = argparse.ArgumentParser()
    trainer_module.add_arguments(parser)
    saved = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        return trainer_module.run(parser.parse_args(list(arguments)))
    finally:
        for number, handler in saved.items():
            signal.signal(number, handler)


def test_a_run_directory_holds_everything(tmp_path, squares):
    folder = tmp_path / "my-run"
    assert train(*arguments(folder, squares)) == 0
    run = Run(folder)
    assert run.state()["status"] == "done"
    assert [line["step"] for line in run.metrics()] == [1, 2, 3, 4, 5, 6]
    assert sorted(path.name for path in run.previews.iterdir()) == ["000003.png", "000006.png"]
    model = AVD.from_pretrained(folder)
    assert model.name == "my-run"
    assert len(model.calibration.real) == len(Squares())
    with pytest.raises(RunError, match="already holds a run"):
        train(*arguments(folder, squares))
    with pytest.raises(RunError, match="no run to resume"):
        train("--run", str(tmp_path / "other"), "--resume")


def test_a_fine_tune_starts_from_a_checkpoint(tmp_path, squares, tiny_checkpoint):
    train("--run", str(tmp_path / "r"), "--data", str(squares), "--init", str(tiny_checkpoint), "--steps", "1",
          "--set", "crop=64", "--set", "batch_size=1")  # fmt: skip
    start, end = AVD.from_pretrained(tiny_checkpoint), AVD.from_pretrained(tmp_path / "r")
    assert start.config == end.config
    assert start.fingerprint != end.fingerprint
    distance = max((a - b).abs().max() for a, b in zip(start.parameters(), end.parameters(), strict=True))
    assert distance < 0.01


@pytest.mark.parametrize("pair", ["nothing=1", "steps=many", "crop=99"])
def test_a_wrong_override_is_refused(tmp_path, pair):
    with pytest.raises(ConfigError):
        train("--run", str(tmp_path / "r"), "--preset", "tiny", "--set", pair)
    assert not (tmp_path / "r").exists()


def test_a_failed_run_says_why(tmp_path, squares, monkeypatch):
    monkeypatch.setattr(ClipSampler, "batch", lambda self, step: torch.full((2, 3, 8, 64, 64), float("nan")))
    with pytest.raises(TrainingError):
        train(*arguments(tmp_path / "r", squares))
    state = Run(tmp_path / "r").state()
    assert state["status"] == "failed"
    assert "no longer a number" in state["error"]


def test_kill_9_then_resume_equals_uninterrupted(tmp_path, squares):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    settings = ["--steps", "12", "--set=save_every_seconds=0.01"]
    train(*arguments(whole, squares, *settings))
    child = subprocess.Popen(
        [sys.executable, "-m", "avd_core", "train", *arguments(killed, squares, *settings)],
        env={**os.environ, "PYTHONPATH": os.getcwd()}, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    metrics = killed / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not (metrics.exists() and metrics.read_text().count("\n") >= 3):
        assert child.poll() is None, "the trainer ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    child.kill()
    child.wait()
    train("--run", str(killed), "--resume")

    def lines(folder):
        return [{k: v for k, v in line.items() if k != "seconds"} for line in Run(folder).metrics()]

    assert lines(killed) == lines(whole)
    assert AVD.from_pretrained(killed).fingerprint == AVD.from_pretrained(whole).fingerprint


def test_a_run_stopped_early_is_saved_and_goes_on(tmp_path, squares):
    folder = tmp_path / "r"
    train(*arguments(folder, squares, "--steps", "500", "--seconds=1"))
    state = Run(folder).state()
    assert state["status"] == "stopped"
    running = RunningTrainer(Run(folder))
    assert running.resume() == state["step"]
    for event in running.go():  # noqa: B007
        running.stop_asked = True
    assert event.step == state["step"] + 1
    assert json.loads((folder / "state.json").read_text())["step"] == event.step
