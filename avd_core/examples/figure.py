"""Figures of tapered limbs, modelled in relief and lit like a small clay film.

Each limb is a capsule seen from the front. A soft z-buffer keeps depth, normal and colour of each pixel, so that limbs
blend where they meet. Ambient occlusion and cast shadows are computed from that relief. Axis legend: H, W.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from avd_core.examples.film import colour, enlarge, grid, mix, shrink, smoothstep

Point = tuple[float, float, float] | np.ndarray  # right, up, towards the camera
Painter = Callable[[np.ndarray, np.ndarray], np.ndarray]
Paint = np.ndarray | Painter


class Lamp(NamedTuple):
    """Light of a figure: the direction towards the sun (z towards the camera), and three colours of light (3,)."""

    sun: np.ndarray
    key: np.ndarray
    sky: np.ndarray
    bounce: np.ndarray


class Relief:
    """Depth, normal and colour of each pixel of a figure.

    `shift` (x, y) is in pixels; `ground` is the y of height 0; `scale` is a figure's unit in short sides.
    """

    def __init__(self, height: int, width: int, shift: tuple[float, float], ground: float, scale: float = 1.0):
        self.ground = ground
        x, y = grid(height, width)
        unit = min(height, width)
        self.x, self.y = (x + shift[0] / unit) / scale, (y + shift[1] / unit) / scale
        shape = (height, width)
        self.depth = np.full(shape, -1.0, np.float32)
        self.normal = np.zeros((*shape, 3), np.float32)
        self.colour = np.zeros((*shape, 3), np.float32)

    def limb(
        self, a: Point, b: Point, ra: float, rb: float, paint: Paint, blend: float = 0.004, flat: float = 1.0
    ) -> None:
        """Add a tapered capsule from a to b with radii ra, rb; `flat` scales its depth, `blend` is a blending depth.

        `paint` is a colour (3,), or a function of x (1, w) and y (h, 1) that returns colours (h, w, 3).
        """
        ax, ay, az = float(a[0]), float(self.ground - a[1]), float(a[2])
        bx, by, bz = float(b[0]), float(self.ground - b[1]), float(b[2])
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


def face(cx: float, cy: float, size: float, skin: np.ndarray, hair: np.ndarray, lip: np.ndarray) -> Painter:
    """Return a painter of a friendly face around (cx, cy) on a head of radius `size`."""

    def paint(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        u, v = (x - cx) / size, (y - cy) / size

        def spot(at_u: float, at_v: float, ru: float, rv: float, edge: float = 0.25) -> np.ndarray:
            return smoothstep(1 + edge, 1 - edge, np.hypot((u - at_u) / ru, (v - at_v) / rv))

        look = np.broadcast_to(skin, (v.shape[0], u.shape[1], 3))
        for side in (-1, 1):
            look = mix(look, colour("d9785c"), 0.4 * spot(side * 0.5, 0.36, 0.24, 0.17, 0.9))
            look = mix(look, colour("fdf6ec"), spot(side * 0.34, 0.08, 0.16, 0.13))
            look = mix(look, colour("20130f"), spot(side * 0.33, 0.08, 0.1, 0.12))
            arch = np.abs(v + 0.2 - 1.2 * (np.abs(u) - 0.34) ** 2)
            look = mix(look, hair, smoothstep(0.075, 0.035, arch) * spot(side * 0.34, -0.2, 0.22, 0.3, 0.2))
        look = mix(look, skin * 0.6, 0.6 * spot(0.02, 0.36, 0.11, 0.06, 0.6))
        smile = v - (0.64 - 0.9 * u * u)
        look = mix(look, lip, smoothstep(0.1, 0.06, np.abs(smile)) * smoothstep(0.37, 0.31, np.abs(u)))
        return mix(
            look, colour("fff8f0"), smoothstep(0.055, 0.03, np.abs(smile + 0.02)) * smoothstep(0.28, 0.22, np.abs(u))
        )

    return paint


def lit(relief: Relief, lamp: Lamp) -> tuple[np.ndarray, np.ndarray]:
    """Light the relief; return linear light (H, W, 3), and where the figure is (H, W, bool)."""
    there = relief.depth > -0.9
    h, w = there.shape[0] // 4 * 4, there.shape[1] // 4 * 4
    coarse = shrink(np.where(there, relief.depth, -0.06)[:h, :w], 2)
    blurred = enlarge(shrink(coarse, 2), coarse.shape)
    for axis in (0, 1, 0, 1):
        blurred = (blurred + np.roll(blurred, 2, axis) + np.roll(blurred, -2, axis)) / 3
    hollow = np.clip((blurred - coarse - 0.004) * 14, 0, 0.75)
    # March towards the sun over the relief: whatever stands above the ray shades.
    step = float(relief.x[0, 2] - relief.x[0, 0])
    shade = np.zeros_like(coarse)
    for stride in (2, 3, 5, 7, 10, 14):
        away = stride * step
        shift = (-round(lamp.sun[1] * stride), -round(lamp.sun[0] * stride))
        risen = np.roll(coarse, shift, (0, 1)) - coarse - away * lamp.sun[2]
        shade = np.maximum(shade, smoothstep(0.0, 0.02 + 0.1 * away, risen))
    hollow, shade = enlarge(hollow, there.shape)[there], enlarge(shade, there.shape)[there]

    normal, albedo = relief.normal[there], relief.colour[there]
    normal = normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-3)
    sun = normal @ lamp.sun
    direct = np.clip((sun + 0.18) / 1.18, 0, 1) * (1 - 0.85 * shade)
    up = 0.5 - 0.5 * normal[:, 1]
    rim = np.clip(1 - normal[:, 2], 0, 1) ** 2 * np.clip(0.35 - 0.8 * normal[:, 0], 0, 1)
    glow = np.clip(0.3 - np.abs(sun - 0.1), 0, 1)[:, None] * np.array(
        [0.35, 0.1, 0.05], np.float32
    )  # light bleeding through
    ambient = up[:, None] * lamp.sky + (1 - up)[:, None] * lamp.bounce
    light = direct[:, None] * lamp.key + ambient * (1 - hollow)[:, None]
    gleam = 0.05 * np.clip(2 * sun * normal[:, 2] - lamp.sun[2], 0, 1) ** 12 * (1 - shade)
    pixels = np.zeros_like(relief.normal)
    pixels[there] = albedo * (light + glow) + (gleam + 0.16 * rim * (1 - hollow))[:, None] * lamp.key
    return pixels, there
