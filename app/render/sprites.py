"""Clips as sprite sheets: all frames in one picture, from left to right and from top to bottom.

For clips that change while somebody paints or moves a slider: a sheet is encoded in milliseconds, any number of sheets
play in step by showing the same tile (static/reels.js), and as a data address it needs no file.

Axes: T frames, H, W; the last axis is RGB, uint8.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

QUALITY = 90  # of the JPEG, for viewing only: what is measured or saved is never compressed so


@dataclass(frozen=True)
class SpriteSheet:
    """A clip as one picture.

    Attributes:
        address: of the picture, for the browser.
        frames: T.
        columns: how many tiles are in a row.
        size: (H, W) of a tile.
    """

    address: str
    frames: int
    columns: int
    size: tuple[int, int]


def data_address(data: bytes, kind: str = "jpeg") -> str:
    """Return an address that holds the whole file."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def sheet(frames: np.ndarray, address: Callable[[bytes], str] = data_address) -> SpriteSheet:
    """Lay out a clip (T, H, W, 3); places left over are black.

    Args:
        frames: the clip.
        address: returns the address of a JPEG file, given its bytes.
    """
    count, height, width, _ = frames.shape
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    tiles = np.zeros((rows * columns, height, width, 3), np.uint8)
    tiles[:count] = frames
    picture = tiles.reshape(rows, columns, height, width, 3).swapaxes(1, 2).reshape(rows * height, columns * width, 3)
    return SpriteSheet(address(jpeg(picture)), count, columns, (height, width))


def jpeg(image: np.ndarray) -> bytes:
    """Encode a picture (H, W, 3) as a JPEG file, colours at full resolution."""
    return _file(image, format="JPEG", quality=QUALITY, subsampling=0)


def png(image: np.ndarray) -> bytes:
    """Encode a picture (H, W, 3) as a PNG file: every pixel is kept."""
    return _file(image, format="PNG")


def _file(image: np.ndarray, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(file, **options)
    return file.getvalue()
