"""A person waves by a window: soft light, a calm wall, a camera that stands still, as most gestures are filmed.

The lens is focused on the face, so the arm, nearer to it, is soft. Body and arm are pictures of their own: the body is
modelled once, at twice the size, and only sways; the arm is modelled anew for every moment, at half the size.
"""

from __future__ import annotations

import numpy as np

from avd_core.examples.figure import Lamp, Paint, Relief, face, lit
from avd_core.examples.film import Expose, colour, enlarge, fractal_noise, grid, mix, shrink, smoothstep, soften

PERIOD = 3.2  # seconds to wave there and back
_SCALE = 0.82  # a figure's unit in short sides
_MIDDLE, _SHOULDER = 0.13, 0.385  # x of the body, height of the shoulders
_SOFT = 4  # how often the arm is blurred, in a picture of 320 pixels
_FOOT = 0.5 / _SCALE  # y of height 0: the lower edge of a square frame
_KEY, _SKY, _BOUNCE = (np.array(c, np.float32) for c in ((1.3, 1.12, 0.9), (0.42, 0.43, 0.44), (0.24, 0.2, 0.16)))
_LAMP = Lamp(np.array([-0.55, -0.5, 0.67], np.float32), _KEY, _SKY, _BOUNCE)

_SKIN, _HAIR, _LIP = colour("b78d76"), colour("3b2a22"), colour("9c5347")
_WOOL, _LINEN = colour("363a43"), colour("e6dfd2")


def _knit(middle: float) -> Paint:
    """Slate wool in soft ribs around x = `middle`."""

    def paint(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        rib = np.sin((x - middle) * 260) * (0.8 + 0.2 * np.sin(y * 330))
        return _WOOL * (1 + 0.09 * rib)[..., None]

    return paint


def _calm(cx: float, cy: float, size: float) -> Paint:
    """The figures' face with its eyelids a little lowered."""
    painted = face(cx, cy, size, _SKIN, _HAIR, _LIP)

    def paint(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        u, v = np.abs(x - cx) / size - 0.34, (y - cy) / size
        lid = smoothstep(0.2, 0.16, np.abs(u)) * smoothstep(-0.09, -0.06, v) * smoothstep(-0.005, -0.025, v)
        lash = smoothstep(0.17, 0.14, np.abs(u)) * smoothstep(0.035, 0.02, np.abs(v + 0.015 - 0.9 * u * u))
        return mix(mix(painted(x, y), _SKIN * 0.88, lid), _HAIR * 0.6, lash)

    return paint


def _hand(relief: Relief, wrist: np.ndarray, along: np.ndarray, across: np.ndarray) -> None:
    """An open hand, its palm to the camera; `along` points to the fingertips, `across` to the thumb."""
    limb = relief.limb
    palm = wrist + 0.05 * along
    limb(wrist - 0.01 * along, palm, 0.027, 0.036, _SKIN, 0.03, 0.6)
    for place, tall, spread in ((-0.029, 0.062, -0.2), (-0.01, 0.077, -0.06), (0.01, 0.08, 0.05), (0.029, 0.07, 0.19)):
        root = palm + 0.022 * along + place * across
        tip = root + tall * (along + spread * across)
        limb(palm + 0.6 * place * across, root, 0.02, 0.0135, _SKIN, 0.02, 0.8)
        limb(root, tip, 0.0135, 0.0105, _SKIN, 0.004)
    base = wrist + 0.022 * along + 0.022 * across
    joint = base + 0.03 * across + 0.024 * along
    limb(base, joint, 0.021, 0.015, _SKIN, 0.02)
    limb(joint, joint + 0.012 * across + 0.034 * along, 0.0145, 0.011, _SKIN, 0.01)


def _person(relief: Relief) -> None:
    """Model all but the waving arm."""
    limb, x = relief.limb, _MIDDLE
    knit = _knit(x)
    for side in (-1, 1):  # chest and belly, down out of the picture
        limb((x + side * 0.075, _SHOULDER - 0.07, 0), (x + side * 0.07, -1.0, 0), 0.115, 0.115, knit, 0.05, 0.7)
        limb((x, _SHOULDER + 0.02, 0), (x + side * 0.145, _SHOULDER - 0.01, 0), 0.062, 0.066, knit, 0.05)
    limb((x, _SHOULDER - 0.1, 0.02), (x, -1.0, 0.02), 0.13, 0.13, knit, 0.05, 0.6)

    # The arm at rest.
    elbow = (x + 0.235, 0.14, 0.0)
    limb((x + 0.165, _SHOULDER - 0.025, 0), elbow, 0.066, 0.055, knit, 0.03)
    limb(elbow, (x + 0.23, -0.1, 0.05), 0.055, 0.05, knit, 0.02)

    # Neck, collar, head and a bob of hair.
    hx, head = x - 0.004, 0.635
    limb((hx, head - 0.01, -0.06), (hx, head - 0.03, -0.06), 0.148, 0.143, _HAIR, 0.01)
    for side in (-1, 1):
        limb((hx + side * 0.095, head, -0.02), (hx + side * 0.104, head - 0.095, -0.01), 0.052, 0.04, _HAIR, 0.02)
    limb((x, _SHOULDER + 0.03, 0.03), (hx, head - 0.08, 0.03), 0.056, 0.052, _SKIN, 0.03)
    for side in (-1, 1):
        limb((x + side * 0.062, _SHOULDER + 0.068, 0.04), (x, _SHOULDER + 0.012, 0.075), 0.02, 0.016, _LINEN, 0.008)
    skin = _calm(hx, _FOOT - head + 0.012, 0.108)
    limb((hx, head + 0.02, 0.04), (hx, head - 0.045, 0.045), 0.11, 0.092, skin, 0.01)
    limb((hx, head - 0.014, 0.14), (hx, head - 0.036, 0.146), 0.011, 0.015, _SKIN, 0.03)
    for along_x, up, r in ((-0.088, 0.05, 0.036), (-0.05, 0.086, 0.045), (0.0, 0.1, 0.047), (0.05, 0.086, 0.045),
                           (0.088, 0.05, 0.036)):  # fmt: skip
        limb((hx + along_x, head + up, 0.09 - 4 * along_x**2),
             (hx + along_x * 1.12, head + up + 0.018, 0.05 - 4 * along_x**2), r, r, _HAIR, 0.03)  # fmt: skip


def _arm(relief: Relief, turn: float) -> None:
    """Model the arm that waves: it swings about the shoulder, the forearm more than it, the hand a little behind."""
    swing = np.sin(turn)
    raised = np.radians(108 + 17 * swing)
    lift = np.radians(133 + 30 * np.sin(turn - 0.25))
    bent = np.radians(138 + 38 * np.sin(turn - 0.5))
    joint = np.array([_MIDDLE - 0.15, _SHOULDER - 0.012 + 0.015 * swing, 0.0])
    elbow = joint + 0.2 * np.array([-np.sin(raised), -np.cos(raised), 0.15])
    fore = np.array([-np.sin(lift), -np.cos(lift), 0.2])
    wrist = elbow + 0.19 * fore
    relief.limb(joint, elbow, 0.068, 0.054, _WOOL, 0.04)
    relief.limb(elbow, wrist, 0.054, 0.04, _WOOL, 0.03)
    relief.limb(wrist, wrist + 0.014 * fore, 0.043, 0.042, _WOOL * 0.85, 0.008)
    along = np.array([-np.sin(bent), -np.cos(bent), 0.1])
    _hand(relief, wrist + 0.02 * fore, along, np.array([-np.cos(bent), np.sin(bent), 0.1]))


def _wall(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """The wall and what stands before it, out of focus."""
    x, y = grid(height, width)
    wide = x + 0 * y
    plaster = 0.05 * fractal_noise(rng, height, width, 1.1)
    wall = colour("98908c") * (1 + plaster)[..., None]
    # A window's light falls aslant through a curtain.
    across, down = wide + 0.35 * y, y + 0.2 * wide
    pane = sum(smoothstep(0.13, 0.05, np.abs(across - at)) for at in (-0.42, -0.14)) * smoothstep(
        0.42, 0.3, np.abs(down + 0.12)
    )
    leaves = smoothstep(-1.2, 1.2, fractal_noise(rng, height, width, 2.0))
    light = 0.62 + 0.34 * np.exp(-((wide + 0.45) ** 2 + (y + 0.35) ** 2) / 0.45) + 0.34 * pane * (0.6 + 0.4 * leaves)
    picture = wall * light[..., None] * (_KEY + 0.12)
    # A shelf with a few things on it.
    board = smoothstep(0.012, 0.008, np.abs(y + 0.2 + 0 * x)) * smoothstep(0.235, 0.245, wide)
    for left, right, top, shade in (
        (0.27, 0.31, -0.36, "7d6a58"),
        (0.315, 0.345, -0.34, "5f6e6a"),
        (0.35, 0.4, -0.375, "8d8577"),
        (0.43, 0.49, -0.3, "a67a5b"),
    ):
        inside = smoothstep(left, left + 0.004, wide) * smoothstep(right, right - 0.004, wide) * (y > top) * (y < -0.2)
        picture = mix(picture, colour(shade) * (0.75 * _KEY), inside)
    picture = mix(picture, colour("8a6b4d") * (0.75 * _KEY), board)
    return soften(picture, 0.012 * min(height, width))


def _blurred(pixels: np.ndarray, times: int) -> np.ndarray:
    """(1 2 1) / 4 along both axes, several times over: a Gaussian of sqrt(times / 2) pixels."""
    height, width = pixels.shape[:2]
    pixels = np.pad(pixels, ((times, times), (times, times), (0, 0)), mode="edge")
    for _ in range(times):
        for axis in (0, 1):
            pixels = pixels / 2 + (np.roll(pixels, 1, axis) + np.roll(pixels, -1, axis)) / 4
    return pixels[times : times + height, times : times + width]


def _covered(relief: Relief) -> np.ndarray:
    """Light times cover, and cover: (H, W, 4)."""
    light, there = lit(relief, _LAMP)
    return np.concatenate([light, there[..., None]], axis=-1, dtype=np.float32)


def shoot(rng: np.random.Generator, height: int, width: int) -> Expose:
    """Return the scene's light over time; see `film.Expose`."""
    wall = _wall(rng, height, width)
    unit = min(height, width)
    relief = Relief(2 * height, 2 * width, (0, 0), _FOOT, _SCALE)
    _person(relief)
    body = shrink(_covered(relief), 2)
    upper = smoothstep(0.5, 0.0, grid(height, width)[1])[..., None]  # the head sways, the hips do not
    sleeve = smoothstep(-0.1, -0.18, grid(height, width)[0] / _SCALE - _MIDDLE)[..., None]  # it melts into the shoulder
    half = (round(height / 2), round(width / 2))
    soft = round(unit / 320 * _SOFT)

    def expose(t: float, shift: tuple[float, float]) -> np.ndarray:
        turn = 2 * np.pi * t / PERIOD
        lean = upper * np.float32(np.sin(turn - 0.7) * min(1, unit / 320))
        person = body + (np.roll(body, int(np.sign(np.sin(turn - 0.7))), axis=1) - body) * np.abs(lean)
        relief = Relief(*half, (shift[0] / 2, shift[1] / 2), _FOOT, _SCALE)
        _arm(relief, turn)
        arm = enlarge(_blurred(_covered(relief), soft), (height, width)) * sleeve
        shade = np.maximum(person[..., 3:], arm[..., 3:])[::4, ::4]
        shade = np.pad(shade, ((unit // 160, 0), (unit // 50, 0), (0, 0)))[: shade.shape[0], : shade.shape[1]]
        picture = wall * (1 - 0.35 * enlarge(_blurred(shade, 3), (height, width)))
        for layer in (person, arm):
            picture = picture * (1 - layer[..., 3:]) + layer[..., :3]
        return picture

    return expose
