"""A machine as a Space's container is: what requirements.txt brings and nothing else, and nobody's account."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

from tests.repository import ROOT

NOBODY = 65534
ENVIRONMENT = {"SYSTEM": "spaces", "SPACE_ID": "me/avd-explorer", "GRADIO_SERVER_NAME": "0.0.0.0"}


def interpreter(folder: Path, *also: str) -> Path:
    """A virtual environment with the installed distributions that requirements.txt asks for, linked; its Python.

    Args:
        folder: a new one.
        also: further distributions, such as those that a Space's image brings.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    for found in _closure([*(line for line in lines if line and not line.startswith("#")), *also]):
        for top in {path.parts[0] for path in found.files or ()} - {"..", "__pycache__"}:
            if not (packages / top).exists():  # of a namespace, such as nvidia, several distributions are in one folder
                (packages / top).symlink_to(str(found.locate_file(top)))
    return folder / "bin" / "python"


def _closure(requirements: list[str]) -> list[Distribution]:
    """The distributions that are required, and what they require."""
    found: dict[tuple[str, frozenset[str]], Distribution] = {}
    waiting = [Requirement(line) for line in requirements]
    while waiting:
        wanted = waiting.pop()
        key = (wanted.name.lower(), frozenset(wanted.extras))
        if key in found:
            continue
        found[key] = distribution(wanted.name)
        for line in found[key].requires or ():
            needed = Requirement(line)
            extras = wanted.extras or {""}
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append(needed)
    return list(found.values())


def as_nobody(python: Path) -> list[str]:
    """What to put before a command so that it runs without this user's rights to write; empty where it has none."""
    if os.getuid():
        return []
    prefix = [shutil.which("setpriv") or "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    asked = [*prefix, str(python), "-c", "import sys, tqdm; print(sys.base_prefix)"]
    told = subprocess.run(asked, check=False, capture_output=True, text=True).stdout
    if told.strip() == sys.base_prefix:
        return prefix
    # Python or what it imports lies in root's own folder: all may be read then, and still nothing may be written.
    return [*prefix, "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
