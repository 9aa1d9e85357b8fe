"""A basketball on a sunlit parquet: it falls, flattens, springs back; shadow and reflection meet it at the floor."""

from __future__ import annotations

import numpy as np

from avd_core.examples.film import (
    Expose,
    ball_shadow,
    bokeh,
    colour,
    fractal_noise,
    gradient,
    grid,
    mix,
    planks,
    shrink,
    smoothstep,
)

PERIOD = 0.72  # seconds from bounce to bounce; the ball makes half a turn, after which it looks the same
_FOCAL, _HORIZON, _EYE, _DEPTH = 2.3, -0.14, 0.46, 1.9  # the lens, and the camera's height and distance in metres
_RADIUS, _HEIGHT = 0.135, 0.45  # of the ball, and of its bounce, in metres
_LAMP = np.array([-0.52, -0.78, -0.35], np.float32)  # towards the window, a unit vector


def _gym(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The far wall, to be blurred: windows, pads, a backboard."""
    wall = gradient([(-0.5, "8c7a6b"), (-0.2, "a58a70"), (0.0, "6f5848")], y + 0 * x)
    wall = wall * (1.15 - 0.7 * smoothstep(-0.3, 0.6, x))[..., None]
    for left in (-0.47, -0.25):
        pane = smoothstep(0.085, 0.08, np.abs(x - left)) * smoothstep(0.165, 0.16, np.abs(y + 0.36))
        bars = smoothstep(0.006, 0.009, np.abs(x - left)) * smoothstep(0.006, 0.009, np.abs(y + 0.36))
        wall = mix(wall, colour("fff0d2") * 6.5, pane * bars)
    pads = smoothstep(-0.155, -0.15, y + 0 * x)
    wall = mix(wall, colour("1f4a5c") * (0.75 + 0.3 * (np.sin(x * 40) > -0.9))[..., None], pads)
    board = smoothstep(0.135, 0.13, np.abs(x - 0.3)) * smoothstep(0.09, 0.085, np.abs(y + 0.33))
    frame = smoothstep(0.05, 0.045, np.abs(x - 0.3)) * smoothstep(0.035, 0.03, np.abs(y + 0.305))
    inner = smoothstep(0.042, 0.037, np.abs(x - 0.3)) * smoothstep(0.027, 0.022, np.abs(y + 0.305))
    wall = mix(wall, colour("f4eee4") * 1.1, board)
    wall = mix(wall, colour("d8482c"), frame * (1 - inner))
    rim = smoothstep(0.007, 0.004, np.abs(y + 0.235)) * smoothstep(0.06, 0.055, np.abs(x - 0.3))
    net = smoothstep(0.05, 0.045, np.abs(x - 0.3) + (y + 0.235) * 0.25) * smoothstep(0.045, 0.04, np.abs(y + 0.19))
    wall = mix(wall, colour("efe6d8"), net * (0.35 + 0.25 * np.sin(x * 320 + y * 90)))
    return mix(wall, colour("ff5a1f") * 1.3, rim)


def _parquet(rng: np.random.Generator, x: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Albedo of varnished maple planks running away from the camera, with painted court lines; x, z in metres."""
    wood = planks(rng, x, z, 0.058, 0.8, [(-3, "9a6636"), (0, "c28d55"), (3, "dcae78")])
    away = np.hypot(x + 0.55, z - 4.2)
    wood = mix(wood, wood * colour("3f86a0") * 1.9, 0.85 * smoothstep(1.96, 1.955, away))
    return mix(wood, colour("f3efe6") * 0.9, 0.92 * smoothstep(0.034, 0.03, np.abs(away - 1.99)))


def _skin(rng: np.random.Generator) -> np.ndarray:
    """Albedo of the ball, poles left and right, as a map (256, 512, 3): pebbled leather and black seams."""
    latitude = ((np.arange(256) + 0.5) / 256 - 0.5)[:, None] * np.pi
    longitude = ((np.arange(512) + 0.5) / 512 * 2 - 1)[None] * np.pi
    px, py, pz = np.sin(latitude), np.cos(latitude) * np.sin(longitude), np.cos(latitude) * np.cos(longitude)
    oval = np.abs(np.abs(px) - (0.58 + 0.24 * (py * py - pz * pz))) * 0.8
    seam = np.minimum(np.minimum(np.abs(py), np.abs(pz)), oval)
    pebble = 0.1 * fractal_noise(rng, 256, 256, 0.1) + 0.06 * fractal_noise(rng, 256, 256, 1.5)
    leather = colour("d9662a") * (1 + np.tile(pebble, (1, 2)))[..., None]  # twice around: half a turn brings it back
    return mix(leather, colour("1c1512"), smoothstep(0.042, 0.026, seam))


def _bounce(t: float) -> tuple[float, float]:
    """Return the ball's height over the floor in metres at a time in seconds, and its vertical stretch (1 is round)."""
    u = (t / PERIOD) % 1
    contact = 0.13  # share of the period on the floor
    if u < contact:
        return 0.0, 1 - 0.2 * float(np.sin(np.pi * u / contact))
    flight = (u - contact) / (1 - contact)
    stretch = 1 + 0.07 * abs(2 * flight - 1) ** 3 * min(1, 8 * min(flight, 1 - flight))
    return _HEIGHT * 4 * flight * (1 - flight), stretch


def shoot(rng: np.random.Generator, height: int, width: int) -> Expose:
    """Return the scene's light over time; see `film.Expose`."""
    unit = min(height, width)
    fine_x, fine_y = grid(height, width, 3)
    depth = _FOCAL * _EYE / np.maximum(fine_y - _HORIZON, 1e-3)
    wall_row = _HORIZON + _FOCAL * _EYE / 9.0  # where the floor meets the far wall, 9 m away
    albedo = shrink(_parquet(rng, fine_x * depth / _FOCAL, np.minimum(depth, 9) + 0 * fine_x), 3)

    x, y = grid(height, width)
    z = _FOCAL * _EYE / np.maximum(y - _HORIZON, 1e-3)
    wall = bokeh(_gym(rng, x, y), unit * 0.022)
    mirror_rows = np.clip(((2 * wall_row - y[:, 0]) * unit + height / 2).astype(int), 0, height - 1)
    gloss = bokeh(_gym(rng, x, y), unit * 0.04)[mirror_rows]
    fresnel = (0.06 + 0.5 * np.clip(1 - (y - wall_row) / 0.6, 0, 1) ** 2)[..., None]
    fog = np.abs(1 / z - 1 / _DEPTH)[..., None] * np.ones_like(albedo)
    soft, softer = bokeh(albedo, unit * 0.006), bokeh(albedo, unit * 0.014)
    albedo = albedo + (soft - albedo) * np.clip(fog / 0.15, 0, 1) + (softer - soft) * np.clip((fog - 0.15) / 0.2, 0, 1)
    floor_x, floor_z = x * z / _FOCAL, z + 0 * x
    pool = np.exp(-((floor_x + 0.15) ** 2 / 1.6 + (floor_z - 2.1) ** 2 / 3.5))[..., None]
    key = albedo * np.array([1.0, 0.9, 0.74], np.float32) * (0.35 + 1.15 * pool)
    sky = albedo * np.array([0.3, 0.32, 0.38], np.float32)
    shine = gloss * fresnel * 0.55
    is_floor = smoothstep(wall_row - 0.004, wall_row + 0.004, y + 0 * x)
    first = int((wall_row * unit) + height / 2)
    room = mix(wall, key + sky + shine, is_floor)

    skin = _skin(rng)
    scale = _FOCAL / _DEPTH
    lean = 0.5
    tilt = np.array([[np.cos(lean), -np.sin(lean), 0], [np.sin(lean), np.cos(lean), 0], [0, 0, 1]])

    def expose(t: float, shift: tuple[float, float]) -> np.ndarray:
        lift, flat = _bounce(t)
        wide = flat**-0.5
        centre = (0.0, -(lift + _RADIUS * flat), _DEPTH)

        picture = room.copy()
        spot = (floor_x[first:], np.zeros((), np.float32), floor_z[first:])
        shadow, occlusion = ball_shadow(spot, centre, _RADIUS, _LAMP, 0.16)
        lit = key[first:] * (1 - shadow)[..., None] + sky[first:] * (1 - occlusion)[..., None] ** 1.5 + shine[first:]
        picture[first:] = mix(picture[first:], lit, is_floor[first:])

        turn = np.pi * t / PERIOD
        spin = np.array([[1, 0, 0], [0, np.cos(turn), -np.sin(turn)], [0, np.sin(turn), np.cos(turn)]]) @ tilt
        spin = spin.astype(np.float32)
        ball, cover, (top, left) = _ball(skin, spin, centre, wide, flat, scale, height, width, shift)
        # The varnish shows the ball upside down, fainter and wavier the higher it is.
        mirrored = _HORIZON + scale * (_EYE - centre[1])
        below = top + round((mirrored - _HORIZON - scale * (_EYE + centre[1])) * unit)
        _over(picture, ball[::-1] * 0.9, cover[::-1] * 0.17 * np.exp(-1.2 * lift), below, left)
        _over(picture, ball, cover, top, left)
        return picture

    return expose


def _ball(
    skin: np.ndarray,
    spin: np.ndarray,
    centre: tuple[float, float, float],
    wide: float,
    flat: float,
    scale: float,
    height: int,
    width: int,
    shift: tuple[float, float],
) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """The ball's light (h, w, 3), coverage (h, w) and place (top, left)."""
    unit = min(height, width)
    cx, cy = centre[0] * scale * unit + width / 2, (_HORIZON + scale * (_EYE + centre[1])) * unit + height / 2
    reach = _RADIUS * scale * unit
    left, top = int(cx - reach * wide) - 1, int(cy - reach * flat) - 1
    w, h = int(2 * reach * wide) + 4, int(2 * reach * flat) + 4
    u = ((np.arange(w) + 0.5 + shift[0] + left - cx) / (reach * wide))[None].astype(np.float32)
    v = ((np.arange(h) + 0.5 + shift[1] + top - cy) / (reach * flat))[:, None].astype(np.float32)
    square = u * u + v * v
    nz = -np.sqrt(np.clip(1 - square, 0, 1))
    px, py, pz = (spin[i, 0] * u + spin[i, 1] * v + spin[i, 2] * nz for i in range(3))
    row = np.clip((np.arcsin(np.clip(px, -1, 1)) / np.pi + 0.5) * 256, 0, 255).astype(int)
    column = np.clip((np.arctan2(py, pz) / (2 * np.pi) + 0.5) * 512, 0, 511).astype(int)
    leather = skin[row, column]

    sun = u * _LAMP[0] + v * _LAMP[1] + nz * _LAMP[2]
    wrap = np.clip((sun + 0.15) / 1.15, 0, 1)
    height_above = max(-centre[1] - _RADIUS * flat, 0)
    bounce = np.clip(v * 0.6 + 0.4, 0, 1) * np.exp(-2.2 * height_above)
    contact = 1 - 0.75 * smoothstep(0.55, 1.0, v + 0 * u) * np.exp(-9 * height_above)
    warm, cool, wood = (np.array(c, np.float32) for c in ((1.55, 1.36, 1.08), (0.17, 0.2, 0.26), (0.34, 0.22, 0.12)))
    light = wrap[..., None] * warm + (0.6 - 0.5 * v)[..., None] * cool + bounce[..., None] * wood
    shine = np.clip(2 * sun * -nz + _LAMP[2], 0, 1)  # mirror of the view axis in the surface, towards the lamp
    rim = (1 - np.abs(nz)) ** 3
    glint = (0.22 * shine**18 + 0.06 * shine**4)[..., None] * warm + (rim * (0.16 + 0.22 * np.clip(-v - u, 0, 1)))[
        ..., None
    ] * cool * 3
    body = leather * light * contact[..., None] + glint * contact[..., None]
    return body, np.clip((1 - np.sqrt(square)) * reach + 0.5, 0, 1), (top, left)


def _over(picture: np.ndarray, layer: np.ndarray, cover: np.ndarray, top: int, left: int) -> None:
    """Lay a patch over the picture in place, cut to its borders."""
    h, w = cover.shape
    y0, x0, y1, x1 = max(top, 0), max(left, 0), min(top + h, picture.shape[0]), min(left + w, picture.shape[1])
    if y1 <= y0 or x1 <= x0:
        return
    cut = np.s_[y0 - top : y1 - top, x0 - left : x1 - left]
    picture[y0:y1, x0:x1] = mix(picture[y0:y1, x0:x1], layer[cut], cover[cut])
