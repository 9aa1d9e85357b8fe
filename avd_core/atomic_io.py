"""Write files and folders so that they appear whole or not at all, and JSON that every reader accepts.

`atomic_file`, `atomic_folder`, `write_atomically` and `write_json` do not catch the system's errors. `staged_file` and
`staged_folder` write to a place that a user named: they make its parent folders, and raise `OutputError` with a
sentence for the user.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import math
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from avd_core.removal import MARKER, is_marked, remove, remove_files

_SHORT = 40  # characters of a name that a passing name keeps: no file system takes more than 255 bytes
PASSING = r"[0-9a-f]{12}\.part"  # how passing names end
_NEW, _OLD, _UNNAMED = "new", "old", f"{MARKER}.new"  # in a scratch folder
_HERE, _EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux


class OutputError(ValueError):
    """Say why a place cannot be written to."""


@contextmanager
def atomic_file(path: Path, suffix: str = ".part") -> Iterator[Path]:
    """Yield a path beside `path` to write to; on success rename it to `path`, after any exception delete it.

    A kill can leave `.<name of path>.<random>.part` behind; `remove_leftovers` deletes those.

    Args:
        path: the file to write; readers find the old one or the new one, whole. Its folder must exist.
        suffix: ending of the temporary name, for writers that choose the format by it.
    """
    staging = _passing_name(path, suffix)
    try:
        yield staging
        os.replace(staging, path)
    finally:
        staging.unlink(missing_ok=True)


def write_atomically(path: Path, text: str) -> None:
    """Replace `path` by `text` in UTF-8; a full disk or a loss of power leaves the old file."""
    with atomic_file(path) as staging, staging.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Yield a copy of `folder` to change; on success it replaces `folder`, after any exception it is deleted.

    The copy is flushed to the disk first, so that a loss of power leaves the old folder or the new one. If `folder`
    contains folders or links, an empty folder is yielded instead, whose files replace those in `folder` one by one.

    Args:
        folder: the folder to replace; its parents are made.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    recover_folder(folder)
    with scratch_folder(folder) as scratch:
        staging = scratch / _NEW
        staging.mkdir()
        old = list(folder.iterdir()) if folder.is_dir() else []
        plain = not folder.is_symlink() and all(path.is_file() and not path.is_symlink() for path in old)
        for path in old if plain else ():
            shutil.copy2(path, staging)
        yield staging
        for path in [*staging.rglob("*"), staging]:
            sync(path)
        if plain:
            swap(staging, folder)
        else:
            _move_into(staging, folder)


@contextmanager
def scratch_folder(path: Path) -> Iterator[Path]:
    """Yield a marked folder beside `path`, and delete it at the end; first delete those that killed writers left."""
    for leftover in _leftovers(path):
        if not _is_in_use(leftover / MARKER) and not (leftover / _OLD).exists():
            remove(leftover)
        elif not is_marked(leftover):
            _remove_unmarked(leftover)
    scratch, lock = _new_scratch(path)
    try:
        with lock:
            yield scratch
    finally:
        remove(scratch)


def _new_scratch(path: Path) -> tuple[Path, BinaryIO]:
    """Make a scratch folder and lock its marker; the system releases the lock if this process is killed."""
    while True:
        scratch = _passing_name(path)
        scratch.mkdir()
        try:
            return scratch, _locked_marker(scratch)
        except FileNotFoundError:  # another process took it for what a kill left: see `_remove_unmarked`
            continue
        except BaseException:
            with suppress(OSError):
                scratch.rmdir()  # a full disk takes no marker
            raise


def _locked_marker(scratch: Path) -> BinaryIO:
    marker = (scratch / _UNNAMED).open("wb")
    with suppress(OSError):  # a file system without locks: only `remove_leftovers` deletes what a kill leaves there
        fcntl.flock(marker, fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        (scratch / _UNNAMED).rename(scratch / MARKER)  # no other process sees it marked but not locked
    except BaseException:
        marker.close()
        raise
    return marker


def _remove_unmarked(scratch: Path) -> None:
    """Delete a scratch folder whose writer was killed before it was marked; a living writer makes itself another."""
    with suppress(OSError):
        if not _is_in_use(scratch / _UNNAMED):
            remove_files(scratch, re.compile(re.escape(_UNNAMED)))
        scratch.rmdir()


def _is_in_use(marker: Path) -> bool:
    """Return whether a living process may hold the scratch folder of a marker."""
    try:
        with marker.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    return False


def swap(new: Path, target: Path) -> None:
    """Move the folder `new` to `target`; the old content of `target` stays in the scratch folder of `new`.

    One atomic step on Linux. Elsewhere it takes two renames, and a kill between them leaves no `target`: see
    `standing_folder` and `recover_folder`.
    """
    if target.is_dir() and not exchange(new, target):
        os.replace(target, new.with_name(_OLD))
    if not target.is_dir():
        os.replace(new, target)


def exchange(one: Path, other: Path) -> bool:
    """Exchange two paths in one step; return False where system or file system cannot."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)  # Linux with glibc 2.28
    return rename is not None and rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0


def standing_folder(target: Path) -> Path:
    """Return `target`, or the folder that holds its content after a kill between the two renames of `swap`."""
    if not target.exists():
        for scratch in _leftovers(target):
            if is_marked(scratch) and (scratch / _OLD).is_dir():
                return scratch / _OLD
    return target


def recover_folder(target: Path) -> None:
    """Move the folder back that a kill between the two renames of `swap` left in a scratch folder."""
    standing = standing_folder(target)
    if standing != target:
        os.replace(standing, target)


def remove_leftovers(path: Path) -> None:
    """Delete what killed writers of `path` left beside it.

    Only for the one writer of `path`, which calls `recover_folder` first.
    """
    for leftover in _leftovers(path):
        if not remove(leftover):
            with suppress(OSError):  # killed before it was marked, or not ours
                remove_files(leftover, re.compile(re.escape(_UNNAMED)))
                leftover.rmdir()
    remove_files(path.parent, re.compile(re.escape(f".{path.name[:_SHORT]}.") + PASSING))


def _leftovers(path: Path) -> list[Path]:
    """List the scratch folders of `path`, the latest first."""
    passing, found = re.compile(re.escape(f".{path.name[:_SHORT]}.") + PASSING), []
    with suppress(OSError):
        found = [entry for entry in path.parent.iterdir() if passing.fullmatch(entry.name) and entry.is_dir()]
        found.sort(key=lambda entry: entry.stat().st_mtime_ns, reverse=True)
    return found


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _passing_name(path: Path, suffix: str = ".part") -> Path:
    # Hidden, and by default without a suffix that readers look for.
    return path.with_name(f".{path.name[:_SHORT]}.{secrets.token_hex(6)}{suffix}")


def check_folder(folder: Path) -> None:
    """Raise OutputError if the folder cannot be made; for a check before long work."""
    for place in (folder, *folder.absolute().parents):
        if place.exists():
            if not place.is_dir():
                raise OutputError(f"{place} is a file; the output needs a folder there.")
            return


@contextmanager
def staged_folder(folder: str | Path) -> Iterator[Path]:
    """Yield an empty folder beside `folder` to fill; on success move its files into `folder`.

    An existing `folder` keeps its other files; those of the same name are replaced, one by one. After any exception
    the new files and the parent folders made for them are deleted.

    Raises:
        OutputError: the place is a file, or the disk refuses (read-only, full).
    """
    folder = Path(os.path.abspath(folder))
    check_folder(folder)
    with _parents_of(folder), scratch_folder(folder) as scratch:
        staging = scratch / _NEW
        staging.mkdir()
        yield staging
        _move_into(staging, folder)


@contextmanager
def staged_file(path: str | Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to, of the same suffix; on success rename it to `path`.

    Raises:
        OutputError: as `staged_folder`.
    """
    path = Path(os.path.abspath(path))
    check_folder(path.parent)
    if path.is_dir():
        raise OutputError(f"{path} is a folder; the output needs a file name.")
    with _parents_of(path), atomic_file(path, path.suffix) as staging:
        try:
            yield staging
        except ValueError as error:  # the writer's sentence names the passing file
            raise type(error)(str(error).replace(str(staging), str(path)).replace(staging.name, path.name)) from error


@contextmanager
def _parents_of(path: Path) -> Iterator[None]:
    """Make the parent folders of `path`; if the block fails, remove those that this call made."""
    missing = [parent for parent in path.parents if not parent.exists()]  # the deepest first
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException as error:
        for parent in missing:
            try:
                parent.rmdir()  # fails if another process put a file there meanwhile
            except OSError:
                break
        if isinstance(error, OSError):
            raise OutputError(f"{path} cannot be written: {error.strerror or error}.") from error
        raise


def _move_into(staging: Path, folder: Path) -> None:
    if not folder.exists():
        os.replace(staging, folder)
        return
    entries = sorted(staging.rglob("*"))  # parents come before what they hold
    for entry in entries:  # all of them before the first is moved: no half-filled folder
        target = folder / entry.relative_to(staging)
        in_the_way = os.path.lexists(target) and target.is_dir() != entry.is_dir()
        if in_the_way or (entry.is_dir() and target.is_symlink()):  # nothing is written through a link
            raise OutputError(f"{target} is in the way: move it, or choose another folder.")
    for entry in entries:
        target = folder / entry.relative_to(staging)
        if entry.is_dir():
            target.mkdir(exist_ok=True)
        else:
            os.replace(entry, target)


def write_json(path: Path, value: Any) -> Path:
    """Write JSON that every reader accepts (`plain_json`), as `write_atomically` does."""
    write_atomically(path, json.dumps(plain_json(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    return path


def plain_json(value: Any) -> Any:
    """Return a value in JSON's types: arrays and tuples become lists, NaN and infinity (JSON has neither) None.

    Bytes of a file name that are no UTF-8, which Python keeps as lone surrogates, become question marks.
    """
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, dict):
        return {plain_json(str(key)): plain_json(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain_json(value.tolist())
    if isinstance(value, list | tuple):
        return [plain_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
