"""Pictures for synthetic clips: worlds and materials out of dead leaves, noise, rooms, hills or crops of photographs.

Dead leaves (opaque shapes with sizes from a power law; Lee, Mumford and Huang 2001) have the statistics of photographs:
edges, flat areas, detail at all scales. Every function draws from the generator that it is given. Axes: H, W.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

from avd_core.examples.film import fractal_noise


@lru_cache(maxsize=64)
def _noise(side: int, slope: float, variant: int) -> np.ndarray:
    return fractal_noise(np.random.default_rng([side, round(10 * slope), variant]), side, side, slope)


def noise_patch(rng: np.random.Generator, height: int, width: int, slope: float | None = None) -> np.ndarray:
    """Return a random window (height, width) of cached noise, rolled and turned at random."""
    side = 256 if max(height, width) <= 256 else 512
    slope = rng.uniform(0.8, 2.2) if slope is None else slope
    field = _noise(side, round(slope * 5) / 5, int(rng.integers(3)))
    field = np.rot90(np.roll(field, rng.integers(side, size=2), axis=(0, 1)), int(rng.integers(4)))
    repeats = (-(-height // side), -(-width // side))
    return np.tile(field, repeats)[:height, :width]


def palette(rng: np.random.Generator, count: int) -> np.ndarray:
    """Return colours (count, 3) in 0..255 like those of photographs: related, mostly muted hues of varied lightness."""
    # Wood, skin, brick, grass and sky are common; magenta and cyan are not.
    family = rng.choice([0.07, 0.12, 0.28, 0.58, rng.uniform()], p=[0.32, 0.2, 0.15, 0.2, 0.13])
    hue = family + rng.normal(0, rng.choice([0.03, 0.06, 0.3], p=[0.45, 0.4, 0.15]), count)
    saturation = np.clip(rng.beta(1.6, 3.2, count) * rng.uniform(0.4, 1.2), 0, 1)
    value = rng.beta(1.6, 1.4, count) * 0.92 + 0.06
    wheel = np.clip(np.abs((hue[:, None] + [0, 2 / 3, 1 / 3]) % 1 * 6 - 3) - 1, 0, 1)
    return 255 * value[:, None] * (1 - saturation[:, None] * (1 - wheel))


def textured(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Return a material, float (height, width, 3) in about 0..255: noise between two colours, sometimes a pattern."""
    low, high = palette(rng, 2)
    blend = 0.5 + rng.uniform(0.08, 0.35) * noise_patch(rng, height, width)
    pattern = rng.uniform()
    if pattern < 0.35:  # stripes, checks, bricks: the regular detail of clothes and houses
        y, x = np.mgrid[:height, :width] / max(height, width)
        angle, pitch = rng.uniform(0, np.pi), rng.uniform(3, 14)
        across, along = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        wave = np.sin(2 * np.pi * pitch * across)
        if pattern < 0.15:
            wave = wave * np.sin(2 * np.pi * pitch * rng.choice([0.5, 1.0]) * along)
        blend = blend * 0.6 + 0.4 * (0.5 + 0.5 * np.tanh(wave * rng.uniform(1, 6)))
    return low + (high - low) * np.clip(blend, -0.2, 1.2)[..., None]


def as_image(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _dead_leaves(rng: np.random.Generator, height: int, width: int) -> Image.Image:
    """Return overlapping opaque shapes, radii with a 1/r^3 density, each with its own colour and grain."""
    ground = as_image(textured(rng, height, width))
    canvas = ground.resize((2 * width, 2 * height))  # leaves are cut at twice the size and halved: smooth edges
    draw = ImageDraw.Draw(canvas)
    smallest, largest = rng.uniform(0.012, 0.06) * height, rng.uniform(0.2, 0.6) * height
    radii = 1 / np.sqrt(rng.uniform(1 / largest**2, 1 / smallest**2, 900))
    # Late leaves cover early ones: about two coats hide the ground and leave whole objects on top.
    radii = radii[: np.searchsorted(np.cumsum(3 * radii**2), rng.uniform(1, 3) * height * width)]
    colours = palette(rng, 12)
    boxy = rng.uniform()
    for radius in radii:
        x, y, turn = rng.uniform(0, 2 * width), rng.uniform(0, 2 * height), rng.uniform(0, 2 * np.pi)
        radius = 2 * radius
        fill = tuple(int(v) for v in np.clip(colours[rng.integers(12)] + rng.normal(0, 14, 3), 0, 255))
        if rng.uniform() < boxy:
            corners = turn + np.array([0, 1.2, 3.14, 4.34]) * rng.uniform(0.8, 1.2)
            reach = radius * (1.3 if rng.uniform() < 0.7 else rng.uniform(1, 2.5, 4))
            draw.polygon(list(zip(x + reach * np.cos(corners), y + reach * np.sin(corners), strict=True)), fill=fill)
        else:
            squash = rng.uniform(0.4, 1)
            draw.ellipse((x - radius, y - radius * squash, x + radius, y + radius * squash), fill=fill)
    grain = 1 + rng.uniform(0.03, 0.14) * noise_patch(rng, height, width, rng.uniform(0.4, 1.4))
    shade = 1 + rng.uniform(0.05, 0.2) * noise_patch(rng, height, width, 2.2)
    return as_image(np.asarray(canvas.reduce(2)) * (grain * shade)[..., None])


def _room(rng: np.random.Generator, height: int, width: int) -> Image.Image:
    """Return a room as a fixed camera sees it: wall, floor and a few boxes, lit from one side."""
    horizon = int(height * rng.uniform(0.5, 0.8))
    pixels = textured(rng, height, width) * 0.25 + palette(rng, 1) * 0.75
    pixels[horizon:] = textured(rng, height - horizon, width)
    canvas = as_image(pixels)
    draw = ImageDraw.Draw(canvas)
    for _ in range(rng.integers(1, 7)):
        w, h = rng.uniform(0.06, 0.35, 2) * [width, height]
        x, y = rng.uniform(0, width - w), (horizon - h * rng.uniform(0.3, 1)) * rng.uniform(0.3, 1.1)
        material = as_image(textured(rng, int(h) + 1, int(w) + 1) * 0.5 + palette(rng, 1) * 0.5)
        draw.rectangle((x - 2, y - 2, x + w + 2, y + h + 2), fill=tuple(int(v) for v in palette(rng, 1)[0]))
        canvas.paste(material, (int(x), int(y)))
    return _lit(rng, np.asarray(canvas))


def _hills(rng: np.random.Generator, height: int, width: int) -> Image.Image:
    """Return a landscape of sky and receding ridges."""
    top, bottom, near = palette(rng, 3)
    sky = np.linspace(0, 1, height)[:, None, None]
    pixels = (
        np.broadcast_to(top + (bottom - top) * sky, (height, width, 3))
        + 18 * noise_patch(rng, height, width, 1.6)[..., None]
    )
    rows = np.arange(height)[:, None]
    for depth in np.linspace(0.2, 1, rng.integers(2, 6)):
        ridge = height * (0.35 + 0.5 * depth) + height * 0.07 * noise_patch(rng, 1, width, 1.6)
        ground = (bottom + (near - bottom) * depth) * (
            0.8 + 0.25 * noise_patch(rng, height, width, 1.2)[..., None] * depth
        )
        cover = np.clip(rows - ridge, 0, 1)[..., None]
        pixels = pixels + (ground - pixels) * cover
    return as_image(pixels)


def _lit(rng: np.random.Generator, pixels: np.ndarray) -> Image.Image:
    height, width = pixels.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    light = 1 + rng.uniform(0, 0.35) * (x * np.cos(angle) + y * np.sin(angle)) - rng.uniform(0, 0.2) * (x * x + y * y)
    return as_image(pixels * light[..., None])


def picture(rng: np.random.Generator, height: int, width: int, photos: Sequence[np.ndarray] | None) -> Image.Image:
    """Return a world or material (height, width): a crop of a random photograph if there are any, else procedural."""
    if photos is not None and len(photos) and rng.uniform() < 0.85:
        photo = Image.fromarray(np.asarray(photos[int(rng.integers(len(photos)))], np.uint8)).convert("RGB")
        if rng.uniform() < 0.5:
            photo = photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        aspect = width / height
        largest = min(photo.width, photo.height * aspect)
        crop_w = largest * rng.uniform(0.6, 1)
        x, y = rng.uniform(0, photo.width - crop_w), rng.uniform(0, photo.height - crop_w / aspect)
        return photo.resize(
            (width, height),
            Image.Resampling.BICUBIC,
            box=(x, y, x + crop_w, y + crop_w / aspect),
            reducing_gap=2,
        )
    world = (_dead_leaves, _room, _hills, None)[rng.choice(4, p=[0.45, 0.25, 0.15, 0.15])]
    if world is None:
        return _lit(rng, textured(rng, height, width))
    return world(rng, height, width)
