"""Write videos: frames as an mp4 that browsers play, previews of accepted videos, several videos joined into one.

All are H.264, 4:2:0, with tagged colours and the index in front. A file appears under its name when it is complete.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from numbers import Real
from pathlib import Path

import av
import numpy as np
from av.codec.context import Flags
from av.video.frame import PictureType
from av.video.reformatter import ColorRange

from avd_core.atomic_io import atomic_file
from avd_core.config import MAX_FPS, MIN_FPS
from avd_core.media.container import DEFAULT_LIMITS, Limits, VideoError, check_count, shown_name
from avd_core.media.containment.contained import contained
from avd_core.media.decoder import decoding, displays, nothing_decodes
from avd_core.media.frame_transform import Fit, Shapes, upright_yuv
from avd_core.media.frames.colour import BT709, Reformatter, written_matrix
from avd_core.media.index import read_index


def write_mp4(path: str | os.PathLike[str], frames: np.ndarray, fps: float) -> Path:
    """Write frames as an mp4 that browsers play: H.264, 4:2:0, colours tagged, the index in front.

    The file appears under its name only when it is complete.

    Args:
        path: in an existing folder; replaced if it exists.
        frames: (T, H, W, 3) uint8 RGB; an odd side is made even by repeating its last row or column.
        fps: `MIN_FPS` to `MAX_FPS`.

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
    if isinstance(fps, bool) or not isinstance(fps, Real) or not MIN_FPS <= fps <= MAX_FPS:
        raise VideoError(f"The rate to write must be from {MIN_FPS:g} to {MAX_FPS:.0f} frames per second, not {fps!r}.")
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
    """Write an mp4 like `write_mp4`, window by window, so that memory does not grow with its length.

    Yields ``add(frames, start, seconds)``, which writes frames (T, height, width, 3), evenly spaced in the window.
    Between windows the last frame stays on display, before the first window its first frame. Players can seek to the
    start of each window.

    Args:
        path: as for `write_mp4`; the file appears when the context ends without an exception.
        height, width: of all frames, even.
    """
    reformat, tick = Reformatter(), Fraction(1, 90_000)
    last = -1
    x264 = {"crf": "16", "preset": "medium", "forced-idr": "1"}  # a keyframe; players cannot seek to a mere I-picture
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
    """Write a silent mp4 preview of an accepted video, which browsers play.

    Memory does not grow with the length. Pictures keep their times, at most 30 of them a second; of a damaged file the
    preview shows what players show.

    Args:
        path: the video.
        out: in an existing folder; replaced if it exists.
        size: most pixels of the short side, 16 to 4096; a smaller video keeps its size.
        limits: largest file, picture and length that are read.
        max_seconds: longest preview.

    Returns:
        `out`.

    Raises:
        VideoError: if the file is no accepted video, is beyond `limits`, holds no picture that can be decoded, or `out`
            cannot be written.
    """
    check_count("size", size, 16, 4096)
    with _staged(Path(out)) as staging:  # in this process, which deletes the file if the worker dies
        _transcode(path, Path(out), staging, size, limits, max_seconds)
    return Path(out)


@contained(VideoError, slow=True)
def _transcode(
    path: str | os.PathLike[str], out: Path, staging: Path, size: int, limits: Limits, max_seconds: float
) -> None:
    """Do the work of `transcode`, into the temporary file `staging`."""
    index = read_index(path, limits)
    shapes, reformat, tick = Shapes(index, limits), Reformatter(), Fraction(1, 90_000)
    encode, last = None, -math.inf
    index.check_work([float(index.shown[index.shown < max_seconds][-1])], limits)
    with decoding(index, limits, tolerant=True) as decoder, ExitStack() as output:
        for time, frame in decoder:
            if time >= max_seconds:
                break
            if frame is None or time < last + 0.029:  # a thirtieth, less the rounding to milliseconds
                continue
            shape = shapes(frame)
            if encode is None:
                width, height = shape.within(size)
                x264 = {"crf": "23", "preset": "veryfast", "g": "30"}
                encode = output.enter_context(_encoder(out, staging, width, height, Fraction(30), tick, **x264))
            end = min(index.next_time(time) if index.frames > 1 else index.seconds, max_seconds)
            picture = upright_yuv(reformat, frame, shape, width, height)
            encode(picture, round(time / tick), max(1, round((end - time) / tick)))
            last = time
        if encode is None:
            raise nothing_decodes(index)


def join(
    paths: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    size: int = 240,
    limits: Limits = DEFAULT_LIMITS,
) -> Path:
    """Write videos one after the other as one silent mp4; each is cropped to the shape of the first.

    Args:
        paths: the videos.
        out: in an existing folder; replaced if it exists.
        size: short side in pixels, 8 to 1024, rounded to a multiple of 8.

    Raises:
        VideoError: one of them is no accepted video, or `out` cannot be written.
    """
    check_count("size", size, 8, 1024)
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


@contextmanager
def _mp4(
    path: Path, width: int, height: int, rate: Fraction, tick: Fraction, **x264: str
) -> Iterator[Callable[[av.VideoFrame, int, int], None]]:
    """Yield encode(frame, time, duration), in ticks; the file appears when the context ends without an exception."""
    with _staged(path) as staging, _encoder(path, staging, width, height, rate, tick, **x264) as encode:
        yield encode


@contextmanager
def _staged(path: Path) -> Iterator[Path]:
    # By its absolute path: FFmpeg takes "a:b.mp4" for an address.
    with _writing(path), atomic_file(path.absolute()) as staging:
        yield staging


@contextmanager
def _encoder(
    path: Path, staging: Path, width: int, height: int, rate: Fraction, tick: Fraction, **x264: str
) -> Iterator[Callable[[av.VideoFrame, int, int], None]]:
    """Yield encode(frame, time, duration), in ticks, which writes into `staging`; messages name `path`."""
    options = {"movflags": "+faststart", "movie_timescale": "90000"}
    with _writing(path), av.open(str(staging), "w", format="mp4", options=options) as container:
        stream = container.add_stream("libx264", rate=rate, options=x264)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        codec = stream.codec_context
        codec.time_base = tick
        codec.colorspace, codec.color_primaries, codec.color_trc = written_matrix(height), BT709, BT709
        codec.color_range = ColorRange.MPEG
        codec.flags |= Flags.frame_duration  # else the last picture's duration is lost

        def encode(frame: av.VideoFrame, time: int, duration: int) -> None:
            frame.pts, frame.duration, frame.time_base = time, duration, tick
            container.mux(stream.encode(frame))

        yield encode
        container.mux(stream.encode())


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except (av.FFmpegError, OSError) as error:
        raise VideoError(f"{shown_name(path)} cannot be written: {error.strerror or error}.") from error
