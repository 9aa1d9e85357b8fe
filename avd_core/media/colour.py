"""The colours of a decoded frame, made those of an ordinary picture: what is untagged, unusual or transparent."""

from __future__ import annotations

import av
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation, VideoReformatter

from avd_core.media.container import VideoError

BT601, BT709 = 6, 1  # H.273's numbers; 709's stands for its matrix, its primaries and its transfer alike
_KNOWN_MATRICES = frozenset({0, 1, 4, 5, 6, 7, 9})  # H.273's numbers that swscale has; the rest, and 2, need a guess
_HDR_TRANSFERS = frozenset({int(ColorTrc.SMPTE2084), int(ColorTrc.ARIB_STD_B67)})
_STRIP = 64  # rows, which bounds the memory for computing
# FFmpeg's bicubic widens with the ratio, like Pillow's, so it does not alias; its fast bilinear does.
_SCALING = (
    Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
)


def written_matrix(height: int) -> int:
    """The matrix for video of that height that every player shows right: the one it assumes if it ignores the tag.

    Measured: Chromium without a GPU, which computes with 7 bits, is off by up to 2 levels in BT.601, and 12 in BT.709.
    """
    return BT709 if height >= 720 else BT601


class Reformatter:
    """Scales frames and converts their colours, and knows what untagged and unusual video means.

    Attributes:
        notes: what was done to colours beyond the ordinary, for the person; the keys, in order.
    """

    def __init__(self) -> None:
        self._swscale = VideoReformatter()  # keeps its tables from frame to frame
        self.notes: dict[str, None] = {}

    def to_rgb(self, frame: av.VideoFrame, width: int, height: int) -> np.ndarray:
        """(height, width, 3) uint8, full range."""
        return self._convert(frame, width, height, format="rgb24", dst_color_range=ColorRange.JPEG).to_ndarray()

    def to_yuv(self, frame: av.VideoFrame, width: int, height: int) -> av.VideoFrame:
        """4:2:0, limited range, in the matrix of `written_matrix`, and tagged so."""
        matrix = written_matrix(height)
        colours = {"dst_colorspace": Colorspace.ITU709 if matrix == BT709 else Colorspace.ITU601}
        yuv = self._convert(frame, width, height, format="yuv420p", dst_color_range=ColorRange.MPEG, **colours)
        yuv.colorspace, yuv.color_primaries, yuv.color_trc = matrix, BT709, BT709
        yuv.color_range = ColorRange.MPEG
        return yuv

    def small_grey(self, frame: av.VideoFrame) -> av.VideoFrame:
        """A grey copy of 16 x 16 pixels with the frame's side data; not for looking at."""
        return self._scaled(frame, 16, 16, format="gray", **self._guessed_matrix(frame))

    def _convert(self, frame: av.VideoFrame, width: int, height: int, **target: object) -> av.VideoFrame:
        frame = self._opaque(frame)
        target |= self._guessed_matrix(frame)
        if frame.color_trc in _HDR_TRANSFERS:
            target |= {"dst_color_trc": ColorTrc.BT709, "dst_color_primaries": ColorPrimaries.BT709}
            self.notes["HDR colours were brought into the standard range."] = None
        return self._scaled(frame, width, height, **target)

    @staticmethod
    def _guessed_matrix(frame: av.VideoFrame) -> dict[str, object]:
        if frame.format.is_rgb or frame.colorspace in _KNOWN_MATRICES:
            return {}
        wide = Colorspace.BT2020 if frame.color_trc in _HDR_TRANSFERS else Colorspace.ITU709
        return {"src_colorspace": wide if frame.height >= 720 else Colorspace.ITU601}

    def _scaled(self, frame: av.VideoFrame, width: int, height: int, **target: object) -> av.VideoFrame:
        try:
            return self._swscale.reformat(frame, width, height, interpolation=_SCALING, threads=1, **target)
        except (av.FFmpegError, ValueError) as error:
            raise VideoError(
                f"Pictures of {frame.width} x {frame.height} in the format {frame.format.name} cannot be converted; "
                "export the video as H.264 in MP4."
            ) from error

    def _opaque(self, frame: av.VideoFrame) -> av.VideoFrame:
        """The frame on white, at its own size: scaling first would mix in what lies behind transparent pixels."""
        if not any(component.is_alpha for component in frame.format.components):
            return frame
        rgba = _pixels(self._scaled(frame, frame.width, frame.height, format="rgba"), 4)
        if rgba[..., 3].min() == 255:
            return frame
        self.notes["Transparent areas were put on white."] = None
        opaque = av.VideoFrame(frame.width, frame.height, "rgb24")
        on_white = _pixels(opaque, 3)
        for rows in (slice(top, top + _STRIP) for top in range(0, frame.height, _STRIP)):
            alpha = rgba[rows, :, 3:].astype(np.uint16)
            on_white[rows] = (rgba[rows, :, :3] * alpha + 255 * (255 - alpha) + 127) // 255
        return opaque


def _pixels(frame: av.VideoFrame, channels: int) -> np.ndarray:
    """The pixels of a packed 8-bit frame, (H, W, channels), without a copy."""
    plane = frame.planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: frame.height, : frame.width * channels]
    return rows.reshape(frame.height, frame.width, channels)
