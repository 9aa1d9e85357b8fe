"""Long work reports its progress and really stops."""

from __future__ import annotations

import threading
import time

import pytest

from app.services.background import BackgroundTask, TaskCancelled


def test_work_tells_how_far_it_is_and_gives_its_result(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("app.services.background.POLL_SECONDS", 0.01)
    go = threading.Event()

    def steps(tell) -> str:
        tell(0.5)
        go.wait(10)
        return "done"

    work = BackgroundTask(steps)
    for share in work.shares():
        if share == 0.5:
            go.set()
    assert go.is_set() and work.result() == "done"


def test_work_that_is_stopped_ends_when_it_next_tells():
    told: list[float] = []

    def endless(tell) -> None:
        while len(told) < 10_000:
            told.append(0.1)
            time.sleep(0.005)
            tell(0.1)

    work = BackgroundTask(endless)
    next(work.shares())
    work.stop()
    with pytest.raises(TaskCancelled):
        work.result()
    assert 0 < len(told) < 10_000
