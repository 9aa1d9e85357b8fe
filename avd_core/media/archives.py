"""Clips out of a stranger's zip file, which may be built to fill the disk or to write where it should not.

No name in an archive is ever used as a path: each file gets a numbered folder of its own, and there a name that is
reduced to what is safe. What an archive claims is checked before anything is unpacked, and the number of bytes that
are written is counted, whatever it claims. One bad member is left out and named; an archive that is hostile or too
large as a whole is refused.
"""

from __future__ import annotations

import io
import re
import shutil
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avd_core.media.container import shown_name

CLIP_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".gif"})
_ENTRY_BYTES = 1024  # of the table of contents that one entry may take; a usual one takes 60 to 200
_JUNK = frozenset({"__macosx", "thumbs.db", "desktop.ini", "$recycle.bin"})
_UNIX = 3  # made there, an entry carries the type of its file
_ENCRYPTED, _UTF8 = 0x1, 0x800
# The others that Python knows cost more memory to unpack than anybody needs for video.
_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError, ValueError,
           KeyError, IndexError, OverflowError)  # fmt: skip


class ArchiveError(ValueError):
    """An archive that is not unpacked, told in one sentence that a person can act on."""


@dataclass(frozen=True)
class ArchiveLimits:
    """What an archive may hold.

    Attributes:
        suffixes: of the files that are wanted, lower case; all else is left in the archive.
        max_entries: of every kind, unwanted ones and folders too.
        max_files: that are wanted.
        max_file_bytes: of one of them, unpacked.
        max_bytes: of all of them together, unpacked.
        max_ratio: unpacked size over packed size of one file; video hardly packs at all.
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
        path: where it lies now.
        title: its name in the archive, without folders, for people.
        label: the folder it lay in, which names its class; empty at the top.
    """

    path: Path
    title: str
    label: str


@dataclass(frozen=True)
class Skipped:
    """A file that was wanted and is not there, with the reason as the end of a sentence about it."""

    title: str
    reason: str


@dataclass(frozen=True)
class Unpacked:
    """What came out of an archive, in its order."""

    members: tuple[Member, ...]
    skipped: tuple[Skipped, ...]


DEFAULT_LIMITS = ArchiveLimits()


def unpack_clips(archive: str | Path, folder: str | Path, limits: ArchiveLimits = DEFAULT_LIMITS) -> Unpacked:
    """Unpacks the wanted files of a zip into `folder`, each into a numbered folder of its own.

    Links, encrypted and damaged files, too large ones and such as would land outside of the archive are skipped and
    named. What operating systems leave behind (hidden files, `__MACOSX`) and files of other kinds are passed over.

    Args:
        archive: the zip file.
        folder: an existing folder, free for this.
        limits: what is wanted, and how much of it.

    Raises:
        ArchiveError: no zip, beyond the limits as a whole, or without a single wanted file; nothing was unpacked then.
            Or the disk is full.
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
    except _DAMAGE as error:
        raise ArchiveError(f"{name} is no zip file that can be read; zip the clips anew.") from error
    except OSError as error:
        raise ArchiveError(f"{name} cannot be unpacked: {error.strerror or error}.") from error


class _Bounded(io.BufferedReader):
    """A file of which no single read gives more than so many bytes.

    `ZipFile` reads the table of contents at once, and turns 46 bytes of it into an object of 500.
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
    wanted = list(_wanted(entries, limits))
    if not wanted:
        kinds = ", ".join(sorted(suffix[1:].upper() for suffix in limits.suffixes))
        raise ArchiveError(f"{name} holds none of {kinds}; zip a folder with such files.")
    if len(wanted) > limits.max_files:
        raise ArchiveError(f"{name} holds {len(wanted)} files to read; split it into parts of {limits.max_files}.")

    reasons = {number: reason for number, (entry, path) in enumerate(wanted) if (reason := _flaw(entry, path, limits))}
    total = sum(entry.file_size for number, (entry, _) in enumerate(wanted) if number not in reasons)
    if total > limits.max_bytes:
        raise ArchiveError(
            f"{name} unpacks to {_size(total)}; at most {_size(limits.max_bytes)} are taken at once: split it."
        )
    members: list[Member] = []
    skipped: list[Skipped] = []
    for number, (entry, path) in enumerate(wanted):
        title = shown_name(path[-1])
        reason = reasons.get(number)
        if reason is None:
            place = folder / f"{number:04d}" / _safe(path[-1])
            place.parent.mkdir()
            try:
                with archive.open(entry) as source, place.open("xb") as target:
                    shutil.copyfileobj(source, target)  # zipfile stops at the size that was checked above
                members.append(Member(place, title, shown_name(path[-2]) if len(path) > 1 else ""))
                continue
            except _DAMAGE:
                shutil.rmtree(place.parent)
                reason = "is damaged inside the archive"
        skipped.append(Skipped(title, reason))
    return Unpacked(tuple(members), tuple(skipped))


def _wanted(entries: list[zipfile.ZipInfo], limits: ArchiveLimits) -> Iterator[tuple[zipfile.ZipInfo, list[str]]]:
    """The entries that are asked for, with their names' parts."""
    for entry in entries:
        # Some programs on Windows write its own separator.
        path = [part for part in _name(entry).replace("\\", "/").split("/") if part not in ("", ".")]
        if entry.is_dir() or not path or any(_is_junk(part) for part in path):
            continue
        if Path(path[-1]).suffix.lower() in limits.suffixes:
            yield entry, path


def _name(entry: zipfile.ZipInfo) -> str:
    """An entry's name; without a mark of UTF-8 the format means a character set of 1981, and many mean UTF-8."""
    name = entry.filename
    if not entry.flag_bits & _UTF8:
        with suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return unicodedata.normalize("NFC", name)


def _is_junk(part: str) -> bool:
    return part.casefold() in _JUNK or (part.startswith(".") and part != "..")


def _flaw(entry: zipfile.ZipInfo, path: list[str], limits: ArchiveLimits) -> str | None:
    """Why an entry is not unpacked, or None."""
    kind = stat.S_IFMT(entry.external_attr >> 16) if entry.create_system == _UNIX else 0
    name = _name(entry).replace("\\", "/")
    if ".." in path or name.startswith("/") or re.match(r"[A-Za-z]:", name):
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
    """A file name that any system takes, as near to the given one as may be."""
    path = Path("".join(c if c.isalnum() or c in " ._-+()" else "_" for c in name).strip(" ."))
    stem, suffix = path.stem.encode()[:100].decode("utf-8", "ignore"), path.suffix
    return f"{stem or 'clip'}{suffix}"


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GB" if count >= 2**30 else f"{count / 2**20:.0f} MB"
