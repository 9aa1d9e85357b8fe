"""Runs of several people: whose they are, who comes next, and that files are all the queue needs."""

from __future__ import annotations

import dataclasses
import json
import os
import time

import pytest

from avd_core.runs.limits import LimitError, TuneLimits
from avd_core.runs.registry import RunRegistry, owner_of, slug
from avd_core.runs.run import Run, RunError
from avd_core.runs.run_queue import RunQueue
from avd_core.training.finetune import FineTuneError, prepare
from tests.tuning import WHO, asked, some_clips


@pytest.fixture
def clips(tmp_path, rendered_clip):
    return some_clips(tmp_path / "clips", rendered_clip)


class Place:
    """Stands for a device: it trains nothing, and says when it is told to."""

    def __init__(self):
        self.started: list[tuple[str, float]] = []

    def __call__(self, run: Run, *, device: str, seconds: float) -> None:
        self.started.append((run.folder.name, seconds))
        self._lock = run.locked(".started")
        self._lock.__enter__()
        run.write_state("running", step=0)

    def end(self, run: Run, status: str = "done") -> None:
        run.write_state(status, step=1)
        self._lock.__exit__(None, None, None)


@pytest.fixture
def place():
    return Place()


def home_of(tmp_path, **limits) -> RunRegistry:
    return RunRegistry(tmp_path / "home", dataclasses.replace(TuneLimits(), **limits))


def queued(queue, clips, owner, name, **ask):
    ticket = prepare(asked(clips, name, **ask), queue.home, owner)
    queue.add(ticket)
    return ticket


def test_people_take_turns_and_each_keeps_their_order(tmp_path, clips, place):
    queue = RunQueue(home_of(tmp_path), {"cpu": place})
    a = [queued(queue, clips, WHO[0], f"a{number}") for number in range(3)]
    b = queued(queue, clips, WHO[1], "b0")
    assert [ticket.name for ticket in queue.line("cpu")] == ["a0", "b0", "a1", "a2"]
    queue.advance()
    queue.advance()
    assert [name for name, _ in place.started] == ["a0"], "one at a time"
    assert queue.position(b) == 1 and queue.position(a[2]) == 3
    # Another queue over the same files, as after a restart of the server, goes on where this one was.
    again = RunQueue(home_of(tmp_path), {"cpu": place})
    place.end(again.home.run(a[0]))
    for ticket in (b, a[1]):
        again.advance()
        place.end(again.home.run(ticket))
    late = queued(again, clips, WHO[2], "c0")
    again.advance()
    assert [name for name, _ in place.started] == ["a0", "b0", "a1", "c0"], "who has had nothing yet comes first"
    assert late.name == "c0" and [ticket.name for ticket in again.line("cpu")] == ["a2"]


def test_a_run_is_its_owners_alone(tmp_path, clips, place):
    home = home_of(tmp_path)
    queue = RunQueue(home, {"cpu": place})
    ticket = queued(queue, clips, WHO[0], "mine")
    assert home.find(WHO[0], ticket.key) == ticket
    for stranger in (WHO[1], None, "", WHO[0][:-1]):
        with pytest.raises(RunError, match="no such run of yours"):
            home.find(stranger, ticket.key)
        assert home.of(stranger) == []
    for key in ("../..", "", None, 7, ticket.key + "/.."):
        with pytest.raises(RunError):
            home.find(WHO[0], key)
    kept = (home.folder / ticket.key / "ticket.json").read_text()
    assert WHO[0] in kept and os.stat(home.folder / ticket.key).st_mode & 0o077 == 0


def test_only_the_digest_of_a_secret_is_kept():
    secret = "ab" * 16
    assert owner_of(secret) and secret not in owner_of(secret)
    assert owner_of("no secret") is None and owner_of(None) is None and owner_of({"a": 1}) is None


def test_stop_takes_a_run_out_of_the_line_and_resume_puts_it_back(tmp_path, clips, place):
    queue = RunQueue(home_of(tmp_path), {"cpu": place})
    first, second = (queued(queue, clips, WHO[0], name) for name in ("one", "two"))
    queue.advance()
    queue.stop(second)
    assert queue.home.status(second) == "stopped" and queue.line("cpu") == []
    queue.stop(first)
    assert queue.home.run(first).pop_requests() == {"stop"}, "the one at work is asked"
    with pytest.raises(RunError, match="running already"):
        queue.resume(first)
    place.end(queue.home.run(first), "stopped")
    queue.resume(second)
    queue.resume(first)
    assert [ticket.name for ticket in queue.line("cpu")] == ["two", "one"]
    queue.advance()
    place.end(queue.home.run(second))
    with pytest.raises(RunError, match="all its steps"):
        queue.resume(second)


def test_limits_hold(tmp_path, clips, place):
    home = home_of(tmp_path, active=2, runs=3, waiting=3, clips=2, steps=10, seconds=60)
    queue = RunQueue(home, {"cpu": place})
    with pytest.raises(FineTuneError, match="at most 2"):
        prepare(asked(clips), home, WHO[0])
    two = clips[:2]
    with pytest.raises(FineTuneError, match="at most 10"):
        prepare(asked(two, steps=11), home, WHO[0])
    with pytest.raises(FineTuneError, match="at most 60 s"):
        prepare(dataclasses.replace(asked(two), seconds=61.0), home, WHO[0])
    tickets = [queued(queue, two, WHO[0], f"{number}") for number in range(2)]
    with pytest.raises(LimitError, match="2 of your runs"):
        prepare(asked(two), home, WHO[0])
    queue.stop(tickets[0])
    queued(queue, two, WHO[0], "third")
    with pytest.raises(LimitError, match="delete one first"):
        prepare(asked(two), home, WHO[0])
    queued(queue, two, WHO[1], "other")
    extra = prepare(asked(two), home, WHO[2])
    with pytest.raises(LimitError, match="queue is full"):
        queue.add(extra)
    queue.delete(tickets[1])
    assert not (home.folder / tickets[1].key).exists()
    with pytest.raises(LimitError, match="turned off"):
        prepare(asked(two), home_of(tmp_path, on=0), WHO[2])


def test_the_time_of_a_run_is_used_up(tmp_path, clips, place):
    home = home_of(tmp_path, seconds=100)
    queue = RunQueue(home, {"cpu": place})
    ticket = queued(queue, clips, WHO[0], "mine")
    run = home.run(ticket)
    queue.advance()
    assert place.started == [("mine", 100)]
    run.append_metrics({"step": 1, "seconds": 70.0})
    place.end(run, "stopped")
    queue.resume(ticket)
    queue.advance()
    assert place.started[-1] == ("mine", 30.0)
    run.append_metrics({"step": 2, "seconds": 29.5})
    place.end(run, "stopped")
    with pytest.raises(LimitError, match="has had its 100 s"):
        queue.resume(ticket)


def test_a_full_disk_starts_nothing(tmp_path, clips, place, monkeypatch):
    home = home_of(tmp_path)
    monkeypatch.setattr("shutil.copyfile", _full)
    with pytest.raises(FineTuneError, match="No space left"):
        prepare(asked(clips), home, WHO[0])
    assert not [path for path in home.folder.iterdir() if path.is_dir()], "nothing of it is left"
    monkeypatch.undo()
    ticket = prepare(asked(clips), home, WHO[0])
    home.write(ticket)
    home.limits = dataclasses.replace(home.limits, disk=1)
    (home.folder / ticket.key / "large").touch()
    os.truncate(home.folder / ticket.key / "large", 1_100_000_000)  # sparse
    with pytest.raises(LimitError, match="all they may"):
        prepare(asked(clips), home, WHO[1])


def _full(*_):
    raise OSError(28, "No space left on device")


def test_old_runs_are_swept_and_those_at_work_are_not(tmp_path, clips, place):
    home = home_of(tmp_path, hours=1)
    queue = RunQueue(home, {"cpu": place})
    old, busy, young = (queued(queue, clips, WHO[0], name) for name in ("old", "busy", "young"))
    home.run(old).write_state("done", step=1)
    home.run(young).write_state("stopped", step=1)
    queue.advance()
    for ticket in (old, busy):
        path = home.run(ticket).folder / "state.json"
        os.utime(path, (time.time() - 4000,) * 2)
    assert home.sweep() == [old.key]
    assert {ticket.name for ticket in home.records()} == {"busy", "young"}


def test_a_damaged_ticket_holds_nobody_up(tmp_path, clips, place):
    home = home_of(tmp_path)
    queue = RunQueue(home, {"cpu": place})
    home.claim()
    (home.folder / "broken-ticket-of-somebody").mkdir(parents=True)
    (home.folder / "broken-ticket-of-somebody" / "ticket.json").write_text(json.dumps({"key": "x"}))
    hollow = queued(queue, clips, WHO[1], "hollow")
    (home.run(hollow).folder / "state.json").write_text("{")
    ticket = queued(queue, clips, WHO[0], "mine")
    queue.advance()
    assert place.started[0][0] == "mine" and queue.home.status(hollow) == "failed"
    assert home.of(WHO[0]) == [dataclasses.replace(ticket, started=home.of(WHO[0])[0].started)]


def test_names_become_folders():
    assert slug("Mein Clip / §1") == "mein-clip-1" and slug("../..") == "my-clips" and slug("é" * 99) == "é" * 40


def test_the_secret_of_browsers_outlives_the_server(tmp_path):
    home = home_of(tmp_path)
    assert home.secret() == home_of(tmp_path).secret() and len(home.secret()) == 16
    assert os.stat(home.folder / ".secret").st_mode & 0o077 == 0
