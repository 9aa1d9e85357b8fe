"""Sync a run directory with its job: copy into it what the job has uploaded, until the job is over.

Files from the Hub are not trusted: only known names are downloaded, sizes are bounded, metrics must be numbers,
previews must be pictures, and a checkpoint must load.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from avd_core.atomic_io import atomic_folder, remove_leftovers, scratch_folder, write_atomically
from avd_core.hub.job_worker import RUN
from avd_core.hub.jobs import UNDER_WAY, Job, job_of, last_lines, stop
from avd_core.hub_client import HubError, ask
from avd_core.networks import checkpoint
from avd_core.networks.avd import AVD
from avd_core.networks.checkpoint import CheckpointError
from avd_core.runs.run import Run, RunError, metrics_line

STATUSES = {
    "SCHEDULING": "queued", "RUNNING": "running", "COMPLETED": "done", "CANCELED": "stopped", "DELETED": "stopped",
    "ERROR": "failed",
}  # fmt: skip
UPLOADED_STATE = ".uploaded-state.json"
"""The job's own `state.json`, in the run directory."""
DEADLINE = 300.0
EVERY = 20.0
"""Seconds between two syncs."""
LOST_AFTER = 1800.0
CONSOLE_LINES = 2000
MAX_BYTES = {".json": 2**20, ".jsonl": 64 * 2**20, ".png": 16 * 2**20, ".safetensors": checkpoint.MAX_WEIGHTS_BYTES}
MAX_PREVIEWS = 1000
_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_PREVIEW = re.compile(rf"{RUN}/previews/\d{{6}}\.png")


def sync(run: Run, *, token: str | None = None) -> dict[str, Any]:
    """Get a job's status once, copy what is new, and return the run's state; takes seconds as a rule.

    Raises:
        RunError: the run is no job.
        HubError: the Hub did not answer; nothing has changed, and the job continues.
    """
    job = job_of(run)
    if not job.over:
        try:
            with run.held():
                _sync_held(run, job, token)
        except RunError:  # another process syncs it
            pass
    return run.state()


def follow(run: Run, *, token: str | None = None, every: float = EVERY) -> Iterator[dict[str, Any]]:
    """Sync with a job until it is over, holding the run's lock as a trainer does.

    Other processes see a run with a live process, which stops when `requests/stop` appears. If this process ends, the
    job continues, and another process may follow it.

    Yields:
        The run's state after each sync.

    Raises:
        RunError: the run is no job, or another process holds it.
        HubError: the Hub has not answered for `LOST_AFTER` seconds.
    """
    job_of(run)
    request = run.folder / "requests" / "stop"
    with run.held():
        answered = time.monotonic()
        while not job_of(run).over:
            try:
                if request.exists():
                    stop(run, token=token)
                    request.unlink(missing_ok=True)
                _sync_held(run, job_of(run), token)
                answered = time.monotonic()
            except HubError:
                if time.monotonic() - answered > LOST_AFTER:
                    raise
            yield run.state()
            end = time.monotonic() + every
            while time.monotonic() < end and not request.exists() and not job_of(run).over:
                time.sleep(min(0.2, every))


def _sync_held(run: Run, job: Job, token: str | None) -> None:
    from huggingface_hub import HfApi

    api = HfApi(token=token)
    failing = f"The job of {run.folder.name} cannot be seen now"
    remove_leftovers(run.folder / "sync")
    # The status first: if it says that the job has ended, all that it uploaded is there.
    remote = ask(failing, lambda: api.inspect_job(job_id=job.id, namespace=job.owner)).status
    with scratch_folder(run.folder / "sync") as aside:
        fetched = ask(failing, lambda: _fetch(api, run, job, aside), deadline=DEADLINE)
        reported, job = _store(run, job, aside, fetched)
    console = _console(api, job)
    if console:
        write_atomically(run.folder / "log.txt", "".join(line + "\n" for line in console))
    metrics = run.metrics()
    step = metrics[-1]["step"] if metrics else run.state()["step"]
    status, error = STATUSES.get(str(getattr(remote.stage, "value", remote.stage)), "failed"), None
    if status == "done" and reported.get("status") in ("stopped", "failed"):
        status = reported["status"]  # the job succeeded, but the training ended before its last step
    if status == "running" and job.stopping:
        status = "stopping"
    if status == "failed":
        own = reported.get("error") if reported.get("status") == "failed" else None
        error = str(own or remote.message or "") or "The job failed."
        if not own and console:
            error = f"{error.rstrip('.')}: {last_lines(console)}"
    run.write_state(status, step=step, error=error)
    stopping = job_of(run).stopping  # it may have changed since this sync began
    replace(job, over=remote.stage not in UNDER_WAY, stopping=stopping).keep(run)


def _fetch(api: Any, run: Run, job: Job, aside: Path) -> tuple[str, str]:
    """Download what is new into `aside`; return its commit, and the Hub's name for the weights in it."""
    info = api.model_info(job.repo, files_metadata=True)
    if info.sha == job.commit:
        return job.commit, job.weights
    entries = {entry.rfilename: entry for entry in info.siblings or []}
    wanted = [f"{RUN}/{file}" for file in ("state.json", "metrics.jsonl")]
    previews = sorted(path for path in entries if _PREVIEW.fullmatch(path))[-MAX_PREVIEWS:]
    wanted += [path for path in previews if not (run.previews / Path(path).name).exists()]
    inside = f"{RUN}/{run.checkpoint.name}"
    weights = entries.get(f"{inside}/{checkpoint.WEIGHTS}")
    name = f"{weights.blob_id}" if weights else ""
    # A calibration comes after the weights it belongs to, which stay the same.
    name += f" {entries[path].blob_id}" if (path := f"{inside}/{checkpoint.CALIBRATION}") in entries else ""
    if weights and name != job.weights:
        wanted += [f"{inside}/{file}" for file in (checkpoint.CONFIG, checkpoint.WEIGHTS, checkpoint.CALIBRATION)]
    for path in wanted:
        if path not in entries:
            continue
        size = entries[path].size
        if size is None or size > MAX_BYTES[Path(path).suffix]:
            raise HubError(f"What the job of {run.folder.name} uploaded is refused: {path} is too large.")
        api.hf_hub_download(job.repo, path, revision=info.sha, local_dir=aside)
    return info.sha, name


def _store(run: Run, job: Job, aside: Path, fetched: tuple[str, str]) -> tuple[dict[str, Any], Job]:
    """Move what was downloaded into the run; return the state that the trainer wrote, and the updated job."""
    came = aside / RUN
    reported: dict[str, Any] = {}
    uploaded = run.folder / UPLOADED_STATE
    for new in (run.folder / ".told.json", came / "state.json"):  # the first is its former name
        if new.is_file():
            os.replace(new, uploaded)
    if uploaded.is_file():
        reported = _json_object(uploaded.read_text(encoding="utf-8", errors="replace"))
    if (came / "metrics.jsonl").is_file():
        text = (came / "metrics.jsonl").read_text(encoding="utf-8", errors="replace")
        lines = [line for line in map(metrics_line, text.splitlines()) if line]
        write_atomically(run.metrics_file, "".join(json.dumps(line) + "\n" for line in lines))
    run.previews.mkdir(exist_ok=True)
    for picture in sorted((came / "previews").glob("*.png")):
        if _is_picture(picture):
            shutil.move(picture, run.previews / picture.name)
    if (came / run.checkpoint.name / checkpoint.WEIGHTS).is_file():
        try:
            AVD.from_pretrained(came / run.checkpoint.name)
        except (
            CheckpointError
        ) as error:  # keep the old checkpoint; `job` keeps its commit, so the next sync tries again
            return {"status": "failed", "error": str(error)}, job
        else:
            with atomic_folder(run.checkpoint) as staging:
                for file in (checkpoint.CONFIG, checkpoint.WEIGHTS, checkpoint.CALIBRATION):
                    (staging / file).unlink(missing_ok=True)
                    if (came / run.checkpoint.name / file).is_file():
                        shutil.move(came / run.checkpoint.name / file, staging)
    return reported, replace(job, commit=fetched[0], weights=fetched[1])


def _json_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _is_picture(path: Path) -> bool:
    try:
        with Image.open(path, formats=["PNG"]) as picture:
            picture.verify()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return False
    return True


def _console(api: Any, job: Job) -> list[str]:
    """Return the last lines that the job printed; [] if the Hub does not return them."""
    try:
        lines = ask("", lambda: list(api.fetch_job_logs(job_id=job.id, namespace=job.owner, tail=CONSOLE_LINES)))
    except HubError:
        return []
    return [_COLOUR.sub("", part).rstrip()[:2000] for line in lines for part in str(line).splitlines()]
