"""A worker process that reads untrusted files one after the other: see `contained`.

It is started as `python -m` with the bytes of its address space, the seconds of a call, the file of its replies and
the modules to load. Its standard input is one end of a pair of sockets; when the other end is closed, it ends at once.
At the deadline a system alarm ends it, even if the interpreter is blocked.
"""

from __future__ import annotations

import importlib
import io
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from types import GeneratorType
from typing import Any

from avd_core.media.containment import replies

_NOTHING: Iterator[Any] = iter(())


def main() -> None:
    """Answer requests until the other end is closed."""
    memory, seconds, file, *modules = sys.argv[1:]
    _limit(int(memory))
    for name in modules:
        importlib.import_module(name)
    connection = Connection(sys.stdin.fileno())
    connection.send("ready")
    answering = _Answering(connection, io.FileIO(int(file), "r+b"), float(seconds))
    while True:
        try:
            request = connection.recv()
        except (EOFError, OSError):
            os._exit(0)
        # A thread does the work, at a priority of its own; this one notices when the caller is gone.
        answering.begin(request)


class _Answering:
    """Answers one request at a time."""

    def __init__(self, connection: Connection, file: io.FileIO, seconds: float) -> None:
        self._connection, self._file, self._seconds = connection, file, seconds
        self._steps, self._thread = _NOTHING, threading.Thread()

    def begin(self, request: Any) -> None:
        if self._thread.ident is not None:
            self._thread.join()  # the answer is sent; the thread may still have to stop its alarm
        self._thread = threading.Thread(target=self._answer, args=request, daemon=True)
        self._thread.start()

    def _answer(self, work: Any, niceness: int, folder: str | None) -> None:
        signal.setitimer(signal.ITIMER_REAL, self._seconds)
        _adapt(niceness, folder)
        try:
            try:
                replies.send(self._connection, self._file, self._done(work))
            except MemoryError:
                replies.send(self._connection, self._file, ("memory", None))
        except OSError:
            os._exit(1)  # the caller is gone
        signal.setitimer(signal.ITIMER_REAL, 0)

    def _done(self, work: Any) -> tuple[str, Any]:
        try:
            if work is None:
                for item in self._steps:
                    return "item", item
                return "ended", None
            function, args, kwargs = work
            value = function(*args, **kwargs)
            if isinstance(value, GeneratorType):
                self._steps, value = value, None
            return "returned", value
        except MemoryError:
            raise
        except Exception as error:
            if not isinstance(error, ValueError):
                error.add_note(traceback.format_exc())
            return "raised", (error, _cause(error))


def _limit(memory: int) -> None:
    """Limit the address space, and disable core dumps, which would hold a user's clip."""
    with suppress(ImportError):
        import resource

        for kind, most in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CORE, 0)):
            _, hard = resource.getrlimit(kind)
            with suppress(ValueError, OSError):  # systems without this limit
                bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
                resource.setrlimit(kind, (bound, bound))


def _adapt(niceness: int, folder: str | None) -> None:
    """Take over priority and current folder of the calling thread; the decoder's threads inherit the priority."""
    if sys.platform == "linux" and niceness > os.getpriority(os.PRIO_PROCESS, 0):
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)
    if folder is not None:
        with suppress(OSError):
            os.chdir(folder)


def _cause(error: BaseException | None) -> OSError | None:
    """Return the system's error behind an error, if there is one, so that a full disk is reported as such."""
    while error is not None:
        if isinstance(error, OSError) and error.errno is not None:
            return OSError(error.errno, error.strerror or "")
        error = error.__cause__
    return None


if __name__ == "__main__":
    main()
