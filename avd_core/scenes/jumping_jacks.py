"""Jumping jacks in a sunlit room: a figure of tapered limbs, modelled in relief and lit like a small clay film.

Every limb is a capsule seen from the front; kept per pixel are its depth, normal and colour (a z-buffer whose contest
is decided softly where limbs meet, so that they grow into one another). Ambient occlusion and cast shadows are then
read off that relief, and its silhouette throws the shadow on the wall.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter

from .film import Expose, colour, fractal_noise, gradient, grid, mix, planks, shrink, smoothstep

PERIOD = 1.04  # seconds for one jumping jack
_SUN = np.array([-0.52, -0.6, 0.61], np.float32)  # towards the window; z towards the camera
_WARM, _SKY, _BOUNCE = (np.array(c, np.float32) for c in ((1.5, 1.24, 0.92), (0.4, 0.44, 0.5), (0.3, 0.22, 0.15)))
_GROUND, _HORIZON, _BASE = 0.5, -0.1, 0.335  # y of the feet, of the eye, and of the floor's far edge

_SKIN, _HAIR, _LIP = colour("d79a70"), colour("3a2118"), colour("a8493c")
_SHIRT, _BAND, _SHORTS = colour("e2553c"), colour("fbeee0"), colour("26375c")
_SOCK, _SHOE, _SOLE = colour("f3efe8"), colour("e9b23a"), colour("fbf7ef")

Point = tuple[float, float, float]  # right, up, towards the camera
Paint = np.ndarray | Callable[[np.ndarray, np.ndarray], np.ndarray]


class _Relief:
    """Depth, normal and colour, pixel by pixel, of what has been modelled so far; `shift` (x, y) is in pixels."""

    def __init__(self, height: int, width: int, shift: tuple[float, float]):
        x, y = grid(height, width)
        self.x, self.y = x + shift[0] / min(height, width), y + shift[1] / min(height, width)
        shape = (height, width)
        self.depth = np.full(shape, -1.0, np.float32)
        self.normal = np.zeros((*shape, 3), np.float32)
        self.colour = np.zeros((*shape, 3), np.float32)

    def limb(
        self, a: Point, b: Point, ra: float, rb: float, paint: Paint, blend: float = 0.004, flat: float = 1.0
    ) -> None:
        """Add a tapered capsule from a to b with radii ra, rb; `flat` scales its depth, `blend` softens the contest.

        `paint` is a colour (3,), or a function of x (1, w) and y (h, 1) that returns colours (h, w, 3).
        """
        ax, ay, az = float(a[0]), float(_GROUND - a[1]), float(a[2])
        bx, by, bz = float(b[0]), float(_GROUND - b[1]), float(b[2])
        reach = max(ra, rb)
        x0, x1 = np.searchsorted(self.x[0], [min(ax, bx) - reach, max(ax, bx) + reach])
        y0, y1 = np.searchsorted(self.y[:, 0], [min(ay, by) - reach, max(ay, by) + reach])
        if x1 <= x0 or y1 <= y0:
            return
        box = np.s_[y0:y1, x0:x1]
        x, y = self.x[:, x0:x1], self.y[y0:y1]
        along = np.clip(((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / ((bx - ax) ** 2 + (by - ay) ** 2 + 1e-9), 0, 1)
        radius = ra + (rb - ra) * along
        nx, ny = (x - ax - along * (bx - ax)) / radius, (y - ay - along * (by - ay)) / radius
        square = nx * nx + ny * ny
        nz = np.sqrt(np.clip(1 - square, 0, 1))
        depth = az + (bz - az) * along + radius * nz * flat
        ahead, inside = (depth - self.depth[box]) / 2, square < 1
        lead = np.clip(0.5 + ahead / blend, 0, 1) * inside
        long = np.sqrt(square * flat * flat + nz * nz) + 1e-6  # a flattened limb faces the camera more
        normal = np.stack([nx * flat / long, ny * flat / long, nz / long], axis=-1)
        self.normal[box] = mix(self.normal[box], normal, lead)
        dye = np.clip(0.5 + ahead / 0.003, 0, 1) * inside  # shapes may melt, colours meet at a seam
        self.colour[box] = mix(self.colour[box], paint(x, y) if callable(paint) else paint, dye)
        self.depth[box] += (depth - self.depth[box]) * lead


def _bump(phase: float, start: float, end: float) -> float:
    return float(np.sin(np.pi * np.clip((phase - start) / (end - start), 0, 1)))


def _face(cx: float, cy: float, size: float) -> Paint:
    """A friendly face around (cx, cy) on a head of radius `size`."""

    def paint(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        u, v = (x - cx) / size, (y - cy) / size

        def spot(at_u: float, at_v: float, ru: float, rv: float, edge: float = 0.25) -> np.ndarray:
            return smoothstep(1 + edge, 1 - edge, np.hypot((u - at_u) / ru, (v - at_v) / rv))

        face = np.broadcast_to(_SKIN, (v.shape[0], u.shape[1], 3))
        for side in (-1, 1):
            face = mix(face, colour("d9785c"), 0.4 * spot(side * 0.5, 0.36, 0.24, 0.17, 0.9))
            face = mix(face, colour("fdf6ec"), spot(side * 0.34, 0.08, 0.16, 0.13))
            face = mix(face, colour("20130f"), spot(side * 0.33, 0.08, 0.1, 0.12))
            arch = np.abs(v + 0.2 - 1.2 * (np.abs(u) - 0.34) ** 2)
            face = mix(face, _HAIR, smoothstep(0.075, 0.035, arch) * spot(side * 0.34, -0.2, 0.22, 0.3, 0.2))
        face = mix(face, _SKIN * 0.6, 0.6 * spot(0.02, 0.36, 0.11, 0.06, 0.6))
        smile = v - (0.64 - 0.9 * u * u)
        face = mix(face, _LIP, smoothstep(0.1, 0.06, np.abs(smile)) * smoothstep(0.37, 0.31, np.abs(u)))
        return mix(
            face, colour("fff8f0"), smoothstep(0.055, 0.03, np.abs(smile + 0.02)) * smoothstep(0.28, 0.22, np.abs(u))
        )

    return paint


def _shirt(top: float, bottom: float) -> Paint:
    """Coral with a white band across the chest, between heights `top` and `bottom`."""

    def paint(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        down = (y - (_GROUND - top)) / (top - bottom) + 1.6 * x * x + 0 * x
        band = smoothstep(0.2, 0.23, down) * smoothstep(0.42, 0.39, down)
        line = smoothstep(0.47, 0.49, down) * smoothstep(0.55, 0.53, down)
        return mix(np.broadcast_to(_SHIRT, (*down.shape, 3)), _BAND, np.maximum(band, line))

    return paint


def _figure(relief: _Relief, phase: float) -> tuple[float, float]:
    """Model the figure at a phase (0..1) of the jack; returns how far apart its feet are, and how high."""
    limb = relief.limb
    legs = float(smoothstep(0.08, 0.36, phase) - smoothstep(0.58, 0.86, phase))
    arms = float(smoothstep(0.0, 0.44, phase) - smoothstep(0.5, 0.96, phase))
    hop = 0.05 * (_bump(phase, 0.08, 0.38) + _bump(phase, 0.58, 0.88))
    give = 0.045 * (_bump(phase, 0.33, 0.56) + _bump(phase, 0.83, 1.06) + _bump(phase + 1, 0.83, 1.06))

    spread, leg = 0.055 + 0.15 * legs, 0.485
    hips = 0.035 + np.sqrt(leg**2 - (spread - 0.055) ** 2) - give + hop
    for side in (-1, 1):
        hip, ankle = np.array([side * 0.052, hips, -0.01]), np.array([side * spread, 0.045 + hop, 0.0])
        out = np.sqrt(max(leg**2 - np.sum((hip - ankle) ** 2), 0)) / 2
        knee = (hip + ankle) / 2 + np.array([side * 0.5 * out, 0, 0.8 * out])
        heel, toe = ankle + np.array([0, -0.026, 0.02]), ankle + np.array([side * 0.02, -0.034 - 0.15 * hop, 0.06])
        upper = np.array([0, 0.016, 0.011])
        limb(heel, toe, 0.033, 0.034, _SOLE)
        limb(heel + upper, toe + upper, 0.03, 0.032, _SHOE, 0.008)
        limb(ankle, ankle + (knee - ankle) * 0.22, 0.028, 0.033, _SOCK)
        limb(ankle + (knee - ankle) * 0.1, knee, 0.026, 0.042, _SKIN, 0.02)
        limb(knee, hip, 0.041, 0.066, _SKIN, 0.03)
        limb(knee + (hip - knee) * 0.4, hip, 0.066, 0.074, _SHORTS, 0.02)
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

        raised, bend = np.radians(11 + 150 * arms), np.radians(12 + 14 * np.sin(np.pi * arms) + 12 * arms)
        upper = np.array([side * np.sin(raised), -np.cos(raised), 0.15])
        lower = np.array([side * np.sin(raised + bend), -np.cos(raised + bend), 0.35])
        joint = np.array([side * 0.108, shoulder - 0.014 + 0.022 * arms, 0.012])
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
    limb((-0.026, neck - 0.018, 0.032), (0.026, neck - 0.018, 0.032), 0.013, 0.013, _BAND, 0.008)

    head = neck + 0.1
    for side in (-1, 1):
        limb((side * 0.08, head - 0.014, 0.0), (side * 0.08, head - 0.012, 0.0), 0.019, 0.02, _SKIN, 0.01)
    bun = head + 0.112 + 0.014 * np.sin(2 * np.pi * (2 * phase - 0.42))  # hair trails the hop
    limb((0, bun, -0.03), (0.004, bun + 0.004, -0.03), 0.045, 0.045, _HAIR, 0.01)
    limb((0, head + 0.016, -0.02), (0, head + 0.026, -0.02), 0.091, 0.089, _HAIR, 0.01)
    limb((0, head + 0.012, 0.03), (0, head - 0.024, 0.03), 0.081, 0.073, _face(0, _GROUND - head, 0.08))
    for x, up, r in (
        (-0.068, 0.036, 0.024),
        (-0.04, 0.064, 0.034),
        (-0.004, 0.076, 0.036),
        (0.034, 0.07, 0.036),
        (0.064, 0.044, 0.03),
    ):
        limb((x, head + up, 0.082 - 5 * x * x), (x * 1.1, head + up + 0.02, 0.05 - 6 * x * x), r, r, _HAIR, 0.02)
    return spread, hop


def _enlarge(small: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    return np.asarray(Image.fromarray(small.astype(np.float32)).resize(shape[::-1], Image.Resampling.BILINEAR))


def _lit(relief: _Relief) -> tuple[np.ndarray, np.ndarray]:
    """The relief as linear light (H, W, 3) and where it is (H, W, bool)."""
    there = relief.depth > -0.9
    h, w = there.shape[0] // 4 * 4, there.shape[1] // 4 * 4
    coarse = shrink(np.where(there, relief.depth, -0.06)[:h, :w], 2)
    blurred = _enlarge(shrink(coarse, 2), coarse.shape)
    for axis in (0, 1, 0, 1):
        blurred = (blurred + np.roll(blurred, 2, axis) + np.roll(blurred, -2, axis)) / 3
    hollow = np.clip((blurred - coarse - 0.004) * 14, 0, 0.75)
    # March towards the sun over the relief: whatever stands above the ray shades.
    step = float(relief.x[0, 2] - relief.x[0, 0])
    shade = np.zeros_like(coarse)
    for stride in (2, 3, 5, 7, 10, 14):
        away = stride * step
        shift = (-round(_SUN[1] * stride), -round(_SUN[0] * stride))
        risen = np.roll(coarse, shift, (0, 1)) - coarse - away * _SUN[2]
        shade = np.maximum(shade, smoothstep(0.0, 0.02 + 0.1 * away, risen))
    hollow, shade = _enlarge(hollow, there.shape)[there], _enlarge(shade, there.shape)[there]

    normal, albedo = relief.normal[there], relief.colour[there]
    normal = normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-3)
    sun = normal @ _SUN
    direct = np.clip((sun + 0.18) / 1.18, 0, 1) * (1 - 0.85 * shade)
    up = 0.5 - 0.5 * normal[:, 1]
    rim = np.clip(1 - normal[:, 2], 0, 1) ** 2 * np.clip(0.35 - 0.8 * normal[:, 0], 0, 1)
    glow = np.clip(0.3 - np.abs(sun - 0.1), 0, 1)[:, None] * np.array(
        [0.35, 0.1, 0.05], np.float32
    )  # light bleeding through
    ambient = up[:, None] * _SKY + (1 - up)[:, None] * _BOUNCE
    light = direct[:, None] * _WARM + ambient * (1 - hollow)[:, None]
    gleam = 0.05 * np.clip(2 * sun * normal[:, 2] - _SUN[2], 0, 1) ** 12 * (1 - shade)
    pixels = np.zeros_like(relief.normal)
    pixels[there] = albedo * (light + glow) + (gleam + 0.16 * rim * (1 - hollow))[:, None] * _WARM
    return pixels, there


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


def _room(rng: np.random.Generator, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """The empty room as two pictures of light: what the sun brings, and all the rest."""
    x, y = grid(height, width, 3)
    wide = x + 0 * y
    plaster = (
        fractal_noise(rng, 3 * height, 3 * width, 1.3) * 0.018 + fractal_noise(rng, 3 * height, 3 * width, 0.3) * 0.012
    )
    albedo = colour("a9bcab") * (1 + plaster)[..., None]
    # A framed print: a sun over hills.
    fx, fy = (wide - 0.3) / 0.13, (y + 0.4) / 0.165 + 0 * x
    outer, inner = np.maximum(np.abs(fx), np.abs(fy)), np.maximum(np.abs(fx) * 1.22, np.abs(fy) * 1.18)
    art = gradient(
        [(-1, "f3dfc3"), (0.1, "eec59b"), (0.12, "d98c62"), (1, "b95f45")], fy + 0.25 * np.sin(fx * 2.4 + 0.5)
    )
    art = mix(
        art,
        colour("c8452f"),
        smoothstep(0.36, 0.33, np.hypot(fx * 0.79, fy + 0.25)) * (fy + 0.25 * np.sin(fx * 2.4 + 0.5) < 0.1),
    )
    albedo = mix(albedo, colour("f7f2e8"), smoothstep(1.0, 0.985, outer))
    albedo = mix(albedo, art, smoothstep(0.8, 0.785, inner))
    albedo = mix(albedo, colour("5a3d29"), smoothstep(1.0, 0.985, outer) * smoothstep(0.925, 0.94, outer))
    board = smoothstep(_BASE - 0.045, _BASE - 0.042, y + 0 * x)
    albedo = mix(albedo, colour("eee9df"), board)

    z = (0.5 - _HORIZON) / np.maximum(y - _HORIZON, 1e-3)
    floor = planks(rng, (wide * z), 2 * z + 0 * x, 0.1, 1.7, [(-3, "8a5a34"), (0, "b07a48"), (3, "cf9c68")])
    mat_x, mat_z = wide * z / 0.36, (z - 1.02) / 0.16
    mat = smoothstep(1.0, 0.99, np.maximum(np.abs(mat_x), np.abs(mat_z) + 0 * x))
    ridge = 1 + 0.05 * np.sin(mat_x * 90) * np.sin(mat_z * 40)
    floor = mix(floor, colour("3f6f78") * ridge[..., None], mat)
    on_floor = smoothstep(_BASE - 0.001, _BASE + 0.001, y + 0 * x)
    albedo = mix(albedo, floor, on_floor)

    # The window's light falls askew on the wall and runs on over the floor.
    wx, wy = wide + 0.42 * (y - _BASE) + 0.19, y + 0.3 * wide
    fall = np.where(y < _BASE, wx, wide * z + 0.25 * (z - 1) - 0.1)
    rows = np.where(y < _BASE, wy, -0.2)

    def slot(value: np.ndarray, middle: float, half: float) -> np.ndarray:
        return smoothstep(half + 0.012, half - 0.012, np.abs(value - middle))

    sun = sum(slot(fall, middle, 0.125) for middle in (-0.16, 0.13)) * np.where(
        y < _BASE, sum(slot(rows, middle, 0.16) for middle in (-0.53, -0.18, 0.17)), 0.9
    )
    leaf_shadow = smoothstep(-0.1, 0.9, fractal_noise(rng, 3 * height, 3 * width, 1.9))
    sun = sun * (0.72 + 0.28 * leaf_shadow)
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
    key, fill = _room(rng, height, width)
    unit = min(height, width)
    x, y = grid(height, width)
    wall = smoothstep(_BASE + 0.004, _BASE - 0.004, y)

    def expose(t: float, shift: tuple[float, float]) -> np.ndarray:
        relief = _Relief(height, width, shift)
        spread, hop = _figure(relief, (t / PERIOD) % 1)
        figure, there = _lit(relief)

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
        on_wall = np.asarray(on_wall.filter(ImageFilter.GaussianBlur(unit * 0.014)), np.float32) / 255
        on_floor = np.asarray(on_floor.filter(ImageFilter.GaussianBlur(unit * 0.008)), np.float32) / 255
        shadow = on_wall * wall + on_floor * (1 - wall) * (y < _GROUND + 0.01)
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
