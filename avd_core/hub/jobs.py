"""Train runs on Hugging Face Jobs, on a rented machine that the owner of the token pays by the minute.

`launch` uploads a run's package to a private repository of that owner and starts a job, which downloads it, trains by
the same `python -m avd_core train --run run`, and uploads its results (`avd_core.hub.job_worker`).
`avd_core.hub.job_sync` copies these into the run directory, so that the run looks like any other.

The run directory holds the job's `job.json`, without the token. The job gets the token as a secret of Jobs.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

from avd_core.atomic_io import write_atomically
from avd_core.hub import job_package
from avd_core.hub.job_worker import CODE, RUN, STOP
from avd_core.hub_client import HubError, ask, check_repo
from avd_core.runs.run import Run, RunError

IMAGE = "ghcr.io/astral-sh/uv:python3.12-bookworm"
"""Docker image of a job: the one that the Hub's client uses for Python, with a fast installer."""
LIBRARIES = ("torch", "numpy", "pillow", "safetensors", "tqdm", "huggingface-hub")
"""Packages that a training needs; the job installs the versions of this machine."""
FLAVOR, TIMEOUT = "t4-small", "2h"
UPLOAD_DEADLINE = 1800.0
UNDER_WAY = ("SCHEDULING", "RUNNING")
_FLAVOR = re.compile(r"[a-z0-9-]{2,40}")
_TIMEOUT = re.compile(r"\d+(\.\d+)?[smhd]?")


@dataclass(frozen=True)
class Job:
    """A run's job, as `job.json` in its directory.

    Attributes:
        id: of the job, for the Jobs API.
        owner: the account that pays for it.
        repo: the private repository that transfers the run.
        flavor: kind of machine.
        url: its page on the Hub.
        stopping: whether it was asked to stop.
        commit: of the repository, at the last sync.
        weights: blob ids of weights and calibration, at the last sync.
        over: whether it has ended and the run directory holds all its results.
    """

    id: str
    owner: str
    repo: str
    flavor: str
    url: str
    stopping: bool = False
    commit: str = ""
    weights: str = ""
    over: bool = False

    @classmethod
    def of(cls, run: Run) -> Self | None:
        """Return the job of a run; None if it has none.

        Raises:
            RunError: its `job.json` cannot be read.
        """
        try:
            return cls(**json.loads((run.folder / "job.json").read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (OSError, TypeError, ValueError) as error:
            raise RunError(f"job.json of {run.folder.name} cannot be read: {error}.") from error

    def keep(self, run: Run) -> None:
        write_atomically(run.folder / "job.json", json.dumps(asdict(self)) + "\n")


def launch(
    run: Run, *, repo_id: str | None = None, flavor: str = FLAVOR, timeout: str = TIMEOUT, image: str = IMAGE,
    token: str | None = None,
) -> Job:  # fmt: skip
    """Start or resume a run on Hugging Face Jobs.

    Args:
        run: a created run directory that no process trains.
        repo_id: `owner/name` of the private repository to use; by default one named after the run.
        flavor: kind of machine, such as "t4-small" or "a10g-large".
        timeout: longest time of the job, such as "90m".
        image: Docker image with bash and uv.
        token: of the account that pays; by default this machine's own.

    Raises:
        RunError: the run is being trained, or its config is invalid.
        HubError: no token, no rights, no credit, no network, or the repository is not private or holds something else.
        DataError: the clips cannot be read.
    """
    from huggingface_hub import HfApi, get_token

    token = token or get_token()
    if not token:
        raise HubError("A job needs somebody who pays for it: sign in, or set HF_TOKEN (hf auth login does it).")
    if not _FLAVOR.fullmatch(flavor) or not _TIMEOUT.fullmatch(timeout):
        raise HubError(f"{flavor!r} for {timeout!r} is no machine and time: write t4-small and 2h, for example.")
    earlier, api = Job.of(run), HfApi(token=token)
    failing = f"The run {run.folder.name} could not be sent to Hugging Face Jobs"
    if earlier is not None and not earlier.over:
        stage = ask(failing, lambda: api.inspect_job(job_id=earlier.id, namespace=earlier.owner)).status.stage
        if stage in UNDER_WAY:
            raise RunError(f"{run.folder.name} is at Hugging Face Jobs already: {earlier.url}.")
    owner = ask(failing, api.whoami)["name"]
    repo_id = repo_id or (earlier.repo if earlier else f"{owner}/avd-run-{_slug(run.folder.name)}")
    check_repo(repo_id)

    settings = {"AVD_REPO": repo_id, "HF_HUB_DISABLE_PROGRESS_BARS": "1"}

    def start() -> Any:
        return api.run_job(
            image=image, command=command(), env=settings, secrets={"HF_TOKEN": token}, flavor=flavor,
            timeout=timeout, namespace=owner, labels={"avd": "run"},
        )  # fmt: skip

    with run.held(), tempfile.TemporaryDirectory(prefix="avd-", ignore_cleanup_errors=True) as name:
        package = job_package.make_package(run, Path(name))
        ask(failing, lambda: _upload(api, repo_id, package), deadline=UPLOAD_DEADLINE)
        started = ask(failing, start)
        job = Job(started.id, owner, repo_id, flavor, started.url)
        job.keep(run)
        run.write_state("queued", step=run.state()["step"])
    return job


def _upload(api: Any, repo_id: str, package: Path) -> None:
    """Upload a package to a private repository, made if missing; raise HubError if it holds something else."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    api.create_repo(repo_id, private=True, exist_ok=True)
    info = api.model_info(repo_id)
    there = {entry.rfilename for entry in info.siblings or []}
    if not info.private:
        raise HubError(f"{repo_id} is public, and a run's clips are nobody's business: choose another name.")
    if there - {".gitattributes", "README.md"} and f"{RUN}/config.json" not in there:
        raise HubError(f"{repo_id} holds something else than a run: choose another name.")
    changes: list[CommitOperationAdd | CommitOperationDelete]
    changes = [CommitOperationAdd(path.as_posix(), package / path) for path in job_package.files_of(package)]
    changes += [CommitOperationDelete(STOP)] if STOP in there else []
    api.create_commit(repo_id, changes, commit_message="A run to train")


def command() -> list[str]:
    """Return the command of a job: install the packages, download this code, and start the worker."""
    libraries = " ".join(f"{name}=={version(name).partition('+')[0]}" for name in LIBRARIES)
    lines = (
        "set -e",
        f"uv pip install --system --quiet {libraries}",
        "mkdir -p avd-job && cd avd-job",
        f'hf download "$AVD_REPO" {CODE} --local-dir . --quiet',
        f"python -m zipfile -e {CODE} .",
        'exec python -m avd_core.hub.job_worker "$AVD_REPO"',
    )
    return ["bash", "-c", "\n".join(lines)]


def stop(run: Run, *, token: str | None = None) -> None:
    """Ask a job to stop; it saves, uploads everything, and ends within a minute or two.

    Raises:
        RunError: the run has no job.
        HubError: the request failed.
    """
    from huggingface_hub import HfApi

    job = job_of(run)
    failing = f"The job of {run.folder.name} could not be asked to stop"
    api = HfApi(token=token)
    ask(failing, lambda: api.upload_file(path_or_fileobj=b"now", path_in_repo=STOP, repo_id=job.repo,
                                         commit_message="Please stop"))  # fmt: skip
    replace(job, stopping=True).keep(run)


def cancel(run: Run, *, token: str | None = None) -> None:
    """End a job at once; its last upload is kept.

    Raises:
        RunError: the run has no job.
        HubError: the request failed.
    """
    from huggingface_hub import HfApi

    job = job_of(run)
    api = HfApi(token=token)
    ask(f"The job of {run.folder.name} could not be cancelled",
        lambda: api.cancel_job(job_id=job.id, namespace=job.owner))  # fmt: skip


def job_of(run: Run) -> Job:
    """Return the job of a run; raise `RunError` if it has none."""
    job = Job.of(run)
    if job is None:
        raise RunError(f"{run.folder.name} is not at Hugging Face Jobs.")
    return job


def _slug(name: str) -> str:
    """Return a run's name as part of a repository's."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:60] or "run"


def last_lines(lines: Sequence[str], count: int = 5) -> str:
    """Return the last `count` lines of a log as one line."""
    kept = [" ".join(line.split()) for line in lines if line.strip()][-count:]
    return " | ".join(kept)[-600:]
