"""Convert the colours of decoded frames to ordinary pictures: BT.709's primaries, full-range RGB, on white.

| what the frame states (numbers of ITU-T H.273) | conversion | note |
|---|---|---|
| matrix RGB, BT.709, FCC, BT.601, SMPTE 240M, BT.2020 (0, 1, 4 to 7, 9) | decoded by that matrix | no |
| matrix missing or another | BT.2020 beside its primaries; else BT.709 from 720 rows on, BT.601 below | no |
| limited or full range | as it says, limited where it does not | no |
| primaries BT.709, BT.601, missing, others (1, 2, 4 to 7) | unchanged: a few levels apart | no |
| primaries BT.2020, DCI-P3, Display P3 (9, 11, 12), or missing beside BT.2020's matrix | brought to BT.709 | yes |
| transfer PQ, HLG (16, 18) | tones and colours mapped by libswscale | yes |
| transparency | on white | yes |

Wide primaries are converted to BT.709's in linear light: the transfer is inverted (sRGB, gamma 2.2 and 2.8 by their own
curves, others and none by BT.709's), colours outside are clipped, and sRGB's curve, that of screens, is applied. All
other transfers are left unchanged, as in players.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation, VideoReformatter

from avd_core.media.container import VideoError

BT601, BT709, BT2020 = 6, 1, 9  # H.273's numbers; 709's is that of its matrix, primaries and transfer, 2020's of two
_KNOWN_MATRICES = frozenset({0, 1, 4, 5, 6, 7, 9})  # H.273's numbers that swscale has; the rest, and 2, need a guess
# CIE x and y of red, green and blue (H.273, table 2); the white is D65, for DCI-P3 too, as pictures are balanced to it.
_WIDE = {
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    11: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}
_BT709_PRIMARIES = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
_D65 = (0.3127, 0.3290)
_HDR_TRANSFERS = frozenset({int(ColorTrc.SMPTE2084), int(ColorTrc.ARIB_STD_B67)})
_STRIP = 64  # rows, which bounds the memory for computing
# FFmpeg's bicubic widens with the ratio, like Pillow's, so it does not alias; its fast bilinear does.
_SCALING = (
    Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
)


def written_matrix(height: int) -> int:
    """Return the matrix to write video of a height with: the one that players assume if they ignore the tag.

    Measured: Chromium without a GPU, which computes with 7 bits, is off by up to 2 levels in BT.601, and 12 in BT.709.
    """
    return BT709 if height >= 720 else BT601


class Reformatter:
    """Scales frames and converts their colours, untagged and unusual ones included.

    Attributes:
        notes: sentences for the user about unusual conversions, as keys in order.
    """

    def __init__(self) -> None:
        self._swscale = VideoReformatter()  # keeps its tables from frame to frame
        self.notes: dict[str, None] = {}

    def to_rgb(self, frame: av.VideoFrame, width: int, height: int) -> np.ndarray:
        """Convert a frame to RGB (height, width, 3), uint8, full range."""
        return self._convert(frame, width, height, format="rgb24", dst_color_range=ColorRange.JPEG).to_ndarray()

    def to_yuv(self, frame: av.VideoFrame, width: int, height: int) -> av.VideoFrame:
        """Convert a frame to 4:2:0, limited range, in the matrix of `written_matrix`, with these tags."""
        matrix = written_matrix(height)
        colours = {"dst_colorspace": Colorspace.ITU709 if matrix == BT709 else Colorspace.ITU601}
        yuv = self._convert(frame, width, height, format="yuv420p", dst_color_range=ColorRange.MPEG, **colours)
        yuv.colorspace, yuv.color_primaries, yuv.color_trc = matrix, BT709, BT709
        yuv.color_range = ColorRange.MPEG
        return yuv

    def small_grey(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Return a grey copy of 16 x 16 pixels, for the frame's side data only."""
        return self._scaled(frame, 16, 16, format="gray", **self._guessed_matrix(frame))

    def _convert(self, frame: av.VideoFrame, width: int, height: int, **target: Any) -> av.VideoFrame:
        frame = self._opaque(frame)
        primaries = _wide_primaries(frame)
        if primaries is not None:
            full = {"format": "rgb48le", "dst_color_range": ColorRange.JPEG, **self._guessed_matrix(frame)}
            rgb = self._scaled(frame, width, height, **full).to_ndarray()
            frame = av.VideoFrame.from_ndarray(_narrowed(rgb, primaries, int(frame.color_trc)))
            self.notes["Wide colours were brought into the standard range."] = None
        target |= self._guessed_matrix(frame)
        if frame.color_trc in _HDR_TRANSFERS:
            target |= {"dst_color_trc": ColorTrc.BT709, "dst_color_primaries": ColorPrimaries.BT709}
            self.notes["HDR colours were brought into the standard range."] = None
        return self._scaled(frame, width, height, **target)

    @staticmethod
    def _guessed_matrix(frame: av.VideoFrame) -> dict[str, object]:
        if frame.format.is_rgb or frame.colorspace in _KNOWN_MATRICES:
            return {}
        if frame.color_primaries == BT2020:
            return {"src_colorspace": Colorspace.BT2020}
        wide = Colorspace.BT2020 if frame.color_trc in _HDR_TRANSFERS else Colorspace.ITU709
        return {"src_colorspace": wide if frame.height >= 720 else Colorspace.ITU601}

    def _scaled(self, frame: av.VideoFrame, width: int, height: int, **target: Any) -> av.VideoFrame:
        try:
            return self._swscale.reformat(frame, width, height, interpolation=_SCALING, threads=1, **target)
        except (av.FFmpegError, ValueError) as error:
            raise VideoError(
                f"Pictures of {frame.width} x {frame.height} in the format {frame.format.name} cannot be converted; "
                "export the video as H.264 in MP4."
            ) from error

    def _opaque(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Put the frame on white, before scaling, which would mix in the colours of transparent pixels."""
        if not any(component.is_alpha for component in frame.format.components):
            return frame
        rgba = _pixels(self._scaled(frame, frame.width, frame.height, format="rgba"), 4)
        if rgba[..., 3].min() == 255:
            return frame
        self.notes["Transparent areas were put on white."] = None
        opaque = av.VideoFrame(frame.width, frame.height, "rgb24")
        opaque.color_primaries, opaque.color_trc = frame.color_primaries, frame.color_trc
        on_white = _pixels(opaque, 3)
        for rows in (slice(top, top + _STRIP) for top in range(0, frame.height, _STRIP)):
            alpha = rgba[rows, :, 3:].astype(np.uint16)
            on_white[rows] = (rgba[rows, :, :3] * alpha + 255 * (255 - alpha) + 127) // 255
        return opaque


def _wide_primaries(frame: av.VideoFrame) -> int | None:
    """Return the number of the frame's primaries if they are wide and it is not HDR, else None."""
    primaries = int(frame.color_primaries)
    if primaries == ColorPrimaries.UNSPECIFIED and frame.colorspace == BT2020 and not frame.format.is_rgb:
        primaries = BT2020
    return primaries if primaries in _WIDE and frame.color_trc not in _HDR_TRANSFERS else None


def _narrowed(rgb: np.ndarray, primaries: int, transfer: int) -> np.ndarray:
    """Convert an image (H, W, 3) of wide primaries, uint16, to uint8 in BT.709's primaries and sRGB's curve."""
    linear = _linear(transfer)[rgb] @ _to_bt709(primaries).T
    return _SRGB[(np.sqrt(linear.clip(0, 1)) * (len(_SRGB) - 1) + 0.5).astype(np.int32)]


@lru_cache(maxsize=4)
def _to_bt709(primaries: int) -> np.ndarray:
    """Return the matrix (3, 3) from linear light in some primaries to that in BT.709's."""
    return np.linalg.solve(_to_xyz(_BT709_PRIMARIES), _to_xyz(_WIDE[primaries])).astype(np.float32)


def _to_xyz(primaries: tuple[tuple[float, float], ...]) -> np.ndarray:
    corners = np.array([(x / y, 1, (1 - x - y) / y) for x, y in (*primaries, _D65)]).T
    return corners[:, :3] * np.linalg.solve(corners[:, :3], corners[:, 3])


@lru_cache(maxsize=4)
def _linear(transfer: int) -> np.ndarray:
    """Return the linear light of each 16-bit value, (65536,)."""
    value = np.linspace(0, 1, 65536)
    if transfer == ColorTrc.IEC61966_2_1:
        light = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    elif transfer in (ColorTrc.GAMMA22, ColorTrc.GAMMA28):
        light = value ** (2.2 if transfer == ColorTrc.GAMMA22 else 2.8)
    else:
        light = np.where(value < 0.081, value / 4.5, ((value + 0.099) / 1.099) ** (1 / 0.45))
    return light.astype(np.float32)


def _srgb(size: int) -> np.ndarray:
    """Return sRGB's values, uint8 (size,), of light whose square root is evenly spaced, which is fine in the dark."""
    light = np.linspace(0, 1, size) ** 2
    value = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.rint(255 * value).astype(np.uint8)


_SRGB = _srgb(4096)


def _pixels(frame: av.VideoFrame, channels: int) -> np.ndarray:
    """Return the pixels of a packed 8-bit frame, (H, W, channels), without a copy."""
    plane = frame.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[
        : frame.height, : frame.width * channels
    ]
    return rows.reshape(frame.height, frame.width, channels)
