"""The page as it is started and ended: what is wrong is said in one line, and nothing stays behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from avd_core.media.containment.contained import PROCESSES, WORKER
from scripts.screenshot import free_port, served
from tests.app.conftest import link_films
from tests.repository import ROOT


def said(**variables: str) -> str:
    """What `python app.py` says before it ends with an error."""
    environment = os.environ | {"GRADIO_SERVER_PORT": str(free_port())} | variables
    done = subprocess.run(
        [sys.executable, "app.py"], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 1 and done.stdout == ""
    return done.stderr


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/none", "/proc"])
def test_a_temporary_folder_that_cannot_be_used_is_one_line(place: str, tmp_path: Path):
    """A file, below a file, not to be made, read-only."""
    (tmp_path / "file").write_text("")
    line = said(GRADIO_TEMP_DIR=str(tmp_path / place))
    assert line.startswith(f"GRADIO_TEMP_DIR is {tmp_path / place}") and line.count("\n") == 1


def test_a_port_that_is_no_number_is_one_line():
    line = said(GRADIO_SERVER_PORT="http")
    assert "GRADIO_SERVER_PORT" in line and line.count("\n") == 1


def test_a_file_for_the_runs_is_one_line(tmp_path: Path):
    (tmp_path / "file").write_text("")
    line = said(GRADIO_TEMP_DIR=str(tmp_path / "gradio"), AVD_RUNS=str(tmp_path / "file"))
    assert line.startswith("AVD_RUNS is ") and "is a file" in line and line.count("\n") == 1
    assert not list((tmp_path / "gradio").iterdir()), "a start that failed leaves nothing"


def test_a_number_of_decoders_that_makes_no_sense_is_one_line():
    line = said(AVD_CONTAIN="many")
    assert line.startswith("AVD_CONTAIN is 'many'") and line.count("\n") == 1


def decoders(server: int) -> list[Path]:
    """The processes of a server that read strangers' files, as folders of the system's list of processes."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == server and WORKER.encode() in (path / "cmdline").read_bytes():
                found.append(path)
        except OSError:  # it has ended meanwhile
            continue
    return found


def test_a_server_that_is_told_to_end_leaves_only_the_rendered_examples(
    tmp_path: Path, tiny_checkpoint: Path, films: Path
):
    link_films(films, tmp_path / "gradio")
    own = {"GRADIO_SERVER_PORT": str(free_port()), "GRADIO_TEMP_DIR": str(tmp_path / "gradio")}
    environment = {**os.environ, **own, "AVD_CHECKPOINT": str(tiny_checkpoint)}
    with served(environment, tmp_path / "log.txt") as url:  # ends it with SIGTERM
        readers = decoders(url.pid)
        assert len(readers) == PROCESSES, "strangers' files are read in processes of their own"
        (workspace,) = (tmp_path / "gradio").glob("avd-server-*")
        assert {"results", "lasting"} <= {path.name for path in workspace.iterdir()}
    assert {path.name for path in (tmp_path / "gradio").iterdir()} == {"avd-examples"}
    assert "Traceback" not in (tmp_path / "log.txt").read_text()
    end = time.monotonic() + 20
    while any(path.exists() for path in readers) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(path.exists() for path in readers), "they end with their server"
