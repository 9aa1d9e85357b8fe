"""Decode transparency stored beside the pictures: in each packet of VP8 and VP9 in WebM, in a track of AVIF.

FFmpeg's decoders ignore it. Here a second decoder of the same kind decodes it, with the same limits; pictures without
it are opaque.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import VideoReformatter

from avd_core.media.boxes import alpha_track
from avd_core.media.container import Limits, opened, packets

_CODECS = frozenset({"vp8", "vp9"})
_FORMATS = {
    f"yuv{sampling}p{depth}": f"yuva{sampling}p{depth}" for sampling in (420, 422, 444) for depth in ("", "10le")
}
_BESIDE: Final = "matroska_block_additional"
_HEADER = 8  # bytes of its number before its content
_MOST = 64  # transparencies that wait for their picture; a decoder with many threads is at most this many behind
_BEHIND = 300  # most packets to decode to reach a requested one


class AlphaDecoder:
    """Decodes the transparency of one stream, and adds it to the frames.

    Args:
        context: decodes it.
        limits: largest pictures that are accepted.
        beside: (number, packet) of a picture -> the packets to decode for its transparency.
    """

    def __init__(
        self, context: VideoCodecContext, limits: Limits, beside: Callable[[int, av.Packet[Any]], list[av.Packet[Any]]]
    ) -> None:
        self._context, self._beside = context, beside
        self._context.options = {"max_pixels": str(limits.max_pixels)}
        self._context.thread_count = 1  # so that each picture comes out at once
        self._reformat = VideoReformatter()
        self._ready: dict[int, av.VideoFrame] = {}  # by the number of the packet

    def restart(self) -> None:
        """Drop all state, for decoding from a keyframe that was jumped to."""
        self._context.flush_buffers()
        self._ready.clear()

    def decode(self, number: int, packet: av.Packet[Any]) -> bool:
        """Decode the transparency of packet `number`; return False if that fails."""
        frames: list[av.VideoFrame] = []
        try:
            for beside in self._beside(number, packet):
                frames = self._context.decode(beside)
        except av.FFmpegError:
            return False
        if frames:
            self._ready[number] = frames[-1]
            self._ready.pop(number - _MOST, None)
        return True

    def put_into(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Return the frame with its transparency, if it has any; `frame.pts` is the number of its packet."""
        alpha = None if frame.pts is None else self._ready.pop(frame.pts, None)
        form = _FORMATS.get(frame.format.name)
        if alpha is None or form is None or (alpha.width, alpha.height) != (frame.width, frame.height):
            return frame
        depth = frame.format.components[0].bits
        if alpha.format.components[0].bits != depth:
            return frame
        whole, width = self._reformat.reformat(frame, format=form), frame.width * (1 if depth == 8 else 2)
        _rows(whole.planes[3])[:, :width] = _rows(alpha.planes[0])[:, :width]
        return whole


def _rows(plane: av.video.plane.VideoPlane) -> np.ndarray:
    return np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: plane.height]


@contextmanager
def alpha_of(stream: av.VideoStream, path: Path, limits: Limits, *, edits: bool) -> Iterator[AlphaDecoder | None]:
    """Yield a decoder of the transparency of a file's stream; None if it has none, or of an unknown kind.

    Args:
        stream: the picture track.
        path: the file.
        limits: largest pictures that are accepted.
        edits: whether to follow its edit list.
    """
    codec = stream.codec_context.name
    track = alpha_track(path) if codec == "libdav1d" and stream.container.format.name.startswith("mov") else None
    if track is not None:
        with opened(path, limits, edits=edits) as (container, _):
            own = next((other for other in container.streams.video if other.id == track and other.frames > 1), None)
            yield AlphaDecoder(own.codec_context, limits, _Track(container, own)) if own else None
    elif stream.metadata.get("alpha_mode") == "1" and codec in _CODECS:
        context = av.CodecContext.create(codec, "r")
        assert isinstance(context, VideoCodecContext), "a codec of pictures"
        yield AlphaDecoder(context, limits, _in_the_packet)
    else:
        yield None


def _in_the_packet(_: int, packet: av.Packet[Any]) -> list[av.Packet[Any]]:
    return [av.Packet(bytes(packet.get_sidedata(_BESIDE))[_HEADER:])] if packet.has_sidedata(_BESIDE) else []


class _Track:
    """Returns the packets of a transparency track that lead to one of a number, from the last keyframe on."""

    def __init__(self, container: av.container.InputContainer, stream: av.VideoStream) -> None:
        self._packets = enumerate(packets(container, stream))

    def __call__(self, number: int, _: av.Packet[Any]) -> list[av.Packet[Any]]:
        leading: deque[av.Packet[Any]] = deque(maxlen=_BEHIND)
        for at, packet in self._packets:
            if packet.is_keyframe:
                leading.clear()
            leading.append(packet)
            if at >= number:
                break
        return list(leading)
