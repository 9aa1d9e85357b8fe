"""How much memory this process takes, for tests that compare."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

STATUS = Path("/proc/self/status")


def peak() -> int:
    """Return the most bytes that were ever resident.

    Where there is one, the kernel's own note is read: `ru_maxrss` of a child begins with what its parent held.
    """
    if not STATUS.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return _noted("VmHWM")


def resident() -> int:
    """Return the bytes that are resident now; 0 where no kernel tells."""
    return _noted("VmRSS") if STATUS.exists() else 0


def _noted(name: str) -> int:
    return 1024 * int(STATUS.read_text().partition(f"{name}:")[2].split()[0])
