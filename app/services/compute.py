"""Where a training can run: this machine in its queue, ZeroGPU a minute at a time, or a machine rented by the hour.

Every backend fills a run directory, so a watcher need not know which it is. They differ in how a run gets there and in
what it needs to go on: a queue that the server moves, an open page, or a token.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from app.services import auth, zerogpu
from app.services.finetuning import MOVED, FinetuneService
from avd_core.devices import on_zerogpu
from avd_core.hub import jobs
from avd_core.runs.process import AT_WORK
from avd_core.runs.registry import RunRecord
from avd_core.runs.run import Run, RunError
from avd_core.training.finetune import JOBS

ZERO = "zerogpu"
TITLES = {"cpu": "CPU", "cuda": "GPU", ZERO: "ZeroGPU", JOBS: "Hugging Face Jobs"}


class ComputeBackends:
    """The backends of one server.

    Args:
        finetuning: Its runs and queues.
    """

    def __init__(self, finetuning: FinetuneService) -> None:
        self.finetuning = finetuning

    def choices(self) -> list[tuple[str, str]]:
        """List titles and keys, the best first."""
        available = [ZERO] * on_zerogpu() + self.finetuning.devices() + [JOBS]
        return [(TITLES[backend], backend) for backend in available]

    def local_device(self, backend: str) -> str:
        """Return the device here on which step times are measured for a backend."""
        devices = self.finetuning.devices()
        return backend if backend in devices else devices[0]

    def takes_requests(self, record: RunRecord) -> bool:
        """Return whether a run there saves and previews on request."""
        return record.device != JOBS

    def start(self, record: RunRecord, token: str | None) -> Iterator[None]:
        """Start a prepared run; yield for as long as the run needs an open page.

        Args:
            record: The run, not in any queue yet.
            token: The visitor's Hugging Face token; None: they have none.

        Raises:
            ValueError: It cannot start; the run is removed again.
        """
        registry = self.finetuning.registry
        try:
            if record.device == JOBS:
                self._require(token)
            if record.device in self.finetuning.queue.starters:
                self.finetuning.queue.add(record)
            else:
                registry.write(record)
            if record.device == JOBS:
                jobs.launch(registry.run(record), token=token)
        except BaseException:
            registry.forget(record)
            raise
        return self._followed(record, token)

    def resume(self, record: RunRecord, token: str | None) -> Iterator[None]:
        """Resume a run that is over; yield as `start` does.

        Raises:
            ValueError: It cannot go on.
        """
        run = self.finetuning.registry.run(record)
        record = self._back_on_zerogpu(record)
        if record.device in self.finetuning.queue.starters:
            self.finetuning.queue.resume(record)
        elif record.device == JOBS:
            self._require(token)
            job = jobs.Job.of(run)
            if job is None or job.over:
                jobs.launch(run, token=token)
        elif self.finetuning.registry.status(record) in ("queued", *AT_WORK):
            raise RunError(f"{record.name} is at work already.")
        return self._followed(record, token)

    def delete(self, record: RunRecord, token: str | None) -> None:
        """End a run and remove it; first cancel its rented machine, so that none goes on unseen.

        Raises:
            ValueError: It could not be ended.
        """
        run = self.finetuning.registry.run(record)
        job = jobs.Job.of(run) if record.device == JOBS else None
        if job is not None and not job.over:
            self._require(token)
            jobs.cancel(run, token=token)
        self.finetuning.queue.delete(record)

    def push(self, record: RunRecord, repo: str, *, private: bool, token: str | None) -> str:
        """Push a run's checkpoint to the Hub; return its address.

        Raises:
            ValueError: It could not be pushed.
        """
        from avd_core.hub import push

        self._require(token)
        clips = (record.about or {}).get("clips", 0)
        return push.push(
            self.finetuning.registry.run(record).folder, repo, private=private, token=token,
            about=f"{clips} clips of its owner's own.",
        )  # fmt: skip

    def _followed(self, record: RunRecord, token: str | None) -> Iterator[None]:
        run = self.finetuning.registry.run(record)
        if record.device == JOBS:
            _follow(run, token or "")
        elif record.device == ZERO:
            yield
            for state in zerogpu.chunks(run.folder):
                if state["status"] == "paused" and state["error"]:
                    self._move_to_cpu(record, str(state["error"]))
                yield
        else:
            self.finetuning.queue.advance()
        yield

    def _move_to_cpu(self, record: RunRecord, why: str) -> None:
        """Queue a run on this Space's own CPU, as ZeroGPU gave it no GPU; `why` is kept for the visitor.

        Raises:
            LimitError: The queue is full; the run stays paused.
        """
        self.finetuning.queue.resume(replace(record, device="cpu", about=(record.about or {}) | {MOVED: why}))
        self.finetuning.queue.advance()

    def _back_on_zerogpu(self, record: RunRecord) -> RunRecord:
        """Return the record as it was before its run was moved to the CPU; there may be quota again."""
        registry = self.finetuning.registry
        if MOVED not in (record.about or {}) or not on_zerogpu() or registry.status(record) in ("queued", *AT_WORK):
            return record
        about = {name: value for name, value in (record.about or {}).items() if name != MOVED}
        record = replace(record, device=ZERO, about=about)
        registry.write(record)
        return record

    def _require(self, token: str | None) -> None:
        if not token:
            raise RunError(auth.how_to_sign_in())


def _follow(run: Run, token: str) -> None:
    """Follow a job in a process of its own, which outlives the page; the token is in its environment alone."""
    with (run.folder / "follower.txt").open("ab") as log:
        subprocess.Popen(
            [sys.executable, "-m", "avd_core", "job", str(run.folder), "--follow"], start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=os.environ | {"HF_TOKEN": token},
            cwd=Path(__file__).resolve().parents[2],
        )  # fmt: skip
