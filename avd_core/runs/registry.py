"""Registry of the runs of all persons: their directories and owners.

`<home>/<key of the run>/<its name>/` is a run directory; `ticket.json` beside it holds its owner and queue times. A
person is identified by a secret that their browser stores; records hold its digest only, so that a copy of the home
gives no access to runs.

The home and each folder in it carry a marker of this program. Nothing without a marker is ever deleted, and a home that
holds other files is refused before anything is written into it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from avd_core.atomic_io import write_atomically
from avd_core.removal import is_marked, mark, remove
from avd_core.runs.limits import LimitError, TuneLimits
from avd_core.runs.process import AT_WORK, look
from avd_core.runs.run import Run, RunError

RUNS = "AVD_RUNS"  # the variable that names the home
HOME_MARKER, RUN_MARKER, RECORD = ".avd-runs", ".avd-run", "ticket.json"
_OWN = {HOME_MARKER, ".lock", ".secret"}  # files of this program in the home, beside the runs
_SYSTEM = {"lost+found", ".DS_Store"}  # files that file systems and desktops create in any folder
_SECRET = re.compile(r"[0-9a-f]{32,64}")
_KEY = re.compile(r"[A-Za-z0-9_-]{16,40}")

log = logging.getLogger(__name__)


class RegistryError(ValueError):
    """A folder cannot hold runs; the message says why, in one sentence."""


@dataclass(frozen=True)
class RunRecord:
    """Registry record of a run: owner, device queue, queue times.

    Attributes:
        key: of the run; random, so that it cannot be guessed.
        owner: digest of the person's secret.
        name: as shown to users; also that of the run directory and of its checkpoint.
        device: of its queue.
        seconds: of training that were requested in all; None trains until the last step.
        queued: time when it was last queued, in seconds since the epoch.
        started: time when it was last started; 0 before the first start.
        about: further plain values for the page.
    """

    key: str
    owner: str
    name: str
    device: str
    seconds: float | None
    queued: float
    started: float = 0.0
    about: dict[str, Any] | None = None


def owner_of(secret: object) -> str | None:
    """Return the digest of a person's secret, which identifies them; None for an invalid secret."""
    if not isinstance(secret, str) or not _SECRET.fullmatch(secret):
        return None
    return hashlib.sha256(secret.encode()).hexdigest()[:32]


def new_secret() -> str:
    """Make a new secret for a person."""
    return secrets.token_hex(16)


def default_home() -> Path:
    """Return the folder that `AVD_RUNS` names, else one below the user's own cache."""
    named = os.environ.get(RUNS)
    return Path(named).expanduser() if named else Path.home() / ".cache" / "avd-explorer" / "runs"


class RunRegistry:
    """The runs of a server.

    Args:
        folder: the home; made with the first run.
        limits: of runs.
    """

    def __init__(self, folder: str | Path | None = None, limits: TuneLimits | None = None) -> None:
        self.folder = Path(folder or default_home()).absolute()
        self.limits = limits or TuneLimits.from_environment()
        self._reported: set[Path] = set()

    def claim(self) -> None:
        """Make the home and mark it as this program's; do nothing if it is marked.

        Raises:
            RegistryError: it is a file, or holds files of others.
            OSError: it cannot be written.
        """
        marker = self.folder / HOME_MARKER
        if marker.is_file():
            return
        for place in (self.folder, *self.folder.parents):
            if place.exists() and not place.is_dir():
                raise RegistryError(f"{RUNS} is {self.folder}, but {place} is a file: name a new or an empty folder.")
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        foreign = [path.name for path in self.folder.iterdir() if not self._is_own(path)]
        if foreign:
            raise RegistryError(
                f"{RUNS} is {self.folder}, which holds {sorted(foreign)[0]!r} that AVD Explorer did not make: "
                "name a new or an empty folder."
            )
        marker.write_text("AVD Explorer keeps fine-tuning runs here, and deletes those that are over.\n")

    @staticmethod
    def _is_own(path: Path) -> bool:
        """Return whether an unmarked home, as of 0.1, may contain an entry; this allows no deletion."""
        if path.is_symlink():
            return False
        if path.is_dir():
            run = _is_key(path.name) and ((path / RECORD).exists() or not any(path.iterdir()))
            return run or path.name in _SYSTEM
        # An interrupted write leaves its temporary file.
        return path.name in _OWN | _SYSTEM or any(path.name.startswith(f".{name}.") for name in _OWN)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock of the queue, which serialises changes by all servers."""
        self.claim()
        with (self.folder / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def secret(self) -> str:
        """Return the key that encrypts the browsers' storage; made once, so that storage outlives a restart."""
        with self.locked():
            path = self.folder / ".secret"
            if not path.exists():
                write_atomically(path, secrets.token_hex(8) + "\n")
                path.chmod(0o600)
            return path.read_text().strip()

    # Tickets --------------------------------------------------------------------------------------------------

    def reserve(self, owner: str, name: str, device: str, **values: Any) -> RunRecord:
        """Make a record and its empty folder; `write` queues it after the run is created.

        Raises:
            LimitError: fine-tuning is off, the person has too many runs, or they fill the disk.
        """
        limits, mine = self.limits, self.of(owner)
        if not limits.on:
            raise LimitError("Fine-tuning is turned off on this server; the command line does it on your own machine.")
        if len(mine) >= limits.runs:
            raise LimitError(f"You have {len(mine)} runs here, and no more are kept: delete one first.")
        at_work = sum(self.status(record) in ("queued", *AT_WORK) for record in mine)
        if at_work >= limits.active:
            raise LimitError(f"{at_work} of your runs are waiting or running: wait for one, or stop it.")
        self.claim()
        self.check_disk()
        key = secrets.token_urlsafe(16)
        (self.folder / key).mkdir(mode=0o700)
        (self.folder / key / RUN_MARKER).touch()
        return RunRecord(key, owner, slug(name), device, queued=time.time(), **({"seconds": None} | values))

    def check_disk(self) -> None:
        """Raise LimitError if all runs together exceed the limit, or the disk is nearly full."""
        taken = 0
        for folder, _, names in os.walk(self.folder):
            for name in names:
                with suppress(OSError):  # a run at work replaces its files
                    taken += os.lstat(os.path.join(folder, name)).st_size
        if taken > self.limits.disk * 1e9:
            raise LimitError(f"The runs on this server take {taken / 1e9:.1f} GB, which is all they may: delete some.")
        if self.folder.exists() and shutil.disk_usage(self.folder).free < 200e6:
            raise LimitError("The disk of this server is full: delete some runs.")

    def write(self, record: RunRecord) -> None:
        """Write a record."""
        write_atomically(self.folder / record.key / RECORD, json.dumps(asdict(record)) + "\n")

    def records(self) -> list[RunRecord]:
        """List all records, the oldest first; skip invalid ones."""
        found = [record for path in self.folder.glob("*/") if (record := _read_record(path))]
        return sorted(found, key=lambda record: (record.queued, record.key))

    def of(self, owner: str | None) -> list[RunRecord]:
        """List one person's records, the latest first."""
        return [record for record in reversed(self.records()) if owner and record.owner == owner]

    def find(self, owner: str | None, key: object) -> RunRecord:
        """Return one of the person's own records.

        Raises:
            RunError: it belongs to another person, or there is none; the message does not say which.
        """
        record = next((t for t in self.of(owner) if t.key == key), None) if _is_key(key) else None
        if record is None:
            raise RunError("There is no such run of yours here; runs that are over are deleted after a while.")
        return record

    def run(self, record: RunRecord) -> Run:
        """Return the run directory of a record."""
        return Run(self.folder / record.key / record.name)

    def status(self, record: RunRecord) -> str:
        """Return the status of a record's run; "failed" if its directory is damaged."""
        try:
            return look(self.run(record)).status
        except RunError:
            return "failed"

    def forget(self, record: RunRecord) -> None:
        """End a run's training process, and delete its record and directory."""
        folder = self.folder / record.key
        if _read_record(folder) == record and not folder.is_symlink() and not os.path.lexists(folder / RUN_MARKER):
            mark(folder, RUN_MARKER)  # a run of 0.1: its ticket proves it
        if is_marked(folder, RUN_MARKER):
            self._remove(folder)

    def _remove(self, folder: Path) -> None:
        """Delete the folder of a run, directly in a marked home."""
        if not is_marked(self.folder, HOME_MARKER) or folder.parent != self.folder or not _is_key(folder.name):
            raise RegistryError(f"{folder} is not deleted: nothing proves that AVD Explorer made it.")
        remove(folder, marker=RUN_MARKER)

    def sweep(self) -> list[str]:
        """Delete runs that ended longer ago than `limits.hours`, and unfinished folders; return their keys.

        A folder without this program's marker and a run whose record cannot be read are kept, and logged.
        """
        if not self.folder.exists():
            return []
        self.claim()
        now, gone = time.time(), []
        records = self.records()
        known = {record.key for record in records}
        for path in self.folder.glob("*/"):
            if path.name in known or path.name in _SYSTEM:
                continue
            if (path / RECORD).exists():
                self._report(path, "its ticket.json cannot be read")
            elif path.is_symlink() or not _is_key(path.name) or not (path / RUN_MARKER).is_file():
                self._report(path, "AVD Explorer did not make it")
            elif now - path.stat().st_mtime > 3600:
                self._remove(path)
        for record in records:
            status, run = self.status(record), self.run(record)
            try:
                run.state()
            except RunError as error:
                self._report(run.folder, str(error))
                continue
            touched = (run.folder / "state.json").stat().st_mtime
            if status not in ("queued", *AT_WORK) and now - touched > self.limits.hours * 3600:
                self.forget(record)
                gone.append(record.key)
        return gone

    def _report(self, folder: Path, why: str) -> None:
        """Log once that a folder is kept, and why."""
        if folder not in self._reported:
            self._reported.add(folder)
            log.warning("%s is kept: %s. Look into it, and delete it yourself.", folder, why)


def _read_record(folder: Path) -> RunRecord | None:
    """Read the record in a run's folder; return None if there is none, or it is of another folder."""
    with suppress(OSError, ValueError, TypeError, RecursionError):
        record = RunRecord(**json.loads((folder / RECORD).read_text(encoding="utf-8")))
        numbers = (record.queued, record.started, 0 if record.seconds is None else record.seconds)
        texts = (record.owner, record.name, record.device)
        if not all(type(value) in (int, float) for value in numbers) or not all(type(text) is str for text in texts):
            return None
        if not isinstance(record.about, dict | None):
            return None
        # A record with another key proves nothing about this folder.
        if _is_key(record.key) and record.key == folder.name and slug(record.name) == record.name:
            return record
    return None


def in_line(record: RunRecord, **changes: Any) -> RunRecord:
    """Return the record at the end of the queue again."""
    return replace(record, queued=time.time(), **changes)


def slug(name: str) -> str:
    """Return a similar name that is valid on any file system."""
    kept = re.sub(r"[^\w-]+", "-", name.strip().casefold()).strip("-_")
    return kept[:40].strip("-_") or "my-clips"


def _is_key(key: object) -> bool:
    return isinstance(key, str) and bool(_KEY.fullmatch(key))


def head_of(checkpoint: str | Path) -> str | None:
    """Return the name of the latest recognition head in a run directory; None if it has none, or is no run here."""
    folder, home = Path(checkpoint), default_home().absolute()
    if not folder.is_relative_to(home):
        return None
    heads = sorted(folder.glob("classifier-*"), key=lambda path: path.stat().st_mtime)
    return f"own:{folder.parent.name}/{folder.name}/{heads[-1].name.rpartition('-')[2]}" if heads else None


def head_folder(name: str) -> Path:
    """Return the folder of a head that `classifiers.names.is_own` recognises."""
    key, run, step = name.partition(":")[2].split("/")
    return default_home().absolute() / key / run / f"classifier-{step}"
