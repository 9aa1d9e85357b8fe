"""Long work beside a handler: the handler tells how far it is, and when the visitor cancels, the work really stops."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

Result = TypeVar("Result")
PATIENCE = 0.25  # seconds between two looks at how far it is


class TaskCancelled(Exception):
    """Raised inside the work, by telling how far it is after it was stopped."""


class BackgroundTask(Generic[Result]):
    """Runs `work(tell)` on a thread of its own; `tell` takes the share that is done, 0 to 1.

    The handler, a generator, goes through `shares`, asks for the `result`, and stops the work in its `finally`, which
    Gradio also reaches when the event is cancelled or the visitor leaves.
    """

    def __init__(self, work: Callable[[Callable[[float], None]], Result]) -> None:
        self._work, self._share = work, 0.0
        self._stopped, self._over = threading.Event(), threading.Event()
        self._result: Result | None = None
        self._error: Exception | None = None
        threading.Thread(target=self._run, daemon=True).start()

    def shares(self) -> Iterator[float]:
        """The share that is done, now and then, until the work is over."""
        while not self._over.wait(PATIENCE):
            yield self._share

    def result(self) -> Result:
        """What the work gave; what it raised is raised here."""
        self._over.wait()
        if self._error:
            raise self._error
        return self._result

    def stop(self) -> None:
        """Ends the work when it next tells how far it is; later than its end it does nothing."""
        self._stopped.set()

    def _run(self) -> None:
        try:
            self._result = self._work(self._tell)
        except Exception as error:
            self._error = error
        finally:
            self._over.set()

    def _tell(self, share: float) -> None:
        if self._stopped.is_set():
            raise TaskCancelled
        self._share = share
