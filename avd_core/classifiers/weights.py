"""Download weight files without long waits.

A download runs in a daemon thread with timeouts, into a temporary file that is renamed only if it is whole and its
checksum is right. Callers wait at most `PATIENCE` seconds in total for a host that does not answer; a host that failed
is not contacted again for `RETRY_AFTER` seconds, and then in the background only. So a network that is down or hangs
delays a start by five seconds at most.

torch.hub's loader opens URLs without a timeout and unpickles the answer; this module does neither.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlparse
from urllib.request import Request, urlopen

from avd_core.removal import remove_files

PATIENCE = 5.0
"""Seconds that callers wait, all of them together, for a host that has not answered."""
SOCKET_TIMEOUT = 10.0
"""Seconds without a single byte after which a connection is given up."""
DEADLINE = 1800.0
"""Seconds that one whole download may take."""
RETRY_AFTER = 300.0
"""Seconds for which a host that failed is not contacted again."""

_CHECKSUM = re.compile(r"-([0-9a-f]{8,64})\.[a-z]+$")  # torchvision's convention: name-<start of its SHA-256>.pth


class WeightsUnavailable(ValueError):
    """A weight file is not available now; the message is the reason, fit to follow a colon."""


@dataclass
class _Host:
    silent_since: float | None = None  # patience counts from here, once, until the host answers
    failed_at: float | None = None
    reason: str = ""


@dataclass
class _Download:
    host: _Host
    started: float = field(default_factory=time.monotonic)
    finished: threading.Event = field(default_factory=threading.Event)
    received: int = 0
    total: int | None = None


_lock = threading.Lock()
hosts: dict[str, _Host] = {}
downloads: dict[Path, _Download] = {}


def fetch(url: str, path: Path) -> Path:
    """Return `path`; if it does not exist, download it from `url` first, waiting at most `PATIENCE` seconds.

    The checksum of an existing file is not checked. A download that takes longer continues in the background, and a
    later call finds the file.

    Args:
        url: http(s) address whose file name ends in the start of its SHA-256, as torchvision's do.
        path: where the file belongs.

    Raises:
        WeightsUnavailable: if the file is not there in time, with the reason.
    """
    if path.is_file():
        return path
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        raise WeightsUnavailable("downloads are switched off (HF_HUB_OFFLINE)")
    download = _start(url, path)
    with _lock:
        since = download.host.silent_since or download.started
    download.finished.wait(max(0.0, since + PATIENCE - time.monotonic()))
    if path.is_file():
        return path
    if download.finished.is_set():
        raise WeightsUnavailable(f"the download failed ({download.host.reason})")
    if download.received:
        of_total = f" of {download.total / 1e6:.0f}" if download.total else ""
        raise WeightsUnavailable(f"the download is under way ({download.received / 1e6:.0f}{of_total} MB so far)")
    raise WeightsUnavailable("the network has not answered yet, and is still being asked in the background")


def _start(url: str, path: Path) -> _Download:
    """Return the running download of `path`, or start one; raise if its host failed lately or `url` has no checksum."""
    address = urlparse(url)
    checksum = _CHECKSUM.search(address.path)
    if checksum is None:
        raise WeightsUnavailable("its address carries no checksum")
    with _lock:
        running = downloads.get(path)
        if running is not None and not running.finished.is_set():
            return running
        host = hosts.setdefault(address.netloc, _Host())
        now = time.monotonic()
        if host.failed_at is not None and now - host.failed_at < RETRY_AFTER:
            minutes = max(1, round((host.failed_at + RETRY_AFTER - now) / 60))
            raise WeightsUnavailable(f"the download failed ({host.reason}); it is tried again in {minutes} min")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            sweep(path)
            handle, partial = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
        except OSError as error:
            raise WeightsUnavailable(f"the folder for weights cannot be written ({error.strerror})") from error
        download = downloads[path] = _Download(host)
        host.silent_since = host.silent_since or download.started
        threading.Thread(
            target=_run, args=(download, url, handle, Path(partial), path, checksum[1]), daemon=True, name="weights"
        ).start()
        return download


def _run(download: _Download, url: str, handle: int, partial: Path, path: Path, checksum: str) -> None:
    try:
        with os.fdopen(handle, "wb") as file:
            digest = receive(download, url, file)
        if not digest.startswith(checksum):
            raise OSError("what came is not the file: its checksum differs")
        partial.chmod(0o644)
        os.replace(partial, path)
        with _lock:
            download.host.failed_at = None
    except Exception as error:
        reason = getattr(error, "reason", None) or error  # urllib wraps the cause into `reason`
        with _lock:
            download.host.failed_at = time.monotonic()
            download.host.reason = getattr(reason, "strerror", None) or str(reason) or type(error).__name__
    finally:
        partial.unlink(missing_ok=True)
        download.finished.set()


def receive(download: _Download, url: str, file: BinaryIO) -> str:
    """Copy the answer of `url` into `file`; return the SHA-256 of it."""
    digest = hashlib.sha256()
    with urlopen(Request(url, headers={"User-Agent": "avd-explorer"}), timeout=SOCKET_TIMEOUT) as response:
        with _lock:
            download.host.silent_since = None
        length = response.headers.get("Content-Length", "")
        download.total = int(length) if length.isdigit() else None
        while block := response.read1(2**18):  # read1 returns what is there, so that the deadline is checked often
            file.write(block)
            digest.update(block)
            download.received += len(block)
            if time.monotonic() - download.started > DEADLINE:
                raise TimeoutError(f"not finished after {DEADLINE / 60:.0f} min")
    return digest.hexdigest()


def sweep(path: Path) -> None:
    """Delete temporary files of this file's downloads that are older than `DEADLINE`: their process has ended."""
    names = re.compile(re.escape(f".{path.name}.") + r"[a-z0-9_]{8}\.partial")  # as `tempfile` draws them
    remove_files(path.parent, names, older_than=DEADLINE)
