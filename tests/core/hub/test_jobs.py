"""Runs on Hugging Face Jobs, with the real client; here the job's own command is carried out on this machine."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import shutil
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from avd_core.cli.main import main
from avd_core.config import PRESETS
from avd_core.data.datasets import DataError
from avd_core.data.packs import PackedClips
from avd_core.hub import jobs
from avd_core.hub.job_sync import follow, sync
from avd_core.hub.jobs import Job
from avd_core.hub_client import HubError
from avd_core.networks.avd import AVD
from avd_core.runs.run import Run, RunError
from avd_core.training.run_trainer import train_chunk
from tests.hub_server import READER, TOKEN, HubServer
from tests.squares import MINI, QUICK, write_pack


@pytest.fixture(scope="module")
def squares(tmp_path_factory) -> Path:
    return write_pack(tmp_path_factory.mktemp("packs") / "squares.pack")


def create(folder: Path, squares: Path, *, steps: int = 6, **more) -> Run:
    run = Run(folder)
    config = dataclasses.replace(QUICK, steps=steps, batch_size=1)
    asked = {"model": MINI.to_dict(), "train": config.to_dict(), "clips": [{"path": str(squares), "patterns": None}]}
    run.create(asked | more)
    return run


@pytest.fixture
def run(tmp_path, squares) -> Run:
    return create(tmp_path / "my run", squares)


class Machine:
    """Carries out a job's command as Jobs would, in an empty folder, with nothing but what the job was given."""

    def __init__(self, server: HubServer, folder: Path) -> None:
        self.server, self.folder = server, folder
        self.thread: threading.Thread | None = None
        (folder / "bin").mkdir(parents=True)
        installer = folder / "bin" / "uv"
        installer.write_text('#!/bin/sh\necho "installs $*"\n')  # everything is here already
        installer.chmod(0o755)
        server.on_job = self.start

    def start(self, identity: str, spec: dict) -> None:
        self.thread = threading.Thread(target=self.carry_out, args=(self.server.jobs[identity], spec), daemon=True)
        self.thread.start()

    def carry_out(self, job: dict, spec: dict) -> None:
        environment = self.server.environment(self.folder / "home", None) | spec["environment"] | spec["secrets"]
        environment |= {"PATH": f"{self.folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"}
        environment |= {"AVD_JOB_LIGHT_EVERY": "0.2", "AVD_JOB_HEAVY_EVERY": "0.5", "OMP_NUM_THREADS": "1"}
        environment.pop("PYTHONPATH", None)
        work = self.folder / f"work-{len(list(self.folder.iterdir()))}"
        work.mkdir()
        job["stage"] = "RUNNING"
        process = subprocess.Popen(
            spec["command"], cwd=work, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for line in process.stdout:
            job["console"].append(line.rstrip("\n"))
        if process.wait() == 0:
            job["stage"] = "COMPLETED"
        elif job["stage"] != "CANCELED":
            job["stage"] = "ERROR"

    def wait(self) -> None:
        self.thread.join(400)
        assert not self.thread.is_alive()


@pytest.fixture
def machine(hub_server, tmp_path) -> Machine:
    return Machine(hub_server, tmp_path / "machine")


def test_a_job_trains_and_its_run_looks_like_any_other(hub_server, machine, run, tmp_path, squares):
    job = jobs.launch(run, flavor="a10g-small", timeout="30m", token=TOKEN)
    assert (job.owner, job.repo) == ("me", "me/avd-run-my-run") and job.url.endswith(f"/jobs/me/{job.id}")
    assert run.state()["status"] == "queued"
    machine.wait()
    console = hub_server.jobs[job.id]["console"]
    state = sync(run, token=TOKEN)
    assert (state["status"], state["step"], state["error"]) == ("done", 6, None), "\n".join(console)

    assert console[0].startswith("installs pip install --system --quiet torch==") and "+" not in console[0]
    assert any("training on cpu from step 0 to 6" in line for line in console)
    log = (run.folder / "log.txt").read_text()
    assert "\x1b" not in log and len(log.splitlines()) == len(console) and "%|" not in log
    # The very training that this machine would have done.
    here = create(tmp_path / "here", squares)
    train_chunk(here.folder, seconds=600, device="cpu")
    assert {path.name for path in run.previews.iterdir()} == {path.name for path in here.previews.iterdir()} != set()
    for one, other in zip(run.metrics(), here.metrics(), strict=True):
        assert {**one, "seconds": 0} == pytest.approx({**other, "seconds": 0}, rel=1e-4, abs=1e-6)
    assert AVD.from_pretrained(run.folder).calibration is not None
    assert not [path.name for path in run.folder.iterdir() if path.name.startswith(".sync")]
    nothing_but_the_secret_holds_the_token(hub_server, job, run)
    asked = len(hub_server.asked)
    assert sync(run, token=TOKEN) == state and len(hub_server.asked) == asked, "what is over is not asked for again"


def nothing_but_the_secret_holds_the_token(hub_server: HubServer, job: Job, run: Run) -> None:
    spec = dict(hub_server.jobs[job.id]["spec"])
    assert spec.pop("secrets") == {"HF_TOKEN": TOKEN}
    assert TOKEN not in json.dumps(spec)
    assert spec["timeoutSeconds"] == 1800 and spec["flavor"] == "a10g-small"
    assert hub_server.repos[job.repo].private
    written = [path for path in run.folder.rglob("*") if path.is_file()]
    assert len(written) > 6
    for path, content in [*((path, path.read_bytes()) for path in written), *hub_server.files(job.repo).items()]:
        assert TOKEN.encode() not in content, path
    with zipfile.ZipFile(io.BytesIO(hub_server.files(job.repo)["code.zip"])) as code:
        assert not any(TOKEN.encode() in code.read(name) for name in code.namelist())


def test_a_package_names_no_path_of_this_machine(hub_server, tmp_path, squares, tiny_checkpoint, rendered_clip):
    shutil.copytree(tiny_checkpoint, tmp_path / "start")
    (tmp_path / "clips").mkdir()
    shutil.copy(rendered_clip, tmp_path / "clips" / "mine.mp4")
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (64, 64)).save(tmp_path / "photos" / "me at home.PNG")
    run = create(
        tmp_path / "run", squares, model=PRESETS["tiny"].to_dict(), init=str(tmp_path / "start"),
        held_out=[{"path": str(tmp_path / "clips"), "patterns": ["*.mp4"]}], photos=str(tmp_path / "photos"),
    )  # fmt: skip
    job = jobs.launch(run, token=TOKEN)
    files = hub_server.files(job.repo)
    asked = json.loads(files["run/config.json"])
    assert asked["clips"] == [{"path": "clips/0.pack", "patterns": None}]
    assert asked["held_out"] == [{"path": "held_out/0.pack", "patterns": None}]
    assert (asked["init"], asked["photos"]) == ("init", "photos") and "photos/00000.png" in files
    assert str(tmp_path) not in files["run/config.json"].decode()
    assert json.loads(files["run/state.json"])["status"] == "queued"
    assert files["clips/0.pack"] == squares.read_bytes()
    (tmp_path / "came.pack").write_bytes(files["held_out/0.pack"])
    assert len(PackedClips(tmp_path / "came.pack")) == 1
    assert files["init/model.safetensors"] == (tiny_checkpoint / "model.safetensors").read_bytes()
    with zipfile.ZipFile(io.BytesIO(files["code.zip"])) as code:
        assert "avd_core/hub/job_worker.py" in code.namelist()
        assert not [name for name in code.namelist() if name.startswith("checkpoints/")]


def test_a_bundled_start_goes_with_the_code(hub_server, tmp_path, squares):
    run = create(tmp_path / "run", squares, model=PRESETS["base"].to_dict(), init="base")
    files = hub_server.files(jobs.launch(run, token=TOKEN).repo)
    assert json.loads(files["run/config.json"])["init"] == "base"
    with zipfile.ZipFile(io.BytesIO(files["code.zip"])) as code:
        assert "checkpoints/base/model.safetensors" in code.namelist()


def test_stop_saves_and_a_second_job_goes_on(hub_server, machine, tmp_path, squares):
    run = create(tmp_path / "run", squares, steps=100_000)
    first = jobs.launch(run, token=TOKEN)
    with pytest.raises(RunError, match="at Hugging Face Jobs already"):
        jobs.launch(run, token=TOKEN)
    deadline = time.monotonic() + 400
    while sync(run, token=TOKEN)["step"] < 3:
        assert time.monotonic() < deadline and run.state()["status"] in ("queued", "running"), run.state()
        time.sleep(0.2)
    jobs.stop(run, token=TOKEN)
    assert sync(run, token=TOKEN)["status"] in ("stopping", "stopped")
    machine.wait()
    stopped = sync(run, token=TOKEN)
    assert (stopped["status"], stopped["error"]) == ("stopped", None) and stopped["step"] >= 3
    assert AVD.from_pretrained(run.folder).config == MINI
    assert hub_server.files(first.repo)["run/training.pt"]

    second = jobs.launch(run, token=TOKEN)
    assert second.id != first.id and second.repo == first.repo and "stop" not in hub_server.files(first.repo)
    while sync(run, token=TOKEN)["step"] <= stopped["step"]:
        assert time.monotonic() < deadline, hub_server.jobs[second.id]["console"]
        time.sleep(0.2)
    jobs.stop(run, token=TOKEN)
    machine.wait()
    state = sync(run, token=TOKEN)
    assert state["status"] == "stopped" and [line["step"] for line in run.metrics()] == list(
        range(1, state["step"] + 1)
    )


def test_whoever_follows_holds_the_run_and_passes_a_wish_to_stop_on(hub_server, run):
    job = jobs.launch(run, token=TOKEN)
    hub_server.jobs[job.id]["stage"] = "RUNNING"
    states = follow(run, token=TOKEN, every=0.01)
    assert next(states)["status"] == "running" and run.state()["pid"] == os.getpid()
    with pytest.raises(RunError, match="another process"):
        next(follow(run, token=TOKEN))
    hub_server.faults.append(("GET /api/jobs", 503, "down"))
    assert next(states)["status"] == "running", "the Hub may be away for a while"
    hub_server.faults.clear()
    (run.folder / "requests").mkdir()
    (run.folder / "requests" / "stop").touch()
    assert next(states)["status"] == "stopping" and "stop" in hub_server.files(job.repo)
    hub_server.jobs[job.id]["stage"] = "COMPLETED"
    hub_server.add(job.repo, {"run/state.json": b'{"status": "stopped", "step": 0}'})
    assert [state["status"] for state in states] == ["stopped"] and Job.of(run).over
    assert list(follow(run, token=TOKEN)) == [], "what is over is not asked for again"


def test_when_nobody_follows_a_job_goes_on_and_is_found_again(hub_server, run):
    job = jobs.launch(run, token=TOKEN)
    hub_server.jobs[job.id]["stage"] = "RUNNING"
    next(follow(run, token=TOKEN))
    run.write_state("failed", step=0, error="The training process has vanished.")  # so a watcher who sees no process
    with pytest.raises(RunError, match="at Hugging Face Jobs already"):
        jobs.launch(run, token=TOKEN)
    assert next(follow(run, token=TOKEN))["status"] == "running"


def test_a_training_that_fails_there_says_why_here(hub_server, run):
    job = jobs.launch(run, token=TOKEN)
    hub_server.add(job.repo, {"run/state.json": b'{"status": "failed", "step": 4, "error": "The training diverged."}'})
    hub_server.jobs[job.id] |= {"stage": "ERROR", "message": "exit code 2", "console": ["avd train: diverged"]}
    state = sync(run, token=TOKEN)
    assert (state["status"], state["error"]) == ("failed", "The training diverged.")


@pytest.mark.parametrize(
    ("stage", "message", "status", "error"),
    [
        ("SCHEDULING", None, "queued", None),
        ("RUNNING", None, "running", None),
        ("COMPLETED", None, "done", None),
        ("CANCELED", None, "stopped", None),
        ("DELETED", None, "stopped", None),
        ("ERROR", "Job timeout", "failed", "Job timeout: step 3: slow | and slower"),
        ("ERROR", None, "failed", "The job failed: step 3: slow | and slower"),
    ],
)
def test_what_the_hub_calls_it_and_what_a_run_calls_it(hub_server, run, stage, message, status, error):
    job = jobs.launch(run, token=TOKEN)
    hub_server.jobs[job.id] |= {"stage": stage, "message": message, "console": ["step 3: slow", "and slower"]}
    state = sync(run, token=TOKEN)
    assert (state["status"], state["error"]) == (status, error)
    assert Job.of(run).over == (stage not in ("SCHEDULING", "RUNNING"))
    assert (run.folder / "log.txt").read_text() == "step 3: slow\nand slower\n"


def test_cancel_ends_a_job_at_once(hub_server, run):
    job = jobs.launch(run, token=TOKEN)
    jobs.cancel(run, token=TOKEN)
    assert hub_server.jobs[job.id]["stage"] == "CANCELED"
    assert sync(run, token=TOKEN)["status"] == "stopped"
    with pytest.raises(RunError, match="is not at Hugging Face Jobs"):
        jobs.cancel(Run(run.folder.parent), token=TOKEN)


def test_a_hub_that_does_not_answer_changes_nothing(hub_server, run):
    jobs.launch(run, token=TOKEN)
    before = (run.folder / "state.json").read_bytes()
    hub_server.faults.append(("GET /api/jobs", 503, "down"))
    with pytest.raises(HubError, match="cannot be seen now: the Hub has a fault of its own"):
        sync(run, token=TOKEN)
    assert (run.folder / "state.json").read_bytes() == before
    hub_server.faults.clear()
    hub_server.faults.append(("/logs", 503, "down"))
    assert sync(run, token=TOKEN)["status"] == "queued"


def test_what_comes_back_is_read_as_if_a_stranger_wrote_it(hub_server, run, tmp_path):
    job = jobs.launch(run, token=TOKEN)
    AVD(MINI).save_pretrained(tmp_path / "good")
    files = {f"run/checkpoint/{path.name}": path.read_bytes() for path in (tmp_path / "good").iterdir()}
    files |= {
        "run/metrics.jsonl": b'{"step": 1, "recon_loss": 0.5, "x": "<script>"}\n[]\n{"step": "2"}\nnot json\n',
        "run/previews/000001.png": b"<svg onload=alert(1)>", "run/previews/../../evil.png": b"x", "run/evil.py": b"x",
        "run/state.json": b'["running"]',
    }  # fmt: skip
    hub_server.add(job.repo, files)
    hub_server.jobs[job.id]["stage"] = "RUNNING"
    assert sync(run, token=TOKEN)["step"] == 1
    assert run.metrics() == [{"step": 1, "recon_loss": 0.5}]
    assert not list(run.previews.iterdir()) and not list(run.folder.parent.glob("**/evil*"))
    good = AVD.from_pretrained(run.folder).fingerprint

    hub_server.add(job.repo, {"run/checkpoint/model.safetensors": b"a pickle"})
    hub_server.jobs[job.id]["stage"] = "ERROR"
    state = sync(run, token=TOKEN)
    assert state["status"] == "failed" and "not a readable safetensors file" in state["error"]
    assert AVD.from_pretrained(run.folder).fingerprint == good


def test_too_much_is_refused_unread(hub_server, run):
    job = jobs.launch(run, token=TOKEN)
    hub_server.add(job.repo, {"run/metrics.jsonl": b"{}"})
    hub_server.sizes["run/metrics.jsonl"] = 2**40
    with pytest.raises(HubError, match=r"run/metrics\.jsonl is too large"):
        sync(run, token=TOKEN)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"token": None}, "A job needs somebody who pays"),
        ({"token": "hf_wrong"}, "there is no token, or the Hub does not take it"),
        ({"token": READER}, "no right to do this"),
        ({"token": TOKEN, "flavor": "a big one"}, "is no machine and time"),
        ({"token": TOKEN, "timeout": "for ever"}, "is no machine and time"),
        ({"token": TOKEN, "repo_id": "nothing"}, "write owner/name"),
        ({"token": TOKEN, "repo_id": "me/public"}, "is public, and a run's clips"),
        ({"token": TOKEN, "repo_id": "me/thesis"}, "holds something else"),
    ],
)
def test_what_cannot_be_launched_says_why_and_costs_nothing(hub_server, run, options, sentence):
    hub_server.add("me/public", {"run/config.json": b"{}"})
    hub_server.add("me/thesis", {"thesis.tex": b"years of work"}, private=True)
    with pytest.raises(HubError, match=sentence):
        jobs.launch(run, **options)
    assert not hub_server.jobs and Job.of(run) is None and run.state()["status"] == "queued"
    assert hub_server.files("me/thesis") == {"thesis.tex": b"years of work"}


def test_no_credit_and_no_clips(hub_server, run, tmp_path):
    hub_server.faults.append(("POST /api/jobs", 402, "Pre-paid credit balance is insufficient"))
    with pytest.raises(HubError, match="wants to be paid for this"):
        jobs.launch(run, token=TOKEN)
    assert Job.of(run) is None
    (tmp_path / "broken.pack").write_bytes(b"no pack")
    broken = create(tmp_path / "broken", tmp_path / "broken.pack")
    with pytest.raises(DataError, match="is not a pack"):
        jobs.launch(broken, token=TOKEN)


def test_avd_job(hub_server, tmp_path, squares, monkeypatch, capsys):
    folder = str(tmp_path / "mine")
    assert (
        main(["train", "--run", folder, "--preset", "tiny", "--data", str(squares), "--steps", "2", "--prepare"]) == 0
    )
    run = Run(folder)
    assert run.state()["status"] == "queued" and not run.metrics()
    assert main(["job", folder]) == 2
    assert capsys.readouterr().err.startswith("avd job: A job needs somebody who pays for it")

    monkeypatch.setenv("HF_TOKEN", TOKEN)
    hub_server.on_job = lambda identity, spec: hub_server.jobs[identity].update(stage="COMPLETED")
    assert main(["job", folder, "--flavor", "cpu-basic", "--timeout", "10m", "--repo", "me/mine"]) == 0
    job = Job.of(run)
    assert capsys.readouterr().out == f"{folder} -> {job.url}\ndone at step 0\n" and job.repo == "me/mine"
    hub_server.on_job = lambda identity, spec: hub_server.jobs[identity].update(stage="ERROR", message="Job timeout")
    assert main(["job", folder]) == 2 and "Job timeout" in capsys.readouterr().err
    for flag in ("--stop", "--cancel"):
        assert main(["job", folder, flag]) == 0
    assert "stop" in hub_server.files("me/mine") and hub_server.jobs[Job.of(run).id]["stage"] == "CANCELED"
