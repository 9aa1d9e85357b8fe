"""The run directory: the only interface between a trainer and whoever watches it.

`config.json` (what was asked), `state.json` (status, step, pid, error), `metrics.jsonl` (one line a step, each step
once), `previews/`, `checkpoint/` (replaced whole), `training.pt` (optimisers; never unpickled), `log.txt`, `requests/`
(what a watcher asks of the trainer, which looks there after every step).
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from typing import Any

from avd_core.atomic_io import write_atomically

STATUSES = ("queued", "running", "stopping", "stopped", "paused", "done", "failed")
REQUESTS = ("stop", "save", "preview")
LOCKS = (".lock", ".started")  # held by the process that trains, and already by one that is on its way to it
PATIENCE = 1.0  # seconds to wait for a lock: whoever only looks at it holds it for a moment


class RunError(ValueError):
    """A run directory that cannot be used, with a sentence saying why."""


def metrics_line(text: str | bytes) -> dict[str, float | int] | None:
    """Return the finite numbers of a line of `metrics.jsonl`; None for a line that is damaged, or of no step."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(values, dict) or type(values.get("step")) is not int:
        return None
    return {str(name)[:60]: value for name, value in values.items() if type(value) in (int, float) and isfinite(value)}


class Run:
    """One run directory.

    Attributes:
        folder: where it lives.
        previews, checkpoint, training_state, metrics_file: what it holds.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.previews = self.folder / "previews"
        self.checkpoint = self.folder / "checkpoint"
        self.training_state = self.folder / "training.pt"
        self.metrics_file = self.folder / "metrics.jsonl"

    def create(self, config: Mapping[str, Any]) -> None:
        """Make the folder and write `config.json`, in place of that of a run that `never_began`.

        Raises:
            RunError: when a run is there already.
        """
        if (self.folder / "config.json").exists() and not self.never_began():
            raise RunError(f"{self.folder.name} already holds a run: resume it, or choose another folder.")
        self.previews.mkdir(parents=True, exist_ok=True)
        write_atomically(self.folder / "config.json", json.dumps(config, indent=1) + "\n")
        self.write_state("queued", step=0)

    def never_began(self) -> bool:
        """Return whether the run failed, or its process was killed, before its first step."""
        try:
            state = self.state()
        except RunError:
            return False
        ended = state["status"] == "failed" or (state["status"] == "running" and not self.is_alive())
        return ended and state["step"] == 0 and not self.training_state.exists() and not self.metrics()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep every other process from training in this directory, by a lock that a kill, too, releases.

        Raises:
            RunError: when one is training there.
        """
        with self.locked(".lock"):
            yield

    @contextmanager
    def locked(self, name: str) -> Iterator[int]:
        """Hold one of `LOCKS` and yield its descriptor: a child that inherits it goes on holding it.

        Raises:
            RunError: when another process does.
        """
        with (self.folder / name).open("w") as file:
            end = time.monotonic() + PATIENCE
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > end:
                        raise RunError(
                            f"{self.folder.name} is being trained by another process: wait, or stop it."
                        ) from None
                    time.sleep(0.02)
            yield file.fileno()

    def is_alive(self) -> bool:
        """Return whether a process trains here or is about to; a zombie, and a stranger of the same number, do not."""
        for name in LOCKS:
            try:
                with (self.folder / name).open() as file:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except FileNotFoundError:
                continue
            except BlockingIOError:
                return True
        return False

    def config(self) -> dict[str, Any]:
        """Return `config.json`; raise `RunError` where there is none."""
        try:
            config = json.loads((self.folder / "config.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise RunError(f"{self.folder.name} holds no run: there is no config.json in it.") from None
        except (OSError, ValueError, RecursionError) as error:
            raise RunError(f"config.json of {self.folder.name} cannot be read: {error}.") from error
        if not isinstance(config, dict):
            raise RunError(f"config.json of {self.folder.name} describes no run.")
        return config

    def write_state(self, status: str, *, step: int, error: str | None = None, **facts: Any) -> None:
        """Replace `state.json`; `facts` are further plain values, such as `memory` in bytes."""
        assert status in STATUSES
        state = {"status": status, "step": step, "pid": os.getpid(), "error": error, "time": time.time(), **facts}
        write_atomically(self.folder / "state.json", json.dumps(state) + "\n")

    def state(self) -> dict[str, Any]:
        """Return the last state written; raise `RunError` where there is none."""
        try:
            state = json.loads((self.folder / "state.json").read_text(encoding="utf-8"))
            kinds: dict[str, Any] = {"status": str, "step": int, "error": str | None, "memory": int | None}
            if not all(isinstance(state.get(name), kind) for name, kind in kinds.items()):
                raise ValueError("its values are of other types")
            if state["status"] not in STATUSES:
                raise ValueError(f"its status is {state['status']!r}")
        except (OSError, ValueError, AttributeError, RecursionError) as error:
            raise RunError(f"{self.folder.name} has no readable state.json.") from error
        return state

    def append_metrics(self, metrics: Mapping[str, float | int]) -> None:
        """Append one step's line."""
        with self.metrics_file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(metrics) + "\n")

    def metrics(self) -> list[dict[str, Any]]:
        """Return every whole line of `metrics.jsonl`; a line cut short by a kill is left out."""
        if not self.metrics_file.exists():
            return []
        text = self.metrics_file.read_text(encoding="utf-8", errors="replace")
        return [line for line in map(metrics_line, text.splitlines()) if line]

    def forget_metrics_after(self, step: int) -> None:
        """Drop the lines of steps after the saved one, so that a resumed run holds each step once."""
        kept = [line for line in self.metrics() if line["step"] <= step]
        write_atomically(self.metrics_file, "".join(json.dumps(line) + "\n" for line in kept))

    def log(self, sentence: str) -> None:
        """Append a dated line to `log.txt`."""
        with (self.folder / "log.txt").open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {sentence}\n")

    def log_tail(self, count: int = 12) -> list[str]:
        """Return the last lines of `log.txt`, as far as there are any."""
        try:
            with (self.folder / "log.txt").open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - 400 * count))
                lines = file.read().decode("utf-8", "replace").splitlines()
        except FileNotFoundError:
            return []
        return [line for line in lines if line.strip()][-count:]

    def request(self, what: str) -> None:
        """Ask the trainer for one of `REQUESTS`; by files, not signals, so that it may be on another machine."""
        assert what in REQUESTS
        (self.folder / "requests").mkdir(exist_ok=True)
        (self.folder / "requests" / what).touch()

    def pop_requests(self) -> set[str]:
        """Return pending requests and clear them."""
        pending = {name for name in REQUESTS if (self.folder / "requests" / name).exists()}
        for name in pending:
            (self.folder / "requests" / name).unlink(missing_ok=True)
        return pending
