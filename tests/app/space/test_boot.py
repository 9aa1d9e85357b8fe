"""The page starts in what a Space gives it: the pushed files, read only, and what requirements.txt brings."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from gradio_client import Client, handle_file

from scripts import space
from scripts.screenshot import free_port, served
from tests.app.space.machine import ENVIRONMENT, NOBODY, as_nobody, interpreter
from tests.repository import ROOT


@pytest.fixture(scope="module")
def machine() -> Iterator[Path]:
    """A folder that everybody may enter, unlike those of pytest."""
    folder = Path(tempfile.mkdtemp(prefix="avd-space-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_the_page_starts_and_explores_in_what_a_space_gives_it(machine: Path, rendered_clip: Path, capsys):
    source, home, python = machine / "app", machine / "home", interpreter(machine / "venv", "spaces")
    space.assemble(source)
    for path in (source, *source.rglob("*")):
        path.chmod(path.stat().st_mode & ~0o222 | 0o444 | (0o111 if path.is_dir() else 0))
    home.mkdir()
    nobody = as_nobody(python)
    if nobody:
        os.chown(home, NOBODY, NOBODY)
    environment = ENVIRONMENT | {
        "GRADIO_SERVER_PORT": str(free_port()), "HOME": str(home), "TMPDIR": str(home), "PATH": str(python.parent),
        "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": os.environ["OMP_NUM_THREADS"], "PYTHONUNBUFFERED": "1",
    }  # fmt: skip
    begun, log = time.perf_counter(), machine / "log.txt"
    try:
        with served(environment, log, [*nobody, str(python), "app.py"], source) as url:
            started = time.perf_counter() - begun
            *files, report = Client(url, verbose=False, httpx_kwargs={"trust_env": False}).predict(
                clip=handle_file(rendered_clip), api_name="/explore"
            )
            explored = time.perf_counter() - begun
            told = log.read_text()
    finally:
        for path in source.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
    with capsys.disabled():
        print(f"\nA Space serves its page after {started:.1f} s and an exploration after {explored:.1f} s.")
    assert report["psnr"] > 15 and all(Path(file).is_file() for file in files)
    assert str(source) not in told, told  # no traceback leads through this code
    assert [path.name for path in home.iterdir() if path.is_dir() and path.name.startswith("avd-explorer-")] == [
        f"avd-explorer-{NOBODY if nobody else os.getuid()}"
    ]
    outside = subprocess.run([*nobody, str(python), "-c", "import pytest"], check=False, capture_output=True, env={})
    assert b"No module named 'pytest'" in outside.stderr, "it saw more than requirements.txt brings"


def test_a_space_gets_the_code_and_nothing_else(tmp_path: Path):
    pushed = space.assemble(tmp_path / "space")
    assert {path.parts[0] for path in pushed} == set(space.PUSHED)
    assert not any(path.suffix in (".pyc", ".pt") or "tests" in path.parts for path in pushed)
    assert sum((ROOT / path).stat().st_size for path in pushed) < 60e6
    # Again, after a file has gone from the repository: what was there before goes, what is somebody's own stays.
    (tmp_path / "space.json").write_text((tmp_path / "space.json").read_text().replace("[", '["app/gone.py",', 1))
    (tmp_path / "space" / "app" / "gone.py").touch()
    assert space.assemble(tmp_path / "space") == pushed and not (tmp_path / "space" / "app" / "gone.py").exists()
    (tmp_path / "space" / "notes.txt").write_text("mine")
    with pytest.raises(space.SpaceError, match=r"notes\.txt was not put there"):
        space.assemble(tmp_path / "space")
    assert (tmp_path / "space" / "notes.txt").read_text() == "mine"
