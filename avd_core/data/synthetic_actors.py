"""Actors of synthetic clips: things that drift, bounce, wave in the wind, and people made of limbs.

An `Actor` paints itself onto a canvas, given the camera, a 3x3 matrix from world to canvas pixels, and the time in
[0, 1]. World coordinates are in units of the frame's short side, x to the right, y down, origin at the centre.

`drifter`, `ball`, `cloth` and `person` make one each of a random generator, the distance `travel` it covers in world
units, the number of `pixels` along the frame's short side, and photographs, uint8 (h, w, 3), to cut materials from.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from avd_core.data.synthetic_pictures import as_image, noise_patch, palette, picture, textured

_AFFINE, _BILINEAR = Image.Transform.AFFINE, Image.Resampling.BILINEAR


def pose(x: float = 0.0, y: float = 0.0, angle: float = 0.0, sx: float = 1.0, sy: float | None = None) -> np.ndarray:
    """Return the 3x3 matrix that scales by (sx, sy), then turns by `angle` radians, then shifts by (x, y)."""
    c, s, sy = np.cos(angle), np.sin(angle), sx if sy is None else sy
    return np.array([[c * sx, -s * sy, x], [s * sx, c * sy, y], [0.0, 0.0, 1.0]])


def inverse(m: np.ndarray) -> np.ndarray:
    """Return the inverse of an affine 3x3 matrix."""
    (a, b, x), (c, d, y) = m[0], m[1]
    det = a * d - b * c
    return np.array([[d, -b, b * y - d * x], [-c, a, c * x - a * y], [0, 0, det]]) / det


Actor = Callable[[Image.Image, np.ndarray, float], None]


@dataclass(frozen=True)
class _Sprite:
    """An RGBA picture with its origin at the centre; `per_pixel` is the size of a pixel in world units."""

    image: Image.Image
    per_pixel: float

    def __post_init__(self) -> None:
        # Premultiplied once: otherwise Pillow converts the whole sprite twice for every transform.
        object.__setattr__(self, "image", self.image.convert("RGBa"))

    def paint(self, canvas: Image.Image, matrix: np.ndarray) -> None:
        """Paint it within the box that it covers; `matrix` maps the sprite's world coordinates to canvas pixels.

        In plain numbers, which are faster here: called a thousand times a clip, numpy's calls took longer than pixels.
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
    """Return a random shape in a grey picture (side, side) with a margin: disc, box, polygon or a lobed blob."""
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
    """Return a textured, shaded shape about `extent` world units wide, and its soft shadow."""
    side = int(np.clip(extent * pixels * 1.3, 10, 220))
    mask = _mask(rng, side, ball)
    soft = mask.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 1.2)))
    material = np.asarray(picture(rng, side, side, photos), np.float32)
    if rng.uniform() < 0.4:
        material = textured(rng, side, side)
    y, x = np.mgrid[slice(-1, 1, side * 1j), slice(-1, 1, side * 1j)]
    relief = np.asarray(mask.filter(ImageFilter.GaussianBlur(side * 0.1)), np.float32) / 255
    light = 0.55 + 0.5 * relief - rng.uniform(0, 0.25) * (x + y)
    if ball:
        material = textured(rng, side, side)
    image = as_image(material * light[..., None])
    image.putalpha(soft)
    shadow = Image.new("RGBA", (side, side))
    shadow.putalpha(mask.filter(ImageFilter.GaussianBlur(side * 0.06)).point(lambda v: v * 0.45))
    return _Sprite(image, extent / side * 1.2), _Sprite(shadow, extent / side * 1.2)


def wander(rng: np.random.Generator, travel: float) -> Callable[[float], np.ndarray]:
    """Return a smooth path t -> (x, y), t in [0, 1], of about `travel` world units: a line, an arc or a swing."""
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


def drifter(rng: np.random.Generator, travel: float, pixels: int, photos: Sequence[np.ndarray] | None) -> Actor:
    """Make a cut-out that drifts, turns and grows, with a shadow below it."""
    sprite, shadow = _cut_out(rng, rng.uniform(0.12, 0.7), pixels, photos)
    path, spin = wander(rng, travel), rng.normal(0, 0.7) * (rng.uniform() < 0.6)
    turn, grow = rng.uniform(0, 2 * np.pi), rng.normal(0, 0.2)
    offset = rng.uniform(0, 0.05, 2)

    def paint(canvas: Image.Image, camera: np.ndarray, t: float) -> None:
        x, y = path(t)
        place = pose(x, y, turn + spin * t, np.exp(grow * (t - 0.5)))
        shadow.paint(canvas, camera @ pose(*offset) @ place)
        sprite.paint(canvas, camera @ place)

    return paint


def ball(rng: np.random.Generator, travel: float, pixels: int, photos: Sequence[np.ndarray] | None) -> Actor:
    """Make a ball that rolls along a floor, or bounces and flattens at contact; its highlight does not turn."""
    size = rng.uniform(0.1, 0.35)
    sprite, shadow = _cut_out(rng, size, pixels, photos, ball=True)
    radius = size * 0.42 * 1.2
    glow = Image.new("RGBA", (64, 64))
    y, x = np.mgrid[slice(-1, 1, 64j), slice(-1, 1, 64j)] / 0.84
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
        shadow.paint(canvas, camera @ pose(x + 0.15 * lift, floor, 0, 1 + lift * 0.5, 0.22))
        body = camera @ pose(x, y, 0, 1 / squash, squash)
        sprite.paint(canvas, body @ pose(angle=side * travel * t / radius))
        gloss.paint(canvas, body)

    return paint


def cloth(rng: np.random.Generator, travel: float, pixels: int, photos: Sequence[np.ndarray] | None) -> Actor:
    """Make a sheet in the wind: columns of a picture, shifted and shaded by a travelling wave."""
    height, width = rng.uniform(0.3, 0.9), rng.uniform(0.3, 0.9)
    h, w = int(height * pixels) + 4, int(width * pixels) + 4
    source = np.asarray(picture(rng, h, w, photos), np.float32)
    path, tilt = wander(rng, travel * 0.3), rng.normal(0, 0.25)
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
        x, y = path(t)
        _Sprite(as_image(pixel), 1 / pixels).paint(canvas, camera @ pose(x, y, tilt))

    return paint


# Joint angles in radians, 0 hanging down, positive forwards/outwards: (still pose, swing) for upper arm, forearm,
# thigh, shin, left then right, and the trunk's lean. `person` adds seeded variation.
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
    """Return a rounded, shaded, cloth-textured limb along +y with its upper joint at the sprite's centre."""
    reach = length + width
    h, w = max(int(2 * reach * pixels), 6), max(int(width * 2.2 * pixels), 4)
    y, x = np.mgrid[slice(-reach, reach, h * 1j), slice(-1.1 * width, 1.1 * width, w * 1j)]
    along = np.clip(y, 0, length)
    half = width / 2 * (1 + (taper - 1) * along / length)
    inside = half - np.hypot(x, y - along)
    alpha = np.clip(inside * pixels + 0.5, 0, 1)
    across = np.clip(x / half, -1, 1)
    light = 0.62 + 0.42 * np.sqrt(1 - across**2 * 0.9) - 0.16 * across
    cloth = 1 + 0.07 * noise_patch(rng, h, w, 1.0)
    pixel = np.concatenate([colour * (light * cloth)[..., None], 255 * alpha[..., None]], axis=2)
    return _Sprite(as_image(pixel), 1 / pixels)


@dataclass(frozen=True)
class _Body:
    """The parts of a person of height `tall` in world units."""

    tall: float
    upper: _Sprite
    fore: _Sprite
    hand: _Sprite
    thigh: _Sprite
    shin: _Sprite
    foot: _Sprite
    trunk: _Sprite
    hips: _Sprite
    neck: _Sprite
    head: _Sprite
    hair: _Sprite

    def paint(self, canvas: Image.Image, root: np.ndarray, angles: np.ndarray, nod: float) -> None:
        """Paint the person; `root` maps the hips to canvas pixels, `angles` (9,) are in the order of `_GESTURES`."""
        tall, a = self.tall, angles
        chest = root @ pose(angle=a[8] * 0.6) @ pose(0, -0.27 * tall)

        def arm(side: int) -> None:
            elbow = chest @ pose((0.085 if side else -0.085) * tall, 0.025 * tall, -a[side])
            wrist = elbow @ pose(0, 0.16 * tall, -a[2 + side])
            self.hand.paint(canvas, wrist @ pose(0, 0.15 * tall))
            self.fore.paint(canvas, wrist)
            self.upper.paint(canvas, elbow)

        def leg(side: int) -> None:
            hip = root @ pose((0.045 if side else -0.045) * tall, 0, -a[4 + side])
            knee = hip @ pose(0, 0.22 * tall, -a[6 + side])
            self.foot.paint(canvas, knee @ pose(0, 0.22 * tall, -1.3))
            self.shin.paint(canvas, knee)
            self.thigh.paint(canvas, hip)

        arm(0)
        leg(0)
        leg(1)
        self.hips.paint(canvas, root)
        self.neck.paint(canvas, chest @ pose(0, -0.04 * tall))
        self.trunk.paint(canvas, chest)
        neck = chest @ pose(0, -0.085 * tall, nod)
        self.hair.paint(canvas, neck @ pose(0, -0.035 * tall))
        self.head.paint(canvas, neck @ pose(0, -0.015 * tall))
        arm(1)


def _body(rng: np.random.Generator, tall: float, pixels: int) -> _Body:
    """Return a body in random clothes and colours, `tall` world units high."""
    tones = np.array([[244, 208, 177], [224, 172, 125], [172, 118, 80], [110, 72, 48]])
    skin = tones[rng.integers(4)] * rng.uniform(0.85, 1.05)
    shirt, trousers, hair = palette(rng, 3)
    bare = rng.uniform() < 0.4
    density = int(pixels * 1.1)

    def make(colour: np.ndarray, length: float, width: float, taper: float = 0.8) -> _Sprite:
        return _limb(rng, colour, length * tall, width * tall, density, taper)

    return _Body(
        tall,
        upper=make(shirt, 0.16, 0.075),
        fore=make(skin if bare else shirt, 0.15, 0.058),
        hand=make(skin, 0.035, 0.055, 1),
        thigh=make(trousers, 0.22, 0.105),
        shin=make(trousers, 0.22, 0.075),
        foot=make(hair * 0.6, 0.07, 0.05),
        trunk=make(shirt, 0.24, 0.19, 0.85),
        hips=make(trousers, 0.03, 0.17),
        neck=make(skin, 0.05, 0.06),
        head=make(skin, 0.05, 0.115, 0.9),
        hair=make(hair * 0.5, 0.02, 0.13),
    )


def person(rng: np.random.Generator, travel: float, pixels: int, photos: Sequence[np.ndarray] | None) -> Actor:
    """Make a person of tapered limbs, near (head and hands) or far (whole figure), doing one of `_GESTURES`."""
    gesture = str(rng.choice(list(_GESTURES)))
    tall = rng.uniform(0.5, 1.0) if gesture in ("walk", "jack", "squat", "bend") else rng.uniform(0.6, 2.0)
    body = _body(rng, tall, pixels)
    still, swing = (np.array(v, float) for v in _GESTURES[gesture])
    still, swing = still + rng.normal(0, 0.08, 9), swing * rng.uniform(0.6, 1.3)
    rate, phase = rng.uniform(0.6, 2.6), rng.uniform(0, 2 * np.pi)
    lag = rng.uniform(-0.6, 0.6, 9) * [0, 0, 1, 1, 0, 0, 1, 1, 0]
    facing, headroom = rng.choice([-1, 1]), 0.42 * tall - 0.47
    stance = rng.uniform(headroom, max(headroom + 0.12, 0.48 - 0.47 * tall))  # the head, if not the feet, is in view
    going = facing * (travel if gesture == "walk" else travel * 0.08)
    x0 = rng.uniform(-0.4, 0.4) - going / 2
    shadow = Image.new("RGBA", (48, 16))
    y, x = np.mgrid[slice(-1, 1, 16j), slice(-1, 1, 48j)]
    shadow.putalpha(Image.fromarray((110 * np.clip(1.1 - np.hypot(x, y), 0, 1)).astype(np.uint8)))
    contact = _Sprite(shadow, 0.4 * tall / 48)

    def paint(canvas: Image.Image, camera: np.ndarray, t: float) -> None:
        a = still + swing * np.sin(2 * np.pi * rate * t + phase + lag)
        drop = 0.22 * tall * (2 - np.cos(a[4]) - np.cos(a[4] + a[6])) * 0.9
        root = camera @ pose(x0 + going * t, stance + drop, 0, facing, 1)
        contact.paint(canvas, root @ pose(0, 0.47 * tall - drop))
        body.paint(canvas, root, a, nod=0.1 * np.sin(2 * np.pi * rate * t))

    return paint
