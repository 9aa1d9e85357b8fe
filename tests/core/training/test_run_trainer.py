"""A training as a run: what the directory holds, stop, resume, `kill -9`."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
from PIL import Image

from avd_core.data.sampling import ClipSampler
from avd_core.networks.avd import AVD
from avd_core.networks.checkpoint import fingerprint, guide_target
from avd_core.runs.run import Run, RunError
from avd_core.training.run_trainer import RunningTrainer
from avd_core.training.trainer import TrainingError
from tests.squares import MINI, QUICK, Squares, train, write_pack


@pytest.fixture(scope="module")
def squares(tmp_path_factory):
    return write_pack(tmp_path_factory.mktemp("packs") / "squares.pack")


def arguments(folder, squares, *extra) -> list[str]:
    overrides = {"batch_size": 2, "crop": 64, "adv_start": 0, "precision": "fp32", "preview_every": 3}
    overrides["synthetic_share"] = 0
    settings = [f"--set={name}={value}" for name, value in overrides.items()]
    return ["--run", str(folder), "--data", str(squares), "--preset", "tiny", "--steps", "6", *settings, *extra]


def test_a_preview_appears_whole(tmp_path, squares, monkeypatch):
    """Whoever looks while it is written finds no file of that name, rather than half a picture."""
    saved, save = [], Image.Image.save

    def noted(self, path, *more, **options):
        saved.append(path)
        save(self, path, *more, **options)

    monkeypatch.setattr(Image.Image, "save", noted)
    train("--run", str(tmp_path / "r"), "--data", str(squares), "--preset", "tiny", "--steps", "1", "--quiet",
          "--set=crop=64", "--set=batch_size=2")  # fmt: skip
    assert saved and all(path.suffix == ".part" and not path.exists() for path in saved)
    assert sorted(path.name for path in (tmp_path / "r" / "previews").iterdir()) == ["000000.png", "000001.png"]


def test_a_run_directory_holds_everything(tmp_path, squares):
    folder = tmp_path / "my-run"
    assert train(*arguments(folder, squares)) == 0
    run = Run(folder)
    assert run.state()["status"] == "done"
    assert [line["step"] for line in run.metrics()] == [1, 2, 3, 4, 5, 6]
    assert sorted(path.name for path in run.previews.iterdir()) == ["000000.png", "000003.png", "000006.png"]
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


def test_a_checkpoint_says_what_its_images_were_drawn_to(tmp_path, squares):
    quick = ("--steps", "1", "--quiet", "--set=crop=64", "--set=batch_size=1")
    picture = ("--set=guide_target=steady-exposure", "--set=guide_strength=0.25")
    jpeg = ("--set=jpeg_share=0.5", "--set=jpeg_start=0")
    train("--run", str(tmp_path / "a"), "--data", str(squares), "--preset", "tiny", *quick, *picture, *jpeg)
    assert AVD.from_pretrained(tmp_path / "a").config.guide == ("steady-exposure", 0.25)
    assert guide_target(tmp_path / "a") == "steady-exposure"
    # Who trains it on need not know.
    start = str(tmp_path / "a" / "checkpoint")
    late = ("--set=jpeg_share=0.5", "--set=jpeg_start=1")
    train("--run", str(tmp_path / "b"), "--data", str(squares), "--init", start, *quick, *late)
    assert Run(tmp_path / "b").config()["train"]["guide_target"] == "steady-exposure"
    assert AVD.from_pretrained(tmp_path / "b").config.guide == ("steady-exposure", 0.25)
    # Whether its images are made for JPEG is what the last training did; in the second one it did not begin.
    assert AVD.from_pretrained(tmp_path / "a").config.trained_through_jpeg
    assert not AVD.from_pretrained(tmp_path / "b").config.trained_through_jpeg


def test_a_failed_run_says_why_and_keeps_the_last_good_state(tmp_path, squares, monkeypatch):
    batch = ClipSampler.batch
    monkeypatch.setattr(
        ClipSampler, "batch", lambda self, step: batch(self, step) * (float("nan") if step == 3 else 1.0)
    )
    folder = tmp_path / "r"
    with pytest.raises(TrainingError):
        train(*arguments(folder, squares))
    state = Run(folder).state()
    assert (state["status"], state["step"]) == ("failed", 3)
    assert "no longer a number at step 4" in state["error"]
    assert state["error"] in (folder / "log.txt").read_text()
    assert [line["step"] for line in Run(folder).metrics()] == [1, 2, 3]
    assert AVD.from_pretrained(folder).fingerprint == fingerprint_of_state(folder)
    monkeypatch.undo()
    train("--run", str(folder), "--resume")
    assert [line["step"] for line in Run(folder).metrics()] == [1, 2, 3, 4, 5, 6]


def fingerprint_of_state(folder) -> str:
    return fingerprint(torch.load(folder / "training.pt", weights_only=True)["average"])


def lines(folder):
    return [{k: v for k, v in line.items() if k != "seconds"} for line in Run(folder).metrics()]


def started(*arguments: str) -> subprocess.Popen:
    """`python -m avd_core train` in a process of its own; one thread in each, as their number changes last bits."""
    return subprocess.Popen(
        [sys.executable, "-m", "avd_core", "train", *arguments],
        env={**os.environ, "PYTHONPATH": os.getcwd(), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def wait_for_lines(folder, count: int, child: subprocess.Popen) -> None:
    metrics, deadline = folder / "metrics.jsonl", time.monotonic() + 120
    while not (metrics.exists() and metrics.read_text().count("\n") >= count):
        assert child.poll() is None, f"the trainer ended too early: {child.stderr.read()}"
        assert time.monotonic() < deadline
        time.sleep(0.01)


def ended(child: subprocess.Popen) -> None:
    """Waits for a process that should do well."""
    _, told = child.communicate(timeout=120)
    assert child.returncode == 0, told


@pytest.fixture
def one_thread():
    """As in the processes that are started here: the number of threads changes last bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
def test_kill_9_at_a_random_moment_then_resume_equals_uninterrupted(tmp_path, squares):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    settings = ["--steps", "14", "--set=save_every_seconds=0.001"]  # saves all the time: most kills come within one
    assert train(*arguments(whole, squares, *settings)) == 0
    child = started(*arguments(killed, squares, *settings))
    wait_for_lines(killed, 3, child)
    time.sleep(random.uniform(0, 0.3))
    child.kill()
    child.communicate()

    step = RunningTrainer(Run(killed)).resume()
    assert [line["step"] for line in Run(killed).metrics()] == list(range(1, step + 1))
    if step:
        assert AVD.from_pretrained(killed).fingerprint == fingerprint_of_state(killed)
    assert not list(killed.glob(".checkpoint*"))
    ended(started("--run", str(killed), "--resume"))
    assert lines(killed) == lines(whole)
    assert AVD.from_pretrained(killed).fingerprint == AVD.from_pretrained(whole).fingerprint


class Killed(BaseException):
    """Stands for the end of the process."""


def killed(*_, **__):
    raise Killed


@pytest.mark.parametrize("moment", ["torch.save", "os.replace", "avd_core.networks.avd.AVD.save_pretrained",
                                    "avd_core.atomic_io.swap", "avd_core.atomic_io.remove"])  # fmt: skip
def test_whatever_moment_of_a_save_a_kill_hits_both_files_are_of_one_step(tmp_path, squares, moment, monkeypatch):
    folder = tmp_path / "r"
    config = dataclasses.replace(QUICK, batch_size=1)
    Run(folder).create(
        {"model": MINI.to_dict(), "train": config.to_dict(), "clips": [{"path": str(squares)}], "held_out": []}
    )
    running = RunningTrainer(Run(folder))
    running.resume()
    list(running.trainer.steps(2))
    running.save()
    list(running.trainer.steps(4))
    with monkeypatch.context() as patch:
        patch.setattr(moment, killed)
        with pytest.raises(Killed):
            running.save()
    again = RunningTrainer(Run(folder))
    assert again.resume() in (2, 4)
    assert not list(folder.glob(".checkpoint*"))
    assert AVD.from_pretrained(folder).fingerprint == fingerprint_of_state(folder)
    assert fingerprint(again.trainer.average.state_dict()) == fingerprint_of_state(folder)


def test_a_run_alone_takes_its_config_and_ctrl_c_stops_it_saved(tmp_path, squares):
    folder = tmp_path / "r"
    config = dataclasses.replace(QUICK, steps=100_000)
    Run(folder).create(
        {"model": MINI.to_dict(), "train": config.to_dict(), "clips": [{"path": str(squares)}], "held_out": []}
    )
    child = started("--run", str(folder))
    wait_for_lines(folder, 2, child)
    child.send_signal(signal.SIGINT)
    output, errors = child.communicate(timeout=120)
    assert child.returncode == 0, errors
    run = Run(folder)
    step = run.state()["step"]
    assert run.state()["status"] == "stopped" and f"stopped at step {step}" in output
    assert "recon_loss=" in errors and "/100000" in errors and "Traceback" not in errors  # the progress bar
    assert [line["step"] for line in run.metrics()] == list(range(1, step + 1))
    assert torch.load(run.training_state, weights_only=True)["step"] == step
    assert AVD.from_pretrained(folder).calibration is not None


def test_a_resumed_fine_tune_needs_its_start_no_more(tmp_path, squares, tiny_checkpoint):
    start, folder = tmp_path / "start", tmp_path / "r"
    shutil.copytree(tiny_checkpoint, start)
    train("--run", str(folder), "--data", str(squares), "--init", str(start), "--steps", "2", "--seconds=0",
          "--set=crop=64", "--set=batch_size=1")  # fmt: skip
    shutil.rmtree(start)
    train("--run", str(folder), "--resume")
    assert Run(folder).state()["status"] == "done"


def test_photographs_beside_frames_are_what_the_discriminator_takes_for_real(tmp_path, squares):
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (100, 90), (255, 0, 0)).save(tmp_path / "photos" / "red.png")
    folder = tmp_path / "r"
    train(*arguments(folder, squares, "--seconds=0", "--photos", str(tmp_path / "photos"), "--set=photo_share=1"))
    running = RunningTrainer(Run(folder))
    real = running.trainer.real_images(running.trainer.sampler.batch(0))
    assert real.shape == (2, 3, 64, 64)
    assert (real[:, 0] > real[:, 1] + 1).all() and (real[:, 0] > real[:, 2] + 1).all()


def test_a_run_is_trained_by_one_process_at_a_time(tmp_path, squares):
    folder = tmp_path / "r"
    train(*arguments(folder, squares, "--seconds=0"))
    with Run(folder).held(), pytest.raises(RunError, match="by another process"):
        train("--run", str(folder), "--resume")


def test_a_run_stopped_early_is_saved_and_goes_on(tmp_path, squares):
    folder = tmp_path / "r"
    train(*arguments(folder, squares, "--steps", "500", "--seconds=1"))
    state = Run(folder).state()
    assert state["status"] == "stopped"
    running = RunningTrainer(Run(folder))
    assert running.resume() == state["step"]
    for event in running.go():  # noqa: B007
        running.stop_requested = True
    assert event.step == state["step"] + 1
    assert json.loads((folder / "state.json").read_text())["step"] == event.step


def test_what_a_watcher_asks_for_is_done_after_the_next_step(tmp_path, squares):
    folder = tmp_path / "r"
    train(*arguments(folder, squares, "--steps", "500", "--set=preview_every=400", "--seconds=0"))
    running, run = RunningTrainer(Run(folder)), Run(folder)
    step = running.resume()
    fingerprints = [fingerprint_of_state(folder)]
    for event in running.go():
        if event.step == step + 2:
            run.request("preview"), run.request("save")
        if event.step == step + 4:
            fingerprints.append(fingerprint_of_state(folder))
            run.request("stop")
    assert event.step == step + 5 and run.state()["status"] == "stopped"
    assert fingerprints[0] != fingerprints[1], "it was saved in between"
    assert (run.previews / f"{step + 3:06d}.png").exists()
    assert not run.pop_requests()
    assert run.state()["memory"] > 2**20


def full_disk(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("call", ["torch.save", "avd_core.networks.checkpoint.save_file",
                                  "avd_core.runs.run.Run.append_metrics", "PIL.Image.Image.save"])  # fmt: skip
def test_a_full_disk_is_told_and_loses_nothing_that_was_saved(tmp_path, squares, call, monkeypatch):
    folder = tmp_path / "r"
    train(*arguments(folder, squares, "--seconds=0"))
    before, step = fingerprint_of_state(folder), Run(folder).state()["step"]
    with monkeypatch.context() as patch:
        patch.setattr(call, full_disk)
        with pytest.raises(OSError, match="No space"):
            train("--run", str(folder), "--resume")
    state = Run(folder).state()
    assert state["status"] == "failed" and "disk is full" in state["error"]
    assert not (folder / ".training.pt").exists(), "half a file would only be in the way"
    assert AVD.from_pretrained(folder).config.preset == "tiny"
    if call == "torch.save":
        assert fingerprint_of_state(folder) == before == AVD.from_pretrained(folder).fingerprint and step == 1
    train("--run", str(folder), "--resume")
    assert [line["step"] for line in Run(folder).metrics()] == [1, 2, 3, 4, 5, 6]


def test_no_memory_left_is_told_in_plain_words(tmp_path, squares, monkeypatch):
    def out_of_memory(*_, **__):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB (GPU 0; ...)")

    folder = tmp_path / "r"
    train(*arguments(folder, squares, "--seconds=0"))
    with monkeypatch.context() as patch:
        patch.setattr("avd_core.training.trainer.Trainer.train_step", out_of_memory)
        with pytest.raises(torch.cuda.OutOfMemoryError):
            train("--run", str(folder), "--resume")
    assert "smaller batch_size" in Run(folder).state()["error"]
    train("--run", str(folder), "--resume")
    assert Run(folder).state()["status"] == "done"


def test_a_run_that_cannot_even_start_says_so_in_its_directory(tmp_path, squares):
    folder = tmp_path / "r"
    Run(folder).create({"model": MINI.to_dict(), "train": QUICK.to_dict(), "init": str(tmp_path / "gone"), "clips": []})
    with pytest.raises(ValueError, match="gone"):
        train("--run", str(folder))
    assert Run(folder).state()["status"] == "failed" and "gone" in Run(folder).state()["error"]
