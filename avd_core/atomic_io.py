"""Write files and folders so that they appear whole or not at all, and JSON that every reader accepts.

`atomic_file`, `atomic_folder` and `write_atomically` let errors through as they are. `staged_file` and `staged_folder`
write what a person named on a command line or a page: they make its parent folders, and say in a sentence what failed.
"""

from __future__ import annotations

import json
import math
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from typing import Any

import numpy as np

_SHORT = 40  # characters of a name that a passing name keeps: no file system takes more than 255 bytes


class OutputError(ValueError):
    """Say why a place cannot be written to."""


@contextmanager
def atomic_file(path: Path, suffix: str = ".part") -> Iterator[Path]:
    """Yield a path beside `path` to write to; on success rename it to `path`, after any exception delete it.

    A kill can leave `.<name of path>.<random>.part` behind; `remove_leftovers` deletes those.

    Args:
        path: the file to write; readers find the old one or the new one, whole. Its folder must exist.
        suffix: how the passing name ends, for writers that choose a format by it.
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
def atomic_folder(folder: Path, *, keep_others: bool = False) -> Iterator[Path]:
    """Yield a folder to fill; on success it takes the place of `folder`, after any exception it is deleted.

    Args:
        folder: where it belongs; its parents are made.
        keep_others: start from a copy of the files that are in `folder`, not from an empty folder.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = _passing_name(folder)
    try:
        staging.mkdir()
        if keep_others and folder.is_dir():
            shutil.copytree(folder, staging, dirs_exist_ok=True)
        yield staging
        replace_folder(staging, folder)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise


def replace_folder(new: Path, target: Path) -> None:
    """Put the folder `new` in the place of `target`, all of it; `recover_folder` mends what a kill interrupts."""
    retired = target.with_name(f".{target.name}.old")
    shutil.rmtree(retired, ignore_errors=True)
    if target.exists():
        os.replace(target, retired)
    os.replace(new, target)
    shutil.rmtree(retired, ignore_errors=True)


def recover_folder(target: Path) -> None:
    """Put back the folder that a kill in the middle of `replace_folder` left aside."""
    retired = target.with_name(f".{target.name}.old")
    if not target.exists() and retired.exists():
        os.replace(retired, target)


def remove_leftovers(path: Path) -> None:
    """Delete what kills of its writer left beside `path`; call `recover_folder` first, and only as its one writer."""
    for leftover in path.parent.glob(f".{escape(path.name[:_SHORT])}.*"):
        if leftover.is_dir():
            shutil.rmtree(leftover)
        else:
            leftover.unlink(missing_ok=True)


def _passing_name(path: Path, suffix: str = ".part") -> Path:
    # Hidden, and by default of no suffix that anybody looks for.
    return path.with_name(f".{path.name[:_SHORT]}.{secrets.token_hex(6)}{suffix}")


def check_folder(folder: Path) -> None:
    """Raise OutputError where no folder can be made: better before the work than after it."""
    for place in (folder, *folder.absolute().parents):
        if place.exists():
            if not place.is_dir():
                raise OutputError(f"{place} is a file; the output needs a folder there.")
            return


@contextmanager
def staged_folder(folder: str | Path) -> Iterator[Path]:
    """Yield an empty folder beside `folder` to fill; on success move its files into `folder`.

    A `folder` that exists keeps its other files: those of the same name are replaced, one by one. After any
    exception nothing of this is left, nor any parent folder that was made for it.

    Raises:
        OutputError: the place is a file, or the disk refuses (read-only, full).
    """
    folder = Path(os.path.abspath(folder))
    check_folder(folder)
    staging = _passing_name(folder)
    with _parents_of(folder):
        try:
            staging.mkdir()
            yield staging
            _move_into(staging, folder)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


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
    """Make the folders that `path` lies in; remove those it made when the work in them fails."""
    missing = [parent for parent in path.parents if not parent.exists()]  # the deepest first
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException as error:
        for parent in missing:
            try:
                parent.rmdir()  # refuses where somebody else put a file meanwhile
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
        if target.exists() and target.is_dir() != entry.is_dir():
            raise OutputError(f"{target} is in the way: move it, or choose another folder.")
    for entry in entries:
        target = folder / entry.relative_to(staging)
        if entry.is_dir():
            target.mkdir(exist_ok=True)
        else:
            os.replace(entry, target)


def write_json(path: Path, value: Any) -> Path:
    """Write JSON that every reader accepts, see `plain_json`."""
    text = json.dumps(plain_json(value), indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")
    return path


def plain_json(value: Any) -> Any:
    """Return the value as JSON has it: arrays and tuples as lists, NaN and infinity (JSON has neither) as None.

    A byte of a file's name that is no UTF-8, which Python keeps as half a character, becomes a question mark.
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
