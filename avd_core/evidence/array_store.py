"""Store computed arrays of clips, in memory or on disk, so that a stopped run can continue.

On disk every clip has one safetensors file, which is replaced whole. Its name is a hash of the clip's path and content,
and each key holds what made the array (weights' fingerprints included): a changed clip or checkpoint finds nothing old.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from avd_core.atomic_io import PASSING, atomic_file
from avd_core.removal import remove_files

VERSION = 2  # to be raised when computed arrays change and no key does


class Store(Protocol):
    """Arrays by clip and key."""

    def get(self, clip: str, key: str) -> np.ndarray | None: ...

    def put(self, clip: str, arrays: Mapping[str, np.ndarray]) -> None: ...

    def lacks(self, clip: str, keys: Iterable[str]) -> set[str]: ...


class Memory:
    """A store in memory."""

    def __init__(self) -> None:
        self._arrays: dict[tuple[str, str], np.ndarray] = {}

    def get(self, clip: str, key: str) -> np.ndarray | None:
        return self._arrays.get((clip, key))

    def put(self, clip: str, arrays: Mapping[str, np.ndarray]) -> None:
        self._arrays |= {(clip, key): array for key, array in arrays.items()}

    def lacks(self, clip: str, keys: Iterable[str]) -> set[str]:
        return {key for key in keys if (clip, key) not in self._arrays}


class Disk:
    """A store in a folder, one file a clip, for one process at a time."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder) / f"v{VERSION}"
        self.folder.mkdir(parents=True, exist_ok=True)
        remove_files(self.folder, re.compile(r"\..+\." + PASSING))  # by a kill in the middle of a write

    def get(self, clip: str, key: str) -> np.ndarray | None:
        with _opened(self._path(clip)) as file:
            return file.get_tensor(key) if file is not None and key in file.keys() else None  # noqa: SIM118

    def put(self, clip: str, arrays: Mapping[str, np.ndarray]) -> None:
        from safetensors.numpy import save_file

        path = self._path(clip)
        with _opened(path) as file:
            before = {key: file.get_tensor(key) for key in file.keys()} if file is not None else {}  # noqa: SIM118
        after = before | {key: np.ascontiguousarray(array) for key, array in arrays.items()}
        with atomic_file(path) as staging:
            save_file(after, staging)

    def lacks(self, clip: str, keys: Iterable[str]) -> set[str]:
        with _opened(self._path(clip)) as file:
            return set(keys) - set(file.keys() if file is not None else ())

    def _path(self, clip: str) -> Path:
        return self.folder / f"{hashlib.sha256(clip.encode(errors='surrogateescape')).hexdigest()[:24]}.safetensors"


class _opened:
    """Context manager: an open safetensors file, or None if it is missing or damaged."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: Any = None

    def __enter__(self) -> Any:
        from safetensors import SafetensorError, safe_open

        if self._path.is_file():
            try:
                self._file = safe_open(self._path, "np")
                return self._file.__enter__()
            except (SafetensorError, OSError):  # damaged: made anew
                self._file = None
        return None

    def __exit__(self, *error: object) -> None:
        if self._file is not None:
            self._file.__exit__(*error)


def clip_key(path: Path, name: str) -> str:
    """Return a clip's name in a store, which changes with the content of its file, and not with its date.

    Whoever copies a data set, or unpacks it again, keeps what was computed of it.
    """
    try:
        with path.open("rb") as file:
            return f"{name}|{hashlib.file_digest(file, 'sha256').hexdigest()}"
    except OSError:  # a link that leads nowhere, or a file that may not be read; reading it says so
        return name
