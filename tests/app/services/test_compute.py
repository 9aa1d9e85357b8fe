"""Beyond this machine: ZeroGPU while the page is open, and Jobs with the visitor's own token."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from app.services.compute import ZERO, ComputeBackends
from app.services.finetuning import FinetuneService
from app.services.result_store import ResultStore
from avd_core.explore.explorer import Explorer
from avd_core.hub.jobs import Job
from avd_core.runs.limits import LimitError, TuneLimits
from avd_core.runs.registry import RunRecord, RunRegistry
from avd_core.runs.run import RunError
from avd_core.training.finetune import JOBS, command, prepare
from tests.hub_server import TOKEN, HubServer
from tests.tuning import WHO, asked, some_clips


@pytest.fixture
def backends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ComputeBackends:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    monkeypatch.setenv("AVD_RUNS", str(tmp_path / "runs"))
    finetuning = FinetuneService(Explorer("cpu"), ResultStore())
    finetuning.registry = RunRegistry(tmp_path / "runs", TuneLimits())
    finetuning.queue.home = finetuning.registry
    return ComputeBackends(finetuning)


def prepared(backends: ComputeBackends, clip: Path, device: str) -> RunRecord:
    registry = backends.finetuning.registry
    clips = some_clips(registry.folder.parent / "clips", clip)
    # Without labels: with them a recognition head is trained too, which takes ten times as long.
    clips = tuple(replace(one, source=replace(one.source, label="")) for one in clips)
    return prepare(replace(asked(clips), device=device), registry, WHO[0])


def test_what_is_there_can_be_chosen(backends: ComputeBackends, monkeypatch: pytest.MonkeyPatch):
    assert backends.choices() == [("CPU", "cpu"), ("Hugging Face Jobs", JOBS)]
    assert backends.local_device("cpu") == backends.local_device(JOBS) == "cpu"
    monkeypatch.setattr("app.services.compute.on_zerogpu", lambda: True)
    assert backends.choices()[0] == ("ZeroGPU", ZERO)


def test_on_zerogpu_a_run_goes_on_as_long_as_it_is_watched(backends: ComputeBackends, rendered_clip: Path):
    record = prepared(backends, rendered_clip, ZERO)
    watched = backends.start(record, None)
    next(watched)
    assert backends.finetuning.registry.status(record) == "queued", "nothing happens between two looks"
    list(watched)
    assert backends.finetuning.registry.status(record) == "done"
    with pytest.raises(RunError, match="Sign this machine in"):
        backends.push(record, "me/mine", private=True, token=None)


def test_without_a_gpu_a_run_goes_on_on_the_cpu_and_says_so(
    backends: ComputeBackends, rendered_clip: Path, monkeypatch: pytest.MonkeyPatch
):
    registry, queue = backends.finetuning.registry, backends.finetuning.queue
    record = prepared(backends, rendered_clip, ZERO)
    run, started = registry.run(record), []
    monkeypatch.setattr("app.services.compute.on_zerogpu", lambda: True)
    monkeypatch.setitem(queue.starters, "cpu", lambda run, **options: started.append((run.folder, options["device"])))

    def no_quota(folder: Path):
        run.write_state("paused", step=0, error="ZeroGPU quota exceeded: 60s requested vs. 3s left.")
        yield run.state()

    monkeypatch.setattr("app.services.zerogpu.chunks", no_quota)
    list(backends.start(record, None))
    (moved,) = registry.of(record.owner)
    assert moved.device == "cpu" and started == [(run.folder, "cpu")]
    shown = backends.finetuning.view(moved).pieces["failure"]
    assert "60s requested vs. 3s left." in shown and "goes on on this Space’s CPU" in shown
    # Stopped and resumed, it asks for a GPU again: there may be quota by now.
    run.write_state("stopped", step=0)
    next(backends.resume(moved, None))
    (again,) = registry.of(record.owner)
    assert again.device == ZERO and not backends.finetuning.view(again).pieces["failure"]


def test_a_full_queue_leaves_the_run_paused(
    backends: ComputeBackends, rendered_clip: Path, monkeypatch: pytest.MonkeyPatch
):
    registry = backends.finetuning.registry
    backends.finetuning.queue.add(prepared(backends, rendered_clip, "cpu"))
    registry.limits = replace(registry.limits, waiting=1)
    record = prepared(backends, rendered_clip, ZERO)
    run = registry.run(record)

    def aborted(folder: Path):
        run.write_state("paused", step=0, error="ZeroGPU worker error: GPU task aborted")
        yield run.state()

    monkeypatch.setattr("app.services.zerogpu.chunks", aborted)
    with pytest.raises(LimitError, match="The queue is full"):
        list(backends.start(record, None))
    assert registry.status(record) == "paused" and registry.find(record.owner, record.key).device == ZERO


def test_a_checkpoint_is_pushed_with_its_card(backends: ComputeBackends, rendered_clip: Path, hub_server: HubServer):
    record = prepared(backends, rendered_clip, ZERO)
    list(backends.start(record, None))
    address = backends.push(record, "me/mine", private=True, token=TOKEN)
    assert address == f"{hub_server.url}/me/mine" and hub_server.repos["me/mine"].private
    assert b"3 clips of its owner" in hub_server.files("me/mine")["README.md"]


def test_a_job_needs_a_token_and_leaves_nothing_without(backends: ComputeBackends, rendered_clip: Path):
    record = prepared(backends, rendered_clip, JOBS)
    with pytest.raises(RunError, match="Sign this machine in"):
        backends.start(record, None)
    assert not backends.finetuning.registry.records() and not list(backends.finetuning.registry.folder.glob("*/"))


def test_a_job_is_followed_and_does_not_outlive_its_run(
    backends: ComputeBackends,
    rendered_clip: Path,
    hub_server: HubServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
):
    for name, value in hub_server.environment(tmp_path / "home", None).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    record = prepared(backends, rendered_clip, JOBS)
    list(backends.start(record, TOKEN))
    run = backends.finetuning.registry.run(record)
    job = Job.of(run)
    assert job is not None and hub_server.jobs[job.id]["spec"]["secrets"] == {"HF_TOKEN": TOKEN}
    assert run.state()["status"] == "queued" and not backends.takes_requests(record)
    kept = [path.read_bytes() for path in run.folder.parent.rglob("*") if path.is_file()]
    assert not any(TOKEN.encode() in content for content in kept), "a token was written down"
    with pytest.raises(RunError, match="Sign this machine in"):
        backends.delete(record, None)
    backends.delete(record, TOKEN)
    assert hub_server.jobs[job.id]["stage"] == "CANCELED" and not run.folder.exists()


def test_the_command_shown_is_that_of_the_place(tmp_path: Path, rendered_clip: Path):
    ask = asked(some_clips(tmp_path, rendered_clip), "my run")
    assert command(replace(ask, device=JOBS)).endswith("--prepare && python -m avd_core job my-run")
    assert "--device" not in command(replace(ask, device=ZERO))
    assert "--device cpu" in command(ask)
