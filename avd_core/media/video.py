"""Video in and out: hostile files in, a few upright RGB frames out, and browser-playable mp4 back.

Reading makes two passes. The first only demuxes (`video_index`): it tells the true length, the window where most
moves, and where decoding may start. The second (`video_frames`) decodes just the groups of pictures that hold a
wanted frame, and only the wanted frames are converted (`video_picture`) and kept, so that a long file costs time
and no memory. What may be opened at all is decided in `video_file`.

Time is in seconds from the first picture on display. Axis legend: `T` frames, `H` height, `W` width.
"""

from __future__ import annotations

import math
import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from numbers import Integral, Real
from pathlib import Path

import av
import numpy as np
from av.codec.context import Flags
from av.video.frame import PictureType
from av.video.reformatter import ColorRange

from avd_core.media.container import DEFAULT_LIMITS, Limits, VideoError, opened, shown_name
from avd_core.media.decoder import WORTHWHILE, Decoder, Window, take_window
from avd_core.media.frame_transform import BT709, Fit, Reformatter, Shape, written_matrix
from avd_core.media.index import Index, read_index
from avd_core.media.video_stream import displays

__all__ = [
    *("Clip", "Limits", "VideoError", "VideoInfo"),
    *("join", "probe", "read_clip", "transcode", "write_mp4", "write_mp4_in_parts"),
]

DEFAULT_WINDOW = 4.0  # seconds taken from a longer clip when nobody chooses
SHORTEST_WINDOW = 0.1
STILL = 0.25  # grey levels between a pixel's darkest and lightest moment, in the mean, below which nothing moves


@dataclass(frozen=True)
class VideoInfo:
    """Facts about a file, measured on its packets and one picture rather than believed from its header.

    Attributes:
        path: where it lies.
        container: FFmpeg's name of the container, such as "matroska,webm".
        codec: name of the codec, such as "h264".
        width, height: of the picture as displayed, in pixels: upright, pixels made square.
        fps: mean pictures per second.
        seconds: from the first picture's appearance to the last one's end; at least 1 for a single picture.
        rotation: degrees clockwise that stand the coded picture upright: 0, 90, 180 or 270.
        has_audio: whether there is a sound track.
        frames: number of pictures.
        notes: what is wrong with the file as a whole, for the person.
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
        notes: sentences for the person (cropped, damaged, ...).
    """

    frames: np.ndarray
    times: np.ndarray
    fps: float
    start: float
    seconds: float
    source: VideoInfo
    notes: tuple[str, ...] = ()


def probe(path: str | os.PathLike[str], limits: Limits = DEFAULT_LIMITS) -> VideoInfo:
    """Reads the facts of a video, by demuxing it and decoding one picture.

    Raises:
        VideoError: if the file is no accepted video, is beyond `limits`, or no picture of it can be decoded.
    """
    index = read_index(path, limits)
    with opened(index.path, limits) as (container, stream):
        for _, frame in Decoder(container, stream, index, tolerant=True):
            return _info(index, Shape.of(frame, index, limits))
    raise VideoError(_undecodable(index))


def read_clip(
    path: str | os.PathLike[str],
    *,
    frames: int = 16,
    size: int = 112,
    start: float | None = None,
    seconds: float | None = None,
    whole: bool = False,
    limits: Limits = DEFAULT_LIMITS,
) -> Clip:
    """Takes equally spaced frames from a window of a video.

    The window is the whole clip if `whole`, or if the clip is at most 4 s long; else `seconds` (4 by default) from
    `start`, or where most moves if `start` is not given. Each bin centre takes the picture on display at that time, so
    that a variable frame rate keeps its true speed.

    Args:
        path: a regular local file.
        frames: T, 1 to 256.
        size: short side in pixels, 8 to 1024, rounded to a multiple of 8. The long side is the multiple of 8 nearest to
            the source's aspect ratio; what is left over is cropped, and so is all beyond 2:1.
        start, seconds: the window; one that reaches beyond the end is shortened, with a note.
        whole: take the whole clip; not together with `start` or `seconds`.
        limits: what is refused.

    Raises:
        VideoError: if the file is no accepted video, is beyond `limits` or damaged beyond use, or an argument is out of
            range.
    """
    _check_count("frames", frames, 1, 256)
    _check_count("size", size, 8, 1024)
    index = read_index(path, limits)
    begin, length, notes = _window(index, start, seconds, whole)
    fit = Fit(index, 8 * round(size / 8), limits)
    movable = start is None and not whole  # nobody asked for just this window
    window, damage = _take_what_plays(index, limits, begin, length, frames, fit, movable)
    if (window.begin, window.length) == (begin, length):
        damage = notes + damage
    times = np.array([seen.time for seen in window.taken])
    distinct = len(set(times.tolist()))
    notes = [*index.notes, *damage, *fit.notes]
    if index.frames == 1:
        notes.append("The file holds a single picture, which is repeated.")
    elif distinct < frames:
        notes.append(f"The window holds {distinct} different pictures, so some of the {frames} frames repeat.")
    pictures = np.stack([seen.picture for seen in window.taken])
    if index.frames > 1 and np.ptp(pictures, axis=0).mean() < STILL:
        notes.append("Hardly anything moves in this window: a single frame says nearly as much.")
    return Clip(
        frames=pictures,
        times=times,
        fps=frames / window.length,
        start=window.begin,
        seconds=window.length,
        source=_info(index, fit.shape),
        notes=tuple(notes),
    )


def write_mp4(path: str | os.PathLike[str], frames: np.ndarray, fps: float) -> Path:
    """Writes frames as an mp4 that browsers play: H.264, 4:2:0, colours tagged, the index in front.

    The file appears under its name only when it is complete.

    Args:
        path: in an existing folder; replaced if it exists.
        frames: (T, H, W, 3) uint8 RGB; an odd side is made even by repeating its last row or column.
        fps: 0.001 to 100 000.

    Returns:
        `path`.

    Raises:
        VideoError: if an argument is not as above, or the file cannot be written.
    """
    frames = np.asarray(frames)
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or 0 in frames.shape:
        raise VideoError(
            f"Frames to write must be uint8 of shape (T, H, W, 3), none of them 0, not {frames.dtype} of shape "
            f"{frames.shape}."
        )
    if isinstance(fps, bool) or not isinstance(fps, Real) or not 0.001 <= fps <= 100_000:
        raise VideoError(f"The rate to write must be from 0.001 to 100000 frames per second, not {fps!r}.")
    height, width = (side + side % 2 for side in frames.shape[1:3])
    rate = Fraction(float(fps)).limit_denominator(100_000)
    reformat = Reformatter()
    with _mp4(Path(path), width, height, rate, 1 / rate, crf="16", preset="medium") as encode:
        for i, image in enumerate(frames):
            image = np.pad(image, ((0, height - image.shape[0]), (0, width - image.shape[1]), (0, 0)), mode="edge")
            encode(reformat.to_yuv(av.VideoFrame.from_ndarray(image), width, height), i, 1)
    return Path(path)


@contextmanager
def write_mp4_in_parts(
    path: str | os.PathLike[str], height: int, width: int
) -> Iterator[Callable[[np.ndarray, float, float], None]]:
    """Writes an mp4 as `write_mp4` does, window by window, so that a long one needs no memory.

    Gives ``add(frames, start, seconds)``: frames (T, height, width, 3) that share the window evenly. Between windows
    the last frame stays on display, and before the first one its first. Each window can be jumped to.

    Args:
        path: as for `write_mp4`; the file appears when the context ends well.
        height, width: of all frames, even.
    """
    reformat, tick = Reformatter(), Fraction(1, 90_000)
    last = -1
    x264 = {"crf": "16", "preset": "medium", "forced-idr": "1"}  # a forced I-picture alone could not be jumped to
    with _mp4(Path(path), width, height, Fraction(30), tick, **x264) as encode:

        def add(frames: np.ndarray, start: float, seconds: float) -> None:
            nonlocal last
            begins = [round((start + seconds * i / len(frames)) / tick) for i in range(len(frames) + 1)]
            for i, image in enumerate(frames):
                time = max(begins[i], last + 1) if last >= 0 else 0
                picture = reformat.to_yuv(av.VideoFrame.from_ndarray(np.ascontiguousarray(image)), width, height)
                picture.pict_type = PictureType.I if i == 0 else PictureType.NONE
                encode(picture, time, max(1, begins[i + 1] - time))
                last = time

        yield add


def transcode(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    size: int = 360,
    limits: Limits = DEFAULT_LIMITS,
    max_seconds: float = 60.0,
) -> Path:
    """Writes a silent mp4 preview, of any accepted video, that browsers play.

    Streams, so that memory does not grow with the length. Pictures keep their own times, at most 30 of them a second;
    of a damaged file it shows what players show.

    Args:
        path: the video.
        out: in an existing folder; replaced if it exists.
        size: most pixels of the short side, 16 to 4096; a smaller video keeps its size.
        limits: what is refused.
        max_seconds: where the preview ends.

    Returns:
        `out`.

    Raises:
        VideoError: if the file is no accepted video, is beyond `limits`, holds no picture that can be decoded, or `out`
            cannot be written.
    """
    _check_count("size", size, 16, 4096)
    index = read_index(path, limits)
    reformat, tick = Reformatter(), Fraction(1, 90_000)
    encode, last = None, -math.inf
    with opened(index.path, limits) as (container, stream), ExitStack() as output:
        for time, frame in Decoder(container, stream, index, tolerant=True):
            if time >= max_seconds:
                break
            if time < last + 0.029:  # a thirtieth, less what whole milliseconds may round away
                continue
            if encode is None:
                width, height = Shape.of(frame, index, limits).within(size)
                encode = output.enter_context(
                    _mp4(Path(out), width, height, Fraction(30), tick, crf="23", preset="veryfast", g="30")
                )
            end = min(index.next_time(time) if index.frames > 1 else index.seconds, max_seconds)
            picture = reformat.upright_yuv(frame, Shape.of(frame, index, limits), width, height)
            encode(picture, round(time / tick), max(1, round((end - time) / tick)))
            last = time
        if encode is None:
            raise VideoError(_undecodable(index))
    return Path(out)


def join(
    paths: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    size: int = 240,
    limits: Limits = DEFAULT_LIMITS,
) -> Path:
    """Writes videos one after the other as one silent mp4; each is cropped to the shape of the first.

    Args:
        paths: the videos.
        out: in an existing folder; replaced if it exists.
        size: short side in pixels, 8 to 1024, rounded to a multiple of 8.

    Raises:
        VideoError: one of them is no accepted video, or `out` cannot be written.
    """
    _check_count("size", size, 8, 1024)
    reformat, tick = Reformatter(), Fraction(1, 90_000)
    encode, shape, offset = None, None, 0.0
    with ExitStack() as output:
        for path in paths:
            index = read_index(path, limits)
            fit = Fit(index, 8 * round(size / 8), limits)
            fit.shape = shape
            for since, until, frame in displays(index, limits):
                image = fit(frame)
                height, width = image.shape[:2]
                if encode is None:
                    film = _mp4(Path(out), width, height, Fraction(30), tick, crf="20", preset="veryfast")
                    encode, shape = output.enter_context(film), fit.shape
                picture = reformat.to_yuv(av.VideoFrame.from_ndarray(image), width, height)
                encode(picture, round((offset + since) / tick), max(1, round((until - since) / tick)))
            offset += index.seconds
    return Path(out)


def _window(index: Index, start: float | None, seconds: float | None, whole: bool) -> tuple[float, float, list[str]]:
    """The window asked for, as (start, seconds, notes)."""
    end = index.seconds
    for name, value in (("start", start), ("length", seconds)):
        number = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
        if value is not None and not number:
            raise VideoError(f"The {name} of the window must be a number of seconds, not {value!r}.")
    if whole and (start is not None or seconds is not None):
        raise VideoError("Choose either the whole clip or a window with a start or a length, not both.")
    if whole:
        return 0.0, end, []
    if seconds is not None and seconds < SHORTEST_WINDOW:
        raise VideoError(f"The window must be at least {SHORTEST_WINDOW} s long, not {seconds:g} s.")
    wanted = DEFAULT_WINDOW if seconds is None else float(seconds)

    if start is None and wanted < end:
        begin = index.liveliest(wanted)
        return begin, wanted, [f"Of {end:.1f} s, the {wanted:g} s with the most motion are used, from {begin:.1f} s."]
    if start is not None:
        latest = max(0.0, math.floor(10 * (end - SHORTEST_WINDOW)) / 10)
        if not 0 <= start <= latest:
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
) -> tuple[Window, list[str]]:
    """The best that a window of a possibly damaged file gives, and what to say about it.

    Best is what plays before a fault in the window; if that is next to nothing and the window may move, what plays
    anywhere; if that is next to nothing too, what decodes with blemishes.
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
        at = "" if sound.fault is None else f" at {sound.fault:.1f} s"
        used = f"what plays well from {sound.begin:.1f} to {sound.begin + sound.length:.1f} s is used"
        return sound, [f"The file is damaged{at}; {used}."]
    if movable or length == index.seconds:
        raise VideoError(_undecodable(index))
    raise VideoError(
        f"{shown_name(index.path)} is damaged: nothing from {begin:.1f} to {begin + length:.1f} s of it can be "
        "decoded; choose another window."
    )


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


def _undecodable(index: Index) -> str:
    return f"{shown_name(index.path)} is damaged: not one picture of it can be decoded; export or copy it again."


def _check_count(name: str, value: int, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, Integral) or not low <= value <= high:
        raise VideoError(f"{name} must be a whole number from {low} to {high}, not {value!r}.")


@contextmanager
def _mp4(
    path: Path, width: int, height: int, rate: Fraction, tick: Fraction, **x264: str
) -> Iterator[Callable[[av.VideoFrame, int, int], None]]:
    """Gives encode(frame, time, duration), in ticks; the file appears under its name when all went well."""
    part = path.absolute().with_name(f".{uuid.uuid4().hex}.part")
    try:
        with av.open(
            str(part), "w", format="mp4", options={"movflags": "+faststart", "movie_timescale": "90000"}
        ) as container:
            stream = container.add_stream("libx264", rate=rate, options=x264)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            codec = stream.codec_context
            codec.time_base = tick
            codec.colorspace, codec.color_primaries, codec.color_trc = written_matrix(height), BT709, BT709
            codec.color_range = ColorRange.MPEG
            codec.flags |= Flags.frame_duration  # or the last picture's time on display is lost

            def encode(frame: av.VideoFrame, time: int, duration: int) -> None:
                frame.pts, frame.duration, frame.time_base = time, duration, tick
                container.mux(stream.encode(frame))

            yield encode
            container.mux(stream.encode())
        os.replace(part, path)
    except (av.FFmpegError, OSError) as error:
        raise VideoError(f"{shown_name(path)} cannot be written: {error.strerror or error}.") from error
    finally:
        part.unlink(missing_ok=True)
