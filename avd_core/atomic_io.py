"""What is written: files and folders that appear whole or not at all, and JSON that any reader takes."""

from __future__ import annotations

import json
import math
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np


class OutputError(ValueError):
    """A place that cannot be written to, with a sentence saying why."""


def check_folder(folder: Path) -> None:
    """Raises OutputError where no folder can be made: better before the work than after it."""
    for place in (folder, *folder.absolute().parents):
        if place.exists():
            if not place.is_dir():
                raise OutputError(f"{place} is a file; the output needs a folder there.")
            return


@contextmanager
def staged_folder(folder: str | Path) -> Iterator[Path]:
    """Yields an empty folder beside `folder`, to be filled; on success its files move into `folder`.

    A `folder` that exists keeps its other files: those of the same name are replaced, one by one. After any
    exception nothing of this is left, nor any parent folder that was made for it.

    Raises:
        OutputError: the place is a file, or the disk refuses (read-only, full).
    """
    folder = Path(os.path.abspath(folder))
    check_folder(folder)
    staging = folder.with_name(f".{folder.name[:100]}.{secrets.token_hex(4)}")
    with _parents_of(folder):
        try:
            staging.mkdir()
            yield staging
            _move_into(staging, folder)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


@contextmanager
def staged_file(path: str | Path) -> Iterator[Path]:
    """Yields the path of a file to write beside `path`, of the same suffix; on success it takes that place.

    Raises:
        OutputError: as `staged_folder`.
    """
    path = Path(os.path.abspath(path))
    check_folder(path.parent)
    if path.is_dir():
        raise OutputError(f"{path} is a folder; the output needs a file name.")
    staging = path.with_name(f".{secrets.token_hex(8)}{path.suffix}")
    with _parents_of(path):
        try:
            yield staging
            os.replace(staging, path)
        except ValueError as error:  # whoever wrote knew the file by its passing name
            raise type(error)(str(error).replace(str(staging), str(path)).replace(staging.name, path.name)) from error
        finally:
            staging.unlink(missing_ok=True)


@contextmanager
def _parents_of(path: Path) -> Iterator[None]:
    """Makes the folders that `path` lies in; takes those it made away again when the work in them fails."""
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
    """Writes JSON that any reader takes, see `plain_json`."""
    text = json.dumps(plain_json(value), indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")
    return path


def plain_json(value: Any) -> Any:
    """The value as JSON has it: arrays and tuples become lists, NaN and infinity (JSON has neither) None."""
    if isinstance(value, dict):
        return {str(key): plain_json(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain_json(value.tolist())
    if isinstance(value, list | tuple):
        return [plain_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
