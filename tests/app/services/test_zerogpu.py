"""Training on ZeroGPU, with the real `spaces` package in processes that take this machine for a ZeroGPU Space."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.services import zerogpu
from avd_core.devices import on_zerogpu
from avd_core.runs.run import Run, RunError
from avd_core.training.run_trainer import RunningTrainer, train_chunk
from tests.squares import MINI, QUICK, write_pack
from tests.zerogpu import LEASED, NO_QUOTA, TAKEN_AWAY, DeviceServer, without_cuda

# A page that has computed, on more than one thread and backwards, before it asks for a GPU.
PAGE = """
import json, os, sys
from types import SimpleNamespace
from app.services import zerogpu
import torch
from avd_core.devices import available_devices, default_device, on_zerogpu
from gradio.context import LocalContext
assert on_zerogpu() and torch.cuda.is_available() and default_device() == "cpu" and available_devices() == ["cpu"]
torch.set_num_threads(2)
torch.nn.Conv2d(8, 16, 3)(torch.rand(4, 8, 96, 96)).sum().backward()
LocalContext.request.set(SimpleNamespace(headers={"x-ip-token": "a.b.c", "x-gradio-user": "app", "cookie": "private"}))
for _ in range(2):  # the first ends when a call fails
    for state in zerogpu.chunks(sys.argv[1], seconds=0.0):
        print(json.dumps(state | {"own": state["pid"] == os.getpid()}), flush=True)
"""


@pytest.fixture(scope="module")
def squares(tmp_path_factory) -> Path:
    return write_pack(tmp_path_factory.mktemp("packs") / "squares.pack")


@pytest.fixture
def device_server() -> Iterator[DeviceServer]:
    server = DeviceServer()
    yield server
    server.close()


def create(folder: Path, squares: Path, **settings) -> Run:
    run = Run(folder)
    config = dataclasses.replace(QUICK, steps=8, **settings)
    run.create({"model": MINI.to_dict(), "train": config.to_dict(), "clips": [{"path": str(squares)}]})
    return run


def lines(run: Run) -> list[dict]:
    return [{name: value for name, value in line.items() if name != "seconds"} for line in run.metrics()]


def test_a_page_that_has_computed_trains_on_a_gpu_a_chunk_at_a_time(tmp_path, squares, device_server):
    device_server.schedule = [LEASED, TAKEN_AWAY, NO_QUOTA]
    run = create(tmp_path / "run", squares)
    environment = os.environ | device_server.environment() | without_cuda(tmp_path) | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", PAGE, str(run.folder)], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    trained, aborted, refused = (json.loads(line) for line in done.stdout.splitlines() if line.startswith("{"))
    assert (trained["status"], trained["step"], trained["error"]) == ("paused", 1, None)
    assert not trained["own"], "trained in the page's own process"
    assert not (run.checkpoint / "calibration.json").exists(), "a pause measures nothing"

    asked = iter(device_server.asked)
    path, query = next(asked)
    assert path == "/schedule" and query["durationSeconds"] == "60" and query["token"] == "a.b.c", "nobody's quota"
    assert next(asked)[0] == "/allow" and next(asked) == ("/release", {"allowToken": "token", "fail": "false"})

    # What was saved stays when a GPU is taken away, and when there is none for want of quota.
    assert (aborted["status"], aborted["step"]) == ("paused", 1)
    assert aborted["error"] == "ZeroGPU worker error: GPU task aborted"
    assert (refused["status"], refused["step"]) == ("paused", 1)
    assert refused["error"].startswith("ZeroGPU quota exceeded: You have exceeded your ZeroGPU quota (60s requested")
    assert "paused: ZeroGPU quota exceeded" in (run.folder / "log.txt").read_text()
    train_chunk(run.folder, seconds=600, device="cpu")
    assert run.state()["status"] == "done" and [line["step"] for line in run.metrics()] == list(range(1, 9))


def test_chunks_end_where_an_uninterrupted_training_ends(tmp_path, squares):
    """Where there is no ZeroGPU a chunk is a plain call."""
    assert not on_zerogpu() and zerogpu.with_gpu(len) is len
    run = create(tmp_path / "chunks", squares)
    states = list(zerogpu.chunks(run.folder, seconds=0.0))  # too little for more than a step
    assert [state["status"] for state in states] == ["paused"] * 7 + ["done"]
    assert [state["step"] for state in states] == list(range(1, 9))
    assert (run.checkpoint / "calibration.json").exists()
    whole = create(tmp_path / "whole", squares)
    train_chunk(whole.folder, seconds=600)
    assert whole.state()["status"] == "done" and lines(run) == lines(whole)


def test_when_the_page_goes_away_the_run_is_paused(tmp_path, squares):
    run = create(tmp_path / "run", squares)
    states = zerogpu.chunks(run.folder, seconds=0.0)
    assert next(states)["pid"] == os.getpid()
    states.close()
    assert (run.state()["status"], run.state()["step"]) == ("paused", 1)


def test_a_failed_training_stays_failed(tmp_path, squares, monkeypatch):
    run = create(tmp_path / "run", squares)
    monkeypatch.setattr(
        "avd_core.data.sampling.ClipSampler.batch", lambda self, step: (_ for _ in ()).throw(OSError("Gone"))
    )
    assert [state["status"] for state in zerogpu.chunks(run.folder, seconds=0.0)] == ["failed"]


def test_stop_is_no_pause(tmp_path, squares):
    run = create(tmp_path / "run", squares)
    run.request("stop")
    assert [(state["status"], state["step"]) for state in zerogpu.chunks(run.folder)] == [("stopped", 1)]


def test_a_run_that_another_process_trains_is_left_alone(tmp_path, squares):
    run = create(tmp_path / "run", squares)
    with run.held(), pytest.raises(RunError, match="being trained by another process"):
        next(zerogpu.chunks(run.folder))
    assert run.state()["status"] == "queued"
    with pytest.raises(RunError, match="holds no run"):
        next(zerogpu.chunks(tmp_path / "nothing"))
    assert RunningTrainer(run, device="cpu").resume() == 0
