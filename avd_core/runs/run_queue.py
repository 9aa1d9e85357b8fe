"""A queue for each device: one run at a time, fair among persons, stored in files.

All state is in records and run directories, so the queue survives a server that is killed. Of the persons who wait, the
one whose last start is longest ago is next; runs of one person start in the order in which they were queued.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from avd_core.runs import process
from avd_core.runs.limits import LimitError
from avd_core.runs.process import AT_WORK
from avd_core.runs.registry import RunRecord, RunRegistry, in_line
from avd_core.runs.run import Run, RunError

# Starts or resumes a run at one place: start(run, device=..., seconds=...).
Starter = Callable[..., None]
# Starters by the name of the queue; services beyond this machine are added to it.
HERE: dict[str, Starter] = {"cpu": process.start, "cuda": process.start}


class RunQueue:
    """The queues of a server, one for each device.

    Args:
        home: the registry of the runs.
        starters: start a run, by the name of the queue.
    """

    def __init__(self, home: RunRegistry, starters: Mapping[str, Starter] | None = None) -> None:
        self.home = home
        self.starters = dict(starters or HERE)

    def add(self, record: RunRecord) -> None:
        """Put a created run at the end of its queue.

        Raises:
            LimitError: the queue is full.
        """
        with self.home.locked():
            self._check_room(record.device)
            self.home.write(record)

    def resume(self, record: RunRecord) -> None:
        """Queue a run that has ended again, to resume it.

        Raises:
            RunError: it is queued or training already, or all its steps are done.
            LimitError: the queue is full, the person has too many runs in it, or the run's time is used up.
        """
        run = self.home.run(record)
        with self.home.locked():
            found = process.look(run)
            if found.status in ("queued", *AT_WORK):
                raise RunError(f"{record.name} is {found.status} already.")
            if found.status == "done":
                raise RunError(f"{record.name} has made all its steps; start a new run from its checkpoint.")
            if self._left(run) < 1:
                raise LimitError(f"{record.name} has had its {self.home.limits.seconds} s of training.")
            waiting = [t for t in self.home.of(record.owner) if self.home.status(t) in ("queued", *AT_WORK)]
            if len(waiting) >= self.home.limits.active:
                raise LimitError(f"{len(waiting)} of your runs are waiting or running: wait for one, or stop it.")
            self._check_room(record.device)
            self.home.check_disk()
            run.write_state("queued", step=found.step)
            self.home.write(in_line(record))

    def stop(self, record: RunRecord) -> None:
        """Ask a run to stop and save, or remove it from the queue."""
        with self.home.locked():
            run = self.home.run(record)
            found = process.look(run)
            if found.status == "queued":
                run.write_state("stopped", step=found.step)
            elif found.status in AT_WORK:
                run.request("stop")

    def delete(self, record: RunRecord) -> None:
        """Kill a run's process and delete the run."""
        with self.home.locked():
            if self.home.run(record).folder.exists():
                process.end(self.home.run(record))
            self.home.forget(record)

    def line(self, device: str) -> list[RunRecord]:
        """List the records that wait for a device, the next one first."""
        records = [record for record in self.home.records() if record.device == device]
        waiting = [record for record in records if self.home.status(record) == "queued"]
        served = {t.owner: max(o.started for o in records if o.owner == t.owner) for t in waiting}
        order, now = [], time.time()
        while waiting:
            first = min(waiting, key=lambda record: (served[record.owner], record.queued))
            waiting.remove(first)
            order.append(first)
            served[first.owner] = now = now + 1  # counts as started last
        return order

    def position(self, record: RunRecord) -> int:
        """Return how many runs come before it, the running one included; 0 if it is next."""
        keys = [waiting.key for waiting in self.line(record.device)]
        return (keys.index(record.key) if record.key in keys else 0) + len(self.at_work(record.device))

    def at_work(self, device: str) -> list[RunRecord]:
        """List the records whose runs occupy a device."""
        records = (record for record in self.home.records() if record.device == device)
        return [record for record in records if self.home.status(record) in AT_WORK]

    def advance(self) -> None:
        """Start the next run of every free device; to be called periodically."""
        process.reap()
        if not self.home.folder.exists():
            return
        with self.home.locked():
            for device, starter in self.starters.items():
                line = [] if self.at_work(device) else self.line(device)
                for record in line[:1]:
                    if not self.home.run(record).is_alive():  # its last process may not have exited yet
                        self._start(record, starter)

    def _start(self, record: RunRecord, starter: Starter) -> None:
        run = self.home.run(record)
        self.home.write(replace(record, started=time.time()))
        seconds = min(self._left(run), record.seconds or float("inf"))
        try:
            starter(run, device=record.device, seconds=seconds)
        except (RunError, OSError) as error:  # recorded as failed; the next run is tried
            run.write_state("failed", step=int(run.state()["step"]), error=str(error))

    def _left(self, run: Run) -> float:
        """Return the seconds of training that a run may still have."""
        return self.home.limits.seconds - sum(line.get("seconds", 0.0) for line in run.metrics())

    def _check_room(self, device: str) -> None:
        if len(self.line(device)) >= self.home.limits.waiting:
            raise LimitError("The queue is full: try again when some runs have ended.")
