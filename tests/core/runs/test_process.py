"""Runs in processes of their own: they outlive the server, and what becomes of them is always told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from avd_core.networks.avd import AVD
from avd_core.runs import process
from avd_core.runs.limits import TuneLimits
from avd_core.runs.process import look
from avd_core.runs.registry import RunRegistry
from avd_core.runs.run import Run, RunError
from avd_core.runs.run_queue import RunQueue
from avd_core.training.finetune import prepare
from tests.repository import ROOT
from tests.tuning import WHO, asked, some_clips, waited, waited_for_steps

# A page's queue and nothing else: starts what is next, again and again, until it is killed.
SERVER = """
import sys, time
from avd_core.runs.registry import RunRegistry
from avd_core.runs.run_queue import RunQueue
queue = RunQueue(RunRegistry(sys.argv[1]))
while True:
    queue.advance()
    time.sleep(0.1)
"""


@pytest.fixture
def clips(tmp_path, rendered_clip):
    return some_clips(tmp_path / "clips", rendered_clip, labels="a")


@pytest.fixture
def home(tmp_path):
    home = RunRegistry(tmp_path / "home", TuneLimits())
    yield home
    for ticket in home.records():  # whatever the test did, no process of it stays
        RunQueue(home).delete(ticket)


def queued(home, clips, owner, name, **fields):
    ticket = prepare(asked(clips, name, **fields), home, owner)
    RunQueue(home).add(ticket)
    return ticket


def test_two_people_on_one_device_and_a_server_that_is_killed(home, clips):
    """The trainer outlives the server; the next server finds it, stops it, and starts who is next."""
    first = queued(home, clips, WHO[0], "first", steps=5000)
    second = queued(home, clips, WHO[1], "second", steps=3)
    server = subprocess.Popen([sys.executable, "-c", SERVER, str(home.folder)], cwd=ROOT)
    try:
        waited_for_steps(home.run(first), 3)
        assert home.status(second) == "queued" and RunQueue(home).position(second) == 1
    finally:
        server.kill()
        server.wait()
    made = len(home.run(first).metrics())
    waited_for_steps(home.run(first), made + 3)

    queue = RunQueue(home)  # as of another server
    queue.advance()
    assert home.status(second) == "queued", "the device is still taken"
    queue.stop(first)
    assert waited(home.run(first)) == "stopped"
    assert AVD.from_pretrained(home.run(first).folder).calibration is not None
    end = time.monotonic() + 30
    while home.status(second) == "queued" and time.monotonic() < end:
        queue.advance()
        time.sleep(0.1)
    assert waited(home.run(second)) == "done"
    assert [line["step"] for line in home.run(second).metrics()] == [1, 2, 3]


def test_kill_9_of_the_trainer_is_told_with_its_last_words_and_resumes(home, clips):
    ticket = queued(home, clips, WHO[0], "mine", steps=5000, save_every_seconds=0.5)
    queue, run = RunQueue(home), home.run(ticket)
    queue.advance()
    assert look(run).status == "running", "before it has said a word, too"
    waited_for_steps(run, 8)
    pid = run.state()["pid"]
    assert os.getsid(pid) == pid, "no signal for the server's group reaches it"
    os.kill(pid, signal.SIGKILL)
    seen = _until_dead(run)
    assert seen.status == "failed" and "vanished" in seen.error and "training on cpu" in seen.error
    assert seen.step >= 8 and run.state()["status"] == "failed"
    saved = AVD.from_pretrained(run.folder)

    queue.resume(ticket)
    queue.advance()
    waited_for_steps(run, seen.step + 2)
    queue.stop(ticket)
    assert waited(run) == "stopped"
    steps = [line["step"] for line in run.metrics()]
    assert steps == list(range(1, len(steps) + 1)), "each step once"
    assert AVD.from_pretrained(run.folder).fingerprint != saved.fingerprint


def _until_dead(run: Run) -> process.Look:
    end = time.monotonic() + 10
    while look(run).status == "running" and time.monotonic() < end:
        time.sleep(0.05)
    return look(run)


def test_a_run_is_deleted_while_it_trains(home, clips):
    ticket = queued(home, clips, WHO[0], "mine", steps=5000)
    queue, run = RunQueue(home), home.run(ticket)
    queue.advance()
    queue.delete(ticket)  # at once: it has not even imported its libraries
    assert not run.folder.exists() and home.records() == []
    queue.advance()


def test_a_training_that_cannot_begin_says_why(home, clips):
    ticket = queued(home, clips, WHO[0], "mine")
    run = home.run(ticket)
    (run.folder / "train.pack").write_bytes(b"no pack")
    RunQueue(home).advance()
    assert waited(run) == "failed"
    assert "train.pack is not a pack" in look(run).error


def test_no_process_to_be_had_is_told_and_the_next_gets_its_turn(home, clips, monkeypatch):
    def no_more(*_, **__):
        raise OSError(11, "Resource temporarily unavailable")

    ticket = queued(home, clips, WHO[0], "mine")
    monkeypatch.setattr("subprocess.Popen", no_more)
    RunQueue(home).advance()
    seen = look(home.run(ticket))
    assert seen.status == "failed" and "temporarily unavailable" in seen.error
    assert not home.run(ticket).is_alive()


def test_a_stranger_with_the_same_number_is_not_taken_for_the_trainer(tmp_path):
    run = Run(tmp_path / "r")
    run.create({})
    run.write_state("running", step=3)  # by this very process, which lives and trains nothing
    assert look(run).status == "failed"
    run.write_state("running", step=3)
    with run.held():
        assert look(run).status == "running"
        with pytest.raises(RunError, match="by another process"), Run(run.folder).held():
            pass


def test_a_full_disk_does_not_hide_that_a_run_has_vanished(tmp_path, monkeypatch):
    run = Run(tmp_path / "r")
    run.create({})
    run.write_state("running", step=3)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    assert look(run).status == "failed" and "vanished" in look(run).error
