"""Transparency of VP8 and VP9 in WebM: a second stream of pictures, in grey, beside each packet.

FFmpeg's own decoders drop it. Here a second decoder of the same kind decodes it, under the same limits; a picture
without it is opaque.
"""

from __future__ import annotations

from typing import Any, Final

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import VideoReformatter

from avd_core.media.container import Limits

_CODECS = frozenset({"vp8", "vp9"})
_FORMATS = {"yuv420p": "yuva420p", "yuv422p": "yuva422p", "yuv444p": "yuva444p"}
_BESIDE: Final = "matroska_block_additional"
_HEADER = 8  # bytes of its number before its content
_MOST = 64  # pictures that wait for theirs; a decoder of many threads is so many behind at most


class AlphaDecoder:
    """Decodes the transparency of one stream, and puts it into the frames.

    Args:
        codec: FFmpeg's name of the stream's codec, "vp8" or "vp9".
        limits: what is refused.
    """

    def __init__(self, codec: str, limits: Limits) -> None:
        self._codec, self._limits = codec, limits
        self._reformat = VideoReformatter()
        self.restart()

    @classmethod
    def of(cls, stream: av.VideoStream, limits: Limits) -> AlphaDecoder | None:
        """The decoder of a stream's transparency; None if it has none."""
        codec = stream.codec_context.name
        announced = stream.metadata.get("alpha_mode") == "1"
        return cls(codec, limits) if announced and codec in _CODECS else None

    def restart(self) -> None:
        """Forget everything, as before a keyframe that was jumped to."""
        context = av.CodecContext.create(self._codec, "r")
        assert isinstance(context, VideoCodecContext), "a codec of pictures"
        self._context = context
        self._context.options = {"max_pixels": str(self._limits.max_pixels)}
        self._context.thread_count = 1  # so that each picture comes out at once
        self._ready: dict[int, av.VideoFrame] = {}  # by the number of the packet

    def decode(self, number: int, packet: av.Packet[Any]) -> bool:
        """Take what lies beside a packet; False if that cannot be decoded."""
        if not packet.has_sidedata(_BESIDE):
            return True
        beside = av.Packet(bytes(packet.get_sidedata(_BESIDE))[_HEADER:])
        try:
            frames = self._context.decode(beside)
        except av.FFmpegError:
            return False
        if frames:
            self._ready[number] = frames[-1]
            self._ready.pop(number - _MOST, None)
        return True

    def put_into(self, frame: av.VideoFrame) -> av.VideoFrame:
        """The frame with its transparency, if there is any; `frame.pts` is the number of its packet."""
        alpha = None if frame.pts is None else self._ready.pop(frame.pts, None)
        form = _FORMATS.get(frame.format.name)
        if alpha is None or form is None or (alpha.width, alpha.height) != (frame.width, frame.height):
            return frame
        whole = self._reformat.reformat(frame, format=form)
        _rows(whole.planes[3])[:, : frame.width] = _rows(alpha.planes[0])[:, : frame.width]
        return whole


def _rows(plane: av.video.plane.VideoPlane) -> np.ndarray:
    return np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: plane.height]
