"""A training as a run: what the directory holds, stop, resume, `kill -9`, and bad arguments."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from avd_core import training
from avd_core.config import ConfigError
from avd_core.model import AVD
from avd_core.runs import Run, RunError
from avd_core.sampling import ClipSampler
from avd_core.trainer import TrainingError
from avd_core.training import RunningTrainer
from tests.squares import Squares, write_pack


@pytest.fixture(scope="module")
def squares(tmp_path_factory):
    return write_pack(tmp_path_factory.mktemp("packs") / "squares.pack")


def arguments(folder, squares, *extra) -> list[str]:
    overrides = {"batch_size": 2, "crop": 64, "adv_start": 0, "precision": "fp32", "preview_every": 3}
    overrides["synthetic_share"] = 0
    settings = [f"--set={name}={value}" for name, value in overrides.items()]
    return ["--run", str(folder), "--data", str(squares), "--preset", "tiny", "--steps", "6", *settings, *extra]


def train(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    training.add_arguments(parser)
    saved = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        return training.run(parser.parse_args(list(arguments)))
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
