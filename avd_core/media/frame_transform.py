"""Convert decoded frames to upright RGB images of a given size; `frames.colour` converts their colours.

Axis legend: `H` height, `W` width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import av
import numpy as np
from av.sidedata.sidedata import SideData

from avd_core.media.container import Limits, VideoError, shown_name
from avd_core.media.frames.colour import Reformatter
from avd_core.media.frames.combing import CombDetector
from avd_core.media.frames.frame_filter import is_field
from avd_core.media.index import Index


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

    @property
    def rotation(self) -> int:
        """Rotation from coded to upright, in degrees clockwise: 0, 90, 180 or 270."""
        a, b, _, _ = self.axes
        return round(math.degrees(math.atan2(b, a)) / 90) * 90 % 360

    @property
    def elongation(self) -> float:
        return max(self.width, self.height) / min(self.width, self.height)

    def coded(self, width: int, height: int) -> tuple[int, int]:
        """Return the (width, height) to scale the coded picture to, for an upright one of `width` x `height`."""
        return (height, width) if self.rotation in (90, 270) else (width, height)

    def upright(self, image: np.ndarray) -> np.ndarray:
        """Rotate and mirror a coded image (H, W, 3) for display."""
        a, b, c, d = self.axes
        right, down = a, d
        if self.rotation in (90, 270):
            image, right, down = image.swapaxes(0, 1), c, b
        return image[:: -1 if down < 0 else 1, :: -1 if right < 0 else 1]

    def within(self, size: int) -> tuple[int, int]:
        """Return even (width, height) of this shape with a short side of at most `size`."""
        scale = min(1.0, size / min(self.width, self.height))
        return max(2, 2 * round(self.width * scale / 2)), max(2, 2 * round(self.height * scale / 2))


class Shapes:
    """Determines the shapes of one video's frames.

    The display matrix is read once, and again if the rotation changes: in PyAV, `frame.side_data` makes a reference
    cycle that keeps the frame in memory until the cyclic collector runs. So it is read on a copy of 16 x 16 pixels.
    """

    def __init__(self, index: Index, limits: Limits) -> None:
        self._index, self._limits = index, limits
        self._axes: dict[int, tuple[float, float, float, float]] = {}  # by rotation

    def __call__(self, frame: av.VideoFrame) -> Shape:
        """Return the frame's shape.

        Raises:
            VideoError: the picture is longer than the limits allow, or its format cannot be converted.
        """
        rotation = frame.rotation
        if rotation not in self._axes:
            self._axes[rotation] = _axes(frame)
        axes = self._axes[rotation]
        rows = 2 * frame.height if is_field(frame, self._index.codec) else frame.height
        upright = max(1, round(frame.width * self._index.aspect)), rows
        width, height = upright[::-1] if abs(axes[1]) > abs(axes[0]) else upright
        if max(width, height) > self._limits.max_aspect * min(width, height):
            raise VideoError(
                f"The pictures of {shown_name(self._index.path)} are {width} x {height}, and at most "
                f"{self._limits.max_aspect:g}:1 is read; crop it first."
            )
        return Shape(width, height, axes)


def _axes(frame: av.VideoFrame) -> tuple[float, float, float, float]:
    matrix = Reformatter().small_grey(frame).side_data.get("DISPLAYMATRIX")
    if isinstance(matrix, SideData):
        a, b, _, c, d, *_ = (np.frombuffer(bytes(matrix), dtype="=i4", count=9) / 65536).tolist()
        if a * d != b * c:
            return a, b, c, d
    return 1.0, 0.0, 0.0, 1.0


def upright_yuv(reformat: Reformatter, frame: av.VideoFrame, shape: Shape, width: int, height: int) -> av.VideoFrame:
    """Convert a frame like `Reformatter.to_yuv`, and rotate it upright to `width` x `height`."""
    if shape.axes != (1.0, 0.0, 0.0, 1.0):
        image = shape.upright(reformat.to_rgb(frame, *shape.coded(width, height)))
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image))
    return reformat.to_yuv(frame, width, height)


class Fit:
    """Converts the frames of one clip to upright RGB images of one size: scaled to cover it, then centre-cropped.

    The size is that of the first frame: the short side is `side`, the long one the multiple of 8 nearest to its
    aspect ratio, at most twice `side`.

    Attributes:
        shape: of the first frame; None before it.
    """

    def __init__(self, index: Index, side: int, limits: Limits) -> None:
        self._side = side
        self._shapes, self._reformat = Shapes(index, limits), Reformatter()
        self._combs = CombDetector()
        self.shape: Shape | None = None

    def __call__(self, frame: av.VideoFrame) -> np.ndarray:
        shape = self._shapes(frame)
        self.shape = self.shape or shape
        self._combs.look(frame)
        long = min(2 * self._side, 8 * round(self._side * self.shape.elongation / 8))
        width, height = (long, self._side) if self.shape.width >= self.shape.height else (self._side, long)
        scale = max(width / shape.width, height / shape.height)
        wide, high = max(width, round(shape.width * scale)), max(height, round(shape.height * scale))
        image = shape.upright(self._reformat.to_rgb(frame, *shape.coded(wide, high)))
        top, left = (high - height) // 2, (wide - width) // 2
        return image[top : top + height, left : left + width].copy()  # a view would keep the whole image alive

    @property
    def notes(self) -> list[str]:
        notes = [*self._reformat.notes, *self._combs.notes]
        if self.shape and self.shape.elongation > 2.02:
            notes.append(f"The picture is {self.shape.elongation:.2f}:1, so its ends are cropped, to 2:1.")
        return notes
