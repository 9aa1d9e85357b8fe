"""A person waves by a window: soft light, a calm wall, a camera that stands still, as most gestures are filmed."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from .figure import Lamp, Paint, Relief, face, lit
from .film import Expose, colour, fractal_noise, grid, mix, smoothstep, soften

PERIOD = 1.6  # seconds to wave there and back
_SCALE = 0.82
_FOOT = 0.5 / _SCALE  # y of height 0: the lower edge of a square frame
_KEY, _SKY, _BOUNCE = (np.array(c, np.float32) for c in ((1.12, 0.98, 0.8), (0.42, 0.43, 0.44), (0.24, 0.2, 0.16)))
_LAMP = Lamp(np.array([-0.55, -0.5, 0.67], np.float32), _KEY, _SKY, _BOUNCE)

_SKIN, _HAIR, _LIP = colour("b08f7d"), colour("3b2a22"), colour("9c5347")
_WOOL, _LINEN = colour("323a48"), colour("e6dfd2")


def _knit(middle: float) -> Paint:
    """Blue-grey wool in soft ribs around x = `middle`."""

    def paint(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        rib = np.sin((x - middle) * 260) * (0.8 + 0.2 * np.sin(y * 330))
        return _WOOL * (1 + 0.09 * rib)[..., None]

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


def _person(relief: Relief, phase: float) -> None:
    """Model the person at a phase (0..1) of the wave."""
    limb = relief.limb
    turn = 2 * np.pi * phase
    swing, sway = np.sin(turn), np.sin(turn - 0.7)
    x = 0.13 + 0.002 * sway  # of the body's middle
    rise = 0.001 * np.cos(turn)
    knit = _knit(x)

    shoulder = 0.385 + rise
    for side in (-1, 1):  # chest and belly, down out of the picture
        limb((x + side * 0.075, shoulder - 0.07, 0), (x + side * 0.07, -0.1, 0), 0.115, 0.115, knit, 0.05, 0.7)
        limb((x, shoulder + 0.02, 0), (x + side * 0.145, shoulder - 0.01, 0), 0.062, 0.066, knit, 0.05)
    limb((x, shoulder - 0.1, 0.02), (x, -0.1, 0.02), 0.13, 0.13, knit, 0.05, 0.6)

    # The arm at rest.
    elbow = (x + 0.235, 0.14, 0.0)
    limb((x + 0.165, shoulder - 0.025, 0), elbow, 0.066, 0.055, knit, 0.03)
    limb(elbow, (x + 0.23, -0.1, 0.05), 0.055, 0.05, knit, 0.02)

    # The arm that waves: it swings about the shoulder, the forearm more than it, the hand a little behind.
    raised = np.radians(108 + 17 * swing)
    lift = np.radians(133 + 30 * np.sin(turn - 0.25))
    bent = np.radians(138 + 38 * np.sin(turn - 0.5))
    joint = np.array([x - 0.15, shoulder - 0.012 + 0.015 * swing, 0.0])
    elbow = joint + 0.2 * np.array([-np.sin(raised), -np.cos(raised), 0.15])
    fore = np.array([-np.sin(lift), -np.cos(lift), 0.2])
    wrist = elbow + 0.19 * fore
    limb(joint, elbow, 0.068, 0.054, knit, 0.04)
    limb(elbow, wrist, 0.054, 0.04, _WOOL, 0.03)
    limb(wrist, wrist + 0.014 * fore, 0.043, 0.042, _WOOL * 0.85, 0.008)
    along = np.array([-np.sin(bent), -np.cos(bent), 0.1])
    _hand(relief, wrist + 0.02 * fore, along, np.array([-np.cos(bent), np.sin(bent), 0.1]))

    # Neck, collar, head and a bob of hair.
    hx, head = x + 0.002 * np.sin(turn - 1.1) - 0.004, 0.655 + 1.3 * rise
    limb((hx, head - 0.01, -0.06), (hx, head - 0.03, -0.06), 0.148, 0.143, _HAIR, 0.01)
    for side in (-1, 1):
        limb((hx + side * 0.095, head, -0.02), (hx + side * 0.104, head - 0.095, -0.01), 0.052, 0.04, _HAIR, 0.02)
    limb((x, shoulder + 0.03, 0.03), (hx, head - 0.08, 0.03), 0.056, 0.052, _SKIN, 0.03)
    for side in (-1, 1):
        limb((x + side * 0.062, shoulder + 0.068, 0.04), (x, shoulder + 0.012, 0.075), 0.02, 0.016, _LINEN, 0.008)
    skin = face(hx, _FOOT - head + 0.012, 0.108, _SKIN, _HAIR, _LIP)
    limb((hx, head + 0.02, 0.04), (hx, head - 0.045, 0.045), 0.11, 0.092, skin, 0.01)
    limb((hx, head - 0.014, 0.14), (hx, head - 0.036, 0.146), 0.011, 0.015, _SKIN, 0.03)
    for along_x, up, r in ((-0.088, 0.05, 0.036), (-0.05, 0.086, 0.045), (0.0, 0.1, 0.047), (0.05, 0.086, 0.045),
                           (0.088, 0.05, 0.036)):  # fmt: skip
        limb((hx + along_x, head + up, 0.09 - 4 * along_x**2),
             (hx + along_x * 1.12, head + up + 0.018, 0.05 - 4 * along_x**2), r, r, _HAIR, 0.03)  # fmt: skip


def _wall(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """The wall and what stands before it, out of focus."""
    x, y = grid(height, width)
    wide = x + 0 * y
    plaster = 0.05 * fractal_noise(rng, height, width, 1.1)
    wall = colour("a0948a") * (1 + plaster)[..., None]
    # A window's light falls aslant through a curtain.
    across, down = wide + 0.35 * y, y + 0.2 * wide
    pane = sum(smoothstep(0.13, 0.05, np.abs(across - at)) for at in (-0.42, -0.14)) * smoothstep(
        0.42, 0.3, np.abs(down + 0.12)
    )
    leaves = smoothstep(-1.2, 1.2, fractal_noise(rng, height, width, 2.0))
    light = 0.62 + 0.34 * np.exp(-((wide + 0.45) ** 2 + (y + 0.35) ** 2) / 0.45) + 0.22 * pane * (0.6 + 0.4 * leaves)
    picture = wall * light[..., None] * (_KEY + 0.12)
    # A shelf with a few things on it.
    board = smoothstep(0.012, 0.008, np.abs(y + 0.2 + 0 * x)) * smoothstep(0.235, 0.245, wide)
    for left, right, top, shade in ((0.27, 0.31, -0.36, "7d6a58"), (0.315, 0.345, -0.34, "5f6e6a"), (0.35, 0.4, -0.375, "8d8577"),
                                    (0.43, 0.49, -0.3, "a67a5b")):  # fmt: skip
        inside = smoothstep(left, left + 0.004, wide) * smoothstep(right, right - 0.004, wide) * (y > top) * (y < -0.2)
        picture = mix(picture, colour(shade) * (0.75 * _KEY), inside)
    picture = mix(picture, colour("8a6b4d") * (0.75 * _KEY), board)
    return soften(picture, 0.012 * min(height, width))


def shoot(rng: np.random.Generator, height: int, width: int) -> Expose:
    wall = _wall(rng, height, width)
    unit = min(height, width)

    def expose(t: float, shift: tuple[float, float]) -> np.ndarray:
        relief = Relief(height, width, shift, _FOOT, _SCALE)
        _person(relief, t / PERIOD % 1)
        figure, there = lit(relief, _LAMP)
        shade = Image.fromarray((255 * there).astype(np.uint8)).reduce(4).filter(ImageFilter.GaussianBlur(unit * 0.008))
        shade = shade.transform(
            (width, height),
            Image.Transform.AFFINE,
            (0.25, 0, -0.02 * unit, 0, 0.25, -0.005 * unit),
            Image.Resampling.BILINEAR,
        )
        shadow = np.asarray(shade, np.float32)[..., None] / 255
        return np.where(there[..., None], figure, wall * (1 - 0.35 * shadow))

    return expose
