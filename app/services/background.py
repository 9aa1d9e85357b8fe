"""Long work beside a handler: it reports its progress, and stops when the visitor cancels."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

Result = TypeVar("Result")
Progress = Callable[[float], None]  # takes the share that is done, 0 to 1
POLL_SECONDS = 0.25


class TaskCancelled(Exception):
    """Raised inside the work by its first report of progress after `stop`."""


class BackgroundTask(Generic[Result]):
    """Run `work(progress)` on a thread of its own.

    The handler, a generator, iterates over `shares`, then reads `result`, and calls `stop` in its `finally`, which
    Gradio also reaches when the event is cancelled or the visitor leaves.
    """

    def __init__(self, work: Callable[[Progress], Result]) -> None:
        self._work, self._share = work, 0.0
        self._stopped, self._over = threading.Event(), threading.Event()
        self._results: list[Result] = []  # one, once the work is over
        self._error: Exception | None = None
        threading.Thread(target=self._run, daemon=True).start()

    def shares(self) -> Iterator[float]:
        """Yield the share that is done, a few times a second, until the work is over."""
        while not self._over.wait(POLL_SECONDS):
            yield self._share

    def result(self) -> Result:
        """Wait for the work and return what it returned; raise what it raised."""
        self._over.wait()
        if self._error:
            raise self._error
        return self._results[0]

    def stop(self) -> None:
        """End the work at its next report of progress; do nothing once it is over."""
        self._stopped.set()

    def _run(self) -> None:
        try:
            self._results = [self._work(self._report)]
        except Exception as error:
            self._error = error
        finally:
            self._over.set()

    def _report(self, share: float) -> None:
        if self._stopped.is_set():
            raise TaskCancelled
        self._share = share
