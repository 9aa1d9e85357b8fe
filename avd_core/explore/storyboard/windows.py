"""Divide a long video into windows at its cuts.

The file is decoded once, in order; two windows of small pictures are in memory at a time. A shot longer than the
longest window is split, its last two parts evenly; none is shorter than `SHORTEST`, except at the end of the video or
of its decodable part. Each window has the frames at its bin centres, like `video.read_clip`, so that reading a window
by its start and length gives the same image.

Time is in seconds from the first picture. Axes: T frames, H, W; the last axis is RGB. Frames are uint8.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from avd_core.media.clock import EPSILON
from avd_core.media.container import DEFAULT_LIMITS, VideoError, shown_name
from avd_core.media.containment.contained import contained_steps
from avd_core.media.deadline import Deadline
from avd_core.media.decoder import displays, nothing_decodes
from avd_core.media.frame_transform import Fit
from avd_core.media.index import read_index
from avd_core.media.shot_detection import REACH, CutDetector

SHORTEST = 0.5
MAX_SECONDS, MAX_WINDOWS = 600.0, 150
_SPARSEST = 1 / 64  # seconds between two pictures that are used: high frame rates, such as 240 Hz, are reduced
_MAX_DECODING = 900.0  # seconds of wall-clock time for all pictures of a video, without the network's time
_SLIVER = 0.1  # seconds; shorter parts of a damaged file are left out


class StoryboardError(ValueError):
    """A storyboard cannot be made or read; the message says why, in one sentence."""


@dataclass(frozen=True)
class SourceVideo:
    """The video that a strip is made of.

    Attributes:
        name: of the file, without its folder.
        width, height: of its pictures as displayed, in pixels.
        fps: mean pictures per second.
        has_audio: whether there is a sound track.
        bytes: of the file.
        picture_bytes: of its pictures, without sound, in the part that the strip covers.
        seconds: its length.
        covered: length of the part that the strip covers; known at the end.
    """

    name: str
    width: int
    height: int
    fps: float
    has_audio: bool
    bytes: int
    picture_bytes: int
    seconds: float
    covered: float


@dataclass(frozen=True)
class WindowFrames:
    """Frames (T, H, W, 3) at the bin centres of a part of a video; `cut` if a shot begins with it."""

    start: float
    seconds: float
    cut: bool
    frames: np.ndarray


Facts = tuple[SourceVideo, tuple[str, ...]]  # the video, as far as known, and notes about it


class Windows:
    """Iterates once over the windows of a video.

    Args:
        path: the video.
        frames: T of each window.
        size: short side, as `video.read_clip` takes it.
        longest: longest window in seconds.
        max_seconds, max_windows: where to stop.

    Attributes:
        source: the video; the size of its pictures is known after the first window.
        notes: sentences for the user; complete at the end.

    Raises:
        VideoError: it is no accepted video; while iterating, if nothing can be decoded.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        frames: int,
        size: int,
        longest: float,
        max_seconds: float = MAX_SECONDS,
        max_windows: int = MAX_WINDOWS,
    ) -> None:
        self._steps = _steps(path, frames, size, longest, max_seconds, max_windows)
        _, (self.source, self.notes) = next(self._steps)

    def __iter__(self) -> Iterator[WindowFrames]:
        for window, facts in self._steps:
            self.source, self.notes = facts
            if window is not None:
                yield window


@contained_steps(VideoError)
def _steps(
    path: str | Path, frames: int, size: int, longest: float, max_seconds: float, max_windows: int
) -> Iterator[tuple[WindowFrames | None, Facts]]:
    """Yield (window, state) for each window, and (None, state) before the first and after the last."""
    reader = _Reader(path, frames, size, longest, max_seconds, max_windows)
    yield None, reader.facts
    for window in reader:
        yield window, reader.facts
    yield None, reader.facts


class _Reader:
    """Decodes the windows of a video in this process; arguments as for `Windows`."""

    def __init__(
        self, path: str | Path, frames: int, size: int, longest: float, max_seconds: float, max_windows: int
    ) -> None:
        self._index = index = read_index(path, DEFAULT_LIMITS)
        self._fit = Fit(index, size, DEFAULT_LIMITS)
        self._frames, self._longest, self._max_windows = frames, longest, max_windows
        self._covered, self._bytes = min(index.seconds, max_seconds), index.path.stat().st_size
        self._notes: list[str] = []

    @property
    def facts(self) -> Facts:
        index, shape = self._index, self._fit.shape
        source = SourceVideo(
            name=shown_name(index.path),
            width=shape.width if shape else 0,
            height=shape.height if shape else 0,
            fps=index.frames / index.seconds,
            has_audio=index.has_audio,
            bytes=self._bytes,
            picture_bytes=int(index.sizes[index.times < self._covered].sum()),
            seconds=index.seconds,
            covered=self._covered,
        )
        return source, (*index.notes, *self._fit.notes, *self._notes)

    def __iter__(self) -> Iterator[WindowFrames]:
        self._notes = []
        count, end, total = 0, 0.0, self._index.seconds
        for shot in self._shots():
            if shot.start > end + EPSILON:
                self._notes.append(f"The file is damaged: nothing from {end:.1f} to {shot.start:.1f} s can be decoded.")
            if count == self._max_windows:
                self._covered = end
                self._notes.append(f"The strip ends at {end:.1f} s of {total:.1f} s: {count} images are made at most.")
                return
            yield shot
            count, end = count + 1, shot.start + shot.seconds
        if not count:
            raise nothing_decodes(self._index)
        if end < self._covered - _SLIVER:
            self._notes.append(f"The file is damaged: nothing after {end:.1f} s can be decoded.")
        elif self._covered < total:
            minutes = self._covered / 60
            self._notes.append(
                f"The strip ends at {end:.1f} s of {total:.1f} s: {minutes:g} minutes are covered at most."
            )

    def _shots(self) -> Iterator[WindowFrames]:
        """Yield all windows, without the limit `max_windows`."""
        covered, sparsest = self._covered, _SPARSEST - EPSILON
        filling = _WindowBuffer(self._frames, self._longest)
        deadline = Deadline(shown_name(self._index.path), _MAX_DECODING)
        for since, until, frame in displays(self._index, DEFAULT_LIMITS, deadline):
            if since >= covered:
                break
            if filling.pictures and since > filling.until + EPSILON:  # a gap
                with deadline.paused():
                    yield from self._closed(filling)
                filling = _WindowBuffer(self._frames, self._longest)
            if not filling.pictures or since >= filling.since[-1] + sparsest:
                filling.add(since, self._fit(frame))
                with deadline.paused():
                    yield from filling.ready()
            filling.until = min(until, covered)
        if filling.pictures:
            yield from self._closed(filling)

    def _closed(self, filling: _WindowBuffer) -> Iterator[WindowFrames]:
        if filling.until - filling.begin >= min(_SLIVER, self._index.seconds) - EPSILON:
            yield from filling.rest()


@dataclass
class _WindowBuffer:
    """The pictures from the start of the current window on."""

    frames: int
    longest: float
    since: list[float] = field(default_factory=list)  # when each picture appears
    pictures: list[np.ndarray] = field(default_factory=list)
    begin: float = 0.0
    until: float = 0.0  # end of the last picture's display
    new_shot: bool = True
    cut: float | None = None  # start of the next shot, once it has lasted long enough to be one
    detector: CutDetector = field(default_factory=CutDetector)

    def add(self, since: float, picture: np.ndarray) -> None:
        if not self.pictures:
            self.begin = since
        self.since.append(since)
        self.pictures.append(picture)
        if self.detector.feed(picture) and self.cut is None and self.since[-1 - REACH] >= self.begin + SHORTEST:
            self.cut = self.since[-1 - REACH]

    def ready(self) -> Iterator[WindowFrames]:
        """Return the windows that later pictures cannot change."""
        settled = self.since[-1 - REACH] if len(self.since) > REACH else self.begin
        yield from self._long_ones(settled if self.cut is None else self.cut)
        if self.cut is not None and settled >= self.cut + SHORTEST:
            yield from self._parts(self.cut)
            self.cut, self.new_shot = None, True

    def rest(self) -> Iterator[WindowFrames]:
        """Return the remaining windows; a shot that began too late to be one belongs to the last."""
        yield from self._long_ones(self.until)
        yield from self._parts(self.until)

    def _long_ones(self, end: float) -> Iterator[WindowFrames]:
        while end - self.begin > 2 * self.longest:  # a shorter rest may still be split evenly
            yield self._window(self.begin + self.longest)

    def _parts(self, end: float) -> Iterator[WindowFrames]:
        if end - self.begin > self.longest + EPSILON:
            yield self._window((self.begin + end) / 2)
        yield self._window(end)

    def _window(self, end: float) -> WindowFrames:
        length = end - self.begin
        centres = self.begin + (np.arange(self.frames) + 0.5) * length / self.frames
        shown = np.searchsorted(self.since, centres + EPSILON, side="right") - 1
        window = WindowFrames(self.begin, length, self.new_shot, np.stack([self.pictures[number] for number in shown]))
        past = max(0, int(np.searchsorted(self.since, end + EPSILON, side="right")) - 1)
        # Keep some more: the detector reports a cut REACH pictures later, by its position from the end.
        past = min(past, max(0, len(self.since) - 1 - REACH))
        del self.since[:past], self.pictures[:past]
        self.begin, self.new_shot = end, False
        return window
