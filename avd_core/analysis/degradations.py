"""What happens to a picture on its way: the 8-bit file it is saved as, and what else a picture goes through.

A network trained to hide a clip in a picture may hide it in what no eye sees (arXiv 1712.02950). What survives
these is not hidden there. Each takes an 8-bit image (H, W, 3) and gives one of the same shape; `degradation_sweep`
measures how well a clip still comes back when its image went through them, weakly and strongly.

Axes: T frames, H, W; the last axis is RGB.
"""

from __future__ import annotations

import io
import math
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from avd_core.analysis.metrics import psnr

Operation = Callable[[np.ndarray], np.ndarray]
STRONGEST = {"blur": 16.0, "noise": 128.0}  # pixels, levels of 255: beyond these nothing can be recognised


class DegradationError(ValueError):
    """A strength of a degradation is out of range; the message says what is allowed."""


@dataclass(frozen=True)
class Degradation:
    """Blur, noise and JPEG, applied to an image in this order by calling it.

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
                raise DegradationError(f"There is no {name} of {value:g}; it goes from 0 to {most:g}.")
        if self.jpeg is not None and not (1 <= self.jpeg <= 100 and int(self.jpeg) == self.jpeg):
            raise DegradationError(f"There is no JPEG quality {self.jpeg:g}; it is a whole number from 1 to 100.")

    def __call__(self, image: np.ndarray) -> np.ndarray:
        if self.blur:
            image = blur(image, self.blur)
        if self.noise:
            image = noise(image, self.noise)
        return image if self.jpeg is None else through_jpeg(image, int(self.jpeg))


def through_png(image: np.ndarray) -> np.ndarray:
    """Write an image to an 8-bit PNG and read it back, which is lossless."""
    return _through_file(image, format="PNG")


def through_jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """Write an image to a JPEG of a quality 1 to 100 and read it back; colours at half resolution (4:2:0)."""
    return _through_file(image, format="JPEG", quality=quality, subsampling=2)


def blur(image: np.ndarray, radius: float = 1.0) -> np.ndarray:
    """Blur by a Gaussian; `radius` is its standard deviation in pixels."""
    return np.array(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius)))


def noise(image: np.ndarray, deviation: float = 4.0) -> np.ndarray:
    """Add Gaussian noise of a standard deviation in levels of 255; the same image gets the same noise."""
    rng = np.random.default_rng(zlib.crc32(np.ascontiguousarray(image).data))
    return np.rint(image + rng.normal(0, deviation, image.shape)).clip(0, 255).astype(np.uint8)


def rescale(image: np.ndarray) -> np.ndarray:
    """Scale an image to half its size and back."""
    height, width, _ = image.shape
    half = Image.fromarray(image).resize((width // 2, height // 2), Image.Resampling.BILINEAR)
    return np.array(half.resize((width, height), Image.Resampling.BILINEAR))


def shift(image: np.ndarray) -> np.ndarray:
    """Move an image one pixel to the right and down; the first row and column are repeated."""
    return np.pad(image, ((1, 0), (1, 0), (0, 0)), mode="edge")[:-1, :-1]


def _through_file(image: np.ndarray, **options: Any) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(image).save(file, **options)
    with Image.open(io.BytesIO(file.getvalue())) as picture:
        return np.array(picture)


DEGRADATIONS: dict[str, Operation] = {
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


Decode = Callable[[np.ndarray], np.ndarray]  # uint8 (H, W, 3) -> uint8 (T, H, W, 3)

# The strengths of each curve, the mildest first; a key is an attribute of `Degradation`.
SWEEPS: dict[str, tuple[float, ...]] = {
    "jpeg": (98, 95, 90, 80, 65, 50, 30, 10),
    "blur": (0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0),
    "noise": (1, 2, 4, 8, 12, 16, 24, 32),
}


@dataclass(frozen=True)
class DegradedQuality:
    """Quality of a clip restored from a degraded image.

    Attributes:
        degradation: what was done to the image.
        psnr_undamaged: in dB, against the clip restored from the undamaged image; `metrics.PSNR_CAP` if they are equal.
        psnr_original: in dB, against the original clip; None without one.
    """

    degradation: Degradation
    psnr_undamaged: float
    psnr_original: float | None


def degraded_quality(
    degradation: Degradation, restored: np.ndarray, undamaged: np.ndarray, original: np.ndarray | None = None
) -> DegradedQuality:
    """Measure a restored clip; clips are uint8 (T, H, W, 3)."""
    return DegradedQuality(
        degradation, psnr(undamaged, restored), None if original is None else psnr(original, restored)
    )


def degradation_sweep(
    image: np.ndarray,
    undamaged: np.ndarray,
    decode: Decode,
    original: np.ndarray | None = None,
    sweeps: Mapping[str, tuple[float, ...]] = SWEEPS,
) -> Iterator[tuple[str, float, DegradedQuality]]:
    """Yield the points of all curves, one by one, the mildest of every curve first.

    Args:
        image: uint8 (H, W, 3), the undamaged image.
        undamaged: the clip restored from it.
        decode: restores a clip from an image.
        original: the original clip; None if unknown.
        sweeps: strengths by kind of degradation.

    Yields:
        The kind of degradation, its strength, and the quality.
    """
    for strengths in zip_longest(*sweeps.values()):
        for kind, strength in zip(sweeps, strengths, strict=True):
            if strength is not None:
                how: dict[str, Any] = {kind: strength}
                degradation = Degradation(**how)
                yield kind, strength, degraded_quality(degradation, decode(degradation(image)), undamaged, original)
