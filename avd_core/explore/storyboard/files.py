"""Write a storyboard to files: PNGs with metadata, a table, films, a contact sheet, and a zip.

The zip holds `storyboard.json` and `images/NNN.png`, from which `reader` restores the film.

Axes: T frames, H, W; the last axis is RGB. Sizes in bytes, times in seconds.
"""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from avd_core.atomic_io import write_json
from avd_core.explore.parts import keeping
from avd_core.explore.storyboard.panels import Panel, StoryboardMaker, TableEntry
from avd_core.explore.storyboard.reader import FORMAT, IMAGE_NAME, TABLE, Playback
from avd_core.explore.storyboard.windows import MAX_WINDOWS, SourceVideo
from avd_core.media.distilled_png import save_distilled, save_image
from avd_core.media.writer import write_mp4_in_parts
from avd_core.removal import is_report, remove_files

SHEET, ZIP = "strip.png", "storyboard.zip"
RESTORED, ORIGINAL = "restored.mp4", "original.mp4"
_COLUMNS, _TILE = 8, 160  # of the contact sheet; pixels


@dataclass(frozen=True)
class Board:
    """A storyboard, as far as it is ready.

    Attributes:
        source: the video.
        checkpoint, fingerprint: of the model that made the images.
        through_jpeg: its `ModelConfig.trained_through_jpeg`; None if that model is not here.
        frames, size: T, and (H, W) of the images.
        entries: the windows so far.
        notes: sentences for the user.
        complete: whether all windows are ready and all files written.
        original_bytes: size of the same frames as an ordinary film, `original.mp4`; 0 if unknown.
    """

    source: SourceVideo
    checkpoint: str
    fingerprint: str
    frames: int
    size: tuple[int, int]
    entries: tuple[TableEntry, ...]
    notes: tuple[str, ...] = ()
    complete: bool = False
    original_bytes: int = 0
    through_jpeg: bool | None = None

    @property
    def end(self) -> float:
        """End of the last window, in seconds."""
        return self.entries[-1].end

    @property
    def share(self) -> float:
        """Share of the work that is done, 0 to 1."""
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
        """Bytes to compare the images' with: those of the file, or of a part of it those of its pictures."""
        return self.source.bytes if self.whole else self.source.picture_bytes

    @property
    def fps(self) -> float:
        """Mean frames per second of the restored film."""
        return self.frames * len(self.entries) / sum(entry.seconds for entry in self.entries)

    @property
    def psnr(self) -> float | None:
        """PSNR of the restored frames, mean over the windows, in dB."""
        return _mean([entry.psnr for entry in self.entries])

    @property
    def psnr_mean_copy(self) -> float | None:
        """PSNR of the mean frames repeated, mean over the windows, in dB."""
        return _mean([entry.psnr_mean_copy for entry in self.entries])

    @property
    def worst(self) -> TableEntry | None:
        """The window with the lowest PSNR."""
        known = [(entry.psnr, place) for place, entry in enumerate(self.entries) if entry.psnr is not None]
        return self.entries[min(known)[1]] if known else None

    @property
    def kept(self) -> str:
        """What the images survive, to stand behind the checkpoint's name; "" if that is not known."""
        return "" if self.through_jpeg is None else f": {keeping(self.through_jpeg)}"

    def summary(self) -> list[str]:
        """Return sizes and PSNR as lines of text: first of the whole, then a row for each window."""
        source, (height, width) = self.source, self.size
        film = f"; those frames as an ordinary H.264 film: {self.original_bytes:,} bytes" if self.original_bytes else ""
        lost = "  loss    not known: the strip does not say"
        if self.psnr is not None and self.worst is not None:
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
            f"{self.frames} frames of {width} x {height}, by {self.checkpoint}{self.kept}",
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
        """Compare the images' bytes with the video's, in words: "7.2 times smaller"."""
        images, video = self.image_bytes, self.video_bytes
        if images <= video:
            return f"{video / images:.1f} times smaller"
        return f"{images / video:.1f} times larger: nothing is saved"

    def table(self) -> dict[str, Any]:
        """Return the content of `storyboard.json`."""
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
    """Write a strip's files into `folder` panel by panel; yield the board after each, and at last the complete one.

    The films are written at the end. If the caller stops before, the images made so far are kept.
    """
    (folder / "images").mkdir()
    board: Board | None = None
    written: dict[str, Callable[[np.ndarray, float, float], None]] = {}
    with ExitStack() as films:
        for panel in panels:
            if board is None:
                count, height, width, _ = panel.restored.shape
                for name in (RESTORED, *((ORIGINAL,) if panel.frames is not None else ())):
                    written[name] = films.enter_context(write_mp4_in_parts(folder / name, height, width))
                made_by = (panels.source, panels.checkpoint, panels.fingerprint)
                board = Board(*made_by, count, (height, width), (), through_jpeg=panel.through_jpeg)
            for name, frames in ((RESTORED, panel.restored), (ORIGINAL, panel.frames)):
                if name in written and frames is not None:
                    written[name](frames, panel.start, panel.seconds)
            board = replace(board, entries=(*board.entries, _save_image(panel, folder)), notes=panels.notes)
            yield board
    assert board is not None, "every strip has a panel"
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
            # Without dates, so that equal strips give equal files.
            archive.writestr(zipfile.ZipInfo(name), (folder / name).read_bytes())
    yield replace(board, complete=True)


def drop_stale(folder: Path) -> None:
    """Delete the files of an earlier strip in the folder: beside the new ones they would seem to belong to it."""
    if is_report(folder / TABLE, "format", "fingerprint"):
        remove_files(folder, re.compile(re.escape(ORIGINAL)))
        remove_files(folder / "images", re.compile(IMAGE_NAME.pattern.removeprefix("images/")))


def _save_image(panel: Panel, folder: Path) -> TableEntry:
    name = f"images/{panel.number:03d}.png"
    path = save_distilled(folder / name, panel.image, panel.info)
    figures = (panel.psnr, panel.psnr_mean_copy)
    return TableEntry(name, panel.start, panel.seconds, panel.cut, path.stat().st_size, *figures)


def clock(seconds: float) -> str:
    """Format a time in a video: 0:07.5, 9:59.0."""
    minutes, rest = divmod(round(seconds, 1), 60)
    return f"{minutes:.0f}:{rest:04.1f}"


def _write_sheet(board: Board, folder: Path) -> None:
    """Write a contact sheet of all images, with their times and PSNR."""
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


def _figure(value: float | None) -> str:
    return "    -" if value is None else f"{value:5.2f}"


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
