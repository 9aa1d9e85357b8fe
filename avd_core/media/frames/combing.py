"""Detect interlaced pictures without a flag: rows of two moments alternate where something moves.

Detection is not certain, so such pictures are not changed, and a note reports them.

A pixel counts as combed if the differences down its column change their sign `_RUN` times in a row, with rows two apart
alike, and if something moved there since the last compared frame. In progressive clips none is (see the tests).
"""

from __future__ import annotations

import av
import numpy as np

_ROWS = 400  # fewer are not interlaced, and dithering may look alike
_COLUMNS = 64  # that are looked at
_LOOKS = 8  # frames that are compared with the one before
_CONTRAST = 10  # grey levels from row to row
_RUN = 6
_SHARE = 0.003  # of what moves that is combed in an interlaced frame
_COMBED = (
    "The pictures look combed: rows of two moments alternate, as in interlaced video whose file does not say so. "
    "De-interlace it with a video editor first."
)


class CombDetector:
    """Checks a few frames of one video, in the order of their times."""

    def __init__(self) -> None:
        self._looks = self._combed = 0
        self._last: np.ndarray | None = None

    @property
    def notes(self) -> list[str]:
        """Sentences for the user, at most one."""
        return [_COMBED] if self._combed > 1 else []

    def look(self, frame: av.VideoFrame) -> None:
        """Compare a frame with the one before; fast, and for the first few frames only."""
        if self._looks >= _LOOKS or frame.height < _ROWS or not _is_planar_grey(frame):
            return
        rows, last = _sample(frame), self._last
        self._last = rows
        if last is None or last.shape != rows.shape:
            return
        moved = np.abs((rows[:-1] + rows[1:]) - (last[:-1] + last[1:])) > 2 * _CONTRAST
        if moved.mean() < 0.002:
            return
        self._looks += 1
        combed = _runs(rows)
        inside = moved[: len(combed)]
        self._combed += bool((combed & inside).sum() > _SHARE * inside.sum())


def _is_planar_grey(frame: av.VideoFrame) -> bool:
    luma = frame.format.components[0]
    return (
        not frame.format.is_rgb and luma.bits == 8 and luma.plane == 0 and frame.planes[0].line_size < 2 * frame.width
    )


def _sample(frame: av.VideoFrame) -> np.ndarray:
    """Return grey levels of the middle rows in evenly spaced columns, int16 (R, K)."""
    plane = frame.planes[0]
    top = (frame.height - _ROWS) // 2
    grey = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return grey[top : top + _ROWS, : frame.width : max(1, frame.width // _COLUMNS)].astype(np.int16)


def _runs(rows: np.ndarray) -> np.ndarray:
    """Return where the differences of a column begin to alternate `_RUN` times, bool (R - _RUN - 1, K)."""
    step = np.diff(rows, axis=0)
    size = np.abs(step)
    least = np.minimum(size[1:], size[:-1])
    alternates = ((step[1:] ^ step[:-1]) < 0) & (least > _CONTRAST) & (2 * np.abs(rows[2:] - rows[:-2]) < least)
    runs = alternates[: len(alternates) - _RUN + 1].copy()
    for later in range(1, _RUN):
        runs &= alternates[later : len(alternates) - _RUN + 1 + later]
    return runs
