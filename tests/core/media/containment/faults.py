"""Functions that do to a worker what a hostile file might, called the way a file is read."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from avd_core.media.containment.contained import contained, contained_steps


class FaultError(ValueError):
    """Raised for files of these tests."""


@contained(FaultError)
def ask(path: str) -> tuple[int, set[str]]:
    """Return the process that was asked and the libraries it holds."""
    return os.getpid(), {name.partition(".")[0] for name in sys.modules}


@contained(FaultError)
def crash(path: str) -> None:
    ctypes.string_at(0)


@contained(FaultError)
def hang(path: str) -> None:
    """Hold the interpreter's lock, as a library in an endless loop does."""
    ctypes.PyDLL(None).sleep(60)


@contained(FaultError)
def wait(path: str) -> None:
    time.sleep(60)


@contained(FaultError)
def swell(path: str) -> np.ndarray:
    return np.ones(2**32, np.uint8)


@contained(FaultError)
def refuse(path: str) -> None:
    raise FaultError(f"{Path(path).name} is refused.") from OSError(28, "No space left on device")


@contained(FaultError)
def stumble(path: str) -> None:
    raise KeyError("a fault of the program")


@contained(FaultError)
def niceness(path: str) -> int:
    return os.getpriority(os.PRIO_PROCESS, 0)


@contained_steps(FaultError)
def count(path: str, end: int, crash_at: int = -1) -> Iterator[tuple[int, int]]:
    """Yield numbers, with the process that counts."""
    for number in range(end):
        if number == crash_at:
            ctypes.string_at(0)
        yield os.getpid(), number
