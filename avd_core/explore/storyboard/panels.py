"""A long video as a strip of distilled images, one for each window, cut where its scenes change.

The file is decoded once, in order; what is kept at any time is two windows of small pictures, so that memory does not
grow with the length. A shot longer than the longest window is split, its last two parts evenly; none is shorter than
`SHORTEST`, except where the video or what can be decoded of it ends. Each window holds the frames at its bin centres,
as `video.read_clip` takes them, so that a window opened by its start and length gives the same image.

Time is in seconds from the first picture. Axes: T frames, H, W; the last axis is RGB. Frames and images are uint8.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from avd_core.analysis.baselines import distill, mean_frame, restore
from avd_core.analysis.metrics import psnr
from avd_core.explore.results import DEFAULT_CHECKPOINT, Restoration
from avd_core.media.container import DEFAULT_LIMITS, shown_name
from avd_core.media.decoder import displays, nothing_decodes
from avd_core.media.distilled_png import DistilledInfo
from avd_core.media.frame_transform import Fit
from avd_core.media.index import EPSILON, read_index
from avd_core.media.shot_detection import REACH, CutDetector

if TYPE_CHECKING:
    from avd_core.explore.storyboard.files import Strip
    from avd_core.networks.avd import AVD

LENGTHS = (2.0, 4.0, 8.0)  # seconds that a window may last at most
SHORTEST = 0.5
MAX_SECONDS, MAX_WINDOWS = 600.0, 150
_SPARSEST = 1 / 64  # seconds between two pictures that are looked at: what a 240 Hz camera takes is thinned out
_SLIVER = 0.1  # seconds; what a damaged file shows for less is left out


class StoryboardError(ValueError):
    """A storyboard that cannot be made or read, with a sentence saying why."""


@dataclass(frozen=True)
class StoryboardRequest:
    """A video, and how to make a strip of it.

    Attributes:
        video: the file.
        checkpoint: a bundled name, a folder, or a Hub repo id.
        seconds: how long a window is at most, one of `LENGTHS`.
    """

    video: Path
    checkpoint: str = DEFAULT_CHECKPOINT
    seconds: float = 4.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "video", Path(self.video))
        if self.seconds not in LENGTHS:
            choices = ", ".join(f"{length:g}" for length in LENGTHS)
            raise StoryboardError(
                f"A window lasts at most {choices} s, and not {self.seconds:g} s: choose one of these."
            )


@dataclass(frozen=True)
class Source:
    """The video that a strip is made of.

    Attributes:
        name: the file's, without its folder.
        width, height: of its pictures as displayed, in pixels.
        fps: mean pictures per second.
        has_audio: whether there is a sound track.
        bytes: of the file.
        picture_bytes: those of its pictures, without sound, in the part that the strip covers.
        seconds: its length.
        covered: how much of that the strip covers, once it is finished.
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
class Panel:
    """One window of a strip, and what its image gives back.

    Attributes:
        number: from 1.
        start, seconds: the window.
        cut: whether a shot begins with it, rather than goes on.
        image: (H, W, 3), the distilled image.
        info: what its PNG must say.
        restored: (T, H, W, 3).
        frames: (T, H, W, 3), the video's own; None where the strip is all there is.
        psnr, psnr_mean_copy: in dB, of the restored frames and of the mean frame repeated, against those; as the strip
            says where it is all there is, else None.
    """

    number: int
    start: float
    seconds: float
    cut: bool
    image: np.ndarray
    info: DistilledInfo
    restored: np.ndarray
    frames: np.ndarray | None
    psnr: float | None
    psnr_mean_copy: float | None

    @property
    def end(self) -> float:
        return self.start + self.seconds


@dataclass(frozen=True)
class Window:
    """Frames (T, H, W, 3) at the bin centres of a part of a video; `cut` tells that a shot begins with it."""

    start: float
    seconds: float
    cut: bool
    frames: np.ndarray


class Windows:
    """Iterates over the windows of a video.

    Args:
        path: the video.
        frames: T of each window.
        size: the pictures' short side, as `video.read_clip` takes it.
        longest: of a window, in seconds.
        max_seconds, max_windows: where it stops.

    Attributes:
        notes: sentences for the person; those about what was met on the way are there at the end.

    Raises:
        VideoError: no accepted video; while iterating, one of which nothing can be decoded.
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
        self._index = index = read_index(path, DEFAULT_LIMITS)
        self._fit = Fit(index, size, DEFAULT_LIMITS)
        self._frames, self._longest, self._max_windows = frames, longest, max_windows
        self._covered = min(index.seconds, max_seconds)
        self._notes: list[str] = []

    @property
    def source(self) -> Source:
        """The video; the size of its pictures is known with the first window."""
        index, shape = self._index, self._fit.shape
        return Source(
            name=shown_name(index.path),
            width=shape.width if shape else 0,
            height=shape.height if shape else 0,
            fps=index.frames / index.seconds,
            has_audio=index.has_audio,
            bytes=index.path.stat().st_size,
            picture_bytes=int(index.sizes[index.times < self._covered].sum()),
            seconds=index.seconds,
            covered=self._covered,
        )

    @property
    def notes(self) -> tuple[str, ...]:
        return (*self._index.notes, *self._fit.notes, *self._notes)

    def __iter__(self) -> Iterator[Window]:
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

    def _shots(self) -> Iterator[Window]:
        """Windows one after the other, without a count."""
        covered, sparsest = self._covered, _SPARSEST - EPSILON
        filling = _WindowBuffer(self._frames, self._longest)
        for since, until, frame in displays(self._index, DEFAULT_LIMITS):
            if since >= covered:
                break
            if filling.pictures and since > filling.until + EPSILON:  # a hole
                yield from self._closed(filling)
                filling = _WindowBuffer(self._frames, self._longest)
            if not filling.pictures or since >= filling.since[-1] + sparsest:
                filling.add(since, self._fit(frame))
                yield from filling.ready()
            filling.until = min(until, covered)
        if filling.pictures:
            yield from self._closed(filling)

    def _closed(self, filling: _WindowBuffer) -> Iterator[Window]:
        if filling.until - filling.begin >= min(_SLIVER, self._index.seconds) - EPSILON:
            yield from filling.rest()


@dataclass
class _WindowBuffer:
    """The pictures from the beginning of the window being filled."""

    frames: int
    longest: float
    since: list[float] = field(default_factory=list)  # when each picture appears
    pictures: list[np.ndarray] = field(default_factory=list)
    begin: float = 0.0
    until: float = 0.0  # when the last picture gives way
    new_shot: bool = True
    cut: float | None = None  # where the next shot begins, once it has lasted long enough to be one
    detector: CutDetector = field(default_factory=CutDetector)

    def add(self, since: float, picture: np.ndarray) -> None:
        if not self.pictures:
            self.begin = since
        self.since.append(since)
        self.pictures.append(picture)
        if self.detector.feed(picture) and self.cut is None and self.since[-1 - REACH] >= self.begin + SHORTEST:
            self.cut = self.since[-1 - REACH]

    def ready(self) -> Iterator[Window]:
        """The windows that nothing to come can change."""
        settled = self.since[-1 - REACH] if len(self.since) > REACH else self.begin
        yield from self._long_ones(settled if self.cut is None else self.cut)
        if self.cut is not None and settled >= self.cut + SHORTEST:
            yield from self._parts(self.cut)
            self.cut, self.new_shot = None, True

    def rest(self) -> Iterator[Window]:
        """All that is left; a shot that began too late to be one belongs to the last."""
        yield from self._long_ones(self.until)
        yield from self._parts(self.until)

    def _long_ones(self, end: float) -> Iterator[Window]:
        while end - self.begin > 2 * self.longest:  # what is shorter may yet be shared evenly
            yield self._window(self.begin + self.longest)

    def _parts(self, end: float) -> Iterator[Window]:
        if end - self.begin > self.longest + EPSILON:
            yield self._window((self.begin + end) / 2)
        yield self._window(end)

    def _window(self, end: float) -> Window:
        length = end - self.begin
        centres = self.begin + (np.arange(self.frames) + 0.5) * length / self.frames
        shown = np.searchsorted(self.since, centres + EPSILON, side="right") - 1
        window = Window(self.begin, length, self.new_shot, np.stack([self.pictures[number] for number in shown]))
        past = max(0, int(np.searchsorted(self.since, end + EPSILON, side="right")) - 1)
        # Some more stay: the detector speaks of a picture REACH pictures later, by its place from the end.
        past = min(past, max(0, len(self.since) - 1 - REACH))
        del self.since[:past], self.pictures[:past]
        self.begin, self.new_shot = end, False
        return window


class StoryboardMaker:
    """Iterates over the panels of a strip that is being made of a video.

    Args:
        request: what is asked.
        model, lock: the checkpoint, and what is held while computing with it.

    Attributes:
        checkpoint, fingerprint: the model's.
    """

    def __init__(self, request: StoryboardRequest, model: AVD, lock: threading.Lock) -> None:
        self._model, self._lock = model, lock
        self._windows = Windows(
            request.video, frames=model.config.frames, size=model.config.size, longest=request.seconds
        )
        self.checkpoint, self.fingerprint = model.name, model.fingerprint

    @property
    def source(self) -> Source:
        """The video; all about it is known at the end."""
        return self._windows.source

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the person; all of them are there at the end."""
        return self._windows.notes

    def __iter__(self) -> Iterator[Panel]:
        for number, window in enumerate(self._windows, 1):
            frames = window.frames
            with self._lock:
                image = distill(self._model, frames)
            with self._lock:
                restored = restore(self._model, image)
            count, height, width, _ = frames.shape
            yield Panel(
                number=number,
                start=window.start,
                seconds=window.seconds,
                cut=window.cut,
                image=image,
                info=DistilledInfo(self.checkpoint, self.fingerprint, count, count / window.seconds, (height, width)),
                restored=restored,
                frames=frames,
                psnr=psnr(frames, restored),
                psnr_mean_copy=psnr(frames, mean_frame(frames)),
            )


class Playback:
    """Iterates over the panels of a strip that was read from a file: the same, from the images alone.

    Args:
        strip: what was read.
        restore: plays one image, as `Explorer.restore_image`.
    """

    def __init__(self, strip: Strip, restore: Callable[[np.ndarray, DistilledInfo], Restoration]) -> None:
        self._strip, self._restore, self._notes = strip, restore, {}
        self.source, self.checkpoint, self.fingerprint = strip.source, strip.checkpoint, strip.fingerprint

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the person: the strip's own, and what had to be guessed."""
        return (*self._strip.notes, *self._notes)

    def __iter__(self) -> Iterator[Panel]:
        self._notes = {}
        for number, (window, image, info) in enumerate(self._strip.images(), 1):
            restoration = self._restore(image, info)
            self._notes |= dict.fromkeys(restoration.notes)
            same = restoration.fingerprint == info.fingerprint  # else the figures are another decoder's
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
            )
