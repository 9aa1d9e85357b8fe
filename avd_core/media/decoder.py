"""Decode the requested pictures of a video, and skip the groups of pictures between them.

Groups are skipped by demuxing past them, not by seeking. That is cheap, and unlike seeking it works in every container,
with or without an index. Time is in seconds from the first picture.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from typing import Any, Generic, NamedTuple, TypeVar

import av

from avd_core.media.clock import EPSILON
from avd_core.media.container import Limits, VideoError, opened, packets, shown_name
from avd_core.media.deadline import Deadline
from avd_core.media.frames.alpha import AlphaDecoder, alpha_of
from avd_core.media.frames.frame_filter import FrameFilter, Timed
from avd_core.media.index import Index

T = TypeVar("T")  # what is kept of a frame

WORTHWHILE = 0.5  # seconds; a shorter sound part of a damaged window is replaced by a longer one elsewhere
# If pictures are missing without an error of the decoder, the last one is shown for up to this many seconds.
STALE = 0.25


class _HardLanding(Exception):
    """Decoding failed at the keyframe jumped to: it is damaged, or no keyframe in spite of its flag."""


@contextmanager
def decoding(
    index: Index, limits: Limits, *, deadline: Deadline | None = None, tolerant: bool = False
) -> Iterator[VideoDecoder]:
    """Open an indexed video and yield its decoder.

    Args:
        index: of the video.
        limits: as for `container.opened`.
        deadline: for all decoding; by default `limits.max_decoding` from now on.
        tolerant: see `VideoDecoder`.

    Raises:
        VideoError: as `container.opened`; while decoding, if the deadline is over.
    """
    deadline = deadline or Deadline(shown_name(index.path), limits.max_decoding)
    with (
        opened(index.path, limits, edits=index.edits) as (container, stream),
        alpha_of(stream, index.path, limits, edits=index.edits) as alpha,
    ):
        yield VideoDecoder(container, stream, index, deadline, alpha=alpha, tolerant=tolerant)


class VideoDecoder:
    """Iterates over (time, frame) in display order; a frame of None means that a fault begins at that time.

    Pictures after a fault depend on damaged ones, so nothing more is yielded before the next keyframe. A `tolerant`
    decoder yields those blemished pictures too, and reports no fault.
    """

    def __init__(
        self,
        container: av.container.InputContainer,
        stream: av.VideoStream,
        index: Index,
        deadline: Deadline,
        *,
        alpha: AlphaDecoder | None = None,
        tolerant: bool = False,
    ) -> None:
        self._container, self._stream, self._index, self._tolerant = container, stream, index, tolerant
        self._deadline, self._alpha = deadline, alpha
        self._filter = FrameFilter(index.crop, index.codec)
        self._packet = -1  # number of the one being decoded
        self._resume = 0  # packets before this one are skipped
        self._landing: int | None = None  # the keyframe jumped to, until its picture comes out
        self._target = 0.0  # the time that a jump is to reach

    def jump(self, time: float) -> bool:
        """Jump to the last keyframe from which the picture at `time` can be decoded; return False if it is behind."""
        key = self._index.key_before(time)
        if key <= max(self._packet, 0):
            return False
        self._resume = self._landing = key
        self._target = time
        self._filter = FrameFilter(self._index.crop, self._index.codec)  # drops the frames in the old one
        return True

    def __iter__(self) -> Iterator[tuple[float, av.VideoFrame | None]]:
        for time, frame in self._decoded():
            ready = self._filter.rest() if frame is None else self._filter.feed(time, frame)
            yield from self._unless_jumped(ready)
            if frame is None:
                yield time, None
        yield from self._unless_jumped(self._filter.rest())

    def _unless_jumped(self, ready: list[Timed]) -> Iterator[Timed]:
        current = self._filter
        for timed in ready:
            if self._filter is current:
                yield timed

    def _decoded(self) -> Iterator[tuple[float, av.VideoFrame | None]]:
        index, codec = self._index, self._stream.codec_context
        # `fresh` until the first keyframe comes out: pictures before it refer to what was skipped or lost.
        begun, last, newest, fresh = 0.0, None, -math.inf, False
        for number, packet in enumerate(self._packets()):
            self._packet = number
            self._deadline.check()
            if packet is not None:
                packet.pts = packet.dts = number  # frames keep it, so that times come from the index alone
                packet.is_corrupt = bool(index.torn[number]) if number < len(index.torn) else packet.is_corrupt
            if number < self._resume:
                continue
            if number == self._resume > 0:
                codec.flush_buffers()
                if self._alpha:
                    self._alpha.restart()
                begun, last, fresh = float(index.times[number]), None, not self._tolerant
            if self._alpha and packet is not None and not self._alpha.decode(number, packet):
                self._check_landing()
            frames, failed = self.decode(packet)
            for frame in frames:
                time = self._time(frame, last)
                # With threads a failure is reported several packets late; the gap it leaves shows where it was.
                missed = failed and last is not None and time > index.next_time(last) + EPSILON
                if fresh and not frame.key_frame:
                    self._check_landing()
                elif missed or (frame.is_corrupt and not self._tolerant):
                    self._check_landing()
                    fresh = True
                    yield (begun if last is None else index.next_time(last)), None
                elif time > newest:
                    if time > self._target + EPSILON:
                        self._check_landing()
                    fresh, self._landing, last, newest = False, None, time, time
                    yield time, self._alpha.put_into(frame) if self._alpha else frame
                    if self._resume > number:
                        break
            if failed and self._resume <= number:
                self._check_landing()
                self._resume = index.key_after(number)
                yield (begun if last is None else index.next_time(last)), None
        self._check_landing()

    def _check_landing(self) -> None:
        if self._landing is not None and not self._tolerant:
            raise _HardLanding(self._landing)

    def _packets(self) -> Iterator[av.Packet[Any] | None]:
        with suppress(av.FFmpegError):  # the index has noted that the file breaks off there
            yield from packets(self._container, self._stream)
        yield None

    def decode(self, packet: av.Packet[Any] | None) -> tuple[list[av.VideoFrame], bool]:
        """Return the frames that are ready, and whether the packet failed."""
        codec = self._stream.codec_context
        if packet is None or self._tolerant or not packet.is_corrupt:
            try:
                return codec.decode(packet), False
            except av.FFmpegError:
                if self._tolerant:
                    return [], False
        try:
            return codec.decode(None), True  # good ones from before the fault may wait in the decoder
        except av.FFmpegError:
            return [], True

    def _time(self, frame: av.VideoFrame, last: float | None) -> float:
        index = self._index
        # The number of the packet a frame came from; its dts is that of the one which made the decoder give it out.
        number = frame.dts if index.by_rank else frame.pts
        if number is None or not 0 <= number < len(index.times):
            return 0.0 if last is None else index.next_time(last)
        if index.by_rank:
            return float(index.shown[min(max(int(index.ranks[number]) - index.delay, 0), index.frames - 1)])
        return float(index.times[number])


@dataclass(frozen=True)
class Taken(Generic[T]):
    """A picture, reduced to what `keep` returned, with its time in the video."""

    time: float
    picture: T


def take(
    index: Index,
    limits: Limits,
    targets: list[float],
    keep: Callable[[av.VideoFrame], T],
    *,
    tolerant: bool = False,
    jumps: int = 4,
) -> tuple[list[Taken[T] | None], list[tuple[float, float]]]:
    """Collect `keep(frame)` of the frame on display at each of the ascending times `targets`.

    One frame is in memory at a time. After `jumps` failures at a keyframe jumped to, nothing is skipped any more, which
    is slower but always works.

    Returns:
        One entry per target, None if a fault hides the picture; and the gaps that faults leave, as (from, to).

    Raises:
        VideoError: it takes more work or time than `limits` allow.
    """
    index.check_work(targets, limits)
    taken: list[Taken[T] | None] = []
    holes: list[tuple[float, float]] = []
    frame: av.VideoFrame | None = None  # the frame on display
    kept: Taken[T] | None = None  # the result of `keep` for it
    since, fault = 0.0, False  # since when it, or nothing, is on display; and whether that is a fault
    try:
        with decoding(index, limits, tolerant=tolerant) as decoder:
            end: list[tuple[float, av.VideoFrame | None]] = [(math.inf, None)]
            for time, following in chain(decoder, end):
                gone = since if frame is None else index.next_time(since)
                while len(taken) < len(targets) and (target := targets[len(taken)]) < time - EPSILON:
                    if frame is None or target > gone + STALE:
                        taken.append(None)
                        fault = True
                        continue
                    kept = kept or Taken(since, keep(frame))
                    taken.append(kept)
                if fault:
                    holes.append((gone, min(time, index.seconds)))
                if len(taken) == len(targets):
                    break
                frame, kept, since, fault = following, None, time, following is None
                if jumps and decoder.jump(targets[len(taken)]):
                    frame, since, fault = None, index.next_time(time), False
    except _HardLanding as landing:
        index.distrust(*landing.args)
        return take(index, limits, targets, keep, tolerant=tolerant, jumps=jumps - 1)
    return taken, holes


@dataclass(frozen=True)
class DecodedWindow(Generic[T]):
    """Frames at the bin centres of the window that begins at `begin` and lasts `length` seconds.

    `fault` is the time of the first fault met on the way, or None.
    """

    taken: list[Taken[T]]
    begin: float
    length: float
    fault: float | None


def take_window(
    index: Index,
    limits: Limits,
    begin: float,
    length: float,
    count: int,
    keep: Callable[[av.VideoFrame], T],
    *,
    tolerant: bool = False,
) -> DecodedWindow[T] | None:
    """Take `count` frames at the bin centres of a window, which is shortened to the part before a fault in it.

    If that part is too short, the part after the fault is taken; None if nothing can be decoded.
    """
    faults: list[float] = []
    for _ in range(8):  # the part after a fault may hold another one
        centres = [begin + (i + 0.5) * length / count for i in range(count)]
        taken, holes = take(index, limits, centres, keep, tolerant=tolerant)
        faults += [since for since, _ in holes]
        whole = [one for one in taken if one is not None]
        if len(whole) == len(taken):
            return DecodedWindow(whole, begin, length, min(faults, default=None))
        spans, at, end = [], begin, begin + length
        for since, until in [*holes, (end, math.inf)]:
            if min(since, end) > at + 0.001:
                spans.append((at, min(since, end) - at))
            at = max(at, until)
        if not spans:
            return None
        begin, length = next((span for span in spans if span[1] >= WORTHWHILE), max(spans, key=lambda span: span[1]))
    return None


class Display(NamedTuple):
    """A picture that is on display from `since` until `until`."""

    since: float
    until: float
    frame: av.VideoFrame


def displays(index: Index, limits: Limits, deadline: Deadline | None = None) -> Iterator[Display]:
    """Decode a whole file once, yielding its pictures in order; `deadline` is as for `decoding`.

    A fault leaves a gap: the next picture's `since` lies after the last one's `until`. Pictures between a fault and the
    next keyframe would be blemished, and are part of the gap.
    """
    with decoding(index, limits, deadline=deadline) as decoder:
        since, frame = 0.0, None
        for time, following in chain(decoder, [(math.inf, None)]):
            if frame is not None:
                until = index.next_time(since)
                # A long display is intended, unless a picture was due and is missing.
                yield Display(since, min(time, index.seconds) if time <= until + STALE else until, frame)
            since, frame = time, following


def nothing_decodes(index: Index) -> VideoError:
    """Return the error to raise for a file of which no picture can be decoded."""
    return VideoError(
        f"{shown_name(index.path)} is damaged: not one picture of it can be decoded; export or copy it again."
    )
