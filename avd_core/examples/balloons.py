"""Hot-air balloons over hills at dusk: the camera glides to the right, each range of hills passes at its own pace."""

from __future__ import annotations

import numpy as np

from avd_core.examples.film import Expose, bokeh, colour, fractal_noise, gradient, grid, mix, shrink, smoothstep

SECONDS = 3.6
_SUN = (-0.3, -0.07)  # where it stands, just over the farthest range
_BLUR = 0.5 / 24  # seconds of shutter that the gliding layers are blurred for


class _Layer:
    """A picture of premultiplied light (rows, wide, 4) that slides to the left at `speed` (short sides a second)."""

    def __init__(self, pixels: np.ndarray, top: int, speed: float, unit: int):
        smear = max(round(speed * _BLUR * unit), 1)
        if smear > 1:
            total = np.cumsum(np.pad(pixels, ((0, 0), (smear, 0), (0, 0))), axis=1)
            pixels = (total[:, smear:] - total[:, :-smear]) / smear
        self.pixels, self.top, self.speed = pixels.astype(np.float32), top, speed * unit

    def over(self, picture: np.ndarray, t: float, shift: tuple[float, float]) -> None:
        place = self.speed * t + shift[0] + 1
        start, part = int(place), np.float32(place % 1)
        width = picture.shape[1]
        view = self.pixels[:, start : start + width]
        view = view + (self.pixels[:, start + 1 : start + 1 + width] - view) * part
        rows = picture[self.top : self.top + len(view)]
        rows *= 1 - view[..., 3:]
        rows += view[..., :3]


def _premultiplied(light: np.ndarray, cover: np.ndarray) -> np.ndarray:
    return np.concatenate([light * cover[..., None], cover[..., None]], axis=2)


def _sky(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    stops = [(-0.5, "26365f"), (-0.3, "56619a"), (-0.13, "a97fa6"), (-0.03, "e8977f"), (0.08, "ffcf95")]
    sky = gradient(stops, y + 0 * x) * 1.25
    away = np.hypot((x - _SUN[0]) * 0.8, y - _SUN[1])
    sky = sky + (1.5 * np.exp(-away / 0.09) + 0.5 * np.exp(-away / 0.45))[..., None] * colour("ffa552")
    return sky + (5 * smoothstep(0.046, 0.04, np.hypot(x - _SUN[0], y - _SUN[1])))[..., None] * colour("ffc878")


def _clouds(rng: np.random.Generator, rows: int, wide: int, unit: int, height: int, low: float) -> np.ndarray:
    """Long banks, dark above and burning below where the low sun reaches."""
    side = 2 ** int(np.ceil(np.log2(max(wide, rows))))
    field = fractal_noise(rng, side, side, 1.75)[(np.arange(rows) * 3.4).astype(int) % side, :wide]
    y = ((np.arange(rows) + 0.5 - height / 2) / unit)[:, None]
    bank = 1.6 * np.exp(-(((y - low) / 0.07) ** 2)) + 0.9 * np.exp(-(((y - low + 0.19) / 0.06) ** 2))
    density = smoothstep(0.5, 2.6, field + bank - 0.4)
    under = np.clip((density - np.roll(density, -max(unit // 50, 1), axis=0)) * 3.0, 0, 1) * (density > 0.02)
    light = mix(
        np.broadcast_to(colour("6d628f"), (rows, wide, 3)) * 1.1,
        colour("ffb48c") * 1.6,
        np.clip(under + 0.5 * (1 - density), 0, 1),
    )
    return _premultiplied(light, 0.82 * density)


def _trees(
    rng: np.random.Generator, x: np.ndarray, y: np.ndarray, ground: np.ndarray, tall: float, count: int
) -> np.ndarray:
    """Coverage of a row of firs that stand on `ground` (a height per column)."""
    cover = np.zeros((y.shape[0], x.shape[1]), np.float32)
    span = float(x[0, -1] - x[0, 0])
    step, row = float(x[0, 1] - x[0, 0]), float(y[1, 0] - y[0, 0])
    for _ in range(count):
        high = tall * rng.uniform(0.45, 1.0) * (1 + 0.5 * (rng.uniform() < 0.08))
        column = int(rng.uniform(0, span) / step)
        half = int(high * 0.26 / step) + 1
        x0, x1 = max(column - half, 0), min(column + half, x.shape[1])
        foot = float(ground[0, min(column, x.shape[1] - 1)]) + 0.12 * tall
        y0, y1 = (int(np.clip((v - y[0, 0]) / row, 0, y.shape[0])) for v in (foot - high, foot))
        if y1 <= y0 or x1 <= x0:
            continue
        down = np.clip((y[y0:y1] - (foot - high)) / high, 0, 1)  # 0 at the tip
        tiers = rng.uniform(7, 11)
        saw = 0.62 + 0.38 * ((down * tiers) % 1)
        ragged = 0.02 * rng.standard_normal((y1 - y0, 2)).astype(np.float32)
        side = x[:, x0:x1] - x[0, column]
        reach = high * (0.2 * down**0.85 * saw + np.where(side < 0, ragged[:, :1], ragged[:, 1:]) * down + 0.008)
        cover[y0:y1, x0:x1] = np.maximum(cover[y0:y1, x0:x1], np.clip((reach - np.abs(side)) / step + 0.5, 0, 1))
    return cover


def _hills(
    rng: np.random.Generator,
    height: int,
    wide: int,
    unit: int,
    crest: float,
    rough: float,
    dark: str,
    haze: str,
    distance: float,
    tall: float,
    count: int,
) -> tuple[np.ndarray, int]:
    """One range: crest line, slopes lit from the sun's side, firs, and mist that gathers at its foot."""
    fine = 2
    x = ((np.arange(wide * fine) + 0.5) / fine / unit)[None].astype(np.float32)
    y = (((np.arange(height * fine) + 0.5) / fine - height / 2) / unit)[:, None].astype(np.float32)
    side = 2 ** int(np.ceil(np.log2(wide * fine)))
    line = fractal_noise(rng, 1, side, 1.45 if tall == 0 else 1.9)[:, : wide * fine]
    ground = crest + rough * line
    below = y - ground
    cover = np.clip(below * unit * fine + 0.5, 0, 1)
    field = fractal_noise(rng, 1024, 1024, 1.35)
    field = field[
        (np.arange(height * fine)[:, None] * 2 + (line * 30).astype(int)) % 1024, np.arange(wide * fine)[None] % 1024
    ]
    slope = np.clip(
        0.5 + 0.55 * (field - np.roll(field, 5, axis=1)) - 0.4 * np.gradient(line[0])[None] * unit * rough * 3, 0, 1.3
    )
    if count:
        firs = _trees(rng, x, y, ground, tall, count)
        rim = np.clip(firs - np.roll(firs, 2, axis=1), 0, 1) * smoothstep(0.05, -tall, below)
        cover = np.maximum(cover, firs)
    else:
        rim = np.exp(-np.abs(below) / 0.006) * 0.5
    body = mix(
        np.broadcast_to(colour(dark), (*slope.shape, 3)), colour("ff9a66") * 0.9, slope * (0.01 + 0.46 * distance)
    )
    body = body + (rim * (0.5 + 0.5 * distance))[..., None] * colour("ffa468") * 0.8
    air = np.clip(
        distance * 0.72 + (1 - 0.5 * (1 - distance)) * 0.75 * smoothstep(0.0, 0.16 + 0.1 * (1 - distance), below),
        0,
        0.96,
    )
    air = air if tall < 0.1 else air * smoothstep(0.35, 0.12, below)
    light = mix(body, colour(haze) * 1.15, air)
    layer = shrink(_premultiplied(light, cover), fine)
    top = int(np.argmax(layer[..., 3].max(axis=1) > 0.003))
    return layer[top:], top


def _balloon(
    x: np.ndarray, y: np.ndarray, pixel: float, turn: float, dyes: tuple[str, ...], glow: float
) -> tuple[np.ndarray, np.ndarray]:
    """A balloon over its own coordinates (envelope radius 1, centre 0, y down); light (h, w, 3) and coverage."""
    v = np.clip(y, -1, 1.32)
    dome = np.sqrt(np.clip(1 - np.minimum(v, 0.28) ** 2, 0, 1))
    skirt = 0.96 * (1 - smoothstep(0.0, 1.25, v - 0.28) * 0.8)
    half = np.where(v < 0.28, dome, skirt)
    cover = (
        np.clip((half - np.abs(x)) / pixel + 0.5, 0, 1)
        * np.clip((1.3 - y) / pixel, 0, 1)
        * np.clip((y + 1) / pixel + 0.5, 0, 1)
    )
    u = np.clip(x / np.maximum(half, 1e-3), -1, 1)
    nx, nz = u * 0.98, np.sqrt(np.clip(1 - u * u, 0, 1))
    gore = (np.arcsin(u) + turn) / (2 * np.pi) * 16
    paints = np.stack([colour(name) for name in dyes])
    cloth = paints[np.floor(gore).astype(int) % len(dyes)]
    band = smoothstep(0.1, 0.13, y) * smoothstep(0.42, 0.39, y) + smoothstep(-0.86, -0.88, y)
    cloth = mix(cloth, colour("fff1d6"), np.clip(band, 0, 1) * 0.92 + 0 * x)
    puff = 0.82 + 0.18 * np.sin(np.pi * (gore % 1))
    sun = np.clip(0.25 - 0.85 * nx + 0.15 * nz + 0.1 * y, 0, 1)
    sky = 0.5 + 0.35 * np.clip(-y, -1, 1)
    light = sun[..., None] * np.array([2.0, 1.2, 0.66], np.float32) + (sky * (0.7 + 0.3 * nz))[..., None] * np.array(
        [0.3, 0.33, 0.52], np.float32
    )
    inner = glow * np.exp(-((y - 0.95) ** 2) / 0.35) * nz
    light = cloth * light * puff[..., None] + cloth * inner[..., None] * np.array([2.4, 1.3, 0.5], np.float32)
    # Basket and ropes.
    basket = np.clip((0.13 - np.abs(x)) / pixel + 0.5, 0, 1) * np.clip((0.11 - np.abs(y - 1.72)) / pixel + 0.5, 0, 1)
    ropes = (
        np.clip((0.012 - np.abs(np.abs(x) - 0.12 - 0.12 * (1.62 - y))) / pixel + 0.6, 0, 1) * (y > 1.28) * (y < 1.63)
    )
    weave = colour("6b4326") * (0.5 + 0.9 * np.clip(0.5 - x * 4, 0, 1) + 0.25 * np.sin(y * 110))[..., None]
    flame = glow * np.exp(-((x / 0.05) ** 2 + ((y - 1.4) / 0.09) ** 2))
    light = mix(mix(light, colour("2a1d1a"), ropes), weave, basket) + flame[..., None] * colour("ffc070") * 9
    return light, np.clip(np.maximum.reduce([cover, basket, 0.7 * ropes, np.minimum(flame * 2, 1)]), 0, 1)


# x, y at the start, size, speed to the left and upwards, depth (how much haze), dyes, phase of the burner
_FLEET = (
    (0.62, -0.2, 0.05, 0.014, 0.005, 0.45, ("c75146", "f0c987"), 0.6),
    (0.1, -0.3, 0.034, 0.01, 0.003, 0.6, ("4f7cac", "e8dcc0"), 0.2),
    (0.25, -0.18, 0.135, 0.0375, 0.011, 0.0, ("d9402f", "f2a33c", "d9402f", "2f4b7c"), 0.0),
    (-0.55, -0.24, 0.078, 0.021, 0.007, 0.25, ("e9b44c", "9b2915", "50a2a7"), 0.4),
)


def shoot(rng: np.random.Generator, height: int, width: int) -> Expose:
    """Return the scene's light over time; see `film.Expose`."""
    unit = min(height, width)
    x, y = grid(height, width)
    sky = bokeh(shrink(_sky(*grid(height, width, 2)), 2), unit * 0.003)

    def wide(speed: float) -> int:
        return width + int(speed * SECONDS * unit) + 8

    layers: list[_Layer] = []
    for speed, low in ((0.006, 0.0), (0.01, -0.22)):
        layers.append(_Layer(_clouds(rng, int(height * 0.62), wide(speed), unit, height, low), 0, speed, unit))
    for crest, rough, dark, haze, distance, tall, count, speed in (
        (0.02, 0.04, "6b5688", "f0a48c", 0.78, 0, 0, 0.01),
        (0.1, 0.042, "4c4477", "dc9390", 0.5, 0, 0, 0.0225),
        (0.18, 0.036, "33355f", "b07a90", 0.26, 0.024, 600, 0.0425),
        (0.28, 0.034, "1d2546", "7a5f88", 0.12, 0.065, 300, 0.085),
        (0.43, 0.035, "0a0f20", "2c2a4a", 0.0, 0.22, 70, 0.18),
    ):
        picture, top = _hills(rng, height, wide(speed), unit, crest, rough, dark, haze, distance, tall, count)
        layers.append(_Layer(picture, top, speed, unit))
    hazy = colour("e59a86") * 1.1
    birds = rng.uniform(-1, 1, (9, 3)).tolist()

    def expose(t: float, shift: tuple[float, float]) -> np.ndarray:
        picture = sky.copy()
        dx, dy = shift[0] / unit, shift[1] / unit
        for index, layer in enumerate(layers):
            layer.over(picture, t, shift)
            for x0, y0, size, left, up, depth, dyes, phase in _FLEET:
                if index != (3 if depth > 0.3 else 4):
                    continue
                cx, cy = x0 - left * t, y0 - up * t + 0.004 * float(np.sin(2 * np.pi * (t / 2.4 + phase)))
                x_lo, x_hi = np.searchsorted(x[0], [cx - 1.1 * size, cx + 1.1 * size])
                y_lo, y_hi = np.searchsorted(y[:, 0], [cy - 1.1 * size, cy + 1.95 * size])
                if x_hi <= x_lo or y_hi <= y_lo:
                    continue
                sway = 0.05 * float(np.sin(2 * np.pi * (t / 3.1 + phase)))
                bx, by = (x[:, x_lo:x_hi] + dx - cx) / size, (y[y_lo:y_hi] + dy - cy) / size
                glow = max(0.0, float(np.sin(2 * np.pi * (t / 1.8 + phase)))) ** 2
                light, cover = _balloon(
                    bx - sway * by, by + 0 * bx, 1 / (size * unit), 0.12 * t + 5 * phase, dyes, glow
                )
                box = picture[y_lo:y_hi, x_lo:x_hi]
                box[:] = mix(box, mix(light, np.broadcast_to(hazy, light.shape), np.full(cover.shape, depth)), cover)
            if index == 2:
                _flock(picture, x + dx, y + dy, birds, t, unit)
        return picture

    return expose


def _flock(picture: np.ndarray, x: np.ndarray, y: np.ndarray, birds: np.ndarray, t: float, unit: int) -> None:
    """A few birds far off, each a pair of beating wings."""
    for ahead, above, beat in birds:
        cx, cy, size = 0.05 + 0.16 * ahead + 0.05 * t, -0.08 + 0.05 * above - 0.008 * t, 0.012 + 0.002 * beat
        x_lo, x_hi = np.searchsorted(x[0], [cx - size, cx + size])
        y_lo, y_hi = np.searchsorted(y[:, 0], [cy - size, cy + size])
        u, v = (x[:, x_lo:x_hi] - cx) / size, (y[y_lo:y_hi] - cy) / size
        wing = np.abs(u)
        lift = float(np.sin(2 * np.pi * (2.2 + 0.3 * beat) * t + 6 * beat))
        line = v + lift * 0.75 * wing - 0.3 * wing * wing * lift
        dark = np.clip((0.17 * (1.1 - wing) - np.abs(line)) * size * unit + 0.5, 0, 1) * (wing < 1)
        box = picture[y_lo:y_hi, x_lo:x_hi]
        box *= 1 - 0.8 * dark[..., None]
