"""Open untrusted video files: which are accepted, and one sentence about each that is not."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any

import av
from av.stream import Disposition

from avd_core.media.boxes import sample_entries
from avd_core.media.refusal import ACCEPTED, is_piece, protected, refusal

# A text file may tell FFmpeg to open other files (ffconcat, HLS, SDP). These demuxers stay inside the one file they
# are given, and "file" as the only protocol keeps the network out whatever a demuxer wants.
FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,mpegts"
# Codecs of cameras, phones, screen recorders and editors. FFmpeg's other video decoders and all audio decoders would
# only add attack surface.
CODECS = frozenset(
    [
        *("h264", "hevc", "vp8", "vp9", "libdav1d", "av1", "gif"),
        *("mpeg1video", "mpeg2video", "mpeg4", "msmpeg4v1", "msmpeg4v2", "msmpeg4", "h263", "flv", "theora"),
        *("wmv1", "wmv2", "wmv3", "vc1", "mjpeg", "png", "prores", "dnxhd", "cfhd", "dvvideo"),
        *("ffv1", "huffyuv", "ffvhuff", "utvideo", "rawvideo"),
        *("qtrle", "rpza", "svq1", "svq3", "cinepak", "msvideo1", "msrle"),
    ]
)
_PHOTO_BRANDS = frozenset({"heic", "heix", "heim", "heis", "mif1", "avif"})
_PROTECTED = frozenset({"encv", "drmi"})  # how MP4s call encrypted pictures
_TS_PACKETS, _TS_LOOKED_AT = (188, 192, 204), 2**20  # bytes: bare, of a camcorder or Blu-ray, with parity
_GENERATE_TIMES = 0x0001  # AVFMT_FLAG_GENPTS


class VideoError(ValueError):
    """A video cannot be read or written; the message says why, in one sentence that a user can act on."""


@dataclass(frozen=True)
class Limits:
    """Limits of a video file.

    Attributes:
        max_pixels: of one coded picture; 4096 x 4096 covers every 4K camera.
        max_frames: in the file, not in the clip taken from it.
        max_seconds: length of the file.
        max_aspect: long side of the displayed picture over its short side.
        max_work: pixels of all pictures that are decoded for one result; the default is 12,000 pictures of 4K.
        max_decoding: seconds of wall-clock time for one result, conversion included.
    """

    max_pixels: int = 4096 * 4096
    max_frames: int = 250_000
    max_seconds: float = 7200.0
    max_aspect: float = 16.0
    max_work: float = 1e11
    max_decoding: float = 120.0


DEFAULT_LIMITS = Limits()


def check_count(name: str, value: int, low: int, high: int) -> None:
    """Raise `VideoError` unless the argument called `name` is a whole number from `low` to `high`."""
    if isinstance(value, bool) or not isinstance(value, Integral) or not low <= value <= high:
        raise VideoError(f"{name} must be a whole number from {low} to {high}, not {value!r}.")


def regular_file(path: str | os.PathLike[str]) -> Path:
    """Check that a path is a regular file: no folder, and no pipe or device, which could block."""
    try:
        path = Path(path).absolute()
        status = path.stat()
        if stat.S_ISREG(status.st_mode):
            path.open("rb").close()
    except TypeError:
        raise VideoError(f"A video is given as the path of a file, not as {type(path).__name__}.") from None
    except FileNotFoundError:
        raise VideoError(f"There is no file {shown_name(path)}; check the path.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise VideoError(f"{shown_name(path)} cannot be read: {reason}.") from None
    name = shown_name(path)
    if stat.S_ISDIR(status.st_mode):
        raise VideoError(f"{name} is a folder; choose a video file in it.")
    if not stat.S_ISREG(status.st_mode):
        raise VideoError(f"{name} is a device or pipe, not a file; save the video to a file first.")
    if status.st_size == 0:
        raise VideoError(f"{name} is empty (0 bytes); export or copy it again.")
    return path


@contextmanager
def opened(
    path: Path, limits: Limits, *, edits: bool = True
) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    """Open an accepted video, ready to demux and decode its picture track; close it at the end.

    Args:
        path: the file.
        limits: largest pictures that are accepted.
        edits: follow an MP4's edit list.

    Raises:
        VideoError: it is no accepted video, or its pictures are beyond `limits`.
    """
    options = {
        "format_whitelist": FORMATS,
        "protocol_whitelist": "file",
        "codec_whitelist": ",".join(sorted(CODECS)),
        "max_pixels": str(limits.max_pixels),
    }
    if not edits:
        options["ignore_editlist"] = "1"
    try:
        # Tags of old files are often not UTF-8.
        container = av.open(str(path), options=options, metadata_errors="replace")
    except (av.FFmpegError, OSError, ValueError) as error:
        raise VideoError(refusal(path, shown_name(path))) from error
    with container:
        container.flags &= ~_GENERATE_TIMES  # made-up times are wrong where pictures are stored out of order
        stream = _picture_track(container, path, limits)
        codec = stream.codec_context
        codec.options = {"max_pixels": str(limits.max_pixels)}  # a picture may be larger than its header says
        codec.thread_type = "AUTO"
        codec.thread_count = min(8, os.cpu_count() or 1)
        yield container, stream


def packets(container: av.container.InputContainer, *tracks: av.VideoStream) -> Iterator[av.Packet[Any]]:
    """Yield the packets of the given tracks, or of all, without empty ones, which would end decoding.

    Raises:
        av.FFmpegError: the file breaks off.
    """
    try:
        for packet in container.demux(*tracks):
            if packet.size:
                yield packet
    except IndexError:
        pass  # PyAV 18 stumbles at the end of a transport stream in which a track appeared late


def shown_name(path: str | os.PathLike[str]) -> str:
    """Return a file's name for a message: without folders, which may be a server's, and control characters."""
    name = "".join(letter if letter.isprintable() else "?" for letter in Path(path).name)
    return name if len(name) <= 80 else f"{name[:60]}…{name[-16:]}"


def _picture_track(container: av.container.InputContainer, path: Path, limits: Limits) -> av.VideoStream:
    name = shown_name(path)
    # Cover art of music is a video track of one picture.
    tracks = [track for track in container.streams.video if not track.disposition & Disposition.attached_pic]
    # An image sequence (animated AVIF) holds a photograph beside its track.
    if container.metadata.get("major_brand") in _PHOTO_BRANDS and all(track.frames <= 1 for track in tracks):
        raise VideoError(f"{name} is a photograph, not a video; choose an {ACCEPTED} file.")
    if not tracks and is_piece(path):
        raise VideoError(refusal(path, name))
    if not tracks and container.streams.audio:
        raise VideoError(f"{name} holds sound but no video; choose a file with pictures.")
    if not tracks:
        raise VideoError(f"{name} holds no video; choose an {ACCEPTED} file with pictures.")
    track = max(tracks, key=lambda track: (track.frames != 1, bool(track.disposition & Disposition.default)))
    codec = track.codec_context  # None for a codec that FFmpeg does not know
    tags = sample_entries(path) if codec is None else {codec.codec_tag}
    if tags & _PROTECTED or "enc_key_id" in track.metadata or _is_scrambled(container, track, path):
        raise copy_protected(path)
    if codec is None or codec.name not in CODECS:
        kind = "an unknown codec" if codec is None else f"the codec {codec.name}"
        raise VideoError(f"{name} uses {kind}, which is not read here; convert it to H.264 in MP4.")
    if codec.width * codec.height > limits.max_pixels:
        raise VideoError(
            f"{name} has pictures of {codec.width} x {codec.height}, and at most {limits.max_pixels / 1e6:.1f} "
            "megapixels are read; scale it down first."
        )
    return track


def copy_protected(path: Path) -> VideoError:
    """Return the error to raise for a file whose pictures are encrypted."""
    return VideoError(protected(shown_name(path)))


def _is_scrambled(container: av.container.InputContainer, track: av.VideoStream, path: Path) -> bool:
    """Return whether most packets of a track in a transport stream are flagged as scrambled."""
    if container.format.name != "mpegts":
        return False
    with path.open("rb") as file:
        head = file.read(_TS_LOOKED_AT)
    size, first = max(
        ((size, first) for size in _TS_PACKETS for first in (0, size - 188)),
        key=lambda grid: head[grid[1] :: grid[0]].count(0x47) * grid[0],
    )
    headers = [head[at : at + 4] for at in range(first, len(head) - 3, size)]
    own = [header for header in headers if header[0] == 0x47 and int.from_bytes(header[1:3]) & 0x1FFF == track.id]
    return sum(header[3] & 0xC0 > 0 for header in own) > len(own) / 2
