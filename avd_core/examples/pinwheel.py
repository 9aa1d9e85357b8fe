"""A paper pinwheel turning in the breeze before a sunlit garden that is far out of focus."""

from __future__ import annotations

import numpy as np

from avd_core.examples.film import Expose, bokeh, colour, fractal_noise, gradient, grid, mix, shrink, smoothstep

PERIOD = 3.6  # seconds for one turn
_HUB, _REACH = (0.0, -0.09), 0.38  # place and radius of the wheel
_SUN = np.array([0.5, -0.68, -0.53], np.float32)
_SIDE = 768  # of the baked map of the wheel
_LIGHTS = np.array([[1.75, 1.55, 1.2], [0.7, 0.6, 0.35], [0.42, 0.47, 0.5], [0.16, 0.2, 0.08]], np.float32)


def _garden(rng: np.random.Generator, height: int, width: int, unit: int) -> np.ndarray:
    x, y = grid(height, width)
    wide = x * (min(height, width) / unit)
    tall = y * (min(height, width) / unit)
    light = gradient(
        [(-0.5, "d5e6c2"), (-0.25, "7fa564"), (0.02, "3d6a3c"), (0.2, "5f8f3a"), (0.55, "9dbb4d")], tall + 0 * wide
    )
    leaves = fractal_noise(rng, height, width, 1.25)
    light = light * (0.62 + 0.62 * smoothstep(-1.2, 1.8, leaves))[..., None]
    light = (
        light + np.exp(-(((wide - 0.42) / 0.3) ** 2 + ((tall + 0.5) / 0.3) ** 2))[..., None] * colour("fff0c0") * 1.6
    )
    row, column = np.mgrid[:height, :width]
    for _ in range(150):
        cx, cy = int(rng.integers(width)), int(abs(rng.normal(0.0, 0.42)) * height) % height
        size, low = rng.uniform(0.6, 1.7), cy > 0.62 * height
        tones = (
            ["fff3c4", "ffe08a", "f4ffd0", "cfe89a"] if not low else ["ff7f6e", "ffd257", "ffffff", "f2a1c0", "b58cff"]
        )
        box = np.s_[max(cy - 4, 0) : cy + 5, max(cx - 4, 0) : cx + 5]
        dot = np.clip(size + 0.5 - np.hypot(row[box] - cy, column[box] - cx), 0, 1)
        light[box] += dot[..., None] * colour(str(rng.choice(tones))) * rng.uniform(3, 16 if not low else 7)
    return bokeh(light, unit * 0.034)


def _wheel(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Four folded blades on a (-1.05..1.05)^2 map: albedo (S, S, 3), tilt of the paper (S, S, 2), and coverage."""
    axis = ((np.arange(_SIDE) + 0.5) / _SIDE * 2.1 - 1.05).astype(np.float32)
    px, py = axis[None], axis[:, None]
    albedo, tilt, cover = (
        np.zeros((_SIDE, _SIDE, 3), np.float32),
        np.zeros((_SIDE, _SIDE, 2), np.float32),
        np.zeros((_SIDE, _SIDE), np.float32),
    )
    pixel = 2.1 / _SIDE
    fibre = fractal_noise(rng, 256, 256, 0.6)
    fibre = np.tile(fibre, (3, 3))
    corner = np.array([0.54, 0.5])
    long = float(np.hypot(*corner))
    ex, ey = (corner / long).tolist()
    inks = (("e8503a", "ffd7c2"), ("f2b233", "fff0c4"), ("1f8a8c", "c9ece4"), ("3d5fa8", "d3def5"))
    for blade, (ink, pale) in enumerate(inks):
        turn = np.pi / 2 * blade
        c, s = float(np.cos(turn)), float(np.sin(turn))
        a, b = c * px + s * py, c * py - s * px
        # The flat half: a triangle hub, tip, corner; darker where the curl above it keeps the light off.
        flat = np.clip(b / pixel + 0.5, 0, 1) * np.clip((1 - a - b * (1 - corner[0]) / corner[1]) / pixel + 0.5, 0, 1)
        p, q = (a * ex + b * ey) / long, b * ex - a * ey
        flat = flat * (q < 0.02)
        dots = np.hypot((a * 9 + b * 1.5) % 1 - 0.5, (b * 9 - a * 1.5) % 1 - 0.5)
        paper = mix(np.broadcast_to(colour(ink), (*a.shape, 3)), colour(pale), smoothstep(0.24, 0.2, dots))
        under = 1 - 0.55 * np.exp(-np.abs(np.minimum(q + 0.06 * np.sin(np.pi * np.clip(p, 0, 1)), 0)) / 0.07)
        paper = paper * under[..., None]
        bow = 0.25 * np.clip(a, 0, 1) - 0.1
        albedo, cover = mix(albedo, paper, flat), np.maximum(cover, flat)
        lean = np.stack([c * bow + s * 0.22, s * bow - c * 0.22], axis=-1)
        tilt = mix(tilt, lean, flat)
        # The curl: the other corner brought to the hub, showing the paper's pale back over a round bend.
        along = np.clip(p, 0, 1)
        lower, upper = -0.08 * np.sin(np.pi * along), 0.3 * np.clip(np.sin(np.pi * along**0.85), 0, 1) ** 0.9
        curl = np.clip((q - lower) / pixel + 0.5, 0, 1) * np.clip((upper - q) / pixel + 0.5, 0, 1) * (p > 0) * (p < 1)
        across = np.clip((q - lower) / np.maximum(upper - lower, 1e-3), 0, 1)
        stripes = smoothstep(0.32, 0.4, np.abs((p * 11 + across * 1.2) % 1 - 0.5))
        paper = mix(np.broadcast_to(colour(pale), (*a.shape, 3)), colour(ink), 0.85 * stripes)
        rise = np.sin(-0.35 + 1.6 * across**1.5)
        nx, ny = -ey * rise, ex * rise  # perpendicular to the bend, in blade coordinates
        lean = np.stack([c * nx - s * ny, s * nx + c * ny], axis=-1)
        paper = paper * (1 - 0.35 * smoothstep(0.75, 1.0, across))[..., None]
        albedo, tilt, cover = mix(albedo, paper, curl), mix(tilt, lean, curl), np.maximum(cover, curl)
    far = np.hypot(px, py)
    pin = np.clip((0.055 - far) / pixel + 0.5, 0, 1)
    hub = np.exp(-np.clip(far - 0.05, 0, None) / 0.05) * 0.45
    grained = albedo * (1 + 0.05 * fibre - hub)[..., None]
    albedo = mix(grained, colour("e6b450") * 1.2, pin)
    dome = np.stack([px / 0.06 + 0 * py, py / 0.06 + 0 * px], axis=-1)
    return albedo, mix(tilt, dome * 0.9, pin), np.maximum(cover, pin)


def shoot(rng: np.random.Generator, height: int, width: int) -> Expose:
    """Return the scene's light over time; see `film.Expose`."""
    unit = min(height, width)
    margin = int(unit * 0.04) + 2
    garden = _garden(rng, height + 2 * margin, width + 2 * margin, unit)
    albedo, tilt, cover = _wheel(rng)
    wheel, cover = np.concatenate([albedo, tilt], axis=2).reshape(-1, 5), cover.reshape(-1)
    fx, fy = grid(height, width, 3)
    # The stick, a round dowel that leans a little.
    middle, thick = _HUB[0] + 0.05 * (fy - _HUB[1]), 0.0145
    across = (fx - middle) / thick
    stick = smoothstep(1.03, 0.97, np.abs(across)) * (fy > _HUB[1])
    round_ = np.sqrt(np.clip(1 - across**2, 0, 1))
    shade = 0.28 + 0.8 * np.clip(0.45 * across + 0.6 * round_, 0, 1) - 0.35 * np.exp(-(fy - _HUB[1]) / 0.16)
    wood = colour("e9d3ae") * np.clip(shade, 0.05, 2)[..., None] * colour("fff0d2")
    stick_light, stick = shrink(wood * stick[..., None], 3), shrink(stick, 3)[..., None]
    x, y = grid(height, width)
    vignette = 1 - 0.35 * smoothstep(0.45, 0.85, np.hypot(x, y))[..., None]
    half = int(_REACH * unit) + 3
    top, left = int(_HUB[1] * unit + height / 2) - half, int(_HUB[0] * unit + width / 2) - half
    box = np.s_[max(top, 0) : top + 2 * half, max(left, 0) : left + 2 * half]
    bx, by = (x[:, box[1]] - _HUB[0]) / _REACH, (y[box[0]] - _HUB[1]) / _REACH

    def expose(t: float, shift: tuple[float, float]) -> np.ndarray:
        clock = 2 * np.pi * t / PERIOD
        # The camera is held by hand: near things and far ones move apart.
        row, column = margin + 0.25 * margin * np.sin(clock), margin + 0.6 * margin * np.sin(clock + 1.2)
        r, c = int(row), int(column)
        here, there = garden[r : r + height], garden[r + 1 : r + 1 + height]
        rows = here + (there - here) * np.float32(row - r)
        picture = rows[:, c : c + width] * np.float32(c + 1 - column) + rows[:, c + 1 : c + 1 + width] * np.float32(
            column - c
        )
        picture = picture * (1 - stick) + stick_light

        turn = clock + 0.35 * np.sin(2 * clock)  # gusts
        co, si = float(np.cos(turn)), float(np.sin(turn))
        sx, sy = bx + shift[0] / (unit * _REACH), by + shift[1] / (unit * _REACH)
        u = ((co * sx + si * sy + 1.05) * (_SIDE / 2.1)).astype(np.int32)
        v = ((co * sy - si * sx + 1.05) * (_SIDE / 2.1)).astype(np.int32)
        place = np.clip(v, 0, _SIDE - 1) * _SIDE + np.clip(u, 0, _SIDE - 1)
        there = cover[place] > 0
        place = place[there]
        paper = wheel[place]  # (n, 5)
        nx, ny = co * paper[:, 3] - si * paper[:, 4], si * paper[:, 3] + co * paper[:, 4]
        nz = -np.sqrt(np.clip(1 - nx * nx - ny * ny, 0.02, 1))
        sun = nx * _SUN[0] + ny * _SUN[1] + nz * _SUN[2]
        gleam = 0.14 * np.clip(2 * sun * -nz + _SUN[2], 0, 1) ** 10
        # What falls on it, what shines through it, the sky's light and the meadow's.
        shares = np.stack([np.clip(sun, 0, 1), np.clip(-sun, 0, 1), 0.5 - 0.5 * ny, 0.5 + 0.5 * ny], axis=1)
        light = paper[:, :3] * (shares @ _LIGHTS + np.float32(0.08)) + gleam[:, None]
        part = picture[box]
        part[there] = mix(part[there], light, cover[place])
        return picture * vignette

    return expose
