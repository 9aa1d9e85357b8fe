"""Start, inspect and end the training process of a run, which outlives the process that started it.

Other communication uses the run directory (`Run.request`). The process inherits a lock at its start. Whether it lives
is read from the lock, not from its process id: a zombie holds no lock, nor does another process that got the same id.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avd_core.runs.run import Run, RunError

NICE = 10  # the page has priority
AT_WORK = ("running", "stopping")
_children: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True)
class Look:
    """The state of a run and of its process.

    Attributes:
        status: one of `runs.STATUSES`; "failed" also where the process is gone and could not say so.
        step: the last known step.
        error: why it failed, in a sentence; None if it did not.
        memory: the most bytes in use so far; None before the trainer's first state.
        best: `training.choosing.BestWeights.summary`; None if weights are not selected.
    """

    status: str
    step: int
    error: str | None = None
    memory: int | None = None
    best: dict[str, Any] | None = None


def start(run: Run, *, device: str, seconds: float | None = None) -> None:
    """Start the training of a created run on this machine, or resume it.

    Args:
        run: a created run.
        device: "cpu" or "cuda".
        seconds: stop and save after this time.

    Raises:
        RunError: it is being trained already, or no process can be started.
    """
    step = int(run.state()["step"])
    command = [sys.executable, "-m", "avd_core", "train", "--run", str(run.folder.resolve()), "--quiet"]
    command += ["--device", device] + (["--seconds", f"{seconds:g}"] if seconds is not None else [])
    with run.locked(".started") as lock, (run.folder / "log.txt").open("ab") as log:
        run.pop_requests()  # requests to the previous process
        run.write_state("running", step=step, pid=None)
        try:
            child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, pass_fds=(lock,),
                cwd=Path(__file__).resolve().parents[2],
            )  # fmt: skip
        except OSError as error:
            run.write_state("failed", step=step, error=f"No process could be started: {error.strerror}.")
            raise RunError(f"{run.folder.name} could not be started: {error.strerror}.") from error
        _set_priority(child.pid)
        (run.folder / "pid").write_text(f"{child.pid}\n")
    _children.append(child)
    reap()


def _set_priority(pid: int) -> None:
    with suppress(OSError):  # gone already, or of another user
        os.setpriority(os.PRIO_PROCESS, pid, max(NICE, os.getpriority(os.PRIO_PROCESS, 0)))


def reap() -> None:
    """Collect the exit statuses of children that have ended."""
    _children[:] = [child for child in _children if child.poll() is None]


def look(run: Run) -> Look:
    """Return the state of a run; if its process died without a word, mark it failed, with the end of its log.

    Raises:
        RunError: there is no run.
    """
    alive = run.is_alive()  # read before the state: a trainer that ends in between has written its last one
    state = run.state()
    found = Look(str(state["status"]), int(state["step"]), state.get("error"), state.get("memory"), state.get("best"))
    if found.status not in AT_WORK or alive:
        return found
    words = run.log_tail(3)
    sentence = "The training process has vanished: it was killed, or the machine was restarted."
    if words:
        sentence += f" Its last words: “{' / '.join(words)[-300:]}”."
    found = Look(
        "failed", max([found.step, *(line["step"] for line in run.metrics()[-1:])]), sentence, found.memory, found.best
    )
    with suppress(OSError):  # a full disk, which may be the cause
        run.pop_requests()
        run.write_state("failed", step=found.step, error=sentence, memory=found.memory, best=found.best)
    return found


def end(run: Run, patience: float = 10.0) -> None:
    """Kill a run's process, if there is one, without saving.

    Raises:
        RunError: the process does not end.
    """
    deadline = time.monotonic() + patience
    while run.is_alive():
        try:
            os.kill(int((run.folder / "pid").read_text()), signal.SIGKILL)
        except (FileNotFoundError, ProcessLookupError, ValueError):
            run.request("stop")  # started by hand, or elsewhere
        if time.monotonic() > deadline:
            raise RunError(f"{run.folder.name} is still at work: stop it first.")
        time.sleep(0.05)
        reap()
