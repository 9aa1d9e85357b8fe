"""Where a training can run: this machine in its queue, ZeroGPU a minute at a time, or a machine rented by the hour.

Every place fills a run directory, so whoever watches need not know which it is. What differs is how a run gets there,
and what it needs to go on: a queue that the server moves, somebody who watches, or somebody's token.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from app.services import auth, zerogpu
from app.services.finetuning import FinetuneService
from avd_core.devices import on_zerogpu
from avd_core.hub import jobs
from avd_core.runs.process import AT_WORK
from avd_core.runs.registry import RunRecord
from avd_core.runs.run import Run, RunError
from avd_core.training.finetune import JOBS

ZERO = "zerogpu"
TITLES = {"cpu": "CPU", "cuda": "GPU", ZERO: "ZeroGPU", JOBS: "Hugging Face Jobs"}


class ComputeBackends:
    """The places of one server.

    Args:
        tuning: its runs and queues.
    """

    def __init__(self, tuning: FinetuneService) -> None:
        self.tuning = tuning

    def choices(self) -> list[tuple[str, str]]:
        """Titles and keys, the best first."""
        found = [ZERO] * on_zerogpu() + self.tuning.devices() + [JOBS]
        return [(TITLES[place], place) for place in found]

    def measured(self, place: str) -> str:
        """The device here on which the pace is measured for a place."""
        devices = self.tuning.devices()
        return place if place in devices else devices[0]

    def answers(self, ticket: RunRecord) -> bool:
        """Whether a run there saves and previews when it is asked to."""
        return ticket.device != JOBS

    def start(self, ticket: RunRecord, token: str | None) -> Iterator[None]:
        """Sends a prepared run on its way, and yields as long as it needs somebody who watches.

        Args:
            ticket: not in any line yet.
            token: of the visitor, where one is needed; None where they have none.

        Raises:
            ValueError: it cannot start; the run is gone again.
        """
        home = self.tuning.home
        try:
            if ticket.device == JOBS:
                self._need(token)
            if ticket.device in self.tuning.queue.starters:
                self.tuning.queue.add(ticket)
            else:
                home.write(ticket)
            if ticket.device == JOBS:
                jobs.launch(home.run(ticket), token=token)
        except BaseException:
            home.forget(ticket)
            raise
        return self._going(ticket, token)

    def resume(self, ticket: RunRecord, token: str | None) -> Iterator[None]:
        """Goes on with a run that is over, where it was; yields as `start` does.

        Raises:
            ValueError: it cannot go on.
        """
        run = self.tuning.home.run(ticket)
        if ticket.device in self.tuning.queue.starters:
            self.tuning.queue.resume(ticket)
        elif ticket.device == JOBS:
            self._need(token)
            job = jobs.Job.of(run)
            if job is None or job.over:
                jobs.launch(run, token=token)
        elif self.tuning.home.status(ticket) in ("queued", *AT_WORK):
            raise RunError(f"{ticket.name} is at work already.")
        return self._going(ticket, token)

    def delete(self, ticket: RunRecord, token: str | None) -> None:
        """Ends a run wherever it is, and removes it; what costs money does not go on unseen.

        Raises:
            ValueError: it could not be ended.
        """
        run = self.tuning.home.run(ticket)
        job = jobs.Job.of(run) if ticket.device == JOBS else None
        if job is not None and not job.over:
            self._need(token)
            jobs.cancel(run, token=token)
        self.tuning.queue.delete(ticket)

    def push(self, ticket: RunRecord, repo: str, *, private: bool, token: str | None) -> str:
        """Puts a run's checkpoint on the Hub; returns where it can be seen.

        Raises:
            ValueError: it could not be.
        """
        from avd_core.hub import push

        self._need(token)
        clips = (ticket.about or {}).get("clips", 0)
        return push.push(
            self.tuning.home.run(ticket).folder, repo, private=private, token=token,
            about=f"{clips} clips of its owner's own.",
        )  # fmt: skip

    def _going(self, ticket: RunRecord, token: str | None) -> Iterator[None]:
        run = self.tuning.home.run(ticket)
        if ticket.device == JOBS:
            _follow(run, token)
        elif ticket.device == ZERO:
            yield
            for _ in zerogpu.chunks(run.folder):
                yield
        else:
            self.tuning.queue.advance()
        yield

    def _need(self, token: str | None) -> None:
        if not token:
            raise RunError(auth.how_to_sign_in())


def _follow(run: Run, token: str) -> None:
    """Follows a job in a process of its own, which outlives the page; the token is in its environment alone."""
    with (run.folder / "follower.txt").open("ab") as said:
        subprocess.Popen(
            [sys.executable, "-m", "avd_core", "job", str(run.folder), "--follow"], start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=os.environ | {"HF_TOKEN": token},
            cwd=Path(__file__).resolve().parents[2],
        )  # fmt: skip
