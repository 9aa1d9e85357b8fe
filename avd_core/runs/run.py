"""The run directory: the only interface between a trainer and the programs that watch it.

`config.json` (`RunConfig`), `state.json` (status, step, pid, error), `metrics.jsonl` (one line a step, each step once),
`previews/`, `checkpoint/` (replaced whole), `training.pt` (weights and optimisers; read as tensors only), `log.txt`,
`requests/` (files that ask the trainer to stop, save or preview; it checks them after every step).
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
LOCKS = (".lock", ".started")  # held by the process that trains, from its start on
PATIENCE = 1.0  # seconds to wait for a lock, which `is_alive` holds for a moment


class RunError(ValueError):
    """A run directory cannot be used; the message says why, in one sentence."""


def metrics_line(text: str | bytes) -> dict[str, float | int] | None:
    """Return the finite numbers of a line of `metrics.jsonl`; None for a damaged line or one without a step."""
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
        folder: its path.
        previews, checkpoint, training_state, metrics_file: paths in it.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.previews = self.folder / "previews"
        self.checkpoint = self.folder / "checkpoint"
        self.training_state = self.folder / "training.pt"
        self.metrics_file = self.folder / "metrics.jsonl"

    def create(self, config: Mapping[str, Any]) -> None:
        """Make the folder and write `config.json`; replace a run that `never_began`.

        Raises:
            RunError: there is a run already.
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
        """Hold the lock of training in this directory; the system releases it if this process is killed.

        Raises:
            RunError: another process trains there.
        """
        with self.locked(".lock"):
            yield

    @contextmanager
    def locked(self, name: str) -> Iterator[int]:
        """Hold one of `LOCKS` and yield its descriptor; a child that inherits it holds the lock too.

        Raises:
            RunError: another process holds it.
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
        """Return whether a process trains here or is starting to; read from the lock, not from a process id."""
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
        """Return `config.json`; raise `RunError` if there is none."""
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
        """Return the last state written; raise `RunError` if there is none."""
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
        """Return every complete line of `metrics.jsonl`; a line that a kill cut short is left out."""
        if not self.metrics_file.exists():
            return []
        text = self.metrics_file.read_text(encoding="utf-8", errors="replace")
        return [line for line in map(metrics_line, text.splitlines()) if line]

    def forget_metrics_after(self, step: int) -> None:
        """Delete the lines of steps after the saved one, so that a resumed run has each step once."""
        kept = [line for line in self.metrics() if line["step"] <= step]
        write_atomically(self.metrics_file, "".join(json.dumps(line) + "\n" for line in kept))

    def log(self, sentence: str) -> None:
        """Append a dated line to `log.txt`."""
        with (self.folder / "log.txt").open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {sentence}\n")

    def log_tail(self, count: int = 12) -> list[str]:
        """Return up to `count` last lines of `log.txt`."""
        try:
            with (self.folder / "log.txt").open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - 400 * count))
                lines = file.read().decode("utf-8", "replace").splitlines()
        except FileNotFoundError:
            return []
        return [line for line in lines if line.strip()][-count:]

    def request(self, what: str) -> None:
        """Ask the trainer for one of `REQUESTS`, by a file, so that it may run on another machine."""
        assert what in REQUESTS
        (self.folder / "requests").mkdir(exist_ok=True)
        (self.folder / "requests" / what).touch()

    def pop_requests(self) -> set[str]:
        """Return pending requests and clear them."""
        pending = {name for name in REQUESTS if (self.folder / "requests" / name).exists()}
        for name in pending:
            (self.folder / "requests" / name).unlink(missing_ok=True)
        return pending
