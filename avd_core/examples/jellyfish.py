"""A jellyfish in the deep: the bell contracts and opens, and the wave runs down its arms and tentacles."""

from __future__ import annotations

import numpy as np

from avd_core.examples.film import Expose, colour, fractal_noise, gradient, grid, mix, shrink, smoothstep, soften

LOOP = 3.6  # seconds; everything repeats after it
_BEAT = 1.8  # seconds from pulse to pulse
_ROSE, _VIOLET, _PEACH, _ICE = colour("ff8fc0"), colour("8f7bff"), colour("ffb37a"), colour("bfe6ff")


def _squeeze(t: float) -> float:
    """How contracted the bell is, -1..1: a quick stroke, then a slow opening."""
    phase = 2 * np.pi * t / _BEAT
    return float(np.sin(phase + 0.55 * np.sin(phase)))


class _Jelly:
    """One animal: its place, size, the softness of its edges (short sides) and how much water lies before it."""

    def __init__(
        self, rng: np.random.Generator, x: float, y: float, size: float, blur: float, haze: float, lead: float
    ):
        self.x, self.y, self.size, self.blur, self.haze, self.lead = x, y, size, blur, haze, lead
        self.skin = fractal_noise(rng, 128, 256, 1.0)
        count = 30
        self.roots = np.sin(np.linspace(-1.5, 1.5, count, dtype=np.float32)) * 0.95
        self.front = rng.uniform(size=count) < 0.55
        self.lengths = rng.uniform(1.5, 3.3, count).astype(np.float32)
        self.phases = rng.uniform(0, 2 * np.pi, (count, 2)).astype(np.float32)
        self.weights = rng.uniform(0.5, 1.3, count).astype(np.float32)

    def pose(self, t: float) -> tuple[float, float, float, float]:
        """Centre x, y of the apex, squeeze, and tilt (radians)."""
        t = t + self.lead
        turn = 2 * np.pi * t / LOOP
        rise = 0.14 * np.sin(2 * np.pi * (t - 0.45) / _BEAT)
        tilt = 0.12 * np.sin(turn + 0.8) + 0.1 * np.sign(self.x + 0.01)
        return (
            self.x + float(0.12 * self.size * np.sin(turn)),
            self.y - float(rise * self.size),
            _squeeze(t),
            float(tilt),
        )

    def _threads(
        self, t: float, front: bool, unit: int, shape: tuple[int, int], centre: tuple[float, float]
    ) -> np.ndarray:
        """Tentacles as light on the pixel grid (H, W): many points, each shared among its four neighbours."""
        x0, y0, squeeze, tilt = self.pose(t)
        s = np.linspace(0, 1, 420, dtype=np.float32)[None]
        chosen = self.front == front
        root, long, phase = self.roots[chosen, None], self.lengths[chosen, None], self.phases[chosen]
        wide, high = 1 + 0.15 * -squeeze, 0.98 + 0.14 * squeeze
        clock = float(2 * np.pi * t / _BEAT)
        # What the margin did a moment ago, the thread does now further down.
        late = np.sin(clock - 3.4 * s * long / 2.4 + self.lead)
        px = root * wide * (1 - 0.42 * s**0.7) + 0.13 * root * late * s
        px = px + 0.16 * s**1.2 * np.sin(2 * np.pi * (1.3 * s * long / 2.4) - clock + phase[:, :1])
        px = px + 0.05 * s * np.sin(2 * np.pi * 3.1 * s - 2 * clock + phase[:, 1:])
        py = high + s * long * (1 - 0.05 * squeeze)
        c, si = np.cos(tilt), np.sin(tilt)
        column = (x0 + self.size * (c * px - si * py)) * unit + centre[0] - 0.5
        row = (y0 + self.size * (si * px + c * py)) * unit + centre[1] - 0.5
        light = (
            self.weights[chosen, None] * (1 - s) ** 0.8 * (0.55 + 0.45 * np.sin(26 * s * long + phase[:, :1]) ** 2)
        ) * long
        light = np.broadcast_to(light, px.shape) * self.size * unit / 420
        total = np.zeros(shape[0] * shape[1])
        left, top = np.floor(column).astype(int), np.floor(row).astype(int)
        for dx in (0, 1):
            for dy in (0, 1):
                share = np.abs(1 - dx - (column - left)) * np.abs(1 - dy - (row - top)) * light
                inside = (left + dx >= 0) & (left + dx < shape[1]) & (top + dy >= 0) & (top + dy < shape[0])
                total += np.bincount(((top + dy) * shape[1] + left + dx)[inside], share[inside], len(total))
        glow = total.reshape(shape).astype(np.float32)
        around = np.roll(glow, 1, 0) + np.roll(glow, -1, 0) + np.roll(glow, 1, 1) + np.roll(glow, -1, 1)
        return 0.6 * glow + 0.12 * around

    def over(self, picture: np.ndarray, x: np.ndarray, y: np.ndarray, t: float) -> None:
        """Paint the animal onto a picture of light, in place."""
        height, width = picture.shape[:2]
        unit = min(height, width)
        x0, y0, squeeze, tilt = self.pose(t)
        centre = (width / 2, height / 2)
        clear = 1 - self.haze

        thread = self._threads(t, False, unit, (height, width), centre)
        picture += thread[..., None] * (_VIOLET * 0.5 * clear)

        c, s = float(np.cos(tilt)), float(np.sin(tilt))
        for paint, wide, last in ((self._arms, 0.9, 2.6), (self._bell, 1.4, 1.5)):
            rows = slice(*np.searchsorted(y[:, 0], [y0 - 0.4 * self.size, y0 + last * self.size]))
            columns = slice(*np.searchsorted(x[0], [x0 - wide * self.size, x0 + wide * self.size]))
            ox, oy = (x[:, columns] - x0) / self.size, (y[rows] - y0) / self.size
            paint(picture[rows, columns], c * ox + s * oy, c * oy - s * ox, t, squeeze, clear)
        thread = self._threads(t, True, unit, (height, width), centre)
        picture += thread[..., None] * ((_ROSE * 0.55 + _ICE * 0.35) * clear)

    def _arms(self, part: np.ndarray, u: np.ndarray, v: np.ndarray, t: float, squeeze: float, clear: float) -> None:
        """Four frilled arms under the bell."""
        clock = float(2 * np.pi * t / _BEAT + self.lead)
        for index, (root, long) in enumerate(((-0.34, 1.5), (0.3, 1.7), (-0.1, 2.05), (0.12, 1.35))):
            s = np.clip((v - 0.45) / long, 0, 1)
            middle = root * (1 - 0.3 * s) + 0.17 * s * np.sin(5.2 * s - clock + index * 1.7) + 0.05 * squeeze * root
            frill = 0.72 + 0.28 * np.sin(34 * s + 3 * index - 2 * clock + 2.5 * np.sign(u - middle))
            half = 0.17 * (1 - s) ** 0.75 * frill + 0.01
            across = (u - middle) / half
            cover = smoothstep(1 + self.blur * 8, 0.72, np.abs(across)) * (v > 0.45) * (s < 1)
            fold = 0.5 + 0.5 * np.sin(9 * across + 26 * s + index - clock)
            light = mix(
                _ROSE * 0.5 + _VIOLET * 0.22, _PEACH * 1.15 + 0.12, np.clip(0.25 + 0.75 * fold * (1 - 0.5 * s), 0, 1)
            )
            part[:] = mix(
                part, light * (0.35 + 0.6 * clear) * (1.15 - 0.75 * s)[..., None], cover * (0.72 - 0.4 * s) * clear
            )

    def _bell(self, part: np.ndarray, u: np.ndarray, v: np.ndarray, t: float, squeeze: float, clear: float) -> None:
        wide, high = 1 - 0.15 * squeeze, 1 + 0.14 * squeeze
        w = np.clip(v / high, 0, 1.2)
        dome = (1 - (1 - np.clip(w, 0, 1)) ** 2.3) ** 0.52
        half = wide * dome * (1 - (0.1 + 0.1 * squeeze) * smoothstep(0.62, 1.08, w)) + 1e-3
        across = u / half
        longitude = np.arcsin(np.clip(across, -1, 1))
        hem = (
            1
            + 0.078 * np.cos(longitude) ** 2
            + 0.035 * np.cos(18 * longitude)
            - 0.1 * np.clip(np.abs(across), 0, 1) ** 12
        )
        edge = 0.02 + self.blur * 6
        crown = 1 - (1 - np.clip(np.abs(u) / wide, 0, 1) ** (1 / 0.52)) ** (1 / 2.3)  # the dome's height at u
        inside = smoothstep(1 + edge, 1 - edge, np.abs(across)) * smoothstep(hem + edge, hem - edge, w)
        inside = inside * smoothstep(-edge, edge, v - high * crown)
        limb = np.clip(0.32 / np.sqrt(np.clip(1.002 - across**2, 0.004, 1)) - 0.3, 0, 2.2)
        veins = np.exp(-((np.sin(8 * longitude) / 0.22) ** 2)) * smoothstep(0.12, 0.5, w)
        behind = np.exp(-((np.sin(8 * longitude + 1.2 * np.cos(longitude)) / 0.3) ** 2)) * smoothstep(0.3, 0.8, w) * 0.4
        freckles = self.skin[(np.clip(w, 0, 1) * 100).astype(int) % 128, ((longitude + 1.6) * 70).astype(int) % 256]
        top = smoothstep(0.85, 0.0, w)
        body = _VIOLET * 0.2 + _ROSE * 0.22
        light = (
            body * (0.5 + 0.9 * top)[..., None]
            + _ICE * (0.3 * limb + 0.28 * top**2)[..., None]
            + _ROSE * (0.45 * limb)[..., None]
        )
        light = light + _ROSE * (0.3 * veins + 0.14 * behind + 0.05 * np.clip(freckles, 0, 2))[..., None]
        for at, size in ((-0.5, 0.17), (-0.17, 0.21), (0.17, 0.21), (0.5, 0.17)):  # the four rings of the stomach
            ring = np.hypot((u / wide - at) / size, (w - 0.56 + 0.1 * abs(at)) / 0.2)
            light = light + _PEACH * (1.1 * np.exp(-(((ring - 0.72) / 0.3) ** 2)) * (0.6 + 0.4 * limb))[..., None]
        margin = np.exp(-(((w - hem + 0.035) / 0.045) ** 2))
        light = light + (_PEACH * 0.5 + _ROSE * 0.5) * (0.8 * margin)[..., None]
        sheen = np.exp(-(((across + 0.42) / 0.2) ** 2 + ((w - 0.3) / 0.17) ** 2)) + 0.5 * np.exp(
            -(((across - 0.5) / 0.12) ** 2 + ((w - 0.4) / 0.2) ** 2)
        )
        light = light + _ICE * (0.42 * sheen)[..., None]
        solid = np.clip(0.34 + 0.3 * limb + 0.25 * top + 0.25 * margin, 0, 0.92)
        part[:] = mix(part, light * 1.25, inside * solid * clear)


def _sea(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    stops = [(-0.65, "2f9fc4"), (-0.35, "12699c"), (0.0, "0a3a70"), (0.35, "061c47"), (0.65, "030a22")]
    return gradient(stops, y + 0.16 * np.abs(x - 0.1)) * 1.15


def shoot(rng: np.random.Generator, height: int, width: int) -> Expose:
    """Return the scene's light over time; see `film.Expose`."""
    unit = min(height, width)
    x, y = grid(height, width)
    sea = _sea(x, y)
    angle = np.arctan2(x - 0.12, y + 1.25)
    reach = np.exp(-np.hypot(x - 0.12, y + 0.9) / 0.42)
    # Shafts of light: waves over the angle that wander, each a whole number of times per loop.
    tones = [(np.exp(1j * (n * angle + rng.uniform(0, 6.3))), rng.choice([-2, -1, 1, 2])) for n in (17, 29, 41, 57, 83)]
    tones = [(wave.astype(np.complex64) * reach, turns) for wave, turns in tones]
    snow = rng.uniform(0, 1, (70, 5))
    near = 0.62 if height > width else 0.9  # the frame's shape decides how large the animal may be
    herd = [
        _Jelly(rng, 0.33, -0.43, 0.05, 0.035, 0.62, 0.5),
        _Jelly(rng, -0.36, 0.02, 0.07, 0.028, 0.5, 1.1),
        _Jelly(rng, -0.01, -0.4 * (0.8 if near < 0.9 else 0.9), 0.25, 0.0, 0.0, 0.0),
    ]
    dim = smoothstep(0.95, 0.35, np.hypot(x, y * 0.75))[..., None] * 0.35 + 0.65

    def expose(t: float, shift: tuple[float, float]) -> np.ndarray:
        sx, sy = x + shift[0] / unit, y + shift[1] / unit
        shafts = sum((wave * np.complex64(np.exp(2j * np.pi * turns * t / LOOP))).imag for wave, turns in tones)
        picture = sea + np.maximum(0.5 * reach + 0.35 * shafts, 0)[..., None] * (colour("9fe4ff") * 0.5)
        for px, py, size, drift, bright in snow:
            cx = (px - 0.5) * width / unit * 1.1 + 0.02 * np.sin(2 * np.pi * (t / LOOP + bright))
            cy = ((py + (1 + int(2 * drift)) * 0.5 * t / LOOP * 2) % 1 - 0.5) * height / unit * 1.12
            radius = 0.003 + 0.016 * size**6
            xs = slice(*np.searchsorted(x[0], [cx - 2 * radius, cx + 2 * radius]))
            ys = slice(*np.searchsorted(y[:, 0], [cy - 2 * radius, cy + 2 * radius]))
            soft = smoothstep(radius * 1.15, radius * 0.7, np.hypot(sx[:, xs] - cx, sy[ys] - cy))
            picture[ys, xs] += (soft * (0.1 + 0.5 * bright) * (0.004 / radius) ** 0.8)[..., None] * _ICE
        for jelly in herd:
            jelly.over(picture, sx, sy, t)
        small = soften(shrink(picture[: height // 4 * 4, : width // 4 * 4], 4), unit / 60)
        glow = np.repeat(np.repeat(small, 4, 0), 4, 1)
        picture[: glow.shape[0], : glow.shape[1]] += 0.22 * glow
        return picture * dim

    return expose
