"""What happens to a picture on its way: the 8-bit file it is saved as, and what else a picture goes through.

A network trained to hide a clip in a picture may hide it in what no eye sees (arXiv 1712.02950). What survives
these is not hidden there. Each takes an 8-bit image (H, W, 3) and gives one of the same shape.
"""

from __future__ import annotations

import io
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

Damage = Callable[[np.ndarray], np.ndarray]
STRONGEST = {"blur": 16.0, "noise": 128.0}  # pixels, levels of 255: beyond, nothing is left to look at


class DamageError(ValueError):
    """A damage of a strength that there is not, with a sentence saying which there are."""


@dataclass(frozen=True)
class Degradation:
    """What an image goes through on its way to somebody else, in this order; called with an image, it does it.

    Attributes:
        blur: standard deviation of a Gaussian blur in pixels; 0 leaves it sharp.
        noise: standard deviation of Gaussian noise in levels of 255; 0 leaves it clean.
        jpeg: quality of the JPEG file it is saved as, 1 to 100; None keeps it a PNG.
    """

    blur: float = 0.0
    noise: float = 0.0
    jpeg: int | None = None

    def __post_init__(self) -> None:
        for name, most in STRONGEST.items():
            value = getattr(self, name)
            if not (math.isfinite(value) and 0 <= value <= most):
                raise DamageError(f"There is no {name} of {value:g}; it goes from 0 to {most:g}.")
        if self.jpeg is not None and not (1 <= self.jpeg <= 100 and int(self.jpeg) == self.jpeg):
            raise DamageError(f"There is no JPEG quality {self.jpeg:g}; it is a whole number from 1 to 100.")

    def __call__(self, image: np.ndarray) -> np.ndarray:
        if self.blur:
            image = blur(image, self.blur)
        if self.noise:
            image = noise(image, self.noise)
        return image if self.jpeg is None else through_jpeg(image, int(self.jpeg))


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


DEGRADATIONS: dict[str, Damage] = {
    "png": through_png,
    "jpeg-95": lambda image: through_jpeg(image, 95),
    "jpeg-90": lambda image: through_jpeg(image, 90),
    "jpeg-75": lambda image: through_jpeg(image, 75),
    "jpeg-50": lambda image: through_jpeg(image, 50),
    "blur": blur,
    "blur-0.5": lambda image: blur(image, 0.5),
    "blur-2": lambda image: blur(image, 2.0),
    "noise": noise,
    "noise-1": lambda image: noise(image, 1.0),
    "noise-2": lambda image: noise(image, 2.0),
    "noise-8": lambda image: noise(image, 8.0),
    "rescale": rescale,
    "shift": shift,
    "jpeg-75+shift": lambda image: shift(through_jpeg(image, 75)),
}
