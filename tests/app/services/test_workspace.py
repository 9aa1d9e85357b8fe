"""The temporary folder of a server: only what a dead server of this program left is ever removed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.services import workspace
from app.services.workspace import MARKER, VARIABLE, WorkspaceError, claim, sweep
from tests.kills import killed_at
from tests.repository import ROOT

CLAIM = """
import sys
from app.services.workspace import claim
folder = claim().path
(folder / "result.png").write_bytes(b"x")
print(folder, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "base"))
    return tmp_path / "base"


@pytest.fixture
def server(base: Path) -> Iterator[tuple[subprocess.Popen, Path]]:
    """Another server of this program with the same base."""
    process = subprocess.Popen(
        [sys.executable, "-c", CLAIM], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    yield process, Path(process.stdout.readline().strip())
    process.kill()
    process.wait()


def test_a_server_has_one_marked_folder_that_goes_with_it(base: Path):
    mine = claim()
    assert mine.path.parent == base and (mine.path / MARKER).is_file() and mine.path.stat().st_mode & 0o077 == 0
    assert os.environ[VARIABLE] == str(mine.path), "gradio knows no other switch"
    assert claim() is mine
    (mine.path / "upload").mkdir()
    (mine.path / "upload" / "clip.mp4").write_bytes(b"x")
    mine.close()
    assert base.is_dir() and not list(base.iterdir())


def test_a_server_that_ends_by_itself_leaves_nothing(server: tuple[subprocess.Popen, Path], base: Path):
    process, folder = server
    assert (folder / "result.png").is_file()
    process.communicate("")
    assert process.returncode == 0 and not list(base.iterdir())


def test_what_a_killed_server_left_is_swept_and_a_living_ones_is_not(server: tuple[subprocess.Popen, Path], base: Path):
    process, folder = server
    assert sweep(base) == [] and (folder / "result.png").is_file()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert folder.is_dir()
    claim().close()
    assert not folder.exists()


def test_a_kill_at_any_write_leaves_nothing(base: Path):
    def serve() -> None:
        mine = claim()
        (mine.path / "upload.mp4").write_bytes(b"x")
        mine.close()

    base.mkdir()
    number = 0
    while killed_at(number, serve, base):
        sweep(base)
        assert not list(base.iterdir()), f"after a kill before change {number}"
        number += 1
    assert number > 4


def test_nothing_is_swept_by_its_name_alone(server: tuple[subprocess.Popen, Path], base: Path, tmp_path: Path):
    """Precious files beside, inside, under links to, and under the names of what is swept."""
    process, dead = server
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / MARKER).touch()
    kept = [precious / "thesis.txt"]
    (base / "avd-server-link").symlink_to(precious)  # a folder of ours, as it seems
    for name in ("avd-server-unmarked", "a" * 64, "avd-results", "photos"):  # no marker
        (base / name).mkdir()
        kept.append(base / name / "photo.jpg")
    for number, name in enumerate(("photos", MARKER, f"{MARKER}.new")):  # one that a note names
        noted = f"{number:016x}"
        (base / f"avd-server-{noted}").mkdir()
        (base / f".avd-passing-{noted}").touch()
        kept.append(base / f"avd-server-{noted}" / "thesis.txt")
        (base / f"avd-server-{noted}" / name).symlink_to(precious / MARKER)
    (base / "avd-server-0123").mkdir()  # and one that a note with a content of somebody else's names
    (base / ".avd-passing-0123").touch()
    (base / f"avd-server-{'f' * 16}").mkdir()
    kept += [base / f".avd-passing-{'f' * 16}"]
    kept += [base / "avd-server-file", base / "tmpzeg_hbho"]
    borrowed = base / "avd-server-borrowed"  # a marker that is a link proves nothing
    borrowed.mkdir()
    (borrowed / MARKER).symlink_to(precious / MARKER)
    kept.append(borrowed / "letter.txt")
    for path in kept:
        path.write_bytes(b"precious")

    (dead / "link").symlink_to(precious)
    (dead / "results").mkdir()
    (dead / "results" / "link").symlink_to(precious)
    assert sweep(base) == []
    process.kill()
    process.wait()
    assert sweep(base) == [dead] and not dead.exists()
    assert all(path.read_bytes() == b"precious" for path in kept)
    assert (base / "avd-server-0123").is_dir() and (base / f"avd-server-{'f' * 16}").is_dir()


def test_a_forked_child_leaves_the_folder_to_its_server(base: Path):
    mine = claim()
    child = os.fork()
    if not child:
        mine.close()
        os._exit(0)
    os.waitpid(child, 0)
    assert mine.path.is_dir()
    mine.close()


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/none", "/proc"])
def test_a_folder_that_cannot_be_used_is_one_sentence(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(VARIABLE, str(tmp_path / place))
    with pytest.raises(WorkspaceError) as refused:
        claim()
    assert str(refused.value).startswith(f"{VARIABLE} is {tmp_path / place}") and "\n" not in str(refused.value)


def test_the_default_is_closed_to_other_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(workspace.tempfile, "gettempdir", lambda: str(tmp_path))
    mine = claim()
    assert mine.base == tmp_path / f"avd-explorer-{os.getuid()}" and mine.base.stat().st_mode & 0o077 == 0
    mine.close()
    monkeypatch.setenv(VARIABLE, "")  # as if unset
    monkeypatch.setattr(workspace.os, "getuid", lambda: 12345)
    (tmp_path / "avd-explorer-12345").mkdir()
    with pytest.raises(WorkspaceError, match="belongs to somebody else"):
        claim()
