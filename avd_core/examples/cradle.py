"""Newton's cradle on a desk by night: chrome balls mirror a studio and one another, the outer two swing in turn."""

from __future__ import annotations

import numpy as np

from avd_core.examples.film import Expose, bokeh, colour, fractal_noise, grid, mix, shrink, smoothstep

PERIOD = 1.2  # seconds from one left-hand swing to the next
_RADIUS, _LENGTH, _SWING = 0.078, 0.46, 0.44  # of a ball, of its strings; the outermost angle in radians
_REST, _TABLE = 0.16, 0.33  # y of the hanging balls' centres, and of the base's middle line
_FRONT, _REAR = _TABLE + 0.045, _TABLE - 0.045  # y of the edges of the base's top
_RAIL = _REST - _LENGTH  # y of the front rail
_DEEP = np.array([0.075, -0.05], np.float32)  # how far the rear rail stands right and above of the front one


def _studio(rx: np.ndarray, ry: np.ndarray, rz: np.ndarray) -> np.ndarray:
    """What a mirror sees in direction (right, down, away from the camera): two soft boxes, a dim room, far lamps."""
    warm, cool = colour("ffd8a8"), colour("a9cbff")
    light = mix(np.broadcast_to(colour("20242e"), (*rx.shape, 3)), colour("5b6577"), smoothstep(0.5, -0.9, ry))
    light = mix(light, colour("2a1810"), smoothstep(0.0, 0.25, ry))
    across, up = np.arctan2(rx, -rz), np.arcsin(np.clip(-ry, -1, 1))

    def box(middle: float, half: float, low: float, high: float, edge: float = 0.06) -> np.ndarray:
        return (
            smoothstep(half + edge, half - edge, np.abs(across - middle))
            * smoothstep(low - edge, low + edge, up)
            * smoothstep(high + edge, high - edge, up)
        )

    light = light + box(-0.95, 0.5, 0.25, 1.1)[..., None] * warm * 7
    light = light + box(1.25, 0.2, -0.15, 0.95)[..., None] * cool * 3.2
    light = light + box(0.15, 1.2, 1.22, 1.5, 0.1)[..., None] * warm * 2.5
    light = light + (box(2.6, 0.5, 0.0, 0.3, 0.15) + box(-2.3, 0.3, 0.1, 0.5, 0.15))[..., None] * colour("ff9a4d") * 1.6
    rim = np.exp(-((ry - 0.02) ** 2) / 0.004) * smoothstep(0.2, -0.6, rz * -1)
    return (light + rim[..., None] * colour("8fa6c8") * 0.5).astype(np.float32)


class _Mirror:
    """The studio, painted once on a longitude/latitude map and then looked up."""

    def __init__(self) -> None:
        latitude = (((np.arange(192) + 0.5) / 192 - 0.5) * np.pi)[:, None]
        longitude = (((np.arange(384) + 0.5) / 192 - 1) * np.pi)[None]
        rx, rz = np.cos(latitude) * np.sin(longitude), -np.cos(latitude) * np.cos(longitude)
        self.map = _studio(rx, np.sin(latitude) + 0 * longitude, rz)

    def __call__(self, rx: np.ndarray, ry: np.ndarray, rz: np.ndarray) -> np.ndarray:
        row = ((np.arcsin(np.clip(ry, -1, 1)) / np.pi + 0.5) * 191.99).astype(int)
        column = ((np.arctan2(rx, -rz) / (2 * np.pi) + 0.5) * 383.99).astype(int)
        return self.map[row, column]


def _rod(
    picture: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    pixel: float,
    a: tuple[float, float],
    b: tuple[float, float],
    radius: float,
    mirror: _Mirror,
) -> np.ndarray:
    """A chrome rod from a to b over a picture (premultiplied light and coverage, 4 channels)."""
    (ax, ay), (bx, by) = a, b
    length = np.hypot(bx - ax, by - ay)
    tx, ty = (bx - ax) / length, (by - ay) / length
    along = np.clip((x - ax) * tx + (y - ay) * ty, 0, length)
    nx, ny = (x - ax - along * tx) / radius, (y - ay - along * ty) / radius
    far = np.sqrt(nx * nx + ny * ny)
    cover = np.clip((1 - far) * radius / pixel + 0.5, 0, 1)
    over = np.maximum(far, 1)
    nx, ny = nx / over, ny / over
    nz = -np.sqrt(np.clip(1 - nx * nx - ny * ny, 0, 1))
    light = mirror(-2 * nz * nx, -2 * nz * ny, 1 - 2 * nz * nz) * colour("e9edf2")
    return picture * (1 - cover[..., None]) + np.concatenate([light * cover[..., None], cover[..., None]], axis=2)


def _desk(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The room behind, far out of focus, and the desk: dark, with lamps."""
    wide = x + 0 * y
    light = mix(
        np.broadcast_to(colour("16202b"), (*wide.shape, 3)),
        colour("35506a"),
        np.exp(-(((wide + 0.25) / 0.5) ** 2 + ((y + 0.2) / 0.4) ** 2)),
    )
    store = smoothstep(0.012, 0.008, np.abs(y + 0.12)) + smoothstep(0.012, 0.008, np.abs(y - 0.1))
    books = np.take(rng.uniform(0, 1, 997), (np.floor(wide * 34).astype(int) + 500) % 997)
    tall = 0.1 + 0.07 * books
    hues = np.stack([colour(h) for h in ("7a3b2e", "2f4858", "a8763e", "3d5a45", "5b3a5a", "c9b28a")])
    spine = hues[(books * 97).astype(int) % 6] * (0.3 + 0.7 * np.exp(-(((wide - 0.42) / 0.28) ** 2)))[..., None]
    for low in (-0.12, 0.1):
        light = mix(light, spine * 0.8, (y < low) * (y > low - tall) * smoothstep(0.08, 0.1, wide))
    light = mix(light, colour("3a2a1e") * 0.6, np.clip(store, 0, 1) * smoothstep(0.08, 0.1, wide))
    for _ in range(16):  # lamps of the town in the window on the left
        cx, cy, size = rng.uniform(-0.66, -0.12), rng.uniform(-0.42, 0.12), rng.uniform(0.003, 0.006)
        hue = colour(str(rng.choice(["ffb45e", "ff8f4a", "ffe0a8", "8fc7ff", "ff6f61"])))
        light = (
            light + (rng.uniform(6, 22) * smoothstep(size, size * 0.6, np.hypot(wide - cx, y - cy)))[..., None] * hue
        )
    glow = np.exp(-((np.hypot(wide - 0.55, y + 0.3) / 0.13) ** 2))
    return light + glow[..., None] * colour("ffa04e") * 1.3


def _ground(rng: np.random.Generator, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the room and the bare desk, with a dim reflection of the room in it (H,W,3), and the wood's fibres."""
    unit = min(height, width)
    fine_x, fine_y = grid(height, width, 3)
    wide = fine_x + 0 * fine_y
    x, y = grid(height, width)
    room = bokeh(_desk(rng, x, y), unit * 0.03)
    edge = 0.24  # the desk's far edge
    fibre = fractal_noise(rng, 512, 512, 1.0)
    depth = 0.5 / np.maximum(fine_y - edge + 0.25, 0.05)
    grain = fibre[(depth * 260 + 0 * wide).astype(int) % 512, (wide * depth * 60).astype(int) % 512]
    wood = colour("4a2c1a") * (1 + 0.22 * grain)[..., None]
    pool = 0.2 + 0.9 * np.exp(-(((wide + 0.1) / 0.55) ** 2 + ((fine_y - 0.36) / 0.2) ** 2))
    desk = bokeh(shrink(wood * pool[..., None] * colour("ffd9b0"), 3), unit * 0.004)
    flipped = room[np.clip(((2 * edge - y[:, 0]) * unit + height / 2).astype(int), 0, height - 1)]
    desk = desk + bokeh(flipped, unit * 0.02) * (0.28 * smoothstep(0.32, 0.0, y - edge))[..., None]
    return mix(room, desk, smoothstep(edge - 0.008, edge + 0.008, y + 0 * x)), fibre


def _skew(y: np.ndarray) -> np.ndarray:
    """Return how far the top of the base, seen at a slant, is shifted to the right at y."""
    return (_FRONT - y) / (_FRONT - _REAR) * _DEEP[0] * 1.5


def _base(
    picture: np.ndarray, fibre: np.ndarray, x: np.ndarray, y: np.ndarray, pixel: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return a picture with the base on it, and the coverage of the base's top.

    The base is a slab of walnut, its top seen at a slant, its front face lit from above.
    """
    half, wide, skew = 0.56, x + 0 * y, _skew(y)
    on_top = (
        smoothstep(half, half - pixel, np.abs(wide - skew + _DEEP[0] * 0.75))
        * smoothstep(_REAR, _REAR + pixel, y)
        * (y < _FRONT)
    )
    on_front = (
        smoothstep(half, half - pixel, np.abs(wide + _DEEP[0] * 0.75))
        * (y >= _FRONT)
        * smoothstep(_FRONT + 0.05, _FRONT + 0.05 - pixel, y)
    )
    rings = fibre[(y * 900 + 40 * np.sin(wide * 5)).astype(int) % 512, (wide * 120).astype(int) % 512]
    walnut = colour("7a4a2a") * (1 + 0.16 * rings)[..., None]
    sheen = np.exp(-(((wide + 0.28 - skew) / 0.22) ** 2))
    top_light = (
        walnut * (0.75 + 0.6 * np.exp(-(((wide + 0.2) / 0.5) ** 2)))[..., None] * colour("ffe3c4")
        + sheen[..., None] * colour("ffd8a8") * 0.14
    )
    bevel = np.exp(-np.abs(y - _FRONT) / 0.004)
    face_light = walnut * (0.34 - 2.6 * (y - _FRONT)[..., None]) + bevel[..., None] * colour("ffd9b0") * 0.18
    under = (
        smoothstep(0.08, 0.0, y - _FRONT - 0.048)
        * smoothstep(half + 0.1, half - 0.02, np.abs(wide + 0.03))
        * (y > _FRONT)
    )
    picture = mix(picture, np.zeros(3, np.float32), 0.8 * under)
    corner, run = half - _DEEP[0] * 0.75, _DEEP[0] * 1.5
    slant = y - _FRONT + (wide - corner) / run * (_FRONT - _REAR)  # below the right edge of the top
    on_side = (
        smoothstep(0, pixel, wide - corner)
        * (wide < corner + run)
        * (slant > 0)
        * smoothstep(0.05, 0.05 - pixel, slant)
    )
    return mix(mix(mix(picture, face_light, on_front), walnut * 0.1, on_side), top_light, on_top), on_top


def _rail(x: np.ndarray, y: np.ndarray, pixel: float, mirror: _Mirror, *, front: bool) -> np.ndarray:
    """Return a rail with its two posts, premultiplied light and coverage (H,W,4), from a grid three times as fine."""
    offset = np.zeros(2) if front else _DEEP
    dx, dy = offset - [_DEEP[0] / 2, 0]
    left, right, top = dx - 0.5, dx + 0.5, _RAIL + dy
    foot, thick = (_FRONT - 0.014, 0.0125) if front else (_REAR + 0.014, 0.0115)
    rail = np.zeros((y.shape[0], x.shape[1], 4), np.float32)
    for post in (left, right):
        rail = _rod(rail, x, y, pixel, (post, top), (post, foot), thick, mirror)
    return shrink(_rod(rail, x, y, pixel, (left, top), (right, top), thick, mirror), 3)


def _centres(t: float) -> list[tuple[float, float]]:
    """Return (x, y) of the five balls' centres at a time in seconds."""
    swing = _SWING * np.sin(2 * np.pi * t / PERIOD)
    angles = [max(swing, 0.0), 0.0, 0.0, 0.0, min(swing, 0.0)]
    # A whisper of movement in the three between keeps them from looking painted.
    angles = [a + 0.006 * np.sin(2 * np.pi * t / PERIOD + 0.5) for a in angles]
    places = [
        ((i - 2) * 2.01 * _RADIUS - _LENGTH * np.sin(a), _REST - _LENGTH * (1 - np.cos(a)))
        for i, a in enumerate(angles)
    ]
    return [(float(cx), float(cy)) for cx, cy in places]


def shoot(rng: np.random.Generator, height: int, width: int) -> Expose:
    """Return the scene's light over time; see `film.Expose`."""
    unit, mirror = min(height, width), _Mirror()
    fine_x, fine_y = grid(height, width, 3)
    pixel = 1 / (3 * unit)
    x, y = grid(height, width)
    ground, fibre = _ground(rng, height, width)
    static, on_top = _base(np.repeat(np.repeat(ground, 3, 0), 3, 1), fibre, fine_x, fine_y, pixel)
    rear, front = (_rail(fine_x, fine_y, pixel, mirror, front=front) for front in (False, True))
    static = shrink(static, 3)
    static = static * (1 - rear[..., 3:]) + rear[..., :3]
    table = shrink(on_top.astype(np.float32), 3)
    table_rows = np.s_[int((_REAR * unit) + height / 2) - 1 : int((_FRONT * unit) + height / 2) + 2]
    across = x - shrink(_skew(fine_y) + 0 * (fine_x + 0 * fine_y), 3)[table_rows] + _DEEP[0] * 0.75
    away = (y[table_rows] - _TABLE) * 2.6

    def expose(t: float, shift: tuple[float, float]) -> np.ndarray:
        centres = _centres(t)
        picture = static.copy()
        shade = np.zeros((across.shape[0], width), np.float32)
        for cx, cy in centres:
            square = (across - cx) ** 2 + away**2 + (_TABLE - cy) ** 2
            shade += (_TABLE - cy) * _RADIUS**2 / square**1.5
        picture[table_rows] *= (1 - np.minimum(1.1 * shade, 0.85) * table[table_rows])[..., None]

        sx, sy = x + shift[0] / unit, y + shift[1] / unit
        for index, (cx, cy) in enumerate(centres):
            home = (index - 2) * 2.01 * _RADIUS
            for deep in (1, 0):
                hook = (home + float(_DEEP[0]) * (deep - 0.5), _RAIL + float(_DEEP[1]) * deep)
                _string(picture, sx, sy, unit, hook, (cx, cy - _RADIUS * 0.98), 0.9 if deep else 1.25)
        for index in (0, 4, 1, 3, 2):
            _chrome(picture, sx, sy, unit, index, centres, mirror)
        return picture * (1 - front[..., 3:]) + front[..., :3]

    return expose


def _string(
    picture: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    unit: int,
    a: tuple[float, float],
    b: tuple[float, float],
    strength: float,
) -> None:
    y0, y1 = np.searchsorted(y[:, 0], [a[1], b[1]])
    x0, x1 = np.searchsorted(x[0], [min(a[0], b[0]) - 0.01, max(a[0], b[0]) + 0.01])
    middle = a[0] + (y[y0:y1] - a[1]) * (b[0] - a[0]) / (b[1] - a[1])
    cover = np.clip(1.0 - np.abs(x[:, x0:x1] - middle) * unit, 0, 1) * 0.55 * strength
    box = picture[y0:y1, x0:x1]
    box[:] = mix(box, np.broadcast_to(colour("dfe6ee") * 0.75, box.shape), np.minimum(cover, 1))


def _chrome(
    picture: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    unit: int,
    index: int,
    centres: list[tuple[float, float]],
    mirror: _Mirror,
) -> None:
    """Paint one mirror ball in place, with its neighbours and the walnut in it (two bounces)."""
    cx, cy = centres[index]
    reach = _RADIUS + 1 / unit
    x0, x1 = np.searchsorted(x[0], [cx - reach, cx + reach])
    y0, y1 = np.searchsorted(y[:, 0], [cy - reach, cy + reach])
    u, v = (x[:, x0:x1] - cx) / _RADIUS, (y[y0:y1] - cy) / _RADIUS
    far = np.sqrt(u * u + v * v)
    cover = np.clip((1 - far) * _RADIUS * unit + 0.5, 0, 1)
    over = np.maximum(far, 1)
    nx, ny = u / over, v / over
    nz = -np.sqrt(np.clip(1 - nx * nx - ny * ny, 0, 1))
    rx, ry, rz = -2 * nz * nx, -2 * nz * ny, 1 - 2 * nz * nz  # the view ray (0, 0, 1), mirrored
    light = mirror(rx, ry, rz)

    # Down-going rays meet the walnut.
    reach_table = (_TABLE - cy - ny * _RADIUS) / np.maximum(ry, 1e-3)
    hit_x, hit_z = cx + nx * _RADIUS + rx * reach_table, nz * _RADIUS + rz * reach_table
    on_slab = (ry > 0.02) * smoothstep(0.58, 0.54, np.abs(hit_x)) * smoothstep(0.22, 0.16, np.abs(hit_z))
    near = 1 - 0.8 * np.exp(-((hit_x - cx) ** 2 + hit_z**2) / 0.012)
    light = mix(light, colour("8a5430") * (0.95 * near)[..., None], on_slab)

    for other in (index - 1, index + 1):
        if not 0 <= other < len(centres):
            continue
        ox, oy = (centres[other][0] - cx) / _RADIUS, (centres[other][1] - cy) / _RADIUS
        px, py, pz = ox - nx, oy - ny, -nz
        along = px * rx + py * ry + pz * rz
        off = px * px + py * py + pz * pz - along * along
        hit = (along > 0) * smoothstep(1.0, 0.94, off)
        depth = along - np.sqrt(np.clip(1 - off, 0, 1))
        mx, my, mz = nx + rx * depth - ox, ny + ry * depth - oy, nz + rz * depth
        dot = 2 * (mx * rx + my * ry + mz * rz)
        again = mirror(rx - dot * mx, ry - dot * my, np.clip(rz - dot * mz, -1, 1)) * 0.8
        dim = np.clip(0.25 + 1.2 * depth, 0, 1)
        light = mix(light, again * dim[..., None], hit)
    steel = colour("eef1f5") * (0.86 + 0.14 * (1 + nz)[..., None])
    box = picture[y0:y1, x0:x1]
    box[:] = mix(box, light * steel, cover)
