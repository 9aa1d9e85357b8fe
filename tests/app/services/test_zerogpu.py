"""Training on ZeroGPU, with a `spaces` package that does as ZeroGPU does: a forked process, pickled arguments."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from app.services import zerogpu
from avd_core import devices
from avd_core.runs.run import Run, RunError
from avd_core.training.run_trainer import RunningTrainer, train_chunk
from tests.repository import ROOT
from tests.squares import MINI, QUICK, write_pack

SPACES = '''
"""Stands for the package that a ZeroGPU Space has."""
import os, pickle
import torch

asked = []
truth, torch.cuda.is_available = torch.cuda.is_available, lambda: True

def GPU(task=None, *, duration=60):
    if task is None:
        return lambda task: GPU(task, duration=duration)

    def on_gpu(*arguments):
        if os.environ.get("NO_QUOTA_AFTER") == str(len(asked)):
            raise Exception("You have exceeded your <b>GPU quota</b> (60s requested vs. 3s left)")
        asked.append(duration)
        packed = pickle.dumps(arguments)
        child = os.fork()
        if not child:
            torch.cuda.is_available = truth
            code = 1
            try:
                if os.environ.get("ABORT_CHUNK") == str(len(asked)):
                    from avd_core.runs.run import Run
                    Run(arguments[0]).write_state("running", step=Run(arguments[0]).state()["step"])
                    os._exit(9)
                task(*pickle.loads(packed))
                code = 0
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        if status:
            raise Exception("GPU task aborted")
    return on_gpu
'''
ITERATE = """
import json, os, sys
import avd_core.training.run_trainer  # a page has long imported it
from app.services import zerogpu
import spaces
from avd_core.devices import default_device, on_zerogpu
assert on_zerogpu() and default_device() == "cpu"
folder, seconds, wanted = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
states = zerogpu.chunks(folder, seconds=seconds)
for number, state in enumerate(states, 1):
    print(json.dumps(state | {"own": state["pid"] == os.getpid()}), flush=True)
    if number == wanted:
        break
states.close()
assert set(spaces.asked) <= {60}
print(json.dumps(len(spaces.asked)))
"""


@pytest.fixture(scope="module")
def squares(tmp_path_factory) -> Path:
    return write_pack(tmp_path_factory.mktemp("packs") / "squares.pack")


def create(folder: Path, squares: Path, **settings) -> Run:
    run = Run(folder)
    config = dataclasses.replace(QUICK, steps=8, **settings)
    run.create({"model": MINI.to_dict(), "train": config.to_dict(), "clips": [{"path": str(squares)}]})
    return run


def on_zerogpu(tmp_path: Path, run: Run, *, seconds: float, wanted: int = 99, **more: str) -> tuple[list[dict], int]:
    """The states that a page on a ZeroGPU Space is given, and how often it asked for a GPU."""
    (tmp_path / "site" / "spaces").mkdir(parents=True, exist_ok=True)
    (tmp_path / "site" / "spaces" / "__init__.py").write_text(SPACES)
    environment = os.environ | {"SPACES_ZERO_GPU": "true", "OMP_NUM_THREADS": "1"} | more
    environment["PYTHONPATH"] = f"{tmp_path / 'site'}{os.pathsep}{ROOT}"
    done = subprocess.run(
        [sys.executable, "-c", ITERATE, str(run.folder), str(seconds), str(wanted)],
        env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    *states, count = map(json.loads, done.stdout.splitlines())
    return states, count


def lines(run: Run) -> list[dict]:
    return [{name: value for name, value in line.items() if name != "seconds"} for line in run.metrics()]


def test_chunks_end_where_an_uninterrupted_training_ends(tmp_path, squares):
    run = create(tmp_path / "chunks", squares)
    states, count = on_zerogpu(tmp_path, run, seconds=0.0)  # too little for more than a step
    assert [state["status"] for state in states] == ["paused"] * 7 + ["done"]
    assert [state["step"] for state in states] == list(range(1, 9)) and count == 8
    assert not any(state["own"] for state in states), "trained in the page's own process"

    whole = create(tmp_path / "whole", squares)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the chunks have: sums over several come out a digit apart, and rounding makes jumps
    try:
        train_chunk(whole.folder, seconds=600, device="cpu")
    finally:
        torch.set_num_threads(threads)
    assert whole.state()["status"] == "done"
    assert lines(run) == lines(whole)


def test_when_the_page_goes_away_the_run_is_paused_and_goes_on_later(tmp_path, squares):
    run = create(tmp_path / "run", squares)
    states, count = on_zerogpu(tmp_path, run, seconds=0.0, wanted=2)
    assert count == 2 and run.state()["status"] == "paused" and run.state()["step"] == 2
    assert not (run.checkpoint / "calibration.json").exists(), "a pause measures nothing"
    states, count = on_zerogpu(tmp_path, run, seconds=120)
    assert [(state["status"], state["step"]) for state in states] == [("done", 8)] and count == 1
    assert (run.checkpoint / "calibration.json").exists()
    assert [line["step"] for line in run.metrics()] == list(range(1, 9))


def test_without_quota_the_run_is_paused_and_says_why(tmp_path, squares):
    run = create(tmp_path / "run", squares)
    states, count = on_zerogpu(tmp_path, run, seconds=0.0, NO_QUOTA_AFTER="2")
    assert [state["status"] for state in states] == ["paused"] * 3 and count == 2
    assert [state["error"] for state in states[:2]] == [None, None]
    assert states[2]["error"] == "You have exceeded your GPU quota (60s requested vs. 3s left)"
    assert run.state()["step"] == 2 and "paused: You have exceeded" in (run.folder / "log.txt").read_text()


def test_a_gpu_that_is_taken_away_leaves_a_run_that_resumes(tmp_path, squares):
    run = create(tmp_path / "run", squares)
    states, _ = on_zerogpu(tmp_path, run, seconds=0.0, ABORT_CHUNK="3")
    assert (states[-1]["status"], states[-1]["error"], states[-1]["step"]) == ("paused", "GPU task aborted", 2)
    states, _ = on_zerogpu(tmp_path, run, seconds=120)
    assert states[-1]["status"] == "done" and [line["step"] for line in run.metrics()] == list(range(1, 9))


def test_a_failed_training_stays_failed(tmp_path, squares, monkeypatch):
    run = create(tmp_path / "run", squares)
    monkeypatch.setattr(
        "avd_core.data.sampling.ClipSampler.batch", lambda self, step: (_ for _ in ()).throw(OSError("Gone"))
    )
    assert [state["status"] for state in zerogpu.chunks(run.folder, seconds=0.0)] == ["failed"]


def test_elsewhere_a_chunk_is_a_plain_call(tmp_path, squares):
    assert not devices.on_zerogpu() and zerogpu.with_gpu(len) is len
    run = create(tmp_path / "run", squares)
    states = zerogpu.chunks(run.folder, seconds=0.0)
    assert next(states)["pid"] == os.getpid()
    states.close()
    assert run.state()["status"] == "paused"


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
