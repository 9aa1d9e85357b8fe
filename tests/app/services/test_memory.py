"""Memory that threads have freed goes back to the system."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

from app.services.memory import give_back_freed
from tests.repository import ROOT

# Many threads take and free arrays of half a megabyte to eight, each leaving a small one behind.
WORK = """
import sys, threading
from pathlib import Path
import numpy as np
if sys.argv[1] == "give back":
    from app.services.memory import give_back_freed
    give_back_freed()
left = []
together = threading.Barrier(8)
def work(seed):
    dice = np.random.default_rng(seed)
    for turn in range(60):
        arrays = [np.ones(int(dice.integers(60_000, 1_000_000))) for _ in range(8)]
        left.append(np.ones(100))
        if turn == 0: together.wait()
threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(int(Path("/proc/self/status").read_text().partition("VmRSS:")[2].split()[0]) // 1024)
"""


def resident(how: str) -> int:
    """MiB that stay resident once eight threads have freed their arrays."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run(
        [sys.executable, "-c", WORK, how], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    return int(done.stdout)


def test_what_threads_have_freed_is_given_back():
    if platform.libc_ver()[0] == "glibc":
        assert resident("give back") < 0.7 * resident("keep")
    else:  # another allocator, which is left as it is
        give_back_freed()
