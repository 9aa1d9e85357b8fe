"""A dict that keeps what was written last."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

from avd_core.bounded_dict import BoundedDict


def test_it_keeps_what_was_written_last():
    kept: BoundedDict[str, int] = BoundedDict(2)
    kept["a"], kept["b"], kept["a"], kept["c"] = range(4)
    assert list(kept.items()) == [("a", 2), ("c", 3)]
    assert kept["a"] == 2 and kept.get("b") is None
    kept["d"] = 4
    assert list(kept) == ["c", "d"], "reading renews nothing"


def test_threads_share_it():
    kept: BoundedDict[int, int] = BoundedDict(1)

    def work(seed: int) -> None:
        for number in range(3000):
            kept[number * seed % 7] = number
            kept.pop((number + 1) * seed % 7, None)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(1, 9)))
    finally:
        sys.setswitchinterval(interval)
    assert len(kept) <= 1
