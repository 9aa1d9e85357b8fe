"""The home of the runs: nothing in it is deleted that this program cannot prove it made."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from avd_core.runs.limits import TuneLimits
from avd_core.runs.registry import HOME_MARKER, RegistryError, RunRegistry
from avd_core.runs.run import Run
from tests.repository import ROOT
from tests.tuning import WHO

LONG_AGO = time.time() - 400 * 24 * 3600


def home_of(folder: Path, **limits: int) -> RunRegistry:
    return RunRegistry(folder, dataclasses.replace(TuneLimits(), **limits))


def precious(folder: Path, age: float = LONG_AGO) -> Path:
    """A folder of somebody's that was last touched a year ago."""
    folder.mkdir(parents=True)
    (folder / "chapter.txt").write_text("years of work")
    for path in (folder / "chapter.txt", folder):
        os.utime(path, (age, age))
    return folder


def over(home: RunRegistry, name: str = "mine", age: float = LONG_AGO) -> Path:
    """A finished run, long over; returns the folder that holds it and its ticket."""
    ticket = home.reserve(WHO[0], name, "cpu")
    run = home.run(ticket)
    run.create({})
    run.write_state("done", step=1)
    home.write(ticket)
    os.utime(run.folder / "state.json", (age, age))
    return home.folder / ticket.key


def kept(*folders: Path) -> bool:
    return all((folder / "chapter.txt").read_text() == "years of work" for folder in folders)


def test_a_folder_with_other_files_is_refused_and_nothing_in_it_is_touched(tmp_path):
    thesis, photos = precious(tmp_path / "P" / "thesis"), precious(tmp_path / "P" / "a-name-long-enough-to-be-a-key")
    home = home_of(tmp_path / "P")
    for use in (home.claim, home.sweep, home.secret, lambda: home.reserve(WHO[0], "mine", "cpu")):
        with pytest.raises(RegistryError, match=r"a-name-long-enough-to-be-a-key.*did not make"):
            use()
    assert kept(thesis, photos) and set(home.folder.iterdir()) == {thesis, photos}


@pytest.mark.parametrize("entry", ["notes.txt", ".bashrc", "keylike-but-full-of-it"])
def test_one_foreign_file_is_enough_to_refuse(tmp_path, entry):
    (tmp_path / "P").mkdir()
    if "." in entry:
        (tmp_path / "P" / entry).write_text("mine")
    else:
        precious(tmp_path / "P" / entry)
    with pytest.raises(RegistryError, match=entry):
        home_of(tmp_path / "P").claim()


def test_an_empty_folder_a_new_one_and_one_of_an_older_version_are_taken(tmp_path):
    (tmp_path / "mounted" / "lost+found").mkdir(parents=True)
    home_of(tmp_path / "mounted").claim()
    home_of(tmp_path / "deep" / "new").claim()
    older = home_of(tmp_path / "older")
    folder = over(older)
    older.secret()
    (older.folder / HOME_MARKER).unlink()
    (folder / ".avd-run").unlink()
    home_of(older.folder).claim()
    assert older.sweep() == [folder.name] and not folder.exists()


def test_precious_folders_beside_runs_survive_the_sweep(tmp_path, caplog):
    home = home_of(tmp_path / "home", hours=1)
    finished = over(home)
    beside = [precious(home.folder / name) for name in ("thesis", "a-name-long-enough-to-be-a-key")]
    outside = precious(tmp_path / "outside")
    (home.folder / "link-long-enough-to-be-a-key").symlink_to(outside)
    (finished / "link").symlink_to(outside)
    assert home.sweep() == [finished.name] and not finished.exists()
    assert kept(*beside, outside) and caplog.text.count("is kept") == 3
    home.sweep()
    assert caplog.text.count("is kept") == 3  # told once


def test_a_record_that_cannot_be_read_or_points_elsewhere_is_kept(tmp_path, caplog):
    home = home_of(tmp_path / "home", hours=1)
    garbled, stateless, pointing, escaping = (over(home, name) for name in ("a", "b", "c", "d"))
    (garbled / "ticket.json").write_text("{")
    (stateless / "b" / "state.json").write_text("{")
    outside = precious(tmp_path / "outside")
    for folder, change in ((pointing, {"key": "../../outside"}), (escaping, {"name": "../../../outside"})):
        ticket = json.loads((folder / "ticket.json").read_text())
        (folder / "ticket.json").write_text(json.dumps(ticket | change))
    assert home.sweep() == [] and kept(outside)
    assert all(folder.exists() for folder in (garbled, stateless, pointing, escaping))
    assert caplog.text.count("is kept") == 4


def test_a_folder_that_never_became_a_run_goes_after_an_hour(tmp_path):
    home = home_of(tmp_path)
    ticket = home.reserve(WHO[0], "mine", "cpu")
    assert home.sweep() == [] and (home.folder / ticket.key).exists()
    os.utime(home.folder / ticket.key, (LONG_AGO, LONG_AGO))
    home.sweep()
    assert not (home.folder / ticket.key).exists()


def test_forgetting_needs_proof(tmp_path):
    home = home_of(tmp_path / "home")
    ticket = home.reserve(WHO[0], "mine", "cpu")
    outside = precious(tmp_path / "outside")
    home.forget(dataclasses.replace(ticket, key="../outside"))
    other = precious(home.folder / "a-name-long-enough-to-be-a-key")
    home.forget(dataclasses.replace(ticket, key=other.name))
    assert kept(outside, other)
    assert Run(home.folder / ticket.key).folder.exists()
    home.forget(ticket)
    assert not (home.folder / ticket.key).exists()


def test_the_server_refuses_other_peoples_folders_in_one_line(tmp_path):
    """Started as a person does; that it refuses a file, tests/app/test_start.py knows."""
    thesis = precious(tmp_path / "P" / "thesis")
    environment = os.environ | {"AVD_RUNS": str(tmp_path / "P"), "GRADIO_SERVER_PORT": "7999"}
    ended = subprocess.run(
        [sys.executable, "app.py"], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 1 and "'thesis' that AVD Explorer did not make" in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1
    assert kept(thesis)
