"""Beyond this machine: ZeroGPU while somebody watches, and Jobs with somebody's token."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from app.services.compute import ZERO, ComputeBackends
from app.services.finetuning import FinetuneService
from app.services.result_store import ResultStore
from avd_core.explore.explorer import Explorer
from avd_core.hub.jobs import Job
from avd_core.runs.limits import TuneLimits
from avd_core.runs.registry import RunRecord, RunRegistry
from avd_core.runs.run import RunError
from avd_core.training.finetune import JOBS, command, prepare
from tests.hub_server import TOKEN, HubServer
from tests.tuning import WHO, asked, some_clips


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ComputeBackends:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    monkeypatch.setenv("AVD_RUNS", str(tmp_path / "runs"))
    tuning = FinetuneService(Explorer("cpu"), ResultStore())
    tuning.home = RunRegistry(tmp_path / "runs", TuneLimits())
    tuning.queue.home = tuning.home
    return ComputeBackends(tuning)


def prepared(places: ComputeBackends, clip: Path, device: str) -> RunRecord:
    home = places.tuning.home
    clips = some_clips(home.folder.parent / "clips", clip)
    return prepare(dataclasses.replace(asked(clips), device=device), home, WHO[0])


def test_what_is_there_can_be_chosen(places: ComputeBackends, monkeypatch: pytest.MonkeyPatch):
    assert places.choices() == [("CPU", "cpu"), ("Hugging Face Jobs", JOBS)]
    assert places.measured("cpu") == places.measured(JOBS) == "cpu"
    monkeypatch.setattr("app.services.compute.on_zerogpu", lambda: True)
    assert places.choices()[0] == ("ZeroGPU", ZERO)


def test_on_zerogpu_a_run_goes_on_as_long_as_it_is_watched(places: ComputeBackends, rendered_clip: Path):
    ticket = prepared(places, rendered_clip, ZERO)
    watched = places.start(ticket, None)
    next(watched)
    assert places.tuning.home.status(ticket) == "queued", "nothing happens between two looks"
    list(watched)
    assert places.tuning.home.status(ticket) == "done"
    with pytest.raises(RunError, match="Sign this machine in"):
        places.push(ticket, "me/mine", private=True, token=None)


def test_a_checkpoint_is_pushed_with_its_card(places: ComputeBackends, rendered_clip: Path, hub_server: HubServer):
    ticket = prepared(places, rendered_clip, ZERO)
    list(places.start(ticket, None))
    address = places.push(ticket, "me/mine", private=True, token=TOKEN)
    assert address == f"{hub_server.url}/me/mine" and hub_server.repos["me/mine"].private
    assert b"3 clips of its owner" in hub_server.files("me/mine")["README.md"]


def test_a_job_needs_a_token_and_leaves_nothing_without(places: ComputeBackends, rendered_clip: Path):
    ticket = prepared(places, rendered_clip, JOBS)
    with pytest.raises(RunError, match="Sign this machine in"):
        places.start(ticket, None)
    assert not places.tuning.home.records() and not list(places.tuning.home.folder.glob("*/"))


def test_a_job_is_followed_and_does_not_outlive_its_run(
    places: ComputeBackends, rendered_clip: Path, hub_server: HubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    for name, value in hub_server.environment(tmp_path / "home", None).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    ticket = prepared(places, rendered_clip, JOBS)
    list(places.start(ticket, TOKEN))
    run = places.tuning.home.run(ticket)
    job = Job.of(run)
    assert job is not None and hub_server.jobs[job.id]["spec"]["secrets"] == {"HF_TOKEN": TOKEN}
    assert run.state()["status"] == "queued" and not places.answers(ticket)
    kept = [path.read_bytes() for path in run.folder.parent.rglob("*") if path.is_file()]
    assert not any(TOKEN.encode() in content for content in kept), "a token was written down"
    with pytest.raises(RunError, match="Sign this machine in"):
        places.delete(ticket, None)
    places.delete(ticket, TOKEN)
    assert hub_server.jobs[job.id]["stage"] == "CANCELED" and not run.folder.exists()


def test_the_command_shown_is_that_of_the_place(tmp_path: Path, rendered_clip: Path):
    ask = asked(some_clips(tmp_path, rendered_clip), "my run")
    assert command(dataclasses.replace(ask, device=JOBS)).endswith("--prepare && python -m avd_core job my-run")
    assert "--device" not in command(dataclasses.replace(ask, device=ZERO))
    assert "--device cpu" in command(ask)
