"""De-interlace decoded frames that are flagged as interlaced, and crop them as the container states.

An interlaced frame holds two moments, each in every second row. `bwdif` (libavfilter) keeps the rows of the first
moment and computes the others from the frames around; the frame says which rows come first. Frames without the flag are
not changed, nor are those of HEVC, where a flagged frame is a single field. Cropping takes no copy.
"""

from __future__ import annotations

from collections import deque
from fractions import Fraction
from typing import NamedTuple

import av
from av.filter import Graph

Timed = tuple[float, av.VideoFrame]


class Crop(NamedTuple):
    """The part of a coded picture to display, in pixels.

    Attributes:
        coded: (width, height) of the pictures it applies to.
        left, top, width, height: of the part.
    """

    coded: tuple[int, int]
    left: int
    top: int
    width: int
    height: int


def is_field(frame: av.VideoFrame, codec: str) -> bool:
    """Return whether a frame holds one moment in half the rows, as HEVC's fields do (H.265, field_seq_flag)."""
    return codec == "hevc" and frame.interlaced_frame


class FrameFilter:
    """De-interlaces and crops the frames of one stream, given in display order.

    De-interlacing needs the next frame, so from the first interlaced frame on the output is one frame late.

    Args:
        crop: the container's crop, or None.
        codec: FFmpeg's name of the stream's codec.
    """

    def __init__(self, crop: Crop | None, codec: str) -> None:
        self._crop, self._codec = crop, codec
        self._cropper: Graph | None = None
        self._cropped_format: tuple[int, int, str] | None = None
        self._deinterlacer: Graph | None = None
        self._format: tuple[int, int, str] | None = None  # of the frames in the de-interlacer
        self._waiting: deque[float] = deque()  # the times of these frames

    def feed(self, time: float, frame: av.VideoFrame) -> list[Timed]:
        """Add a frame; return the frames that are ready, at most two."""
        done = []
        if self._waiting and self._format != _format(frame):
            done = self.rest()
        if not self._waiting and (not frame.interlaced_frame or is_field(frame, self._codec)):
            return [*done, (time, self._cropped(frame))]
        if self._deinterlacer is None:
            try:
                self._deinterlacer = _graph(frame, "bwdif", "mode=send_frame:deint=interlaced")
            except (av.FFmpegError, ValueError):  # too small, or of a format that it cannot convert
                return [*done, (time, self._cropped(frame))]
            self._format = _format(frame)
        self._waiting.append(time)
        self._deinterlacer.vpush(frame)
        return done + self._pull()

    def rest(self) -> list[Timed]:
        """Return the frame that waits for the next one, if there is one."""
        if self._deinterlacer is None:
            return []
        self._deinterlacer.vpush(None)
        done = self._pull()
        self._deinterlacer = None
        self._waiting.clear()
        return done

    def _pull(self) -> list[Timed]:
        done = []
        while self._waiting and self._deinterlacer is not None:
            try:
                frame = self._deinterlacer.vpull()
            except (BlockingIOError, EOFError):
                break
            done.append((self._waiting.popleft(), self._cropped(frame)))
        return done

    def _cropped(self, frame: av.VideoFrame) -> av.VideoFrame:
        crop = self._crop
        if crop is None or (frame.width, frame.height) != crop.coded:
            return frame
        if self._cropper is None or self._cropped_format != _format(frame):
            self._cropped_format = _format(frame)
            self._cropper = _graph(frame, "crop", f"{crop.width}:{crop.height}:{crop.left}:{crop.top}:exact=1")
        self._cropper.vpush(frame)
        return self._cropper.vpull()


def _format(frame: av.VideoFrame) -> tuple[int, int, str]:
    return frame.width, frame.height, frame.format.name


def _graph(frame: av.VideoFrame, name: str, options: str) -> Graph:
    graph = Graph()
    graph.threads = 1
    width, height, _ = _format(frame)
    source = graph.add_buffer(width=width, height=height, format=frame.format, time_base=Fraction(1, 1000))
    graph.link_nodes(source, graph.add(name, options), graph.add("buffersink")).configure()
    return graph
