"""Functions that the scenes share: linear light, a film curve, fractal noise, lens blur, soft shadows, planks.

Scenes compute in linear light (float32, 1.0 = a white sheet in the key light), in which averages over the shutter time,
glows and blurs add up as in a camera; `develop` makes screen values of it. Lengths are in units of the frame's short
side, x to the right, y down, origin at the centre. Axis legend: T frames, H, W.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from PIL import Image

# (time in seconds, shift) -> the scene's light (H, W, 3), sampled `shift` = (x, y) pixels beside the pixel centres. A
# frame is the mean of several, which both blurs motion over the shutter time and smooths edges.
Expose = Callable[[float, tuple[float, float]], np.ndarray]


def fractal_noise(rng: np.random.Generator, height: int, width: int, slope: float) -> np.ndarray:
    """Return tileable noise (height, width), mean 0 and deviation 1, amplitude proportional to frequency^-slope."""
    fy, fx = np.fft.fftfreq(height)[:, None] * height, np.fft.rfftfreq(width)[None] * width
    frequency = np.hypot(fy * width / max(height, width), fx * height / max(height, width))
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.standard_normal((height, width))) * frequency**-slope
    field = np.fft.irfft2(spectrum, s=(height, width))
    return (field / field.std()).astype(np.float32)


def grid(height: int, width: int, samples: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return the coordinates of pixel centres, x (1, W * samples) and y (H * samples, 1)."""
    unit = min(height, width)
    x = ((np.arange(width * samples) + 0.5) / samples - width / 2) / unit
    y = ((np.arange(height * samples) + 0.5) / samples - height / 2) / unit
    return x[None].astype(np.float32), y[:, None].astype(np.float32)


def shrink(pixels: np.ndarray, samples: int) -> np.ndarray:
    """Average blocks of `samples` x `samples` pixels, after supersampling."""
    height, width = pixels.shape[0] // samples, pixels.shape[1] // samples
    return pixels.reshape(height, samples, width, samples, *pixels.shape[2:]).mean(axis=(1, 3), dtype=np.float32)


def enlarge(small: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Enlarge (h, w) or (h, w, C) bilinearly to the height and width of `shape`."""
    if small.ndim == 3:
        return np.stack([enlarge(plane, shape) for plane in np.moveaxis(small, -1, 0)], axis=-1)
    return np.asarray(Image.fromarray(small.astype(np.float32)).resize(shape[::-1], Image.Resampling.BILINEAR))


def smoothstep(low: float | np.ndarray, high: float | np.ndarray, value: float | np.ndarray) -> np.ndarray:
    """Return 0 below `low`, 1 above `high`, and a smooth rise between; with `low` above `high` a fall."""
    ramp = np.clip((value - low) / (high - low), 0, 1)
    return ramp * ramp * (3 - 2 * ramp)


def colour(hexadecimal: str) -> np.ndarray:
    """Return the linear-light RGB (3,) of a screen colour such as "e8a15c"."""
    screen = np.array([int(hexadecimal[i : i + 2], 16) for i in (0, 2, 4)]) / 255
    return np.where(screen <= 0.04045, screen / 12.92, ((screen + 0.055) / 1.055) ** 2.4).astype(np.float32)


def gradient(stops: list[tuple[float, str]], value: np.ndarray) -> np.ndarray:
    """Return colours (..., 3) of values, interpolated in linear light between stops (position, screen colour)."""
    places = [place for place, _ in stops]
    channels = np.stack([colour(name) for _, name in stops])
    return np.stack([np.interp(value, places, channels[:, c]) for c in range(3)], axis=-1).astype(np.float32)


def mix(below: np.ndarray, above: np.ndarray, cover: np.ndarray) -> np.ndarray:
    """Put `above` over `below` (..., 3) with coverage (...), 0 to 1."""
    return below + (above - below) * cover[..., None]


def convolve(pixels: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Filter (H, W, 3) with a small odd-sided kernel of sum 1; edges are mirrored."""
    reach = kernel.shape[0] // 2
    padded = np.pad(pixels, ((reach, reach), (reach, reach), (0, 0)), mode="reflect")
    shape = padded.shape[:2]
    spectrum = np.fft.rfft2(kernel, s=shape)[..., None]
    blurred = np.fft.irfft2(np.fft.rfft2(padded, axes=(0, 1)) * spectrum, s=shape, axes=(0, 1))
    return blurred[2 * reach :, 2 * reach :].astype(np.float32)


def bokeh(pixels: np.ndarray, radius: float) -> np.ndarray:
    """Blur as an unfocused lens does: by a disc of `radius` pixels with a slightly brighter rim."""
    if radius < 0.6:
        return pixels
    reach = int(np.ceil(radius + 1))
    away = np.hypot(*np.mgrid[-reach : reach + 1, -reach : reach + 1])
    disc = np.clip(radius + 0.5 - away, 0, 1) * (0.8 + 0.2 * (away / radius) ** 2)
    return convolve(pixels, disc / disc.sum())


def soften(pixels: np.ndarray, sigma: float) -> np.ndarray:
    """Blur by a Gaussian of standard deviation `sigma` pixels."""
    reach = int(np.ceil(3 * sigma))
    away = np.hypot(*np.mgrid[-reach : reach + 1, -reach : reach + 1])
    bell = np.exp(-0.5 * (away / sigma) ** 2)
    return convolve(pixels, bell / bell.sum())


def ball_shadow(
    spot: tuple[np.ndarray, np.ndarray, np.ndarray],
    centre: tuple[float, float, float],
    radius: float,
    light: np.ndarray,
    penumbra: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the shares of the key light and of the sky's light that a ball blocks at points of a floor (normal -y).

    The first is the soft shadow in direction `light` (unit, towards the lamp), its edge wider with distance; the second
    the exact ambient occlusion of a plane by a sphere above it, r^2 cos(theta) / d^2 (the form factor of a sphere).
    """
    vx, vy, vz = (c - s for c, s in zip(centre, spot, strict=True))
    square = vx * vx + vy * vy + vz * vz
    along = vx * light[0] + vy * light[1] + vz * light[2]
    off = np.sqrt(np.maximum(square - along * along, 0))
    width = penumbra * np.maximum(along, 0) + 0.05 * radius
    shadow = smoothstep(radius + width, radius - width, off) * (along > 0)
    occlusion = np.clip(-vy, 0, None) * radius**2 / square**1.5
    return shadow, np.minimum(occlusion, 1)


def planks(
    rng: np.random.Generator, x: np.ndarray, z: np.ndarray, wide: float, long: float, stops: list[tuple[float, str]]
) -> np.ndarray:
    """Return the albedo of a plank floor at x (across) and z (along, also the distance from the camera), in one unit.

    `wide` and `long` are a plank's; `stops` colour it by its tint and fibre, from about -3 to 3.
    """
    column = np.floor(x / wide).astype(int)
    row = np.floor(z / long + np.take(rng.uniform(0, 1, 257), column % 257)).astype(int)
    tint = np.take(rng.normal(0, 1, 1021), (column * 131 + row * 517) % 1021)
    grain = fractal_noise(rng, 512, 512, 1.1)
    across, along = x / wide * 80 + tint * 90, z / wide * 6 + tint * 200
    fibre = grain[across.astype(int) % 512, along.astype(int) % 512]
    wood = gradient(stops, tint + 0.55 * fibre)
    gap = smoothstep(0.5 - 0.012 * z, 0.5, np.abs(x / wide - column - 0.5))
    return wood * (1 - 0.5 * gap * np.clip(2.2 / z, 0, 1))[..., None]


@lru_cache(maxsize=1)
def _film_curve() -> np.ndarray:
    """Return screen values 0..255 by sqrt(linear / 16): a filmic curve (Narkowicz's fit of ACES), then sRGB's."""
    light = np.linspace(0, 1, 8192) ** 2 * 16
    toned = light * (2.51 * light + 0.03) / (light * (2.43 * light + 0.59) + 0.14)
    screen = np.where(toned <= 0.0031308, 12.92 * toned, 1.055 * np.clip(toned, 0, None) ** (1 / 2.4) - 0.055)
    return (255 * np.clip(screen, 0, 1)).astype(np.float32)


def develop(linear: np.ndarray, grain: np.ndarray, exposure: float = 0.8) -> np.ndarray:
    """Convert linear light (H, W, 3) to screen values, uint8; `grain` (H, W) is in screen levels."""
    place = np.sqrt(np.clip(linear * np.float32(exposure / 16), 0, 1)) * np.float32(8191)
    screen = _film_curve()[place.astype(np.uint16)] + grain[..., None]
    return np.clip(screen + np.float32(0.5), 0, 255).astype(np.uint8)
