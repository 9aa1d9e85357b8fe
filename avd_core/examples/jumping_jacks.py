"""Jumping jacks in a sunlit room: a figure of tapered limbs, modelled in relief and lit like a small clay film.

Its silhouette throws the shadow on the wall.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from avd_core.examples.figure import Lamp, Paint, Relief, face, lit
from avd_core.examples.film import Expose, colour, fractal_noise, gradient, grid, mix, planks, shrink, smoothstep

PERIOD = 1.6  # seconds for one jumping jack
_SUN = np.array([-0.52, -0.6, 0.61], np.float32)  # towards the window; z towards the camera
_WARM, _SKY, _BOUNCE = (np.array(c, np.float32) for c in ((1.5, 1.24, 0.92), (0.4, 0.44, 0.5), (0.3, 0.22, 0.15)))
_LAMP = Lamp(_SUN, _WARM, _SKY, _BOUNCE)
_GROUND, _HORIZON, _BASE = 0.5, -0.1, 0.335  # y of the feet, of the eye, and of the floor's far edge
_LEG = 0.485  # length of a straight leg

_SKIN, _HAIR, _LIP = colour("d79a70"), colour("3a2118"), colour("a8493c")
_SHIRT, _BAND, _SHORTS = colour("e2553c"), colour("fbeee0"), colour("26375c")
_SOCK, _SHOE, _SOLE = colour("f3efe8"), colour("e9b23a"), colour("fbf7ef")


def _bump(phase: float, start: float, end: float) -> float:
    return float(np.sin(np.pi * np.clip((phase - start) / (end - start), 0, 1)))


def _shirt(top: float, bottom: float) -> Paint:
    """Coral with a white band across the chest, between heights `top` and `bottom`."""

    def paint(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        down = (y - (_GROUND - top)) / (top - bottom) + 1.6 * x * x + 0 * x
        band = smoothstep(0.2, 0.23, down) * smoothstep(0.42, 0.39, down)
        line = smoothstep(0.47, 0.49, down) * smoothstep(0.55, 0.53, down)
        return mix(np.broadcast_to(_SHIRT, (*down.shape, 3)), _BAND, np.maximum(band, line))

    return paint


def _figure(relief: Relief, phase: float) -> tuple[float, float]:
    """Model the figure at a phase (0..1) of the jack; return the distance of a foot from the middle, and its height."""
    limb = relief.limb
    legs = float(smoothstep(0.08, 0.36, phase) - smoothstep(0.58, 0.86, phase))
    arms = float(smoothstep(0.0, 0.44, phase) - smoothstep(0.5, 0.96, phase))
    hop = 0.05 * (_bump(phase, 0.08, 0.38) + _bump(phase, 0.58, 0.88))
    give = 0.045 * (_bump(phase, 0.33, 0.56) + _bump(phase, 0.83, 1.06) + _bump(phase + 1, 0.83, 1.06))

    spread = 0.055 + 0.15 * legs
    hips = 0.035 + np.sqrt(_LEG**2 - (spread - 0.055) ** 2) - give + hop
    for side in (-1, 1):
        _leg(relief, side, hips, spread, hop)
    limb((-0.045, hips + 0.012, 0), (0.045, hips + 0.012, 0), 0.076, 0.076, _SHORTS, 0.03, 0.8)

    shoulder, hem = hips + 0.29 + 0.012 * arms, hips + 0.05 + 0.02 * arms
    neck, shirt = shoulder + 0.035, _shirt(shoulder + 0.05, hips - 0.03)
    limb((0, shoulder - 0.01, 0.0), (0, neck + 0.05, 0.01), 0.042, 0.036, _SKIN, 0.02)
    limb((0, shoulder - 0.045, 0.012), (0, hem + 0.02, 0.012), 0.1, 0.092, shirt, 0.03, 0.75)
    limb((-0.05, hem - 0.03, 0.02), (0.05, hem - 0.03, 0.02), 0.05, 0.05, shirt, 0.04)
    for side in (-1, 1):
        limb(
            (0, shoulder - 0.01, 0.01), (side * 0.088, shoulder - 0.016 + 0.018 * arms, 0.01), 0.046, 0.043, shirt, 0.05
        )
        limb((side * 0.052, shoulder - 0.06, 0.01), (side * 0.038, hem + 0.02, 0.02), 0.068, 0.06, shirt, 0.045, 0.8)
        _arm(relief, side, shoulder, arms)
    limb((-0.026, neck - 0.018, 0.032), (0.026, neck - 0.018, 0.032), 0.013, 0.013, _BAND, 0.008)
    _head(relief, neck + 0.1, phase)
    return spread, hop


def _leg(relief: Relief, side: int, hips: float, spread: float, hop: float) -> None:
    """Model a leg with its shoe, from the height of the hips to a foot `spread` from the middle and `hop` high."""
    limb = relief.limb
    hip, ankle = np.array([side * 0.052, hips, -0.01]), np.array([side * spread, 0.045 + hop, 0.0])
    out = np.sqrt(max(_LEG**2 - np.sum((hip - ankle) ** 2), 0)) / 2
    knee = (hip + ankle) / 2 + np.array([side * 0.5 * out, 0, 0.8 * out])
    heel, toe = ankle + np.array([0, -0.026, 0.02]), ankle + np.array([side * 0.02, -0.034 - 0.15 * hop, 0.06])
    upper = np.array([0, 0.016, 0.011])
    limb(heel, toe, 0.033, 0.034, _SOLE)
    limb(heel + upper, toe + upper, 0.03, 0.032, _SHOE, 0.008)
    limb(ankle, ankle + (knee - ankle) * 0.22, 0.028, 0.033, _SOCK)
    limb(ankle + (knee - ankle) * 0.1, knee, 0.026, 0.042, _SKIN, 0.02)
    limb(knee, hip, 0.041, 0.066, _SKIN, 0.03)
    limb(knee + (hip - knee) * 0.4, hip, 0.066, 0.074, _SHORTS, 0.02)


def _arm(relief: Relief, side: int, shoulder: float, raised: float) -> None:
    """Model an arm with its sleeve and hand, from hanging (`raised` 0) to overhead (1)."""
    limb = relief.limb
    angle, bend = np.radians(11 + 150 * raised), np.radians(12 + 14 * np.sin(np.pi * raised) + 12 * raised)
    upper = np.array([side * np.sin(angle), -np.cos(angle), 0.15])
    lower = np.array([side * np.sin(angle + bend), -np.cos(angle + bend), 0.35])
    joint = np.array([side * 0.108, shoulder - 0.014 + 0.022 * raised, 0.012])
    elbow = joint + 0.15 * upper
    wrist = elbow + 0.135 * lower
    palm = wrist + 0.04 * lower
    inward = side * np.array([-lower[1], lower[0], 0.2])
    limb(joint, elbow, 0.038, 0.031, _SKIN, 0.02)
    limb(elbow, wrist, 0.032, 0.022, _SKIN, 0.02)
    limb(wrist, palm, 0.022, 0.027, _SKIN, 0.02, 0.7)
    limb(palm, palm + 0.026 * lower, 0.026, 0.017, _SKIN, 0.02, 0.7)
    limb(wrist + 0.012 * lower, palm + 0.008 * lower - 0.028 * inward, 0.013, 0.01, _SKIN, 0.01)
    limb(joint - [side * 0.012, 0, 0], joint + 0.085 * upper, 0.045, 0.05, _SHIRT, 0.03)


def _head(relief: Relief, head: float, phase: float) -> None:
    """Model ears, face and hair around a height; the bun trails the hop."""
    limb = relief.limb
    for side in (-1, 1):
        limb((side * 0.08, head - 0.014, 0.0), (side * 0.08, head - 0.012, 0.0), 0.019, 0.02, _SKIN, 0.01)
    bun = head + 0.112 + 0.014 * np.sin(2 * np.pi * (2 * phase - 0.42))
    limb((0, bun, -0.03), (0.004, bun + 0.004, -0.03), 0.045, 0.045, _HAIR, 0.01)
    limb((0, head + 0.016, -0.02), (0, head + 0.026, -0.02), 0.091, 0.089, _HAIR, 0.01)
    features = face(0, _GROUND - head, 0.08, _SKIN, _HAIR, _LIP)
    limb((0, head + 0.012, 0.03), (0, head - 0.024, 0.03), 0.081, 0.073, features)
    for x, up, r in (
        (-0.068, 0.036, 0.024),
        (-0.04, 0.064, 0.034),
        (-0.004, 0.076, 0.036),
        (0.034, 0.07, 0.036),
        (0.064, 0.044, 0.03),
    ):
        limb((x, head + up, 0.082 - 5 * x * x), (x * 1.1, head + up + 0.02, 0.05 - 6 * x * x), r, r, _HAIR, 0.02)


def _plant(picture: np.ndarray, x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A snake plant in a clay pot, painted onto a picture of light at the left edge of the room."""
    root_x, root_y = -0.36, 0.3
    for index in rng.permutation(15):
        lean = (index - 7) * 0.028 + rng.normal(0, 0.008)
        tall = 0.36 - 0.0025 * (index - 7) ** 2 + rng.normal(0, 0.035)
        s = np.clip((root_y - y) / tall, 0, 1)
        middle = root_x + (index - 7) * 0.006 + lean * s * (0.4 + 0.9 * s)
        half = 0.021 * np.sqrt(np.clip(1 - s, 0, 1)) * (0.75 + 0.6 * s)
        across = (x - middle) / np.maximum(half, 1e-4)
        inside = smoothstep(1.08, 0.92, np.abs(across)) * (y < root_y) * (root_y - y < tall)
        bands = 0.5 + 0.5 * np.sin(95 * s * tall / 0.36 + 2 * np.abs(across) + index * 2)
        leaf = gradient(
            [(0, "2f5a38"), (0.7, "5d8a4e"), (1, "93b06a")], 0.5 * bands + 0.5 * smoothstep(0.6, 1, np.abs(across))
        )
        light = 0.34 + 0.75 * np.clip(0.55 - 0.5 * across, 0, 1) * (0.35 + 0.65 * s)
        picture = mix(picture, leaf * (light[..., None] * _WARM), inside)
    half = 0.078 - 0.1 * np.clip(y - root_y, 0, 1) + 0.008 * (y < root_y + 0.03)
    across = (x - root_x) / half
    inside = (
        smoothstep(1.02, 0.98, np.abs(across))
        * smoothstep(root_y - 0.012, root_y - 0.008, y)
        * smoothstep(0.475, 0.47, y - 0.01 * across**2)
    )
    light = 0.22 + 0.95 * np.clip(0.5 - 0.62 * across, 0, 1) * (
        1 - 0.6 * smoothstep(root_y + 0.034, root_y + 0.028, y) * (y > root_y + 0.024)
    )
    return mix(picture, colour("d9cdbb") * (light[..., None] * _WARM), inside)


def _wall(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the colours of the wall, with its skirting board and a framed print: a sun over hills."""
    shape, wide = (len(y), x.shape[1]), x + 0 * y
    plaster = fractal_noise(rng, *shape, 1.3) * 0.018 + fractal_noise(rng, *shape, 0.3) * 0.012
    wall = colour("a9bcab") * (1 + plaster)[..., None]
    fx, fy = (wide - 0.3) / 0.13, (y + 0.4) / 0.165 + 0 * x
    outer, inner = np.maximum(np.abs(fx), np.abs(fy)), np.maximum(np.abs(fx) * 1.22, np.abs(fy) * 1.18)
    hills = fy + 0.25 * np.sin(fx * 2.4 + 0.5)
    art = gradient([(-1, "f3dfc3"), (0.1, "eec59b"), (0.12, "d98c62"), (1, "b95f45")], hills)
    art = mix(art, colour("c8452f"), smoothstep(0.36, 0.33, np.hypot(fx * 0.79, fy + 0.25)) * (hills < 0.1))
    wall = mix(wall, colour("f7f2e8"), smoothstep(1.0, 0.985, outer))
    wall = mix(wall, art, smoothstep(0.8, 0.785, inner))
    wall = mix(wall, colour("5a3d29"), smoothstep(1.0, 0.985, outer) * smoothstep(0.925, 0.94, outer))
    return mix(wall, colour("eee9df"), smoothstep(_BASE - 0.045, _BASE - 0.042, y + 0 * x))


def _floor(rng: np.random.Generator, x: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return the colours of the floorboards with a mat; `z` is the depth at each row."""
    wide = x + 0 * z
    floor = planks(rng, (wide * z), 2 * z + 0 * x, 0.1, 1.7, [(-3, "8a5a34"), (0, "b07a48"), (3, "cf9c68")])
    mat_x, mat_z = wide * z / 0.36, (z - 1.02) / 0.16
    mat = smoothstep(1.0, 0.99, np.maximum(np.abs(mat_x), np.abs(mat_z) + 0 * x))
    ridge = 1 + 0.05 * np.sin(mat_x * 90) * np.sin(mat_z * 40)
    return mix(floor, colour("3f6f78") * ridge[..., None], mat)


def _sunlight(rng: np.random.Generator, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return where the sun reaches (0..1): through a window's panes, askew on the wall and on over the floor."""
    wide = x + 0 * y
    fall = np.where(y < _BASE, wide + 0.42 * (y - _BASE) + 0.19, wide * z + 0.25 * (z - 1) - 0.1)
    rows = np.where(y < _BASE, y + 0.3 * wide, -0.2)

    def slot(value: np.ndarray, middle: float, half: float) -> np.ndarray:
        return smoothstep(half + 0.012, half - 0.012, np.abs(value - middle))

    sun = sum(slot(fall, middle, 0.125) for middle in (-0.16, 0.13)) * np.where(
        y < _BASE, sum(slot(rows, middle, 0.16) for middle in (-0.53, -0.18, 0.17)), 0.9
    )
    leaf_shadow = smoothstep(-0.1, 0.9, fractal_noise(rng, len(y), x.shape[1], 1.9))
    return sun * (0.72 + 0.28 * leaf_shadow)


def _room(rng: np.random.Generator, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the empty room as two pictures of light (H,W,3): what the sun brings, and all the rest."""
    x, y = grid(height, width, 3)
    wide = x + 0 * y
    z = (0.5 - _HORIZON) / np.maximum(y - _HORIZON, 1e-3)
    on_floor = smoothstep(_BASE - 0.001, _BASE + 0.001, y + 0 * x)
    albedo = mix(_wall(rng, x, y), _floor(rng, x, z), on_floor)
    sun = _sunlight(rng, x, y, z)
    spill = 0.34 * np.exp(-((wide + 0.1) ** 2 / 0.5 + (y + 0.1) ** 2 / 0.7))
    facing = 0.62 + 0.14 * on_floor
    dim = 1 - 0.35 * np.exp(-np.abs(y - _BASE) / 0.05) - 0.25 * smoothstep(0.1, 0.5, np.abs(wide)) * 0.6
    key = albedo * ((sun * 1.25 + spill * 0.35) * facing)[..., None] * _WARM
    fill = albedo * ((spill + 0.42 - 0.12 * y) * dim)[..., None] * (_SKY * 1.1 + _BOUNCE * 0.5)
    under = np.exp(-(((wide + 0.35) / 0.12) ** 2 + ((y - 0.478) / 0.02) ** 2))
    key, fill = key * (1 - 0.8 * under)[..., None], fill * (1 - 0.7 * under)[..., None]
    # The plant stands in half light: its picture is split between sun and the rest.
    corner = np.s_[: int(1.3 * 3 * width), : int(0.4 * 3 * width)]
    bare = (key + fill)[corner]
    planted = _plant(bare, x[:, corner[1]], y[corner[0]], rng)
    leaf = np.any(planted != bare, axis=-1)[..., None]
    fill[corner], key[corner] = (
        np.where(leaf, planted * 0.75, fill[corner]),
        np.where(leaf, planted * 0.25, key[corner]),
    )
    return shrink(key, 3), shrink(fill, 3)


def shoot(rng: np.random.Generator, height: int, width: int) -> Expose:
    """Return the scene's light over time; see `film.Expose`."""
    key, fill = _room(rng, height, width)
    unit = min(height, width)
    x, y = grid(height, width)
    wall = smoothstep(_BASE + 0.004, _BASE - 0.004, y)

    def expose(t: float, shift: tuple[float, float]) -> np.ndarray:
        relief = Relief(height, width, shift, _GROUND)
        spread, hop = _figure(relief, (t / PERIOD) % 1)
        figure, there = lit(relief, _LAMP)

        # On the wall, the silhouette moved away from the window; on the floor, sheared flat behind the feet.
        mask = Image.fromarray((255 * there).astype(np.uint8))
        lean = 0.45
        on_wall = mask.transform(
            mask.size, Image.Transform.AFFINE, (1, 0, -0.2 * unit, 0, 1, -0.04 * unit), Image.Resampling.BILINEAR
        )
        foot = _GROUND * unit + height / 2
        squash = (_GROUND - (-0.5)) / (_GROUND - _BASE + 0.02)
        on_floor = mask.transform(
            mask.size,
            Image.Transform.AFFINE,
            (1, lean * 2.2, -lean * 2.2 * foot, 0, squash, foot * (1 - squash)),
            Image.Resampling.BILINEAR,
        )
        wall_shadow = np.asarray(on_wall.filter(ImageFilter.GaussianBlur(unit * 0.014)), np.float32) / 255
        floor_shadow = np.asarray(on_floor.filter(ImageFilter.GaussianBlur(unit * 0.008)), np.float32) / 255
        shadow = wall_shadow * wall + floor_shadow * (1 - wall) * (y < _GROUND + 0.01)
        touch = sum(
            np.exp(-(((x - side * spread * 1.15) / 0.055) ** 2 + ((y - _GROUND - 0.005) / 0.02) ** 2))
            for side in (-1, 1)
        )
        touch = np.minimum(touch * np.exp(-hop / 0.05), 1) * 0.85
        picture = (
            key * ((1 - 0.88 * shadow) * (1 - touch))[..., None] + fill * ((1 - 0.18 * shadow) * (1 - touch))[..., None]
        )
        return np.where(there[..., None], figure, picture)

    return expose
