"""The temporary folder of one server: claimed before gradio is imported, removed when the server ends.

Uploads, results and everything else that a server keeps for the browser lie in one folder below the one that
GRADIO_TEMP_DIR names (else a folder of this user's in the system's temporary one). It carries a marker of this program,
and the server holds a lock on it. A folder below the same base with the marker whose lock nobody holds belonged to a
server that was killed: the next server removes it. While a folder is made or removed it carries no marker for a moment,
so a kill can leave an unmarked one. For that time a locked file beside it, a note, names it. Nothing else is removed: a
name alone does not prove who made a folder.
"""

from __future__ import annotations

import atexit
import errno
import fcntl
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from avd_core.removal import is_marked, remove, remove_files

VARIABLE = "GRADIO_TEMP_DIR"
PREFIX, MARKER = "avd-server-", ".avd-server"
PASSING = ".avd-passing-"  # begins the name of a note; it ends in the same random digits as the folder's
_UNNAMED = f"{MARKER}.new"
_open: dict[Path, Workspace] = {}


class WorkspaceError(ValueError):
    """There is no temporary folder to work in; the sentence names the variable that says where."""


class Workspace:
    """A folder that this process owns.

    Attributes:
        base: The folder that the operator chose; other servers may share it.
        path: The server's own folder in it.
    """

    def __init__(self, base: Path) -> None:
        """Make and lock a folder.

        Raises:
            WorkspaceError: It cannot be made; one line says why.
        """
        self.base = base
        try:
            base.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path = base.resolve() / f"{PREFIX}{secrets.token_hex(8)}"
            with _noted(self.path):
                self.path.mkdir(mode=0o700)
                self._lock = _locked_marker(self.path)
        except OSError as error:
            raise WorkspaceError(_why_not(base, error)) from error
        self._process = os.getpid()

    def close(self) -> None:
        """Remove the folder; a forked child leaves it to the server."""
        if os.getpid() == self._process and _open.pop(self.path, None) is not None:
            _remove(self.path)  # what stays is swept by the next server
            self._lock.close()


def claim() -> Workspace:
    """Return the workspace that GRADIO_TEMP_DIR names; make one below it, or below the default, where it names none.

    Afterwards GRADIO_TEMP_DIR names the workspace: gradio knows no other switch.

    Raises:
        WorkspaceError: The folder cannot be used.
    """
    named = os.environ.get(VARIABLE)
    base = Path(named).absolute() if named else _default_base()
    if workspace := _open.get(base):
        return workspace
    workspace = Workspace(base)
    sweep(base)
    _open[workspace.path] = workspace
    os.environ[VARIABLE] = str(workspace.path)
    atexit.register(workspace.close)
    return workspace


def sweep(base: Path) -> list[Path]:
    """Remove the folders that dead servers left in `base`; return them."""
    removed = []
    for note in base.glob(f"{PASSING}*"):
        if re.fullmatch(r"[0-9a-f]{16}", end := note.name.removeprefix(PASSING)):
            removed += _sweep_passing(note, base / f"{PREFIX}{end}")
    for path in base.glob(f"{PREFIX}*"):
        marker = path / MARKER
        try:
            if not is_marked(path, MARKER):
                continue
            with marker.open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _remove(path):
                    removed.append(path)
        except OSError:  # held by its server, not ours, or swept by another server meanwhile
            continue
    return removed


@contextmanager
def _noted(path: Path) -> Iterator[None]:
    """Keep a locked note beside a workspace while it is made or removed; after an error it stays for the next sweep."""
    note = path.with_name(f"{PASSING}{path.name.removeprefix(PREFIX)}")
    while True:
        with note.open("ab") as lock:
            _lock(lock)
            if os.fstat(lock.fileno()).st_nlink:  # else a sweep was faster than the lock
                yield
                note.unlink(missing_ok=True)
                return


def _remove(path: Path) -> bool:
    try:
        with _noted(path):
            return remove(path, marker=MARKER)
    except OSError:  # no room for a note
        return remove(path, marker=MARKER)


def _sweep_passing(note: Path, path: Path) -> list[Path]:
    """Remove the unmarked folder that a note names, if its server was killed; return what was removed."""
    swept = []
    with suppress(OSError):  # held by its server, not ours, or swept by another server meanwhile
        status = note.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.getuid() or status.st_size:
            return []
        with note.open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.is_dir() and not path.is_symlink() and not is_marked(path, MARKER):
                remove_files(path, re.compile(re.escape(_UNNAMED)))
                path.rmdir()  # with anything in it, it stays
                swept.append(path)
            note.unlink()
    return swept


def _default_base() -> Path:
    """Make a folder that is closed to the other users of this machine; raise WorkspaceError if that fails."""
    base = Path(tempfile.gettempdir()) / f"avd-explorer-{os.getuid()}"
    try:
        base.mkdir(mode=0o700, exist_ok=True)
        owner = base.stat().st_uid
    except OSError as error:
        raise WorkspaceError(_why_not(base, error)) from error
    if owner != os.getuid():
        raise WorkspaceError(f"{base} belongs to somebody else: set {VARIABLE} to a folder of your own.")
    return base


def _locked_marker(path: Path) -> IO[bytes]:
    """Write the marker, locked before it has its name: no sweep sees a folder that is not held."""
    unnamed = path / _UNNAMED
    lock = unnamed.open("wb")
    _lock(lock)
    unnamed.rename(path / MARKER)
    return lock


def _lock(file: IO[bytes]) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError as error:  # a file system without locks: such folders are removed by their own server alone
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
            raise


def _why_not(base: Path, error: OSError) -> str:
    for place in (base, *base.parents):
        if place.exists() and not place.is_dir():
            return f"{VARIABLE} is {base}, but {place} is a file: name a folder."
    return f"{VARIABLE} is {base}, which cannot be written: {error.strerror or error}."
