"""Read the cropping rectangle that a container states, which FFmpeg's decoders do not apply.

MP4 and MOV have the `clap` box (clean aperture, ISO/IEC 14496-12), Matroska its PixelCrop elements (RFC 9559).

Files are not trusted: sizes are limited by the enclosing box, steps are counted, and an invalid rectangle is ignored.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import av

from avd_core.media.boxes import Part, boxes, number_at, track_id, within
from avd_core.media.frames.frame_filter import Crop

_STEPS = 4000  # elements looked at in one of them
_SAMPLE_ENTRY = 86  # bytes of a video's sample entry before the boxes in it
_SEGMENT, _TRACKS, _ENTRY, _VIDEO, _CLUSTER = 0x18538067, 0x1654AE6B, 0xAE, 0xE0, 0x1F43B675
_BOTTOM, _TOP, _LEFT, _RIGHT = 0x54AA, 0x54BB, 0x54CC, 0x54DD


def read_crop(path: Path, container: str, stream: av.VideoStream) -> Crop | None:
    """Return the part of `stream`'s coded pictures to display; None if it is all, or not stated."""
    coded = stream.codec_context.width, stream.codec_context.height
    with path.open("rb") as file:
        try:
            if container.startswith("mov"):
                box = _clean_aperture(file, stream.id, *coded)
            elif container.startswith("matroska"):
                videos = stream.container.streams.video
                box = _pixel_crop(file, [video.index for video in videos].index(stream.index), *coded)
            else:
                return None
        except (struct.error, IndexError, ZeroDivisionError):
            return None
    if box is None:
        return None
    left, top, width, height = box
    inside = 0 <= left <= left + width <= coded[0] and 0 <= top <= top + height <= coded[1]
    return Crop(coded, left, top, width, height) if inside and width > 0 < height and (width, height) != coded else None


def _clean_aperture(file: BinaryIO, track: int, width: int, height: int) -> tuple[int, int, int, int] | None:
    whole = (0, file.seek(0, 2))
    for trak in (part for moov in boxes(file, whole, b"moov") for part in boxes(file, moov, b"trak")):
        header = next(boxes(file, trak, b"tkhd"), None)
        if header is None or track_id(file, header) != track:
            continue
        start, end = within(file, trak, b"mdia", b"minf", b"stbl", b"stsd")[0]
        entry = start + 8  # of the table: version and count
        for begin, _ in boxes(file, (entry + _SAMPLE_ENTRY, min(end, entry + number_at(file, entry, 4))), b"clap"):
            file.seek(begin)
            wide, wide_of, high, high_of, right, right_of, down, down_of = struct.unpack(">IIIIiIiI", file.read(32))
            across, along = round(wide / wide_of), round(high / high_of)
            left = round((width - across) / 2 + right / right_of)
            return left, round((height - along) / 2 + down / down_of), across, along
    return None


def _pixel_crop(file: BinaryIO, number: int, width: int, height: int) -> tuple[int, int, int, int] | None:
    whole = (0, file.seek(0, 2))
    tracks = [
        video
        for segment in _elements(file, whole, _SEGMENT)
        for table in _elements(file, segment, _TRACKS, before=_CLUSTER)
        for entry in _elements(file, table, _ENTRY)
        for video in _elements(file, entry, _VIDEO)
    ]
    cut = {}
    for name in (_BOTTOM, _TOP, _LEFT, _RIGHT):
        start, end = next(_elements(file, tracks[number], name), (0, 0))
        cut[name] = number_at(file, start, min(8, end - start))
    return cut[_LEFT], cut[_TOP], width - cut[_LEFT] - cut[_RIGHT], height - cut[_TOP] - cut[_BOTTOM]


def _elements(file: BinaryIO, within: Part, name: int, *, before: int | None = None) -> Iterator[Part]:
    """Yield the elements called `name` in a part of a Matroska file, up to the first one called `before`."""
    at, end = within
    for _ in range(_STEPS):
        if at >= end:
            return
        file.seek(at)
        head = file.read(12)
        marker = 9 - head[0].bit_length()  # bytes of the name, which keeps its marker
        kind = int.from_bytes(head[:marker])
        width = 9 - head[marker].bit_length()
        size = int.from_bytes(head[marker : marker + width]) & (1 << 7 * width) - 1
        start = at + marker + width
        stop = end if size == (1 << 7 * width) - 1 else min(end, start + size)
        if kind == before or marker > 4 or width > 8:
            return
        if kind == name:
            yield start, stop
        at = stop
