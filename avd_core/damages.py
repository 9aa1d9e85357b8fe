"""What happens to a picture on its way: the 8-bit file it is saved as, and what else a picture goes through.

A network trained to hide a clip in a picture may hide it in what no eye sees (arXiv 1712.02950). What survives
these is not hidden there. Each takes an 8-bit image (H, W, 3) and gives one of the same shape.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter

Damage = Callable[[np.ndarray], np.ndarray]


def through_png(image: np.ndarray) -> np.ndarray:
    """The image after a round trip through the bytes of an 8-bit PNG file: nothing is lost."""
    return _through_file(image, format="PNG")


def through_jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """The image after a round trip through a JPEG file of that quality, colours at half resolution (4:2:0)."""
    return _through_file(image, format="JPEG", quality=quality, subsampling=2)


def blur(image: np.ndarray, radius: float = 1.0) -> np.ndarray:
    """A Gaussian blur; `radius` is its standard deviation in pixels."""
    return np.array(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius)))


def noise(image: np.ndarray, deviation: float = 4.0) -> np.ndarray:
    """Independent Gaussian noise of that standard deviation in levels of 255; the same image gets the same noise."""
    rng = np.random.default_rng(zlib.crc32(np.ascontiguousarray(image).data))
    return np.rint(image + rng.normal(0, deviation, image.shape)).clip(0, 255).astype(np.uint8)


def rescale(image: np.ndarray) -> np.ndarray:
    """Down to half its size and up again."""
    height, width, _ = image.shape
    half = Image.fromarray(image).resize((width // 2, height // 2), Image.Resampling.BILINEAR)
    return np.array(half.resize((width, height), Image.Resampling.BILINEAR))


def shift(image: np.ndarray) -> np.ndarray:
    """One pixel to the right and down; the first row and column are repeated."""
    return np.pad(image, ((1, 0), (1, 0), (0, 0)), mode="edge")[:-1, :-1]


def _through_file(image: np.ndarray, **options: object) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(image).save(file, **options)
    with Image.open(io.BytesIO(file.getvalue())) as picture:
        return np.array(picture)


DAMAGES: dict[str, Damage] = {
    "png": through_png,
    "jpeg-95": lambda image: through_jpeg(image, 95),
    "jpeg-90": lambda image: through_jpeg(image, 90),
    "jpeg-75": lambda image: through_jpeg(image, 75),
    "jpeg-50": lambda image: through_jpeg(image, 50),
    "blur": blur,
    "noise": noise,
    "rescale": rescale,
    "shift": shift,
    "jpeg-75+shift": lambda image: shift(through_jpeg(image, 75)),
}
