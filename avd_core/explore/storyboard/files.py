"""A storyboard as files: PNGs that say how to play them, a table, films, a contact sheet, and a zip that plays.

The zip holds `storyboard.json` and `images/NNN.png` and plays by itself. One that comes back is read as if a stranger
wrote it: nothing in it is ever a path, an address or a checkpoint to fetch; entries are read in memory, each bounded;
what is not exactly as it was written here is refused with a sentence.

Axes: T frames, H, W; the last axis is RGB. Sizes in bytes, times in seconds.
"""

from __future__ import annotations

import io
import json
import math
import re
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from avd_core.analysis.metrics import PSNR_CAP
from avd_core.atomic_io import write_json
from avd_core.config import MAX_SIZE
from avd_core.explore.storyboard.panels import MAX_WINDOWS, Panel, Playback, Source, StoryboardError, StoryboardMaker
from avd_core.media.container import DEFAULT_LIMITS
from avd_core.media.distilled_png import DistilledInfo, ImageError, decode_distilled, save_distilled, save_image
from avd_core.media.writer import write_mp4_in_parts

TABLE, SHEET, ZIP = "storyboard.json", "strip.png", "storyboard.zip"
RESTORED, ORIGINAL = "restored.mp4", "original.mp4"
FORMAT = "avd-storyboard-1"
MAX_ZIP, MAX_PNG, MAX_TABLE = 64 * 2**20, 2 * 2**20, 2**18
_MAX_DIRECTORY = 2**16  # of the zip's list of entries; ours takes a sixth of it
_IMAGE = re.compile(r"images/\d{3}\.png")
_COLUMNS, _TILE = 8, 160  # of the contact sheet; pixels


@dataclass(frozen=True)
class Entry:
    """One window as the table has it: `file` is its PNG, `bytes` the PNG's size, the rest as in `Panel`."""

    file: str
    start: float
    seconds: float
    cut: bool
    bytes: int
    psnr: float | None
    psnr_mean_copy: float | None


@dataclass(frozen=True)
class Board:
    """A storyboard, or the part of it that is ready.

    Attributes:
        source: the video.
        checkpoint, fingerprint: what made the images.
        frames, size: T, and (H, W) of the images.
        entries: the windows so far.
        notes: sentences for the person.
        complete: whether this is all, and every file is there.
        original_bytes: of the same frames as an ordinary film, `original.mp4`; 0 where they are not known.
    """

    source: Source
    checkpoint: str
    fingerprint: str
    frames: int
    size: tuple[int, int]
    entries: tuple[Entry, ...]
    notes: tuple[str, ...] = ()
    complete: bool = False
    original_bytes: int = 0

    @property
    def end(self) -> float:
        """Up to where windows are ready."""
        return self.entries[-1].start + self.entries[-1].seconds

    @property
    def share(self) -> float:
        """How much of the work is done, 0 to 1."""
        return min(1.0, max(self.end / self.source.covered, len(self.entries) / MAX_WINDOWS))

    @property
    def image_bytes(self) -> int:
        return sum(entry.bytes for entry in self.entries)

    @property
    def whole(self) -> bool:
        """Whether the strip covers all of the video."""
        return self.source.covered >= self.source.seconds - 1e-3

    @property
    def video_bytes(self) -> int:
        """What the images are to be compared with: the file, or of a part the pictures only."""
        return self.source.bytes if self.whole else self.source.picture_bytes

    @property
    def fps(self) -> float:
        """Mean frames per second that the strip gives back."""
        return self.frames * len(self.entries) / sum(entry.seconds for entry in self.entries)

    @property
    def psnr(self) -> float | None:
        """Mean over the windows, in dB."""
        return _mean([entry.psnr for entry in self.entries])

    @property
    def psnr_mean_copy(self) -> float | None:
        """The same for the mean frames, repeated."""
        return _mean([entry.psnr_mean_copy for entry in self.entries])

    @property
    def worst(self) -> Entry | None:
        """The window that came back least well."""
        known = [entry for entry in self.entries if entry.psnr is not None]
        return min(known, key=lambda entry: entry.psnr) if known else None

    def summary(self) -> list[str]:
        """What it cost and lost, as lines of text: first the whole, then a row for each window."""
        source, (height, width) = self.source, self.size
        film = f"; those frames as an ordinary H.264 film: {self.original_bytes:,} bytes" if self.original_bytes else ""
        lost = "  loss    not known: the strip does not say"
        if self.psnr is not None:
            lost = (
                f"  loss    restored at {self.psnr:.2f} dB (mean of the windows; mean frames as stills "
                f"{self.psnr_mean_copy or 0:.2f}); least {self.worst.psnr:.2f} at {clock(self.worst.start)}"
            )
        rows = [
            f"  {entry.file[-7:-4]}  {clock(entry.start):>8}  {entry.seconds:5.2f} s  {entry.bytes:9,}  "
            f"{_figure(entry.psnr)}  {_figure(entry.psnr_mean_copy)}  {'cut' if entry.cut else ''}".rstrip()
            for entry in self.entries
        ]
        return [
            f"  strip   {len(self.entries)} images for 0 to {self.end:.2f} s of {source.seconds:.2f} s, each "
            f"{self.frames} frames of {width} x {height}, by {self.checkpoint}",
            f"  cost    images {self.image_bytes:,} bytes, {self._video()} {self.video_bytes:,} bytes: the images are "
            + self.comparison(),
            f"          the video is {source.width} x {source.height} at {source.fps:.1f} frames a second, the strip "
            f"{self.fps:.1f}{film}",
            lost,
            *(f"  note    {note}" for note in self.notes),
            "  image   start    length      bytes  psnr   mean frame",
            *rows,
        ]

    def _video(self) -> str:
        return "the video file" if self.whole else "the pictures of that part in the video file"

    def comparison(self) -> str:
        """How the images' bytes are to the video's, in words: "7.2 times smaller"."""
        images, video = self.image_bytes, self.video_bytes
        if images <= video:
            return f"{video / images:.1f} times smaller"
        return f"{images / video:.1f} times larger: nothing is saved"

    def table(self) -> dict[str, Any]:
        """`storyboard.json`."""
        return {
            "format": FORMAT,
            "video": asdict(self.source),
            "checkpoint": self.checkpoint,
            "fingerprint": self.fingerprint,
            "frames": self.frames,
            "size": self.size,
            "image_bytes": self.image_bytes,
            "psnr": self.psnr,
            "psnr_mean_copy": self.psnr_mean_copy,
            "windows": [asdict(entry) | {"fps": self.frames / entry.seconds} for entry in self.entries],
            "notes": self.notes,
        }


def save(panels: StoryboardMaker | Playback, folder: Path) -> Iterator[Board]:
    """Writes a strip's files into `folder` as its panels come; yields the board after each, and the complete one.

    The films are there at the end. Whoever stops before leaves the images made so far.
    """
    (folder / "images").mkdir()
    board, written = None, None
    with ExitStack() as films:
        for panel in panels:
            if board is None:
                (count, height, width, _), written = panel.restored.shape, {}
                for name in (RESTORED, *((ORIGINAL,) if panel.frames is not None else ())):
                    written[name] = films.enter_context(write_mp4_in_parts(folder / name, height, width))
                board = Board(panels.source, panels.checkpoint, panels.fingerprint, count, (height, width), ())
            for name, frames in ((RESTORED, panel.restored), (ORIGINAL, panel.frames)):
                if name in written:
                    written[name](frames, panel.start, panel.seconds)
            board = replace(board, entries=(*board.entries, _save_image(panel, folder)), notes=panels.notes)
            yield board
    original = folder / ORIGINAL
    board = replace(
        board,
        source=panels.source,
        notes=panels.notes,
        original_bytes=original.stat().st_size if original.exists() else 0,
    )
    write_json(folder / TABLE, board.table())
    _write_sheet(board, folder)
    with zipfile.ZipFile(folder / ZIP, "w") as archive:
        for name in (TABLE, *(entry.file for entry in board.entries)):
            # No date, so that the same strip is the same file.
            archive.writestr(zipfile.ZipInfo(name), (folder / name).read_bytes())
    yield replace(board, complete=True)


def drop_stale(folder: Path) -> None:
    """Removes what an earlier strip left and this one may not replace: it would be taken for this one's."""
    (folder / ORIGINAL).unlink(missing_ok=True)
    for path in (folder / "images").glob("*.png"):
        if _IMAGE.fullmatch(f"images/{path.name}"):
            path.unlink()


def _save_image(panel: Panel, folder: Path) -> Entry:
    name = f"images/{panel.number:03d}.png"
    path = save_distilled(folder / name, panel.image, panel.info)
    figures = (panel.psnr, panel.psnr_mean_copy)
    return Entry(name, panel.start, panel.seconds, panel.cut, path.stat().st_size, *figures)


def clock(seconds: float) -> str:
    """A time in a video as players say it: 0:07.5, 9:59.0."""
    minutes, rest = divmod(round(seconds, 1), 60)
    return f"{minutes:.0f}:{rest:04.1f}"


def _write_sheet(board: Board, folder: Path) -> None:
    """All images on one page, with their times and PSNR."""
    height, width = board.size
    scale = _TILE / max(board.size)
    wide, high, line, gap = round(width * scale), round(height * scale), 16, 8
    columns = min(_COLUMNS, len(board.entries))
    rows = math.ceil(len(board.entries) / columns)
    size = (gap + columns * (wide + gap), gap + rows * (high + line + gap))
    sheet, font = Image.new("RGB", size, "white"), ImageFont.load_default(11)
    pen = ImageDraw.Draw(sheet)
    for number, entry in enumerate(board.entries):
        left, top = gap + number % columns * (wide + gap), gap + number // columns * (high + line + gap)
        with Image.open(folder / entry.file) as image:
            sheet.paste(image.resize((wide, high), Image.Resampling.LANCZOS), (left, top))
        figure = "" if entry.psnr is None else f"{entry.psnr:.1f} dB"
        pen.text((left, top + high + 1), clock(entry.start), "black", font)
        pen.text((left + wide, top + high + 1), figure, "#b4531f", font, anchor="ra")
    save_image(folder / SHEET, np.asarray(sheet))


# A zip that comes back -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Strip:
    """What a zip says, checked; `contents` are the bytes of its PNGs."""

    source: Source
    checkpoint: str
    fingerprint: str
    size: tuple[int, int]
    entries: tuple[Entry, ...]
    contents: tuple[bytes, ...]
    notes: tuple[str, ...] = ()

    def images(self) -> Iterator[tuple[Entry, np.ndarray, DistilledInfo]]:
        """Each window with its image (H, W, 3) and what that says of itself; one after the other in memory."""
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
    """What is not as it was written."""


def is_zip(path: str | Path) -> bool:
    """Whether a file begins as a zip does, whatever it is called."""
    with open(path, "rb") as file:
        return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")


def read_strip(path: str | Path) -> Strip:
    """Reads a storyboard's zip, wholly or not at all.

    Raises:
        StoryboardError: it is none, or not as it was written; with a sentence saying why.
    """
    path = Path(path)
    try:
        strip = _read(path)
        for _ in strip.images():  # refused now rather than in the middle of the film
            pass
        return strip
    except (InvalidStoryboard, ImageError) as error:
        why = str(error).rstrip(".")
    except zipfile.BadZipFile:
        why = "the file is damaged"
    except OSError as error:
        why = error.strerror or str(error)
    raise StoryboardError(f"{path.name[:80]} is no storyboard that can be played: {why}. Take the zip as it was saved.")


def _read(path: Path) -> Strip:
    if path.stat().st_size > MAX_ZIP:
        raise InvalidStoryboard(f"it is larger than {MAX_ZIP // 2**20} MiB")
    content = path.read_bytes()
    _check_directory(content)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        infos = archive.infolist()
        for info in infos:
            _check_entry(info)
        names = [info.filename for info in infos]
        if TABLE not in names:
            raise InvalidStoryboard(f"it holds no {TABLE}")
        if len(set(names)) < len(names):
            raise InvalidStoryboard("it holds two files of one name")
        table = _parse(_content(archive, TABLE, MAX_TABLE))
        strip = _strip(table)
        if {entry.file for entry in strip.entries} != set(names) - {TABLE}:
            raise InvalidStoryboard("its images are not those that its table lists")
        left, contents = MAX_ZIP, []  # a small zip may hold much, and many times
        for entry in strip.entries:
            contents.append(_content(archive, entry.file, min(left, MAX_PNG)))
            left -= len(contents[-1])
        return replace(strip, contents=tuple(contents))


def _check_directory(content: bytes) -> None:
    """The list of entries is read whole by `zipfile`: a small file may list millions."""
    tail = content[-22:]
    if len(tail) < 22 or tail[:4] != b"PK\x05\x06":  # and no comment behind it
        raise InvalidStoryboard("the file is damaged, or no zip of ours")
    if content[-42:-38] == b"PK\x06\x07" or int.from_bytes(tail[12:16], "little") > _MAX_DIRECTORY:
        raise InvalidStoryboard(f"it holds too many files; a strip has {MAX_WINDOWS} images at most")


def _check_entry(info: zipfile.ZipInfo) -> None:
    shown = "".join(letter if letter.isprintable() else "?" for letter in info.filename)[:60]
    if info.filename != TABLE and not _IMAGE.fullmatch(info.filename):
        raise InvalidStoryboard(f"it holds {shown!r}, which is no part of a strip")
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
        raise InvalidStoryboard(f"{shown} is a link or a device, and not a file")
    if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InvalidStoryboard(f"{shown} is encrypted or packed in a way that is not read here")


def _content(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    """An entry's bytes, whatever size it announces."""
    try:
        with archive.open(name) as file:
            content = file.read(most + 1)
    except (zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
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
    """The table's values, each of them believable and all of them together."""
    number, text, listed = (_field(kind) for kind in ((int, float), str, list))

    def within(holder: dict, key: str, low: float, high: float) -> float:
        value = number(holder, key)
        if isinstance(value, bool) or not low <= value <= high:  # NaN is within nothing
            raise InvalidStoryboard(f"{key!r} in its table is not believable")
        return value

    def figure(holder: dict, key: str) -> float | None:
        return None if holder.get(key, 0) is None else float(within(holder, key, 0, PSNR_CAP))

    video = _field(dict)(table, "video")
    name = "".join(letter if letter.isprintable() else "?" for letter in text(video, "name"))[:80]
    length = within(video, "seconds", 1e-3, DEFAULT_LIMITS.max_seconds)
    source = Source(
        name=name,
        width=int(within(video, "width", 1, 2**15)),
        height=int(within(video, "height", 1, 2**15)),
        fps=float(within(video, "fps", 1e-4, 1e6)),
        has_audio=_field(bool)(video, "has_audio"),
        bytes=int(within(video, "bytes", 1, 2**50)),
        picture_bytes=int(within(video, "picture_bytes", 1, 2**50)),
        seconds=float(length),
        covered=float(within(video, "covered", 1e-3, length)),
    )
    size = listed(table, "size")
    if len(size) != 2 or not all(type(side) is int and 8 <= side <= 2 * MAX_SIZE for side in size):
        raise InvalidStoryboard("'size' in its table is not believable")
    entries, end = [], 0.0
    windows = listed(table, "windows")
    if not 1 <= len(windows) <= MAX_WINDOWS or not all(isinstance(window, dict) for window in windows):
        raise InvalidStoryboard(f"its table lists no windows, or more than {MAX_WINDOWS}")
    for position, window in enumerate(windows, 1):
        start = float(within(window, "start", end - 1e-6, length))
        seconds = float(within(window, "seconds", 0.01, length - start + 1e-3))
        if text(window, "file") != f"images/{position:03d}.png":
            raise InvalidStoryboard("the windows in its table are not in order")
        entries.append(
            Entry(
                file=window["file"],
                start=start,
                seconds=seconds,
                cut=_field(bool)(window, "cut"),
                bytes=int(within(window, "bytes", 1, MAX_PNG)),
                psnr=figure(window, "psnr"),
                psnr_mean_copy=figure(window, "psnr_mean_copy"),
            )
        )
        end = start + seconds
    checkpoint, fingerprint = text(table, "checkpoint"), text(table, "fingerprint")
    if len(checkpoint) > 200 or not re.fullmatch(r"[0-9a-f]{8,64}", fingerprint):
        raise InvalidStoryboard("'checkpoint' or 'fingerprint' in its table is not believable")
    return Strip(source, checkpoint, fingerprint, (size[0], size[1]), tuple(entries), ())


def _field(kind: type | tuple[type, ...]) -> Callable[[dict, str], Any]:
    def read(holder: dict, key: str) -> Any:
        if not isinstance(holder.get(key), kind):
            raise InvalidStoryboard(f"{key!r} is missing in its table, or not what it should be")
        return holder[key]

    return read


def _figure(value: float | None) -> str:
    return "    -" if value is None else f"{value:5.2f}"


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
