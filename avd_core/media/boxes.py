"""Find the boxes of an MP4 or MOV (ISO/IEC 14496-12), for facts that FFmpeg does not report.

Files are not trusted: sizes are limited by the enclosing box, and steps are counted.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_STEPS = 4000  # most boxes to read in one of them

Part = tuple[int, int]  # start and end of its content in the file


def count_boxes(path: Path, name: bytes) -> int:
    """Return how many boxes of a name an MP4 or MOV holds at its top level."""
    with path.open("rb") as file:
        try:
            return sum(1 for _ in boxes(file, (0, file.seek(0, 2)), name))
        except struct.error:
            return 0


def sample_entries(path: Path) -> set[str]:
    """Return the sample entry codes of an MP4's or MOV's tracks, such as "avc1"; empty for other files."""
    names = set()
    with path.open("rb") as file:
        try:
            for moov in boxes(file, (0, file.seek(0, 2)), b"moov"):
                for trak in boxes(file, moov, b"trak"):
                    for start, _ in within(file, trak, b"mdia", b"minf", b"stbl", b"stsd"):
                        file.seek(start + 12)  # after version, count and the first one's size
                        names.add(file.read(4).decode("latin-1"))
        except struct.error:
            pass
    return names


def alpha_track(path: Path) -> int | None:
    """Return the number of the track that holds the transparency of an image sequence (ISO/IEC 23008-12), if any."""
    with path.open("rb") as file:
        try:
            for moov in boxes(file, (0, file.seek(0, 2)), b"moov"):
                for trak in boxes(file, moov, b"trak"):
                    media = within(file, trak, b"mdia")
                    kinds = [_text(file, box)[8:12] for part in media for box in boxes(file, part, b"hdlr")]
                    tables = [
                        _text(file, box) for part in media for box in within(file, part, b"minf", b"stbl", b"stsd")
                    ]
                    if b"auxv" in kinds and any(b":auxiliary:alpha" in table for table in tables):
                        return next((track_id(file, header) for header in boxes(file, trak, b"tkhd")), None)
        except struct.error:
            pass
    return None


def _text(file: BinaryIO, part: Part) -> bytes:
    """Return the first 4096 bytes of a box's content."""
    file.seek(part[0])
    return file.read(min(4096, part[1] - part[0]))


def track_id(file: BinaryIO, header: Part) -> int:
    """Return the number of a track, from its header (`tkhd`)."""
    version = number_at(file, header[0], 1)
    return number_at(file, header[0] + (20 if version == 1 else 12), 4)


def within(file: BinaryIO, part: Part, *names: bytes) -> list[Part]:
    """Return the boxes at a path of names within a part of an MP4."""
    parts = [part]
    for name in names:
        parts = [inner for outer in parts for inner in boxes(file, outer, name)]
    return parts


def boxes(file: BinaryIO, within: Part, name: bytes) -> Iterator[Part]:
    """Iterate over the boxes called `name` in a part of an MP4; raise `struct.error` where it breaks off."""
    at, end = within
    for _ in range(_STEPS):
        if at + 8 > end:
            return
        file.seek(at)
        size, kind = struct.unpack(">I4s", file.read(8))
        start = at + 8
        if size == 1:
            size, start = number_at(file, start, 8), start + 8
        stop = min(end, at + size if size else end)
        if stop < start:
            return
        if kind == name:
            yield start, stop
        at = stop


def number_at(file: BinaryIO, at: int, size: int) -> int:
    """Return the big-endian number of `size` bytes at a position."""
    file.seek(at)
    return int.from_bytes(file.read(size))
