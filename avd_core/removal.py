"""Deleting: the one place where this program deletes what an earlier process left, and what proves it is its own.

A folder is proven by a marker, a file that this program put into it when it made it; what lies in a marked folder is
proven by that marker. A file beside other people's is proven by the pattern of names that only this program draws.
Links are never followed: one that lies in a marked folder is removed itself, one in the way to it ends the deletion.
What a process deletes of what it made a moment ago, within one function, does not need this.
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
    """Make `folder`, and mark it if it is new or empty; another one may be used, but is not deleted later."""
    folder.mkdir(parents=True, exist_ok=True)
    if not any(folder.iterdir()):
        mark(folder)


def is_marked(folder: Path, marker: str = MARKER) -> bool:
    """Return whether a folder is this program's: no link, with a marker that is no link, both of this user."""
    return _is_own(folder, stat.S_ISDIR) and _is_own(folder / marker, stat.S_ISREG)


def remove(path: Path, *, owner: Path | None = None, marker: str = MARKER) -> bool:
    """Delete a file or a folder if the marker of `owner` proves it is this program's.

    Args:
        path: `owner` itself or something in it, at any depth.
        owner: the marked folder; by default `path`.
        marker: the name of its marker, which is deleted last: what an error leaves can still be proven.

    Returns:
        Whether it is gone; False where nothing proves it, or where the disk refuses.
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
    """Delete the plain files of this user directly in `folder` whose whole name is of a pattern that is ours alone.

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
    """Return whether a file is a JSON report of this program, by its keys: what it wrote beside it may be replaced."""
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
