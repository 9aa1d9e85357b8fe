"""The allocator of the C library, told to give memory back.

By itself glibc keeps a heap for every few threads and, once large arrays have come and gone, takes those from the
heaps, too, where any small one behind them keeps their pages: a server of many threads stays near the most that it ever
took. Held to two heaps, and with each large array mapped by itself, it falls back after a request. What the environment
says (`MALLOC_ARENA_MAX` and its kin) goes first.
"""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress

# Of mallopt(3): its number, the variable that sets the same, and what is set here.
_SETTINGS = (
    (-8, "MALLOC_ARENA_MAX", 2),
    (-3, "MALLOC_MMAP_THRESHOLD_", 2**20),
    (-1, "MALLOC_TRIM_THRESHOLD_", 2**20),
)


def give_back_freed() -> None:
    """Set the allocator up, before threads are started; do nothing where the C library is another one."""
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        for number, variable, value in _SETTINGS:
            if variable not in os.environ:
                libc.mallopt(number, value)
