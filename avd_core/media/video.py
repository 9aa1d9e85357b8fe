"""Video in: hostile files in, a few upright RGB frames out.

Reading makes two passes. The first only demuxes (`index`): it finds the true length, the window where most moves, and
where decoding may start. The second (`decoder`) decodes just the groups of pictures that hold a wanted frame, and only
the wanted frames are converted (`frame_transform`) and kept, so that a long file costs time and no memory. `container`
decides what may be opened at all, and `writer` goes the other way.

Time is in seconds from the first picture on display. Axis legend: `T` frames, `H` height, `W` width.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avd_core.media.container import DEFAULT_LIMITS, Limits, VideoError, check_count, shown_name
from avd_core.media.containment.contained import contained
from avd_core.media.decoder import WORTHWHILE, DecodedWindow, decoding, nothing_decodes, take_window
from avd_core.media.frame_transform import Fit, Shape, Shapes
from avd_core.media.index import Index, read_index
from avd_core.media.window import Window

__all__ = ["Clip", "Limits", "VideoError", "VideoInfo", "probe", "read_clip"]

DEFAULT_WINDOW = 2.0  # seconds, by default: 16 frames play at 8 a second
SHORTEST_WINDOW = 0.1
STILL = 0.25  # grey levels between a pixel's darkest and lightest moment, in the mean, below which nothing moves


@dataclass(frozen=True)
class VideoInfo:
    """Facts about a file, measured on its packets and one picture rather than believed from its header.

    Attributes:
        path: of the file.
        container: FFmpeg's name of the container, such as "matroska,webm".
        codec: name of the codec, such as "h264".
        width, height: of the picture as displayed, in pixels: upright, pixels made square.
        fps: mean pictures per second.
        seconds: from the first picture's appearance to the last one's end; at least 1 for a single picture.
        rotation: degrees clockwise that stand the coded picture upright: 0, 90, 180 or 270.
        has_audio: whether there is a sound track.
        frames: number of pictures.
        notes: what is wrong with the file as a whole, in sentences for the user.
    """

    path: Path
    container: str
    codec: str
    width: int
    height: int
    fps: float
    seconds: float
    rotation: int
    has_audio: bool
    frames: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Clip:
    """A window of a video as equally spaced frames.

    Attributes:
        frames: (T, H, W, 3) uint8 RGB, the picture on display at each bin centre of the window.
        times: (T,) float64, when each of those pictures appeared in the source; one that stays on display over several
            bin centres repeats.
        fps: T / seconds, the rate at which the T frames play in real time.
        start, seconds: the window.
        source: the file it came from.
        notes: sentences for the user (cropped, damaged, ...).
    """

    frames: np.ndarray
    times: np.ndarray
    fps: float
    start: float
    seconds: float
    source: VideoInfo
    notes: tuple[str, ...] = ()


@contained(VideoError)
def probe(path: str | os.PathLike[str], limits: Limits = DEFAULT_LIMITS) -> VideoInfo:
    """Return facts about a video, by demuxing it and decoding one picture.

    Raises:
        VideoError: if the file is no accepted video, is beyond `limits`, or no picture of it can be decoded.
    """
    index = read_index(path, limits)
    with decoding(index, limits, tolerant=True) as decoder:
        for _, frame in decoder:
            if frame is not None:
                return _info(index, Shapes(index, limits)(frame))
    raise nothing_decodes(index)


@contained(VideoError)
def read_clip(
    path: str | os.PathLike[str],
    *,
    frames: int = 16,
    size: int | tuple[int, ...] = 112,
    start: float | None = None,
    seconds: float | None = None,
    whole: bool = False,
    limits: Limits = DEFAULT_LIMITS,
) -> Clip:
    """Read equally spaced frames from a window of a video.

    The window is the whole clip if `whole`, or if the clip is at most 2 s long; else `seconds` (2 by default) from
    `start`, or where most moves if `start` is not given. Each bin centre takes the picture on display at that time, so
    that a variable frame rate keeps its true speed.

    Args:
        path: a regular local file.
        frames: T, 1 to 256.
        size: short side in pixels, 8 to 1024, rounded to a multiple of 8. Of several sizes, the largest that is not
            above the file's own short side is taken, or the smallest. The long side is the multiple of 8 nearest to
            the source's aspect ratio; the rest is cropped, and so is all beyond 2:1.
        start, seconds: the window in seconds; one that reaches beyond the end is shortened, with a note.
        whole: take the whole clip; not together with `start` or `seconds`.
        limits: largest file, picture and length that are read.

    Raises:
        VideoError: if the file is no accepted video, is beyond `limits` or damaged beyond use, or an argument is out of
            range.
    """
    check_count("frames", frames, 1, 256)
    sizes = tuple(size) if isinstance(size, tuple | list) else (size,)
    for one in sizes:
        check_count("size", one, 8, 1024)
    wanted = Window(start, seconds, whole)
    index = read_index(path, limits)
    size = sizes[0] if len(sizes) == 1 else largest_within(sizes, _short_side(index, limits))
    begin, length, notes = _bounds(index, wanted)
    fit = Fit(index, 8 * round(size / 8), limits)
    movable = start is None and not whole  # this very window was not asked for
    window, damage = _take_what_plays(index, limits, begin, length, frames, fit, movable)
    if (window.begin, window.length) != (begin, length):
        notes = []  # they describe the window that was not taken
    times = np.array([taken.time for taken in window.taken])
    pictures = np.stack([taken.picture for taken in window.taken])
    assert fit.shape is not None, "frames were decoded"
    return Clip(
        frames=pictures,
        times=times,
        fps=frames / window.length,
        start=window.begin,
        seconds=window.length,
        source=_info(index, fit.shape),
        notes=(*index.notes, *notes, *damage, *fit.notes, *_repetitions(index, times, pictures)),
    )


def _repetitions(index: Index, times: np.ndarray, pictures: np.ndarray) -> list[str]:
    """Return notes about frames that repeat and pictures that hardly move."""
    if index.frames == 1:
        return ["The file holds a single picture, which is repeated."]
    notes, distinct = [], len(set(times.tolist()))
    if distinct < len(times):
        notes.append(f"The window holds {distinct} different pictures, so some of the {len(times)} frames repeat.")
    if np.ptp(pictures, axis=0).mean() < STILL:
        notes.append("Hardly anything moves in this window: a single frame says nearly as much.")
    return notes


def largest_within(sizes: Sequence[int], short_side: float) -> int:
    """Return the largest of some sizes that is not above a short side, or the smallest."""
    return max((size for size in sizes if size <= short_side), default=min(sizes))


def _short_side(index: Index, limits: Limits) -> int:
    """Return the displayed picture's short side in pixels; decodes one picture."""
    with decoding(index, limits, tolerant=True) as decoder:
        for _, frame in decoder:
            if frame is None:
                continue
            shape = Shapes(index, limits)(frame)
            return min(shape.height, shape.width)
    raise nothing_decodes(index)


def _bounds(index: Index, window: Window) -> tuple[float, float, list[str]]:
    """Return (start, seconds, notes) of a window in this video.

    Raises:
        VideoError: if it is too short or starts too late.
    """
    start, seconds, end = window.start, window.seconds, index.seconds
    if window.whole:
        return 0.0, end, []
    if seconds is not None and seconds < SHORTEST_WINDOW:
        raise VideoError(f"The window must be at least {SHORTEST_WINDOW} s long, not {seconds:g} s.")
    wanted = DEFAULT_WINDOW if seconds is None else float(seconds)

    if start is None and wanted < end:
        begin = index.liveliest(wanted)
        return begin, wanted, [f"Of {end:.1f} s, the {wanted:g} s with the most motion are used, from {begin:.1f} s."]
    if start is not None:
        latest = max(0.0, math.floor(10 * (end - SHORTEST_WINDOW)) / 10)
        if start > latest:
            raise VideoError(
                f"The window cannot start at {start:g} s: the video is {end:.1f} s long, so choose a start from 0 to "
                f"{latest:g} s."
            )
    begin = float(start or 0)
    length = min(wanted, end - begin)
    if seconds is None or length > wanted - index.gap:
        return begin, length, []
    return begin, length, [f"The video ends at {end:.1f} s, so the window is {length:.1f} s long, not {wanted:g} s."]


def _take_what_plays(
    index: Index, limits: Limits, begin: float, length: float, frames: int, fit: Fit, movable: bool
) -> tuple[DecodedWindow[np.ndarray], list[str]]:
    """Return the best frames that a possibly damaged file gives for a window, and notes about the damage.

    Taken are the frames before the first fault in the window; if they are too few and the window is `movable`, those of
    a sound stretch elsewhere; if these are too few as well, what decodes with blemishes.

    Raises:
        VideoError: if nothing decodes.
    """
    sound = take_window(index, limits, begin, length, frames, fit)
    if sound is not None and sound.fault is None:
        return sound, []
    worth = min(WORTHWHILE, length)
    if movable and (sound is None or sound.length < worth):
        anywhere = take_window(index, limits, 0.0, index.seconds, frames, fit)
        if anywhere is not None:
            sound = take_window(index, limits, anywhere.begin, min(anywhere.length, length), frames, fit) or anywhere
    if sound is None or sound.length < worth:
        blemished = take_window(index, limits, begin, length, frames, fit, tolerant=True)
        if blemished is not None:
            return blemished, ["The file is damaged, so its pictures may be blemished."]
    if sound is not None:
        used = f"what plays well from {sound.begin:.1f} to {sound.begin + sound.length:.1f} s is used"
        return sound, [f"{_fault_sentence(index, sound.fault)}; {used}."]
    if movable or length == index.seconds:
        raise nothing_decodes(index)
    raise VideoError(
        f"{shown_name(index.path)} is damaged: nothing from {begin:.1f} to {begin + length:.1f} s of it can be "
        "decoded; choose another window."
    )


def _fault_sentence(index: Index, fault: float | None) -> str:
    """Return a sentence, without its full stop, about a fault at a time in seconds; None if that is unknown."""
    if fault is None:
        return "The file is damaged"
    if fault < index.gap and not index.keys[0]:
        return "The recording begins in the middle of a group of pictures, whose first ones cannot be decoded"
    if any(abs(joint - fault) < 0.25 for joint in index.joints):
        return f"At {fault:.1f} s another recording was joined, whose beginning cannot be decoded after the first"
    return f"The file is damaged at {fault:.1f} s"


def _info(index: Index, shape: Shape) -> VideoInfo:
    return VideoInfo(
        path=index.path,
        container=index.container,
        codec=index.codec,
        width=shape.width,
        height=shape.height,
        fps=index.frames / index.seconds,
        seconds=index.seconds,
        rotation=shape.rotation,
        has_audio=index.has_audio,
        frames=index.frames,
        notes=index.notes,
    )
