"""Several processes train what one would: two gloo processes on the CPU, by `torchrun`, against one."""

from __future__ import annotations

import dataclasses
import os
import re
import signal
import subprocess
import sys
import time

import pytest
import torch

from avd_core.networks.avd import AVD
from avd_core.runs.run import Run
from avd_core.training import distributed
from avd_core.training.run_trainer import RunningTrainer
from tests.squares import QUICK, WIDE, write_pack

# Everything that draws random numbers for a sample is on, and each process works its share off in parts.
CONFIG = dataclasses.replace(
    QUICK, steps=100_000, batch_size=4, accumulate=2, augment="colour,shift,cutout", noise_levels=2.0, jpeg_share=0.5,
    warmup=0, preview_every=100_000, psnr_weight=0.1, peak_weight=1.0, optimizer="muon",
)  # fmt: skip


def create(folder, pack) -> Run:
    clips = [{"path": str(pack)}]
    Run(folder).create({"model": WIDE.to_dict(), "train": CONFIG.to_dict(), "clips": clips, "held_out": []})
    return Run(folder)


def torchrun(folder, *more: str) -> subprocess.Popen:
    # `--` since torchrun would take `--run` for an abbreviation of one of its own options.
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "--", "avd_core", "train"]
    return subprocess.Popen(
        [sys.executable, *command, "--run", str(folder), "--device", "cpu", *more], text=True, stderr=subprocess.PIPE,
        stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": os.getcwd(), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def test_two_processes_train_what_one_does_and_stop_together(tmp_path):
    """Tolerance: all of step 1 to 1e-4 of its size; losses of the next three to 1e-2, gradient norms to 5e-2.

    There the images are rounded to 8 bits and through JPEG, which makes jumps out of differences in the last digit.
    """
    pack = write_pack(tmp_path / "squares.pack")
    run = create(tmp_path / "two", pack)
    child = torchrun(run.folder)
    deadline = time.monotonic() + 180
    while len(run.metrics()) < 4:
        assert child.poll() is None, child.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(run.state()["pid"], signal.SIGINT)  # the first process alone is asked; the second has to hear of it
    output, errors = child.communicate(timeout=120)
    assert child.returncode == 0, errors
    step = run.state()["step"]
    assert run.state()["status"] == "stopped" and output.count(f"stopped at step {step}") == 1
    # One of them wrote, and each step once.
    assert [line["step"] for line in run.metrics()] == list(range(1, step + 1))
    assert re.findall(r"training on cpu.*", (run.folder / "log.txt").read_text()) == [
        "training on cpu in 2 processes from step 0 to 100000"
    ]

    one = RunningTrainer(create(tmp_path / "one", pack), device="cpu")
    for event, line in zip(one.trainer.steps(4), run.metrics(), strict=False):
        for name, value in event.losses.items():
            tolerance = 1e-4 if event.step == 1 else 5e-2 if "norm" in name else 1e-2
            assert line[name] == pytest.approx(value, rel=tolerance, abs=1e-4), name
    # What two have begun, one goes on with.
    resumed = RunningTrainer(run, device="cpu")
    assert resumed.resume() == step
    assert AVD.from_pretrained(run.folder).fingerprint == AVD.from_pretrained(run.checkpoint).fingerprint


def test_alone_nothing_is_exchanged(tmp_path):
    values, module = torch.arange(3.0), torch.nn.Linear(1, 1)
    assert (distributed.rank(), distributed.world_size()) == (0, 1)
    assert distributed.mean(values) is values
    assert distributed.replicated(module) is module
    assert distributed.any_rank(True, "cpu") and not distributed.any_rank(False, "cpu")
    with pytest.raises(OSError, match="full"):
        distributed.on_first_rank(lambda: (_ for _ in ()).throw(OSError("full")))
