"""Read untrusted files in worker processes, so that a crash, a hang or a lack of memory fails one request only.

Functions that open untrusted files are decorated by `contained`. Before `start` is called they run in this process;
afterwards a worker (`worker.py`, which loads PyAV and NumPy alone) runs them, and their result or exception is sent
back (`replies.py`). Workers are started at once and wait without using CPU; their number is that of calls at a time.
A worker is replaced after some files, killed at its deadline, limited in its address space, and ends with this process.
No privilege is needed, and none is dropped: this contains failures, not intruders.

Slow work (a preview, a storyboard) leaves one worker free for other calls, if there is more than one. Workers take over
the priority of the calling thread.
"""

from __future__ import annotations

import atexit
import io
import logging
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import wraps
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from avd_core.media.containment import replies

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
Reply = tuple[str, Any]

VARIABLE, MEMORY_VARIABLE = "AVD_CONTAIN", "AVD_CONTAIN_GB"
PROCESSES, MOST_PROCESSES = 2, 64
WORKER = "avd_core.media.containment.worker"
LOADED = ("avd_core.media.video", "avd_core.media.thumbnails", "avd_core.media.writer")  # before the first file
_START_SECONDS = 120.0  # on a busy machine
_GRACE = 5.0  # seconds beyond its deadline after which a worker is killed that has not ended itself
# One NumPy thread and two heaps are enough; each further one takes 64 MiB of address space.
_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
log = logging.getLogger(__name__)


class ContainmentError(ValueError):
    """A variable of the environment is invalid; the message names it."""


@dataclass(frozen=True)
class Bounds:
    """Limits of a worker.

    Attributes:
        seconds: of wall-clock time for one call, or one step of an iteration.
        memory: bytes of address space.
        files: number of calls after which it is replaced.
    """

    seconds: float = 180.0
    memory: int = 4 * 2**30
    files: int = 100


class _Failure(Exception):
    """A call failed; the message is a sentence about "{name}"."""


def contained(
    error: type[ValueError], *, slow: bool = False
) -> Callable[[Callable[Arguments, Result]], Callable[Arguments, Result]]:
    """Decorate a function of a module's top level so that a worker runs it, after `start` was called.

    Args:
        error: exception to raise, with a sentence, if the worker dies, is too slow or needs too much memory.
        slow: leave a worker free for other calls meanwhile.
    """

    def decorate(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
        @wraps(function)
        def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
            pool = _pool
            if pool is None:
                return function(*args, **kwargs)
            with _in_words(error, args), pool.lease(pool.slow if slow else None) as worker:
                return worker.call(call, args, kwargs)

        return call

    return decorate


def contained_steps(
    error: type[ValueError],
) -> Callable[[Callable[Arguments, Iterator[Result]]], Callable[Arguments, Iterator[Result]]]:
    """Decorate a generator like `contained`: one worker makes its items on demand, and is kept until the end."""

    def decorate(function: Callable[Arguments, Iterator[Result]]) -> Callable[Arguments, Iterator[Result]]:
        @wraps(function)
        def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Iterator[Result]:
            pool = _pool
            if pool is None:
                yield from function(*args, **kwargs)
                return
            with _in_words(error, args), pool.lease(pool.streams) as worker:
                yield from worker.steps(call, args, kwargs)

        return call

    return decorate


def start(processes: int = PROCESSES, bounds: Bounds | None = None, *, at_once: bool = True) -> None:
    """Contain all reading of this process from now on; do nothing if it is contained already.

    Args:
        processes: number of workers.
        bounds: of each; by default 180 s, 100 files, and 4 GB or AVD_CONTAIN_GB.
        at_once: start them now, so that the first call does not wait for a start.

    Raises:
        ContainmentError: a variable is invalid.
    """
    global _pool
    if _pool is None:
        _pool = _Pool(processes, bounds or Bounds(memory=_memory()), at_once=at_once)


def start_as_set(default: int, *, at_once: bool = True) -> None:
    """Contain reading with AVD_CONTAIN workers, or `default` if it is not set; 0 does not contain it.

    `at_once` is as for `start`.

    Raises:
        ContainmentError: a variable is invalid.
    """
    text = os.environ.get(VARIABLE) or str(default)
    if not text.isdecimal() or int(text) > MOST_PROCESSES:
        raise ContainmentError(
            f"{VARIABLE} is {text!r}: set it to the number of processes that decode, 0 to {MOST_PROCESSES}; 0 decodes "
            "without one."
        )
    if int(text):
        start(int(text), at_once=at_once)


def is_on() -> bool:
    """Return whether reading is contained."""
    return _pool is not None


def stop() -> None:
    """End the workers, even in the middle of a file; afterwards reading is not contained."""
    global _pool
    pool, _pool = _pool, None
    if pool is not None:
        pool.close()


def worker_pids() -> list[int]:
    """Return the process ids of the live workers."""
    return [] if _pool is None else _pool.pids()


class _Pool:
    """The workers, the free ones, and the number that slow work may use."""

    def __init__(self, processes: int, bounds: Bounds, *, at_once: bool) -> None:
        self._processes, self._bounds = processes, bounds
        # One thread starts all workers: they inherit its priority, and calling threads may have lowered theirs.
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="containment")
        self._workers = [_Worker(bounds, self._starter) for _ in range(processes)]
        self._free: queue.LifoQueue[_Worker] = queue.LifoQueue()
        self.slow, self.streams = (threading.Semaphore(max(1, processes - 1)) for _ in range(2))
        for worker in self._workers:
            if at_once:
                worker.prepare()
            self._free.put(worker)

    @contextmanager
    def lease(self, turns: threading.Semaphore | None) -> Iterator[_Worker]:
        """Yield a free worker, waiting for one; with `turns`, first wait for one of these."""
        with turns or nullcontext():
            worker = self._free.get()
            try:
                yield worker
            finally:
                worker.prepare()
                self._free.put(worker)

    def pids(self) -> list[int]:
        return [pid for worker in self._workers if (pid := worker.pid)]

    def close(self) -> None:
        self._starter.shutdown()
        for worker in self._workers:
            worker.end()

    def anew(self) -> _Pool:
        """Close a forked child's copies of the pipes, so that the parent's workers see its end; return a new pool."""
        for worker in self._workers:
            worker.forget()
        return _Pool(self._processes, self._bounds, at_once=False)


class _Worker:
    """A slot for one worker process, used by the holder of its lease only."""

    def __init__(self, bounds: Bounds, starter: ThreadPoolExecutor) -> None:
        self._bounds, self._starter = bounds, starter
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._file: io.FileIO | None = None
        self._ready, self._files = False, 0

    @property
    def pid(self) -> int | None:
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def prepare(self) -> None:
        """Start a process, without waiting, if there is none or it has served its number of files."""
        if self._files >= self._bounds.files:
            self.end()
        if self.pid is None:
            with suppress(RuntimeError):  # this process is about to end
                self._starter.submit(self._start)

    def call(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run a function in the process; return its result or raise its exception.

        Raises:
            _Failure: the process died, was too slow or needs too much memory.
        """
        self._starter.submit(self._start).result()
        self._files += 1
        return self._ask((function, args, kwargs))[1]

    def steps(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[Any]:
        """Run a generator in the process and yield its items; raise as `call`."""
        self.call(function, args, kwargs)
        try:
            while True:
                kind, value = self._ask(None)
                if kind == "ended":
                    return
                yield value
        except GeneratorExit:
            self.end()  # it would hold the file
            raise

    def end(self) -> None:
        """Kill the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self.forget()

    def forget(self) -> None:
        for held in (self._connection, self._file):
            if held is not None:
                held.close()
        self._process, self._connection, self._file, self._ready, self._files = None, None, None, False, 0

    def _start(self) -> None:
        if self.pid is not None:
            return
        self.forget()
        ours, theirs = socket.socketpair()
        root = str(Path(__file__).parents[3])
        with theirs:
            self._file = replies.open_file()
            self._connection = Connection(ours.detach())
            values = (self._bounds.memory, self._bounds.seconds, self._file.fileno())
            self._process = subprocess.Popen(
                # Without modules of the current folder (-P), which may hold untrusted files.
                [sys.executable, "-P", "-m", WORKER, *map(str, values), *LOADED],
                pass_fds=[self._file.fileno()],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                env=os.environ | _ENVIRONMENT | {"PYTHONPATH": os.pathsep.join([*filter(None, sys.path), root])},
                process_group=0,  # Ctrl-C is for this process alone
            )

    def _ask(self, request: tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]] | None) -> Reply:
        """Send a request, or ask for the next item of the last one; return the answer."""
        bounds = self._bounds
        try:
            kind, value = self._exchange((request, _niceness(), _folder()))
        except TimeoutError as error:
            raise self._failure(signal.SIGALRM) from error
        except (EOFError, OSError) as error:  # it ended, perhaps in the middle of an answer
            assert self._process is not None, "only its holder ends a worker"
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_GRACE)
            raise self._failure(-(self._process.poll() or 0)) from error
        except BaseException:
            self.end()  # its answer is not needed any more
            raise
        if kind == "memory":
            self.end()
            raise _Failure(
                f"Reading {{name}} takes more than {bounds.memory / 2**30:.2g} GB of memory, the most that one file "
                "may take; scale it down first."
            )
        if kind == "raised":
            raised, cause = value
            raise raised from cause
        return kind, value

    def _exchange(self, message: Any) -> Reply:
        assert self._connection is not None and self._file is not None, "it was started"
        if not self._ready:
            try:
                if not self._connection.poll(_START_SECONDS):
                    raise EOFError
                self._connection.recv()
            except (EOFError, OSError) as error:  # not because of a file
                self.end()
                raise RuntimeError("A process to read files in does not start.") from error
            self._ready = True
        self._connection.send(message)
        if not self._connection.poll(self._bounds.seconds + _GRACE):
            raise TimeoutError
        reply: Reply = replies.receive(self._connection, self._file)
        return reply

    def _failure(self, number: int) -> _Failure:
        """End the process after signal `number`, and return a failure that explains it."""
        self.end()
        if number == signal.SIGALRM:
            log.warning("Reading a file took too long: its process was killed, and the file refused.")
            return _Failure(
                f"Reading {{name}} takes longer than {self._bounds.seconds:g} s, the most that is spent on one file; "
                "cut out the part you need, or scale it down first."
            )
        reason = signal.strsignal(number) if number > 0 else None
        log.warning("A process that read a file died (%s), and the file was refused.", reason or "it ended")
        return _Failure("Reading {name} made the decoder crash; save it in another format, or choose another file.")


def _memory() -> int:
    text = os.environ.get(MEMORY_VARIABLE)
    if not text:
        return Bounds.memory
    with suppress(ValueError):
        if 0.5 <= float(text) <= 1024:
            return int(float(text) * 2**30)
    raise ContainmentError(f"{MEMORY_VARIABLE} is {text!r}: set it to the gigabytes of one process, 0.5 to 1024.")


def _niceness() -> int:
    """Return the priority of this thread."""
    number = threading.get_native_id() if sys.platform == "linux" else 0
    return os.getpriority(os.PRIO_PROCESS, number)


def _folder() -> str | None:
    with suppress(OSError):  # it was deleted
        return os.getcwd()
    return None


@contextmanager
def _in_words(error: type[ValueError], args: tuple[Any, ...]) -> Iterator[None]:
    """Convert a failure to an error about the file in the arguments."""
    try:
        yield
    except _Failure as failure:
        from avd_core.media.container import shown_name

        name = next((shown_name(one) for one in args if isinstance(one, str | os.PathLike)), "the file")
        raise error(str(failure).replace("{name}", name)) from failure


def _restart_in_child() -> None:
    """Give a forked child workers of its own."""
    global _pool
    if _pool is not None:
        _pool = _pool.anew()


_pool: _Pool | None = None
atexit.register(stop)
os.register_at_fork(after_in_child=_restart_in_child)
