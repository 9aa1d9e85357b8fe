"""From a decoded frame to an upright RGB image of the right size and colours.

Axis legend: `H` height, `W` width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import av
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation, VideoReformatter

from avd_core.media.container import Limits, VideoError, shown_name
from avd_core.media.index import Index

BT601, BT709 = 6, 1  # H.273's numbers; 709's stands for its matrix, its primaries and its transfer alike
_KNOWN_MATRICES = frozenset({0, 1, 4, 5, 6, 7, 9})  # H.273's numbers that swscale has; the rest, and 2, need a guess
_HDR_TRANSFERS = frozenset({int(ColorTrc.SMPTE2084), int(ColorTrc.ARIB_STD_B67)})
# FFmpeg's bicubic widens with the ratio, like Pillow's, so it does not alias; its fast bilinear does.
_SCALING = (
    Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
)


@dataclass(frozen=True)
class Shape:
    """How a coded picture is displayed.

    Attributes:
        width, height: of the upright picture, its pixels made square.
        axes: (a, b, c, d): the display matrix sends a step right to (a, b) and a step down to (c, d).
    """

    width: int
    height: int
    axes: tuple[float, float, float, float]

    @classmethod
    def of(cls, frame: av.VideoFrame, index: Index, limits: Limits) -> Shape:
        """Raises `VideoError` if the picture is longer than `limits` allow."""
        axes = (1.0, 0.0, 0.0, 1.0)
        matrix = frame.side_data.get("DISPLAYMATRIX")
        if matrix is not None:
            a, b, _, c, d, *_ = (np.frombuffer(bytes(matrix), dtype="=i4", count=9) / 65536).tolist()
            if a * d != b * c:
                axes = (a, b, c, d)
        upright = max(1, round(frame.width * index.aspect)), frame.height
        width, height = upright[::-1] if abs(axes[1]) > abs(axes[0]) else upright
        if max(width, height) > limits.max_aspect * min(width, height):
            raise VideoError(
                f"The pictures of {shown_name(index.path)} are {width} x {height}, and at most {limits.max_aspect:g}:1 "
                "is read; crop it first."
            )
        return cls(width, height, axes)

    @property
    def rotation(self) -> int:
        """Degrees clockwise from coded to upright: 0, 90, 180 or 270."""
        a, b, _, _ = self.axes
        return round(math.degrees(math.atan2(b, a)) / 90) * 90 % 360

    @property
    def elongation(self) -> float:
        return max(self.width, self.height) / min(self.width, self.height)

    def coded(self, width: int, height: int) -> tuple[int, int]:
        """The (width, height) to scale the coded picture to, for an upright one of `width` x `height`."""
        return (height, width) if self.rotation in (90, 270) else (width, height)

    def upright(self, image: np.ndarray) -> np.ndarray:
        """Turns and mirrors a coded (H, W, 3) image as it is displayed."""
        a, b, c, d = self.axes
        right, down = a, d
        if self.rotation in (90, 270):
            image, right, down = image.swapaxes(0, 1), c, b
        return image[:: -1 if down < 0 else 1, :: -1 if right < 0 else 1]

    def within(self, size: int) -> tuple[int, int]:
        """Even (width, height) of this shape, its short side at most `size`."""
        scale = min(1.0, size / min(self.width, self.height))
        return max(2, 2 * round(self.width * scale / 2)), max(2, 2 * round(self.height * scale / 2))


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

    def upright_yuv(self, frame: av.VideoFrame, shape: Shape, width: int, height: int) -> av.VideoFrame:
        """As `to_yuv`, of the upright picture; `width` and `height` are the result's."""
        if shape.axes != (1.0, 0.0, 0.0, 1.0):
            image = shape.upright(self.to_rgb(frame, *shape.coded(width, height)))
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image))
        return self.to_yuv(frame, width, height)

    def _convert(self, frame: av.VideoFrame, width: int, height: int, **target: object) -> av.VideoFrame:
        frame = self._opaque(frame)
        hdr = frame.color_trc in _HDR_TRANSFERS
        if not frame.format.is_rgb and frame.colorspace not in _KNOWN_MATRICES:
            wide = Colorspace.BT2020 if hdr else Colorspace.ITU709
            target["src_colorspace"] = wide if frame.height >= 720 else Colorspace.ITU601
        if hdr:
            target |= {"dst_color_trc": ColorTrc.BT709, "dst_color_primaries": ColorPrimaries.BT709}
            self.notes["HDR colours were brought into the standard range."] = None
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
        rgba = self._swscale.reformat(frame, format="rgba", interpolation=_SCALING, threads=1).to_ndarray()
        alpha = rgba[..., 3:].astype(np.uint16)
        if alpha.min() == 255:
            return frame
        self.notes["Transparent areas were put on white."] = None
        on_white = (rgba[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255
        return av.VideoFrame.from_ndarray(on_white.astype(np.uint8))


class Fit:
    """Makes the frames of one clip upright RGB images of one size: scaled to cover it, then cropped at the centre.

    The size is that of the first frame: the short side is `side`, the long one the multiple of 8 nearest to its
    aspect ratio, at most twice `side`.

    Attributes:
        shape: of the first frame; None before it.
    """

    def __init__(self, index: Index, side: int, limits: Limits) -> None:
        self._index, self._side, self._limits = index, side, limits
        self._reformat = Reformatter()
        self.shape: Shape | None = None

    def __call__(self, frame: av.VideoFrame) -> np.ndarray:
        shape = Shape.of(frame, self._index, self._limits)
        self.shape = self.shape or shape
        long = min(2 * self._side, 8 * round(self._side * self.shape.elongation / 8))
        width, height = (long, self._side) if self.shape.width >= self.shape.height else (self._side, long)
        scale = max(width / shape.width, height / shape.height)
        wide, high = max(width, round(shape.width * scale)), max(height, round(shape.height * scale))
        image = shape.upright(self._reformat.to_rgb(frame, *shape.coded(wide, high)))
        top, left = (high - height) // 2, (wide - width) // 2
        return image[top : top + height, left : left + width].copy()  # a view would keep the whole image alive

    @property
    def notes(self) -> list[str]:
        notes = list(self._reformat.notes)
        if self.shape and self.shape.elongation > 2.02:
            notes.append(f"The picture is {self.shape.elongation:.2f}:1, so its ends are cropped, to 2:1.")
        return notes
