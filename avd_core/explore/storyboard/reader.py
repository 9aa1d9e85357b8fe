"""Read an untrusted storyboard zip, and restore its film from the images alone.

Nothing in it is used as a path, an address or a checkpoint to download. Entries are read into memory, each with a
limit. Content that is not exactly as `files.save` writes it is refused with a sentence, except for folders and hidden
files that desktops add, and for files beside the table.

Axes: H, W; the last axis is RGB. Sizes in bytes, times in seconds.
"""

from __future__ import annotations

import io
import json
import re
import stat
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from avd_core.analysis.metrics import PSNR_CAP
from avd_core.config import MAX_SIZE
from avd_core.explore.parts import Restoration
from avd_core.explore.storyboard.panels import Panel, TableEntry
from avd_core.explore.storyboard.windows import MAX_WINDOWS, SourceVideo, StoryboardError
from avd_core.media.clip_names import ClipFilter, is_leftover
from avd_core.media.container import DEFAULT_LIMITS
from avd_core.media.distilled_png import DistilledInfo, ImageError, decode_distilled
from avd_core.media.zip_names import ZIP_DAMAGE

FORMAT, TABLE = "avd-storyboard-1", "storyboard.json"
IMAGE_NAME = re.compile(r"images/\d{3}\.png")
MAX_ZIP, MAX_PNG, MAX_TABLE = 64 * 2**20, 2 * 2**20, 2**18
_MAX_DIRECTORY = 2**16  # of the zip's list of entries; six times that of the largest strip


@dataclass(frozen=True)
class Strip:
    """The checked content of a zip; `contents` are the bytes of its PNGs."""

    source: SourceVideo
    checkpoint: str
    fingerprint: str
    size: tuple[int, int]
    entries: tuple[TableEntry, ...]
    contents: tuple[bytes, ...]
    notes: tuple[str, ...] = ()

    def images(self) -> Iterator[tuple[TableEntry, np.ndarray, DistilledInfo]]:
        """Yield each window with its image (H, W, 3) and the image's metadata; one image is in memory at a time."""
        for entry, content in zip(self.entries, self.contents, strict=True):
            image, info = decode_distilled(content, entry.file, self.size[0] * self.size[1])
            if info is None:
                raise InvalidStoryboard(f"{entry.file} does not say how to play it")
            if not info.size == self.size == image.shape[:2]:
                raise InvalidStoryboard(f"{entry.file} is not of the size that it should be")
            if info.fingerprint != self.fingerprint:
                raise InvalidStoryboard(f"{entry.file} was made by other weights than the table says")
            if abs(info.frames / info.fps - entry.seconds) > 0.01 * entry.seconds:
                raise InvalidStoryboard(f"{entry.file} is of another length than the table says")
            yield entry, image, info


class InvalidStoryboard(ValueError):
    """The zip is not as `files.save` writes it."""


def is_zip(path: str | Path) -> bool:
    """Return whether a file begins like a zip, whatever its name."""
    with open(path, "rb") as file:
        return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")


def read_strip(path: str | Path) -> Strip:
    """Read a storyboard's zip.

    Raises:
        StoryboardError: it is none, or not as `files.save` writes it.
    """
    path = Path(path)
    try:
        strip = _read(path)
        for _ in strip.images():  # check all images now, not in the middle of the film
            pass
        return strip
    except (InvalidStoryboard, ImageError) as error:
        why = str(error).rstrip(".")
    except OSError as error:
        why = error.strerror or str(error)
    raise StoryboardError(f"{path.name[:80]} is no storyboard that can be played: {why}. Take the zip as it was saved.")


def _read(path: Path) -> Strip:
    if path.stat().st_size > MAX_ZIP:
        raise InvalidStoryboard(f"it is larger than {MAX_ZIP // 2**20} MiB")
    content = path.read_bytes()
    _check_directory(content)
    try:
        opened = zipfile.ZipFile(io.BytesIO(content))
    except ZIP_DAMAGE as error:
        raise InvalidStoryboard("the file is damaged") from error
    with opened as archive:
        infos, passed_over = _own_entries(archive.infolist())
        for name, info in infos:
            _check_entry(name, info)
        names = [name for name, _ in infos]
        if TABLE not in names:
            raise InvalidStoryboard(f"it holds no {TABLE}")
        if len(set(names)) < len(names):
            raise InvalidStoryboard("it holds two files of one name")
        entries = dict(infos)
        table = _parse(_content(archive, entries[TABLE], MAX_TABLE))
        strip = _strip(table)
        if {entry.file for entry in strip.entries} != set(names) - {TABLE}:
            raise InvalidStoryboard("its images are not those that its table lists")
        left, contents = MAX_ZIP, []  # a small zip may expand to a huge one, or list an entry many times
        for entry in strip.entries:
            contents.append(_content(archive, entries[entry.file], min(left, MAX_PNG)))
            left -= len(contents[-1])
        return replace(strip, contents=tuple(contents), notes=passed_over)


def _check_directory(content: bytes) -> None:
    """Limit the list of entries, which `zipfile` reads at once: a small file may list millions."""
    tail = content[-22:]
    if len(tail) < 22 or tail[:4] != b"PK\x05\x06":  # and no comment behind it
        raise InvalidStoryboard("the file is damaged, or no zip of ours")
    if content[-42:-38] == b"PK\x06\x07" or int.from_bytes(tail[12:16], "little") > _MAX_DIRECTORY:
        raise InvalidStoryboard(f"it holds too many files; a strip has {MAX_WINDOWS} images at most")


def _own_entries(infos: list[zipfile.ZipInfo]) -> tuple[list[tuple[str, zipfile.ZipInfo]], tuple[str, ...]]:
    """Return a strip's files by their names, and a sentence about files that are passed over.

    Desktops that unpack and zip a strip again add folders, one of them around all files, hidden files, and other files
    beside the table.
    """
    named = [(info.filename.replace("\\", "/"), info) for info in infos]
    files = [(name, info) for name, info in named if not name.endswith("/")]
    passed_over = ClipFilter(frozenset())
    own = [(name, info) for name, info in files if not is_leftover(name.split("/"))]
    around = next((name.removesuffix(TABLE) for name, _ in own if name.endswith(f"/{TABLE}")), "")
    own = [(name.removeprefix(around), info) for name, info in own]
    beside = {name for name, _ in own if "/" not in name and name != TABLE}
    for name in [*beside, *(name for name, _ in files if is_leftover(name.split("/")))]:
        passed_over.takes(name.split("/"))
    notes = (passed_over.sentence("the zip"),) if len(own) - len(beside) < len(files) else ()
    return [(name, info) for name, info in own if name not in beside], notes


def _check_entry(name: str, info: zipfile.ZipInfo) -> None:
    shown = _printable(name, 60)
    if name != TABLE and not IMAGE_NAME.fullmatch(name):
        raise InvalidStoryboard(f"it holds {shown!r}, which is no part of a strip")
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
        raise InvalidStoryboard(f"{shown} is a link or a device, and not a file")
    if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InvalidStoryboard(f"{shown} is encrypted or packed in a way that is not read here")


def _content(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, most: int) -> bytes:
    """Read an entry's bytes, at most `most`, whatever size it states."""
    name = _printable(entry.filename, 60)
    try:
        with archive.open(entry) as file:
            content = file.read(most + 1)
    except ZIP_DAMAGE as error:
        raise InvalidStoryboard(f"{name} is damaged") from error
    if len(content) > most:
        raise InvalidStoryboard(f"{name} is larger than {most // 1024} KiB")
    return content


def _parse(content: bytes) -> dict[str, Any]:
    try:
        table = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InvalidStoryboard(f"{TABLE} is no JSON") from error
    if not isinstance(table, dict) or table.get("format") != FORMAT:
        raise InvalidStoryboard(f"{TABLE} is no table of a strip")
    return table


def _strip(table: dict[str, Any]) -> Strip:
    """Check the table's values, each and together, and return them."""
    source = _source(_field(table, "video", dict))
    size = _field(table, "size", list)
    if len(size) != 2 or not all(type(side) is int and 8 <= side <= 2 * MAX_SIZE for side in size):
        raise InvalidStoryboard("'size' in its table is not believable")
    windows = _field(table, "windows", list)
    if not 1 <= len(windows) <= MAX_WINDOWS or not all(isinstance(window, dict) for window in windows):
        raise InvalidStoryboard(f"its table lists no windows, or more than {MAX_WINDOWS}")
    entries: list[TableEntry] = []
    for window in windows:
        entries.append(_entry(window, len(entries) + 1, entries[-1].end if entries else 0.0, source.seconds))
    checkpoint, fingerprint = _field(table, "checkpoint", str), _field(table, "fingerprint", str)
    if len(checkpoint) > 200 or not re.fullmatch(r"[0-9a-f]{8,64}", fingerprint):
        raise InvalidStoryboard("'checkpoint' or 'fingerprint' in its table is not believable")
    return Strip(source, checkpoint, fingerprint, (size[0], size[1]), tuple(entries), ())


def _source(video: dict[str, Any]) -> SourceVideo:
    length = _number(video, "seconds", 1e-3, DEFAULT_LIMITS.max_seconds)
    return SourceVideo(
        name=_printable(_field(video, "name", str), 80),
        width=int(_number(video, "width", 1, 2**15)),
        height=int(_number(video, "height", 1, 2**15)),
        fps=_number(video, "fps", 1e-4, 1e6),
        has_audio=_field(video, "has_audio", bool),
        bytes=int(_number(video, "bytes", 1, 2**50)),
        picture_bytes=int(_number(video, "picture_bytes", 1, 2**50)),
        seconds=length,
        covered=_number(video, "covered", 1e-3, length),
    )


def _entry(window: dict[str, Any], position: int, earliest: float, length: float) -> TableEntry:
    """Check the window at a position, from 1, which must begin at `earliest`, the end of the last one, or later."""
    start = _number(window, "start", earliest - 1e-6, length)
    seconds = _number(window, "seconds", 0.01, length - start + 1e-3)
    if _field(window, "file", str) != f"images/{position:03d}.png":
        raise InvalidStoryboard("the windows in its table are not in order")
    return TableEntry(
        file=window["file"],
        start=start,
        seconds=seconds,
        cut=_field(window, "cut", bool),
        bytes=int(_number(window, "bytes", 1, MAX_PNG)),
        psnr=_psnr(window, "psnr"),
        psnr_mean_copy=_psnr(window, "psnr_mean_copy"),
    )


def _field(holder: dict[str, Any], key: str, kind: type | tuple[type, ...]) -> Any:
    if not isinstance(holder.get(key), kind):
        raise InvalidStoryboard(f"{key!r} is missing in its table, or not what it should be")
    return holder[key]


def _number(holder: dict[str, Any], key: str, low: float, high: float) -> float:
    value = _field(holder, key, (int, float))
    if isinstance(value, bool) or not low <= value <= high:  # False for NaN
        raise InvalidStoryboard(f"{key!r} in its table is not believable")
    return float(value)


def _psnr(holder: dict[str, Any], key: str) -> float | None:
    return None if holder.get(key, 0) is None else _number(holder, key, 0, PSNR_CAP)


def _printable(text: str, most: int) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:most]


class Playback:
    """Iterates over the panels of a strip that was read, restoring each from its image.

    Args:
        strip: the strip.
        restore: restores an image's clip, like `Explorer.restore_image`.
    """

    def __init__(self, strip: Strip, restore: Callable[[np.ndarray, DistilledInfo], Restoration]) -> None:
        self._strip, self._restore = strip, restore
        self._notes: dict[str, None] = {}
        self.source, self.checkpoint, self.fingerprint = strip.source, strip.checkpoint, strip.fingerprint

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the user: the strip's own, and those about guesses."""
        return (*self._strip.notes, *self._notes)

    def __iter__(self) -> Iterator[Panel]:
        self._notes = {}
        for number, (window, image, info) in enumerate(self._strip.images(), 1):
            restoration = self._restore(image, info)
            self._notes |= dict.fromkeys(restoration.notes)
            same = restoration.fingerprint == info.fingerprint  # else the figures are those of another decoder
            yield Panel(
                number=number,
                start=window.start,
                seconds=window.seconds,
                cut=window.cut,
                image=image,
                info=info,
                restored=restoration.frames,
                frames=None,
                psnr=window.psnr if same else None,
                psnr_mean_copy=window.psnr_mean_copy if same else None,
                through_jpeg=restoration.through_jpeg if same else None,
            )
