"""A user's clips for fine-tuning: read once, on upload, in parts.

A clip of several seconds is read as equal parts. With few clips, two parts of each are held out: one selects the
weights, the other reports their gain. With more, whole clips are held out instead.

Axes: T frames, H, W. Frames are uint8 (T,H,W,3).
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from avd_core.data.clip_files import Source
from avd_core.media.window import Window

THUMBNAIL = 120  # pixels of its short side
STORED_SIZES = (128, 240)  # short sides in pixels; each is for trainings at a little less, since crops are reduced
PARTS, MOST_PARTS = 5, 9  # of a clip; a long one has more, each as long as the default window
SHORTEST_PART = 0.5  # seconds; a clip that does not have `PARTS` of them is one part
FEW = 4  # from so many clips on, whole ones are held out
MOST_JUDGED = 8  # clips held out or held back from


@dataclass(frozen=True)
class Part:
    """A part of a clip, decoded.

    Attributes:
        window: its place in the clip.
        stored: file of its frames and their shape (T, H, W), by short side in pixels.
    """

    window: Window
    stored: Mapping[int, tuple[Path, tuple[int, int, int]]]

    def stored_for(self, size: int) -> tuple[Path, tuple[int, int, int]]:
        """Return file and shape for a training at `size`: the smallest stored size not below it, or the largest."""
        return self.stored[min((own for own in self.stored if own >= size), default=max(self.stored))]


@dataclass(frozen=True)
class TakenClip:
    """A clip that was read.

    Attributes:
        source: its file, name and class.
        parts: one, or at least `PARTS` that do not overlap, in order.
        thumbnail: its middle frame, as a JPEG in base64.
    """

    source: Source
    parts: tuple[Part, ...]
    thumbnail: str


def take(sources: Sequence[Source], folder: Path) -> Iterator[TakenClip | str]:
    """Read clips one after the other; yield a sentence instead of a clip that cannot be read."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, source in enumerate(sources):
        try:
            yield _taken(source, folder / f"{number:04d}")
        except ValueError as error:
            yield str(error) if source.title in str(error) else f"{source.title}: {error}"


def _taken(source: Source, stem: Path) -> TakenClip:
    from avd_core.data.datasets import STORED_FRAMES
    from avd_core.media.video import probe, read_clip

    parts, thumbnail = [], ""
    windows = part_windows(probe(source.clip).seconds)
    for number, window in enumerate(windows):
        frames = read_clip(
            source.clip, frames=STORED_FRAMES, size=STORED_SIZES, start=window.start, seconds=window.seconds,
            whole=window.whole,
        ).frames  # fmt: skip
        parts.append(Part(window, _stored(frames, stem.with_name(f"{stem.name}-{number}"))))
        if number == len(windows) // 2:
            thumbnail = _thumbnail(frames[len(frames) // 2])
    return TakenClip(source, tuple(parts), thumbnail)


def part_windows(seconds: float) -> list[Window]:
    """Return the windows of a clip's parts, by its length: of equal length, evenly spaced, without overlap."""
    from avd_core.media.video import DEFAULT_WINDOW

    length = min(DEFAULT_WINDOW, seconds / PARTS)
    if length < SHORTEST_PART:
        return [Window(whole=True)]
    count = min(MOST_PARTS, int(seconds / length + 1e-6))
    return [Window(float(start), length) for start in np.linspace(0, seconds - length, count)]


def _stored(frames: np.ndarray, stem: Path) -> dict[int, tuple[Path, tuple[int, int, int]]]:
    """Write frames (T,H,W,3) at their own size, and reduced to each size that is smaller."""
    from avd_core.data.packs import encode_frames

    written = {}
    own = min(frames.shape[1:3])
    for size in {min(own, size) for size in STORED_SIZES}:
        kept = frames if size == own else _reduced(frames, size)
        path = stem.with_name(f"{stem.name}-{size}.avif")
        path.write_bytes(encode_frames(kept))
        written[size] = (path, kept.shape[:3])
    return written


def _reduced(frames: np.ndarray, size: int) -> np.ndarray:
    height, width = (8 * round(side * size / min(frames.shape[1:3]) / 8) for side in frames.shape[1:3])
    return np.stack(
        [np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.BOX)) for frame in frames]
    )


def _thumbnail(frame: np.ndarray) -> str:
    picture, file = Image.fromarray(frame), io.BytesIO()
    picture.thumbnail((2 * THUMBNAIL, THUMBNAIL))
    picture.save(file, "JPEG", quality=80)
    return base64.b64encode(file.getvalue()).decode()


def hold_out(clips: Sequence[TakenClip]) -> frozenset[int]:
    """Return the numbers of the clips to hold out: a tenth of each class, evenly spaced, one to eight in all.

    None if there are fewer than `FEW` clips and they have parts: then parts are held out, see `divide`. None of a
    single clip without parts either, which then trains and evaluates (`Division.apart` is False).
    """
    if len(clips) < 2 or (len(clips) < FEW and all(len(clip.parts) > 1 for clip in clips)):
        return frozenset()
    classes: dict[str, list[int]] = {}
    for number, clip in enumerate(clips):
        classes.setdefault(clip.source.label, []).append(number)
    picked = [
        number
        for members in classes.values()
        for number in (members[i] for i in np.linspace(0, len(members) - 1, len(members) // 10 + 2).astype(int)[1:-1])
    ]
    return frozenset(picked[:MOST_JUDGED]) or frozenset([len(clips) - 1])


ClipPart = tuple[int, Part]  # the number of a clip, and a part of it


@dataclass(frozen=True)
class Division:
    """Use of each part of a user's clips.

    Attributes:
        training: parts to train on.
        choosing: parts that select the weights.
        reporting: parts that report the gain.
        apart: whether the three are disjoint.
    """

    training: tuple[ClipPart, ...]
    choosing: tuple[ClipPart, ...]
    reporting: tuple[ClipPart, ...]

    @property
    def apart(self) -> bool:
        used = [
            {(number, part.window) for number, part in one} for one in (self.training, self.choosing, self.reporting)
        ]
        return sum(map(len, used)) == len(set.union(*used))


def divide(clips: Sequence[TakenClip], held_out: frozenset[int]) -> Division:
    """Divide clips into parts that train, select and report.

    Evaluation uses the held-out clips or, if there are none, parts of the first `MOST_JUDGED` clips: the second part of
    each selects, the last but one reports. Of held-out clips of a single part, every other one reports.
    """
    judged = sorted(held_out) or list(range(min(len(clips), MOST_JUDGED)))
    long, short = [n for n in judged if len(clips[n].parts) > 1], [n for n in judged if len(clips[n].parts) == 1]
    choosing = [(n, clips[n].parts[1]) for n in long] + [(n, clips[n].parts[0]) for n in short[::2]]
    reporting = [(n, clips[n].parts[-2]) for n in long] + [(n, clips[n].parts[0]) for n in short[1::2]]
    reporting = reporting or choosing  # a single clip of one part
    held_back = {(n, part.window) for n, part in (*choosing, *reporting) if n in long}
    training = [
        (number, part)
        for number, clip in enumerate(clips)
        if number not in held_out
        for part in clip.parts
        if (number, part.window) not in held_back
    ]
    return Division(tuple(training), tuple(choosing), tuple(reporting))
