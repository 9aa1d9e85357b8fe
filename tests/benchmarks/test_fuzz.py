"""Two hundred damaged files, each kind of them, do no more than be refused."""

from __future__ import annotations

import os
import random
import signal
import time

import pytest

from benchmarks.reliability import fuzz
from benchmarks.reliability.damage import damaged
from benchmarks.reliability.fuzz import KINDS, Kind


@pytest.mark.parametrize(
    ("kind", "count"),
    [("videos", 40), ("pictures", 60), ("zips", 30), ("checkpoints", 15), ("runs", 30), ("reports", 25)],
)
def test_damaged_files_are_read_or_refused_and_nothing_else(kind: str, count: int):
    tally = fuzz.fuzz(kind, count, seed=1)
    assert tally.found == []
    assert sum(tally.outcomes.values()) == count and tally.outcomes["refused"]


def _fail(_: object) -> None:
    raise KeyError("a reader that is not careful")


@pytest.mark.parametrize(
    ("read", "outcome", "deadline"),
    [
        (_fail, "foreign", 30),
        (lambda path: int("x"), "foreign", 30),
        (lambda path: os.kill(os.getpid(), signal.SIGSEGV), "crash", 30),
        (lambda path: time.sleep(60), "hang", 0.5),
    ],
)
def test_what_should_not_happen_is_found(
    read, outcome: str, deadline: float, monkeypatch: pytest.MonkeyPatch, tmp_path
):
    careless = Kind(fuzz.make_pictures, lambda path: read(path) if path.parent.name == "case" else None)
    monkeypatch.setitem(KINDS, "pictures", careless)
    tally = fuzz.fuzz("pictures", 2, seed=0, deadline=deadline, keep=tmp_path)
    assert tally.outcomes == {outcome: 2} and len(tally.found) == 2
    assert len(list(tmp_path.iterdir())) == 2


def test_a_seed_makes_the_same_cases():
    def cases() -> list[bytes]:
        return [damaged(b"abcdefgh" * 20, [b"1234" * 9], random.Random(seed)) for seed in range(20)]

    assert cases() == cases() and len(set(cases())) > 10
