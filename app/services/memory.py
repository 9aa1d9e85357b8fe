"""Make the C library's allocator give memory back.

By default glibc keeps a heap for every few threads. After large arrays have been freed it takes new ones from these
heaps, too, where a single small block behind an array keeps all its pages: a server with many threads stays near its
peak. With two heaps, and each array of 1 MiB or more mapped by itself, memory falls after a request. Environment
variables that set the same (`MALLOC_ARENA_MAX` and others, below) take precedence.
"""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress

# Of mallopt(3): the parameter, the environment variable that sets the same, and the value set here.
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
