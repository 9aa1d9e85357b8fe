"""Unpack clips from an untrusted zip file, which may be made to fill the disk or to write outside its folder.

No name in an archive is used as a path: each file gets a numbered folder of its own, and a name with safe characters
only. The sizes that an archive states are checked before anything is unpacked, and the bytes written are counted. A bad
member is left out and reported; an archive that is hostile or too large as a whole is refused.
"""

from __future__ import annotations

import io
import re
import shutil
import stat
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avd_core.media.clip_names import CLIP_SUFFIXES, ClipFilter, Parts, classes_of
from avd_core.media.container import shown_name
from avd_core.media.zip_names import ZIP_DAMAGE, zip_names

_ENTRY_BYTES = 1024  # of the table of contents that one entry may take; a usual one takes 60 to 200
_UNIX = 3  # made there, an entry carries the type of its file
_ENCRYPTED = 0x1
# Other methods need much memory to unpack, and are not used for video.
_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class ArchiveError(ValueError):
    """An archive is not unpacked; the message says why, in one sentence that a user can act on."""


@dataclass(frozen=True)
class ArchiveLimits:
    """Limits of an archive.

    Attributes:
        suffixes: of the files to unpack, lower case; others stay in the archive.
        max_entries: of all kinds, folders included.
        max_files: to unpack.
        max_file_bytes: of one of them, unpacked.
        max_bytes: of all of them together, unpacked.
        max_ratio: unpacked over packed size of a file; video hardly compresses.
    """

    suffixes: frozenset[str] = CLIP_SUFFIXES
    max_entries: int = 5000
    max_files: int = 200
    max_file_bytes: int = 300 * 2**20
    max_bytes: int = 2**30
    max_ratio: float = 100.0


@dataclass(frozen=True)
class Member:
    """A file that was unpacked.

    Attributes:
        path: of the unpacked file.
        title: its name in the archive, without folders, for users.
        label: its class, by its folders in the archive (`clip_names`); empty if they name none.
    """

    path: Path
    title: str
    label: str


@dataclass(frozen=True)
class Skipped:
    """A file that was not unpacked, with the reason as the end of a sentence about it."""

    title: str
    reason: str


@dataclass(frozen=True)
class Unpacked:
    """The content of an archive, in its order; `passed_over` is a sentence about the other files, or empty."""

    members: tuple[Member, ...]
    skipped: tuple[Skipped, ...]
    passed_over: str = ""


DEFAULT_LIMITS = ArchiveLimits()


def unpack_clips(archive: str | Path, folder: str | Path, limits: ArchiveLimits = DEFAULT_LIMITS) -> Unpacked:
    """Unpack the clips of a zip into `folder`, each into a numbered folder of its own.

    Links, encrypted, damaged and too large files, and names that lead outside of the archive are skipped and reported.
    Other kinds of files and files that systems create are passed over and counted (`clip_names`).

    Args:
        archive: the zip file.
        folder: an existing empty folder.
        limits: which files to unpack, and how much.

    Raises:
        ArchiveError: it is no zip, exceeds the limits as a whole, or holds no clip, and nothing was unpacked; or the
            disk is full.
    """
    archive, folder = Path(archive), Path(folder)
    name = shown_name(archive)
    try:
        with (
            archive.open("rb", buffering=0) as raw,
            _Bounded(raw, limits.max_entries * _ENTRY_BYTES) as file,
            zipfile.ZipFile(file) as opened,
        ):
            return _unpack(opened, folder, limits, name)
    except ArchiveError:
        raise
    except ZIP_DAMAGE as error:
        raise ArchiveError(f"{name} is no zip file that can be read; zip the clips anew.") from error
    except OSError as error:
        raise ArchiveError(f"{name} cannot be unpacked: {error.strerror or error}.") from error


class _Bounded(io.BufferedReader):
    """A file whose single reads are limited to some bytes.

    `ZipFile` reads the table of contents at once, and makes an object of 500 bytes of 46 bytes of it.
    """

    def __init__(self, raw: Any, most: int) -> None:
        super().__init__(raw)
        self._most = max(most, 2**17)  # the end of the file, which holds an archive's comment, is read whole too

    def read(self, size: int | None = -1) -> bytes:
        if size is None or size < 0:
            size = self._most
        if size > self._most:
            raise ArchiveError("The archive’s table of contents is too long; zip fewer files.")
        return super().read(size)


def _unpack(archive: zipfile.ZipFile, folder: Path, limits: ArchiveLimits, name: str) -> Unpacked:
    entries = archive.infolist()
    if len(entries) > limits.max_entries:
        raise ArchiveError(f"{name} holds {len(entries)} files; at most {limits.max_entries} are looked through.")
    names, sure = zip_names(entries)
    taken = ClipFilter(limits.suffixes)
    wanted: list[tuple[zipfile.ZipInfo, str, Parts]] = []
    for entry, full in zip(entries, names, strict=True):
        path = tuple(part for part in full.split("/") if part not in ("", "."))
        if path and not full.endswith("/") and taken.takes(path):
            wanted.append((entry, full, path))
    passed_over = taken.sentence(name)
    if not sure:
        passed_over += " Names in it are written in a character set that is not known here, so they may look garbled."
    if not wanted:
        kinds = ", ".join(sorted(suffix[1:].upper() for suffix in limits.suffixes))
        raise ArchiveError(f"{name} holds none of {kinds}; zip a folder with such files. {passed_over}".strip())
    if len(wanted) > limits.max_files:
        raise ArchiveError(f"{name} holds {len(wanted)} files to read; split it into parts of {limits.max_files}.")

    reasons = {i: reason for i, (entry, full, _) in enumerate(wanted) if (reason := _flaw(entry, full, limits))}
    total = sum(entry.file_size for i, (entry, _, _) in enumerate(wanted) if i not in reasons)
    if total > limits.max_bytes:
        raise ArchiveError(
            f"{name} unpacks to {_size(total)}; at most {_size(limits.max_bytes)} are taken at once: split it."
        )
    members: list[Member] = []
    skipped: list[Skipped] = []
    sound = [number for number in range(len(wanted)) if number not in reasons]
    labels = dict(zip(sound, classes_of([wanted[number][2] for number in sound]), strict=True))
    for number, (entry, _, path) in enumerate(wanted):
        title = shown_name(path[-1])
        reason = reasons.get(number)
        if reason is None:
            place = folder / f"{number:04d}" / _safe(path[-1])
            place.parent.mkdir()
            try:
                with archive.open(entry) as source, place.open("xb") as target:
                    shutil.copyfileobj(source, target)  # zipfile stops at the size that was checked above
                label = labels[number]
                members.append(Member(place, title, shown_name(label) if label else ""))
                continue
            except ZIP_DAMAGE:
                shutil.rmtree(place.parent)
                reason = "is damaged inside the archive"
        skipped.append(Skipped(title, reason))
    return Unpacked(tuple(members), tuple(skipped), passed_over.strip())


def _flaw(entry: zipfile.ZipInfo, name: str, limits: ArchiveLimits) -> str | None:
    """Return why an entry is not unpacked, or None."""
    kind = stat.S_IFMT(entry.external_attr >> 16) if entry.create_system == _UNIX else 0
    if ".." in name.split("/") or name.startswith("/") or re.match(r"[A-Za-z]:", name):
        return "points outside of the archive"
    if kind not in (0, stat.S_IFREG):
        return "is a link or a device, not a file"
    if entry.flag_bits & _ENCRYPTED:
        return "is locked with a password"
    if entry.compress_type not in _PACKINGS:
        return "is packed in a way that is not read here"
    if entry.file_size == 0:
        return "is empty"
    if entry.file_size > limits.max_file_bytes:
        return f"unpacks to {_size(entry.file_size)}; at most {_size(limits.max_file_bytes)} are read"
    if entry.file_size > limits.max_ratio * max(entry.compress_size, 1):
        return f"unpacks to over {limits.max_ratio:g} times its size, as no video does"
    return None


def _safe(name: str) -> str:
    """Return a similar file name that is valid on any system."""
    path = Path("".join(c if c.isalnum() or c in " ._-+()" else "_" for c in name).strip(" ."))
    stem, suffix = path.stem.encode()[:100].decode("utf-8", "ignore"), path.suffix
    return f"{stem or 'clip'}{suffix}"


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GB" if count >= 2**30 else f"{count / 2**20:.0f} MB"
