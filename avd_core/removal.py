"""Delete what an earlier process of this program left, and nothing else.

Ownership must be proven first. A folder is proven by a marker, a file that this program put into it on creation, and so
is all that lies in it. A file among other people's is proven by a name of a pattern that only this program uses. Links
are never followed: a link in a marked folder is deleted itself, a link on the path to it stops the deletion. Files that
a function made itself and deletes at its end do not need this.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

MARKER = ".avd-own"


def mark(folder: Path, marker: str = MARKER) -> None:
    """Mark a folder that this program just made."""
    (folder / marker).touch(exist_ok=False)


def claim_folder(folder: Path) -> None:
    """Make `folder`, and mark it if it is new or empty; a folder with content may be used but never deleted."""
    folder.mkdir(parents=True, exist_ok=True)
    if not any(folder.iterdir()):
        mark(folder)


def is_marked(folder: Path, marker: str = MARKER) -> bool:
    """Return whether a folder is this program's: it and its marker belong to this user, and neither is a link."""
    return _is_own(folder, stat.S_ISDIR) and _is_own(folder / marker, stat.S_ISREG)


def remove(path: Path, *, owner: Path | None = None, marker: str = MARKER) -> bool:
    """Delete a file or a folder if the marker of `owner` proves it is this program's.

    Args:
        path: `owner` itself or something in it, at any depth.
        owner: the marked folder; by default `path`.
        marker: name of the marker; deleted last, so that what an error leaves can still be proven.

    Returns:
        Whether it is deleted; False if ownership is not proven or the disk refuses.
    """
    owner = path if owner is None else owner
    if ".." in path.parts or not path.is_relative_to(owner) or not is_marked(owner, marker):
        return False
    inner = path.relative_to(owner)
    if any((owner / parent).is_symlink() for parent in inner.parents):
        return False
    if inner.parts:
        return _remove(path)
    with suppress(OSError):
        for _ in range(2):  # a thread that is still writing may add a file meanwhile
            for entry in owner.iterdir():
                if entry.name != marker:
                    _remove(entry)
        if [entry.name for entry in owner.iterdir()] == [marker]:
            (owner / marker).unlink()
            owner.rmdir()
    return not owner.exists()


def remove_files(folder: Path, names: re.Pattern[str], *, older_than: float = 0.0) -> None:
    """Delete this user's plain files directly in `folder` whose whole name matches a pattern of this program.

    Args:
        folder: no link.
        names: the pattern.
        older_than: seconds since a file was last written.
    """
    if not _is_own(folder, stat.S_ISDIR):
        return
    for path in folder.iterdir():
        if names.fullmatch(path.name) and _is_own(path, stat.S_ISREG):
            with suppress(FileNotFoundError):  # another process was faster
                if time.time() - path.stat().st_mtime >= older_than:
                    path.unlink()


def is_report(path: Path, *keys: str) -> bool:
    """Return whether a file is a JSON report of this program, by its keys; files beside it may then be replaced."""
    with suppress(OSError, ValueError, RecursionError):
        value = json.loads(path.read_text(encoding="utf-8"))
        return isinstance(value, dict) and set(keys) <= set(value)
    return False


def _remove(path: Path) -> bool:
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return not os.path.lexists(path)


def _is_own(path: Path, is_kind: Callable[[int], bool]) -> bool:
    with suppress(OSError):
        found = path.lstat()
        return is_kind(found.st_mode) and found.st_uid == os.getuid()
    return False
