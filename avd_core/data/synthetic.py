"""Seeded synthetic clips for training: textured worlds under a moving camera, with things that move in them.

`random_scene(seed)` composes a clip as a film is composed: a *world* picture (a photograph handed in by the caller, or
dead leaves, fractal noise, a room, hills), seen by a *camera* (still, pan, zoom, roll, hand shake), and before it
*actors*: cut-outs that drift, balls that bounce or roll, cloth in the wind, people made of limbs. Every frame is the
mean of a few jittered exposures within its shutter time, which smooths edges and blurs motion at once.

Two choices matter for a model that learns to restore. Dead leaves (opaque shapes with sizes from a power law; Lee,
Mumford and Huang 2001) have the statistics of photographs: edges, flat areas, detail at all scales. And speeds are
log-uniform, the camera still in two clips of five, because that is how people film.

numpy and Pillow only; the same seed gives the same clip. Axis legend: T frames, H, W. World and screen coordinates are
in units of the frame's short side, x to the right, y down, origin at the centre; time runs over [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from avd_core.examples.film import fractal_noise

_AFFINE, _BILINEAR = Image.Transform.AFFINE, Image.Resampling.BILINEAR


# --- textures ---


@lru_cache(maxsize=64)
def _noise(side: int, slope: float, variant: int) -> np.ndarray:
    return fractal_noise(np.random.default_rng([side, round(10 * slope), variant]), side, side, slope)


def _noise_patch(rng: np.random.Generator, height: int, width: int, slope: float | None = None) -> np.ndarray:
    """A random (height, width) window of cached noise, rolled and turned so that no two look alike."""
    side = 256 if max(height, width) <= 256 else 512
    slope = rng.uniform(0.8, 2.2) if slope is None else slope
    field = _noise(side, round(slope * 5) / 5, int(rng.integers(3)))
    field = np.rot90(np.roll(field, rng.integers(side, size=2), axis=(0, 1)), rng.integers(4))
    repeats = (-(-height // side), -(-width // side))
    return np.tile(field, repeats)[:height, :width]


def _palette(rng: np.random.Generator, count: int) -> np.ndarray:
    """Colours (count, 3) in 0..255 as photographs have them: one family of hues, mostly muted, lightness varied."""
    # Wood, skin, brick, grass and sky are common; magenta and cyan are not.
    family = rng.choice([0.07, 0.12, 0.28, 0.58, rng.uniform()], p=[0.32, 0.2, 0.15, 0.2, 0.13])
    hue = family + rng.normal(0, rng.choice([0.03, 0.06, 0.3], p=[0.45, 0.4, 0.15]), count)
    saturation = np.clip(rng.beta(1.6, 3.2, count) * rng.uniform(0.4, 1.2), 0, 1)
    value = rng.beta(1.6, 1.4, count) * 0.92 + 0.06
    wheel = np.clip(np.abs((hue[:, None] + [0, 2 / 3, 1 / 3]) % 1 * 6 - 3) - 1, 0, 1)
    return 255 * value[:, None] * (1 - saturation[:, None] * (1 - wheel))


def _textured(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A material, float (height, width, 3) in about 0..255: noise between two colours, sometimes woven or striped."""
    low, high = _palette(rng, 2)
    blend = 0.5 + rng.uniform(0.08, 0.35) * _noise_patch(rng, height, width)
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


def _as_image(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _dead_leaves(rng: np.random.Generator, height: int, width: int) -> Image.Image:
    """Opaque shapes dropped on one another, radii with a 1/r^3 density, each with its own colour and grain."""
    ground = _as_image(_textured(rng, height, width))
    canvas = ground.resize((2 * width, 2 * height))  # leaves are cut at twice the size and halved: smooth edges
    draw = ImageDraw.Draw(canvas)
    smallest, largest = rng.uniform(0.012, 0.06) * height, rng.uniform(0.2, 0.6) * height
    radii = 1 / np.sqrt(rng.uniform(1 / largest**2, 1 / smallest**2, 900))
    # Late leaves cover early ones: about two coats hide the ground and leave whole objects on top.
    radii = radii[: np.searchsorted(np.cumsum(3 * radii**2), rng.uniform(1, 3) * height * width)]
    colours = _palette(rng, 12)
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
    grain = 1 + rng.uniform(0.03, 0.14) * _noise_patch(rng, height, width, rng.uniform(0.4, 1.4))
    shade = 1 + rng.uniform(0.05, 0.2) * _noise_patch(rng, height, width, 2.2)
    return _as_image(np.asarray(canvas.reduce(2)) * (grain * shade)[..., None])


def _room(rng: np.random.Generator, height: int, width: int) -> Image.Image:
    """Wall, floor and a few box-shaped things, lit from one side: what a fixed indoor camera sees."""
    horizon = int(height * rng.uniform(0.5, 0.8))
    pixels = _textured(rng, height, width) * 0.25 + _palette(rng, 1) * 0.75
    pixels[horizon:] = _textured(rng, height - horizon, width)
    canvas = _as_image(pixels)
    draw = ImageDraw.Draw(canvas)
    for _ in range(rng.integers(1, 7)):
        w, h = rng.uniform(0.06, 0.35, 2) * [width, height]
        x, y = rng.uniform(0, width - w), (horizon - h * rng.uniform(0.3, 1)) * rng.uniform(0.3, 1.1)
        material = _as_image(_textured(rng, int(h) + 1, int(w) + 1) * 0.5 + _palette(rng, 1) * 0.5)
        draw.rectangle((x - 2, y - 2, x + w + 2, y + h + 2), fill=tuple(int(v) for v in _palette(rng, 1)[0]))
        canvas.paste(material, (int(x), int(y)))
    return _lit(rng, np.asarray(canvas))


def _hills(rng: np.random.Generator, height: int, width: int) -> Image.Image:
    """Sky and receding ridges: the open air."""
    top, bottom, near = _palette(rng, 3)
    sky = np.linspace(0, 1, height)[:, None, None]
    pixels = (
        np.broadcast_to(top + (bottom - top) * sky, (height, width, 3))
        + 18 * _noise_patch(rng, height, width, 1.6)[..., None]
    )
    rows = np.arange(height)[:, None]
    for depth in np.linspace(0.2, 1, rng.integers(2, 6)):
        ridge = height * (0.35 + 0.5 * depth) + height * 0.07 * _noise_patch(rng, 1, width, 1.6)
        ground = (bottom + (near - bottom) * depth) * (
            0.8 + 0.25 * _noise_patch(rng, height, width, 1.2)[..., None] * depth
        )
        cover = np.clip(rows - ridge, 0, 1)[..., None]
        pixels = pixels + (ground - pixels) * cover
    return _as_image(pixels)


def _lit(rng: np.random.Generator, pixels: np.ndarray) -> Image.Image:
    height, width = pixels.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    light = 1 + rng.uniform(0, 0.35) * (x * np.cos(angle) + y * np.sin(angle)) - rng.uniform(0, 0.2) * (x * x + y * y)
    return _as_image(pixels * light[..., None])


def _picture(rng: np.random.Generator, height: int, width: int, photos: Sequence[np.ndarray] | None) -> Image.Image:
    """A (height, width) world or material: a crop of a random photograph if there are any, else a procedural one."""
    if photos is not None and len(photos) and rng.uniform() < 0.85:
        photo = Image.fromarray(np.asarray(photos[rng.integers(len(photos))], np.uint8)).convert("RGB")
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
    world = rng.choice([_dead_leaves, _room, _hills, None], p=[0.45, 0.25, 0.15, 0.15])
    if world is None:
        return _lit(rng, _textured(rng, height, width))
    return world(rng, height, width)


# --- geometry ---


def _pose(x: float = 0.0, y: float = 0.0, angle: float = 0.0, sx: float = 1.0, sy: float | None = None) -> np.ndarray:
    """3x3 matrix that scales, then turns, then shifts."""
    c, s, sy = np.cos(angle), np.sin(angle), sx if sy is None else sy
    return np.array([[c * sx, -s * sy, x], [s * sx, c * sy, y], [0.0, 0.0, 1.0]])


def _inverse(m: np.ndarray) -> np.ndarray:
    (a, b, x), (c, d, y) = m[0], m[1]
    det = a * d - b * c
    return np.array([[d, -b, b * y - d * x], [-c, a, c * x - a * y], [0, 0, det]]) / det


# --- actors: each is a function that paints itself at time t, given the camera (world -> canvas pixels) ---

Actor = Callable[[Image.Image, np.ndarray, float], None]


@dataclass(frozen=True)
class _Sprite:
    """An RGBA picture whose centre is the origin; `per_pixel` is its pixel's size in world units."""

    image: Image.Image
    per_pixel: float

    def __post_init__(self) -> None:
        # Premultiplied once: Pillow would otherwise convert the whole sprite to and fro at every transform.
        object.__setattr__(self, "image", self.image.convert("RGBa"))

    def paint(self, canvas: Image.Image, matrix: np.ndarray) -> None:
        """Paint it, touching only the box it covers; `matrix`: world to canvas pixels.

        In plain numbers: painted a thousand times a clip, it would spend more time in numpy's calls than in pixels.
        """
        (w, h), ((a, b, x), (c, d, y), _) = self.image.size, matrix.tolist()
        a, b, c, d = a * self.per_pixel, b * self.per_pixel, c * self.per_pixel, d * self.per_pixel
        reach_x, reach_y = (abs(a) * w + abs(b) * h) / 2, (abs(c) * w + abs(d) * h) / 2
        left, top = max(math.floor(x - reach_x), 0), max(math.floor(y - reach_y), 0)
        right, bottom = min(math.ceil(x + reach_x), canvas.width), min(math.ceil(y + reach_y), canvas.height)
        if right <= left or bottom <= top:
            return
        det, dx, dy = a * d - b * c, left - x, top - y
        back = (d / det, -b / det, (d * dx - b * dy) / det + w / 2, -c / det, a / det, (a * dy - c * dx) / det + h / 2)
        patch = self.image.transform((right - left, bottom - top), _AFFINE, back, _BILINEAR)
        canvas.paste(patch, (left, top), patch)


def _mask(rng: np.random.Generator, side: int, round_only: bool = False) -> Image.Image:
    """A shape in a (side, side) grey picture with a free margin: disc, box, polygon or a lobed blob."""
    radius, angles = side * 0.42, np.linspace(0, 2 * np.pi, 48, endpoint=False)
    kind = 0.0 if round_only else rng.uniform()
    if kind < 0.15:
        reach = np.full(48, 1.0)
    elif kind < 0.35:  # superellipse: anything from a diamond to a box
        power = rng.uniform(1.2, 8)
        reach = (np.abs(np.cos(angles)) ** power + np.abs(np.sin(angles)) ** power) ** (-1 / power)
    elif kind < 0.5:
        angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(4, 9)))
        reach = rng.uniform(0.6, 1, len(angles))
    else:
        lobes = sum(rng.normal(0, 0.35 / k) * np.sin(k * angles + rng.uniform(0, 6.3)) for k in range(1, 7))
        reach = np.exp(lobes)
    reach = reach / reach.max()
    squash = 1.0 if round_only else rng.uniform(0.45, 1)
    points = np.stack([np.cos(angles) * reach, np.sin(angles) * reach * squash], axis=1) * radius + side / 2
    mask = Image.new("L", (side, side))
    ImageDraw.Draw(mask).polygon([tuple(p) for p in points], fill=255)
    return mask


def _cut_out(
    rng: np.random.Generator,
    extent: float,
    pixels: int,
    photos: Sequence[np.ndarray] | None,
    ball: bool = False,
) -> tuple[_Sprite, _Sprite]:
    """A textured, shaded shape about `extent` world units wide, and its soft shadow."""
    side = int(np.clip(extent * pixels * 1.3, 10, 220))
    mask = _mask(rng, side, ball)
    soft = mask.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 1.2)))
    material = np.asarray(_picture(rng, side, side, photos), np.float32)
    if rng.uniform() < 0.4:
        material = _textured(rng, side, side)
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    relief = np.asarray(mask.filter(ImageFilter.GaussianBlur(side * 0.1)), np.float32) / 255
    light = 0.55 + 0.5 * relief - rng.uniform(0, 0.25) * (x + y)
    if ball:
        material = _textured(rng, side, side)
    image = _as_image(material * light[..., None])
    image.putalpha(soft)
    shadow = Image.new("RGBA", (side, side))
    shadow.putalpha(mask.filter(ImageFilter.GaussianBlur(side * 0.06)).point(lambda v: v * 0.45))
    return _Sprite(image, extent / side * 1.2), _Sprite(shadow, extent / side * 1.2)


def _wander(rng: np.random.Generator, travel: float) -> Callable[[float], np.ndarray]:
    """A smooth path (x, y)(t) over t in 0..1 that covers about `travel` world units: a line, an arc, a swing."""
    heading = rng.uniform(0, 2 * np.pi)
    direction = np.array([np.cos(heading), np.sin(heading) * 0.6])
    start = rng.uniform(-0.5, 0.5, 2) - direction * travel / 2
    if rng.uniform() < 0.35:  # there and back
        rate, phase = rng.uniform(0.4, 2.5), rng.uniform(0, 2 * np.pi)
        swing = direction * travel / (2 * max(rate, 1))
        return lambda t: start + direction * travel / 2 + swing * np.sin(2 * np.pi * rate * t + phase)
    bend = np.array([-direction[1], direction[0]]) * rng.normal(0, 0.5) * travel
    ease = rng.uniform(0.6, 1.8)
    return lambda t: start + direction * travel * t**ease + bend * 4 * t * (1 - t)


def _drifter(rng: np.random.Generator, travel: float, pixels: int, photos: Sequence[np.ndarray] | None) -> Actor:
    sprite, shadow = _cut_out(rng, rng.uniform(0.12, 0.7), pixels, photos)
    path, spin = _wander(rng, travel), rng.normal(0, 0.7) * (rng.uniform() < 0.6)
    turn, grow = rng.uniform(0, 2 * np.pi), rng.normal(0, 0.2)
    offset = rng.uniform(0, 0.05, 2)

    def paint(canvas: Image.Image, camera: np.ndarray, t: float) -> None:
        x, y = path(t)
        place = _pose(x, y, turn + spin * t, np.exp(grow * (t - 0.5)))
        shadow.paint(canvas, camera @ _pose(*offset) @ place)
        sprite.paint(canvas, camera @ place)

    return paint


def _ball(rng: np.random.Generator, travel: float, pixels: int, photos: Sequence[np.ndarray] | None) -> Actor:
    """A ball that rolls along a floor, or bounces over it with squash at contact; shading turns with neither."""
    size = rng.uniform(0.1, 0.35)
    sprite, shadow = _cut_out(rng, size, pixels, photos, ball=True)
    radius = size * 0.42 * 1.2
    glow = Image.new("RGBA", (64, 64))
    y, x = np.mgrid[-1:1:64j, -1:1:64j] / 0.84
    shade = np.clip(255 * (0.1 + 0.55 * np.hypot(x + 0.35, y + 0.4) ** 2) * 0.6, 0, 200)
    glow.putalpha(Image.fromarray((shade * np.clip((1 - np.hypot(x, y)) * 14, 0, 1)).astype(np.uint8)))
    gloss = _Sprite(glow, size * 1.2 / 64)
    side, floor = rng.choice([-1, 1]), rng.uniform(0.1, 0.48)
    x0 = rng.uniform(-0.35, 0.35) - side * travel / 2
    hop = rng.uniform(0.15, 0.7) * (rng.uniform() < 0.6)
    rate, phase = rng.uniform(0.7, 2.2), rng.uniform()

    def paint(canvas: Image.Image, camera: np.ndarray, t: float) -> None:
        x, u = x0 + side * travel * t, (t * rate + phase) % 1
        lift = hop * 4 * u * (1 - u)
        squash = 1 - 0.22 * np.exp(-lift / 0.03) * (hop > 0)
        y = floor - radius * squash - lift
        shadow.paint(canvas, camera @ _pose(x + 0.15 * lift, floor, 0, 1 + lift * 0.5, 0.22))
        body = camera @ _pose(x, y, 0, 1 / squash, squash)
        sprite.paint(canvas, body @ _pose(angle=side * travel * t / radius))
        gloss.paint(canvas, body)

    return paint


def _cloth(rng: np.random.Generator, travel: float, pixels: int, photos: Sequence[np.ndarray] | None) -> Actor:
    """A sheet in the wind: columns of a picture shifted and shaded by a travelling wave."""
    height, width = rng.uniform(0.3, 0.9), rng.uniform(0.3, 0.9)
    h, w = int(height * pixels) + 4, int(width * pixels) + 4
    source = np.asarray(_picture(rng, h, w, photos), np.float32)
    path, tilt = _wander(rng, travel * 0.3), rng.normal(0, 0.25)
    waves, rate, depth = rng.uniform(0.7, 2.5), rng.uniform(0.5, 2.0), rng.uniform(0.01, 0.05) * h
    margin = int(depth) + 3
    columns = np.arange(w)
    rows = np.arange(h + 2 * margin)[:, None]

    def paint(canvas: Image.Image, camera: np.ndarray, t: float) -> None:
        phase = 2 * np.pi * (waves * columns / w - rate * t)
        shift = depth * np.sin(phase) * (0.25 + columns / w)
        row = rows - margin - shift
        below = np.clip(np.floor(row), 0, h - 2).astype(int)
        mix = np.clip(row - below, 0, 1)[..., None].astype(np.float32)
        pixel = source[below, columns] * (1 - mix) + source[below + 1, columns] * mix
        alpha = np.clip(np.minimum(row + 1, h - row), 0, 1) * np.clip(np.minimum(columns, w - 1 - columns), 0, 1)
        light = (1 + 0.22 * np.cos(phase)).astype(np.float32)
        pixel = np.concatenate([pixel * light[:, None], 255 * alpha[..., None].astype(np.float32)], axis=2)
        _Sprite(_as_image(pixel), 1 / pixels).paint(canvas, camera @ _pose(*path(t), tilt))

    return paint


# Joint angles in radians, 0 hanging down, positive forwards/outwards: (still pose, swing) for upper arm, forearm,
# thigh, shin, left then right, and the trunk's lean. `_person` adds seeded variation.
_GESTURES: dict[str, tuple[Sequence[float], Sequence[float]]] = {
    "walk": (
        (0, 0, 0.3, 0.3, 0, 0, -0.2, -0.2, 0.05),
        (0.6, -0.6, 0.25, -0.25, -0.5, 0.5, -0.35, 0.35, 0.02),
    ),
    "wave": ((0.15, -2.3, 0.1, -0.5, 0.06, -0.06, 0, 0, 0), (0.05, 0.15, 0.05, 0.7, 0, 0, 0, 0, 0.02)),
    "wave both": ((2.3, -2.3, 0.5, -0.5, 0.08, -0.08, 0, 0, 0), (0.25, -0.25, 0.6, -0.6, 0, 0, 0, 0, 0)),
    "jack": ((1.6, -1.6, 0.2, -0.2, 0.3, -0.3, 0, 0, 0), (1.2, -1.2, 0.15, -0.15, 0.25, -0.25, 0, 0, 0)),
    "bend": ((0.4, 0.3, 0.2, 0.2, -0.1, 0.1, -0.1, -0.1, 0.6), (0.5, 0.5, 0.1, 0.1, 0, 0, 0, 0, 0.6)),
    "sign": ((0.5, -0.5, 1.6, -1.6, 0.06, -0.06, 0, 0, 0), (0.35, -0.3, 0.8, -0.9, 0, 0, 0, 0, 0.03)),
    "punch": (
        (0.9, 0.4, 1.2, 1.6, 0.25, -0.25, -0.1, -0.1, 0.1),
        (0.6, -0.6, -0.9, 0.9, 0.05, -0.05, 0, 0, 0.1),
    ),
    "squat": ((1.4, 1.4, 0.1, 0.1, 0.5, -0.5, -0.6, 0.6, 0.1), (0.2, 0.2, 0, 0, 0.5, -0.5, -0.6, 0.6, 0.1)),
}


def _limb(
    rng: np.random.Generator, colour: np.ndarray, length: float, width: float, pixels: int, taper: float = 0.8
) -> _Sprite:
    """A rounded, shaded, cloth-textured limb along +y whose upper joint is the sprite's centre."""
    reach = length + width
    h, w = max(int(2 * reach * pixels), 6), max(int(width * 2.2 * pixels), 4)
    y, x = np.mgrid[-reach : reach : h * 1j, -1.1 * width : 1.1 * width : w * 1j]
    along = np.clip(y, 0, length)
    half = width / 2 * (1 + (taper - 1) * along / length)
    inside = half - np.hypot(x, y - along)
    alpha = np.clip(inside * pixels + 0.5, 0, 1)
    across = np.clip(x / half, -1, 1)
    light = 0.62 + 0.42 * np.sqrt(1 - across**2 * 0.9) - 0.16 * across
    cloth = 1 + 0.07 * _noise_patch(rng, h, w, 1.0)
    pixel = np.concatenate([colour * (light * cloth)[..., None], 255 * alpha[..., None]], axis=2)
    return _Sprite(_as_image(pixel), 1 / pixels)


def _person(rng: np.random.Generator, travel: float, pixels: int, photos: Sequence[np.ndarray] | None) -> Actor:
    """Somebody made of tapered limbs, near (head and hands) or far (whole figure), doing one of `_GESTURES`."""
    gesture = str(rng.choice(list(_GESTURES)))
    tall = rng.uniform(0.5, 1.0) if gesture in ("walk", "jack", "squat", "bend") else rng.uniform(0.6, 2.0)
    skin = np.array([[244, 208, 177], [224, 172, 125], [172, 118, 80], [110, 72, 48]][rng.integers(4)]) * rng.uniform(
        0.85, 1.05
    )
    shirt, trousers, hair = _palette(rng, 3)
    bare = rng.uniform() < 0.4
    density = int(pixels * 1.1)
    make = lambda colour, length, width, taper=0.8: _limb(rng, colour, length * tall, width * tall, density, taper)  # noqa: E731
    upper, fore = make(shirt, 0.16, 0.075), make(skin if bare else shirt, 0.15, 0.058)
    hand, thigh, shin = make(skin, 0.035, 0.055, 1), make(trousers, 0.22, 0.105), make(trousers, 0.22, 0.075)
    foot, trunk, hips = (
        make(hair * 0.6, 0.07, 0.05),
        make(shirt, 0.24, 0.19, 0.85),
        make(trousers, 0.03, 0.17),
    )
    neck, head, mop = make(skin, 0.05, 0.06), make(skin, 0.05, 0.115, 0.9), make(hair * 0.5, 0.02, 0.13)
    still, swing = (np.array(v, float) for v in _GESTURES[gesture])
    still, swing = still + rng.normal(0, 0.08, 9), swing * rng.uniform(0.6, 1.3)
    rate, phase = rng.uniform(0.6, 2.6), rng.uniform(0, 2 * np.pi)
    lag = rng.uniform(-0.6, 0.6, 9) * [0, 0, 1, 1, 0, 0, 1, 1, 0]
    facing, headroom = rng.choice([-1, 1]), 0.42 * tall - 0.47
    stance = rng.uniform(headroom, max(headroom + 0.12, 0.48 - 0.47 * tall))  # the head, if not the feet, is in view
    going = facing * (travel if gesture == "walk" else travel * 0.08)
    x0 = rng.uniform(-0.4, 0.4) - going / 2
    shadow = Image.new("RGBA", (48, 16))
    y, x = np.mgrid[-1:1:16j, -1:1:48j]
    shadow.putalpha(Image.fromarray((110 * np.clip(1.1 - np.hypot(x, y), 0, 1)).astype(np.uint8)))
    contact = _Sprite(shadow, 0.4 * tall / 48)

    def paint(canvas: Image.Image, camera: np.ndarray, t: float) -> None:
        a = still + swing * np.sin(2 * np.pi * rate * t + phase + lag)
        drop = 0.22 * tall * (2 - np.cos(a[4]) - np.cos(a[4] + a[6])) * 0.9
        root = camera @ _pose(x0 + going * t, stance + drop, 0, facing, 1)
        contact.paint(canvas, root @ _pose(0, 0.47 * tall - drop))
        chest = root @ _pose(angle=a[8] * 0.6) @ _pose(0, -0.27 * tall)

        def arm(side: int) -> None:
            elbow = chest @ _pose((0.085 if side else -0.085) * tall, 0.025 * tall, -a[side])
            wrist = elbow @ _pose(0, 0.16 * tall, -a[2 + side])
            hand.paint(canvas, wrist @ _pose(0, 0.15 * tall))
            fore.paint(canvas, wrist)
            upper.paint(canvas, elbow)

        def leg(side: int) -> None:
            hip = root @ _pose((0.045 if side else -0.045) * tall, 0, -a[4 + side])
            knee = hip @ _pose(0, 0.22 * tall, -a[6 + side])
            foot.paint(canvas, knee @ _pose(0, 0.22 * tall, -1.3))
            shin.paint(canvas, knee)
            thigh.paint(canvas, hip)

        arm(0)
        leg(0)
        leg(1)
        hips.paint(canvas, root)
        neck.paint(canvas, chest @ _pose(0, -0.04 * tall))
        trunk.paint(canvas, chest)
        nod = chest @ _pose(0, -0.085 * tall, 0.1 * np.sin(2 * np.pi * rate * t))
        mop.paint(canvas, nod @ _pose(0, -0.035 * tall))
        head.paint(canvas, nod @ _pose(0, -0.015 * tall))
        arm(1)

    return paint


# --- camera and film ---


def _camera(rng: np.random.Generator) -> Callable[[float], np.ndarray]:
    """World -> view matrix over time; the view spans one unit. Two clips of five are filmed from a tripod."""
    if rng.uniform() < 0.4:
        return lambda t: np.eye(3)
    pan = _wander(rng, np.exp(rng.uniform(np.log(0.03), np.log(0.6))))
    middle = pan(0.5)
    zoom = rng.normal(0, 0.16) * (rng.uniform() < 0.5)
    roll = rng.normal(0, 0.12) * (rng.uniform() < 0.4)
    shake = np.exp(rng.uniform(np.log(0.002), np.log(0.02))) * (rng.uniform() < 0.4)
    rates, phases = rng.uniform(0.5, 4, (3, 3)), rng.uniform(0, 6.3, (3, 3))

    def view(t: float) -> np.ndarray:
        x, y = pan(t) - middle
        jx, jy, jr = shake * np.sin(2 * np.pi * rates * t + phases).sum(axis=1)
        return _pose(x + jx, y + jy, roll * (t - 0.5) + jr, np.exp(zoom * (t - 0.5)))

    return view


def random_scene(
    seed: int, frames: int = 16, size: int | tuple[int, int] = 112, photos: Sequence[np.ndarray] | None = None
) -> np.ndarray:
    """Compose one synthetic training clip.

    Args:
        seed: Any non-negative integer; each gives another clip.
        frames: Number of frames T.
        size: Side of a square clip, or (H, W), in pixels.
        photos: Photographs, uint8 (h, w, 3) of any sizes, to use as worlds and materials instead of most of the
            procedural ones. Nothing is kept of them.

    Returns:
        uint8 (T, H, W, 3).

    Raises:
        ValueError: Without at least one frame, or with a side under 16 pixels.
    """
    height, width = (size, size) if isinstance(size, int | np.integer) else size
    if frames < 1 or min(height, width) < 16:
        raise ValueError(f"A clip needs at least 1 frame of 16x16 pixels, not {frames} of {height}x{width}.")
    rng = np.random.default_rng([seed, 7])
    unit = min(height, width)
    view = _camera(rng)
    times = (np.arange(frames) + 0.5) / frames
    shutter = rng.choice([0.1, 0.3, 0.6]) / frames

    # The world is just large enough that the camera never sees its edge.
    corners = np.array([[-width, width, -width, width], [-height, -height, height, height], [2 * unit] * 4]) / (
        2 * unit
    )
    seen = np.concatenate([(_inverse(view(t)) @ corners)[:2] for t in times], axis=1)
    half = np.abs(seen).max(axis=1) + 4 / unit
    density = unit * min(1.0, 3.0 / half.max())
    world_w, world_h = (2 * half * density).astype(int)
    world = _picture(rng, int(world_h), int(world_w), photos)
    to_world = _pose(world_w / 2, world_h / 2, 0, density)

    kinds, weights = [_drifter, _ball, _person, _cloth], [0.36, 0.16, 0.36, 0.12]
    count = rng.choice(6, p=[0.06, 0.34, 0.28, 0.18, 0.1, 0.04])
    speed = lambda: float(np.exp(rng.uniform(np.log(0.04), np.log(1.0))))  # noqa: E731  world units over the clip
    actors = [kinds[rng.choice(4, p=weights)](rng, speed(), unit, photos) for _ in range(count)]

    exposures = 3 if count < 3 else 2
    jitter = (
        np.array([[0.17, -0.3], [-0.33, 0.0], [0.17, 0.3]])
        if exposures == 3
        else np.array([[0.25, -0.25], [-0.25, 0.25]])
    ) / unit
    to_canvas = _pose(width / 2, height / 2, 0, unit)

    @lru_cache(maxsize=exposures)  # a camera that stands still sees the same world in every frame
    def backdrop(back: tuple[float, ...]) -> Image.Image:
        return world.transform((width, height), _AFFINE, back, _BILINEAR)

    total = np.zeros((frames, height, width, 3), np.uint16)
    for index, time in enumerate(times):
        for exposure, offset in enumerate(jitter):
            t = time + shutter * (exposure / exposures - 0.5)
            camera = to_canvas @ _pose(*offset) @ view(t)
            back = to_world @ _inverse(camera)
            canvas = backdrop(tuple(back[:2].ravel())).copy()
            for paint in actors:
                paint(canvas, camera, t)
            total[index] += np.asarray(canvas)
    return _developed(rng, total.astype(np.float32) / exposures, times)


def _developed(rng: np.random.Generator, clip: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Exposure, contrast, drift of the light and, in some clips, a little sensor noise; float clip in, uint8 out."""
    gain, lift = rng.uniform(0.8, 1.15), rng.uniform(-8, 14)
    if rng.uniform() < 0.25:
        drift = 1 + rng.uniform(-0.15, 0.15) * np.sin(np.pi * times * rng.uniform(0.3, 2) + rng.uniform(0, 6.3))
        gain = gain * drift.astype(np.float32)[:, None, None, None]
    clip = clip * gain + np.float32(lift)
    if rng.uniform() < 0.3:
        clip += rng.uniform(0.5, 2.5) * rng.standard_normal(clip.shape, np.float32)
    return np.clip(clip + 0.5, 0, 255).astype(np.uint8)
