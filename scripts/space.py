"""Assemble a folder to push to a Hugging Face Space: `python -m scripts.space` (or `make space`).

It holds the code, the checkpoints, and the README with the Space's header and its pictures; no tests, no benchmarks,
nothing that git ignores. `docs/spaces.md` explains how to push it.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
from pathlib import Path

from avd_core.removal import is_report, remove_files
from tests.repository import ROOT, files

PUSHED = ("app.py", "app", "avd_core", "checkpoints", "docs", "requirements.txt", "README.md", "LICENSE")
PROOF = "put there by scripts.space"  # the key of the list beside the folder
MAX_FILE = 10 * 2**20  # bytes beyond which the Hub requires its large-file storage


class SpaceError(ValueError):
    """A folder cannot become a Space; the message says why, in one sentence."""


def assemble(folder: Path) -> list[Path]:
    """Fill `folder` with the files to push; first delete those of an earlier call, by the list beside the folder.

    Returns:
        The files, relative to it.

    Raises:
        SpaceError: it holds other files, or a file is too large for a Space.
    """
    listed = folder.with_name(f"{folder.name}.json")
    if is_report(listed, PROOF):
        for name in map(Path, json.loads(listed.read_text())[PROOF]):
            if not name.is_absolute() and ".." not in name.parts:
                remove_files((folder / name).parent, re.compile(re.escape(name.name)))
    left = next((path for path in folder.rglob("*") if not path.is_dir()), None)
    if left is not None:
        raise SpaceError(f"{left} was not put there by this program: name a new or an empty folder.")
    pushed = [path for path in files() if path.parts[0] in PUSHED]
    for path in pushed:
        if (ROOT / path).stat().st_size > MAX_FILE:
            raise SpaceError(f"{path} is larger than {MAX_FILE / 2**20:.0f} MiB.")
    folder.mkdir(parents=True, exist_ok=True)
    listed.write_text(json.dumps({PROOF: [path.as_posix() for path in pushed]}, indent=1))
    for path in pushed:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, folder / path)
    return pushed


def main() -> None:
    """Assemble the folder and say how large it is."""
    parser = argparse.ArgumentParser(description="Assemble what a Hugging Face Space gets.")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "space", help="default: %(default)s")
    folder = parser.parse_args().out
    try:
        pushed = assemble(folder)
    except SpaceError as error:
        sys.exit(str(error))
    sizes = {path: (folder / path).stat().st_size for path in pushed}
    largest = max(sizes, key=lambda path: sizes[path])
    print(
        f"{folder}: {len(sizes)} files, {sum(sizes.values()) / 1e6:.1f} MB; "
        f"the largest is {largest}, {sizes[largest] / 1e6:.1f} MB"
    )
    print(f"hf upload OWNER/NAME {folder} . --repo-type space")


if __name__ == "__main__":
    main()
