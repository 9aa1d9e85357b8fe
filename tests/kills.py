"""Kill a process at its n-th write: between two changes of the disk, a kill finds one state of it and no other."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def fork() -> int:
    """Fork; in the child, torch keeps to one thread: OpenMP hangs in a fork once it has used several."""
    child = os.fork()
    if not child:
        faulthandler.disable()  # of whoever runs the tests
    if not child and "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    return child


def die_at(number: int, folder: Path) -> None:
    """Kill this process just before its `number`-th change below `folder`, counted from 0."""
    inside, left = str(folder), number

    def count(event: str, arguments: tuple) -> None:
        nonlocal left
        if _is_change(event, arguments, inside):  # os.kill is an event, too
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


def killed_at(number: int, write: Callable[[], object], folder: Path) -> bool:
    """Run `write` in a fork that dies at its `number`-th change below `folder`; return whether it did."""
    child = fork()
    if not child:
        code = 1
        try:
            die_at(number, folder)
            write()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0, "the writer failed"
    return os.WIFSIGNALED(status)


def count_changes(write: Callable[[], object], folder: Path) -> int:
    """Run `write` in a fork to its end; return how many changes below `folder` it made."""
    ours, theirs = os.pipe()
    child = fork()
    if not child:
        made, inside = [0], str(folder)

        def count(event: str, arguments: tuple) -> None:
            made[0] += _is_change(event, arguments, inside)

        try:
            sys.addaudithook(count)
            write()
        finally:
            os.write(theirs, str(made[0]).encode())
            os._exit(0)
    os.close(theirs)
    with os.fdopen(ours) as answer:
        said = answer.read()
    os.waitpid(child, 0)
    return int(said)


def _is_change(event: str, arguments: tuple, inside: str) -> bool:
    if event not in CHANGES and not (event == "open" and arguments[2] & WRITING):
        return False
    return isinstance(arguments[0], str | bytes | os.PathLike) and inside in os.fsdecode(arguments[0])
