"""Seeded synthetic clips for training: textured worlds under a moving camera, with things that move in them.

`random_scene(seed)` composes a clip as a film is composed: a *world* picture (a photograph handed in by the caller, or
dead leaves, fractal noise, a room, hills), seen by a *camera* (still, pan, zoom, roll, hand shake), and before it
*actors*: cut-outs that drift, balls that bounce or roll, cloth in the wind, people made of limbs. Every frame is the
mean of a few jittered exposures within its shutter time, which smooths edges and blurs motion at once.

Two choices matter for a model that learns to restore. Dead leaves (opaque shapes with sizes from a power law; Lee,
Mumford and Huang 2001) have the statistics of photographs: edges, flat areas, detail at all scales. And speeds are
log-uniform, the camera still in two clips of five, because that is how people film.

numpy and Pillow only; the same seed gives the same clip. Axis legend: T frames, H, W. World and screen coordinates are
in units of the frame's short side, x to the right, y down, origin at the centre; time runs over [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from PIL import Image

from avd_core.data.synthetic_actors import Actor, ball, cloth, drifter, inverse, person, pose, wander
from avd_core.data.synthetic_pictures import picture

_AFFINE, _BILINEAR = Image.Transform.AFFINE, Image.Resampling.BILINEAR
# Shifts in pixels of a frame's exposures: three where there are fewer than three actors, else two.
_JITTER = {True: ((0.17, -0.3), (-0.33, 0.0), (0.17, 0.3)), False: ((0.25, -0.25), (-0.25, 0.25))}


def _camera(rng: np.random.Generator) -> Callable[[float], np.ndarray]:
    """Return the matrix from world to view at a time in [0, 1]; two clips of five have a still camera."""
    if rng.uniform() < 0.4:
        return lambda t: np.eye(3)
    pan = wander(rng, np.exp(rng.uniform(np.log(0.03), np.log(0.6))))
    middle = pan(0.5)
    zoom = rng.normal(0, 0.16) * (rng.uniform() < 0.5)
    roll = rng.normal(0, 0.12) * (rng.uniform() < 0.4)
    shake = np.exp(rng.uniform(np.log(0.002), np.log(0.02))) * (rng.uniform() < 0.4)
    rates, phases = rng.uniform(0.5, 4, (3, 3)), rng.uniform(0, 6.3, (3, 3))

    def view(t: float) -> np.ndarray:
        x, y = pan(t) - middle
        jx, jy, jr = shake * np.sin(2 * np.pi * rates * t + phases).sum(axis=1)
        return pose(x + jx, y + jy, roll * (t - 0.5) + jr, np.exp(zoom * (t - 0.5)))

    return view


def random_scene(
    seed: int, frames: int = 16, size: int | tuple[int, int] = 112, photos: Sequence[np.ndarray] | None = None
) -> np.ndarray:
    """Compose one synthetic training clip.

    Args:
        seed: Any non-negative integer; each gives another clip.
        frames: Number of frames T.
        size: Side of a square clip, or (H, W), in pixels.
        photos: Photographs, uint8 (h, w, 3) of any sizes, to use as worlds and materials instead of most of the
            procedural ones. Nothing is kept of them.

    Returns:
        uint8 (T, H, W, 3).

    Raises:
        ValueError: Without at least one frame, or with a side under 16 pixels.
    """
    height, width = (size, size) if isinstance(size, int | np.integer) else size
    if frames < 1 or min(height, width) < 16:
        raise ValueError(f"A clip needs at least 1 frame of 16x16 pixels, not {frames} of {height}x{width}.")
    rng = np.random.default_rng([seed, 7])
    unit = min(height, width)
    view = _camera(rng)
    times = (np.arange(frames) + 0.5) / frames
    shutter = rng.choice([0.1, 0.3, 0.6]) / frames

    world, to_world = _world(rng, [view(t) for t in times], height, width, photos)
    actors = _cast(rng, unit, photos)
    jitter = np.array(_JITTER[len(actors) < 3]) / unit
    to_canvas = pose(width / 2, height / 2, 0, unit)

    @lru_cache(maxsize=len(jitter))  # a camera that stands still sees the same world in every frame
    def backdrop(back: tuple[float, ...]) -> Image.Image:
        return world.transform((width, height), _AFFINE, back, _BILINEAR)

    total = np.zeros((frames, height, width, 3), np.uint16)
    for index, time in enumerate(times):
        for exposure, offset in enumerate(jitter):
            t = time + shutter * (exposure / len(jitter) - 0.5)
            camera = to_canvas @ pose(*offset) @ view(t)
            back = to_world @ inverse(camera)
            canvas = backdrop(tuple(back[:2].ravel())).copy()
            for paint in actors:
                paint(canvas, camera, t)
            total[index] += np.asarray(canvas)
    return _developed(rng, total.astype(np.float32) / len(jitter), times)


def _world(
    rng: np.random.Generator, views: Sequence[np.ndarray], height: int, width: int, photos: Sequence[np.ndarray] | None
) -> tuple[Image.Image, np.ndarray]:
    """Return a picture just large enough that no view sees its edge, and the matrix from world to its pixels."""
    unit = min(height, width)
    corners = np.array([[-width, width, -width, width], [-height, -height, height, height], [2 * unit] * 4]) / (
        2 * unit
    )
    visible = np.concatenate([(inverse(view) @ corners)[:2] for view in views], axis=1)
    half = np.abs(visible).max(axis=1) + 4 / unit
    density = unit * min(1.0, 3.0 / half.max())
    world_w, world_h = (2 * half * density).astype(int)
    world = picture(rng, int(world_h), int(world_w), photos)
    return world, pose(world_w / 2, world_h / 2, 0, density)


def _cast(rng: np.random.Generator, pixels: int, photos: Sequence[np.ndarray] | None) -> list[Actor]:
    """Return none to five actors that cover 0.04 to 1 world units each."""
    kinds, weights = (drifter, ball, person, cloth), [0.36, 0.16, 0.36, 0.12]
    count = rng.choice(6, p=[0.06, 0.34, 0.28, 0.18, 0.1, 0.04])

    def travel() -> float:
        return float(np.exp(rng.uniform(np.log(0.04), np.log(1.0))))

    return [kinds[rng.choice(4, p=weights)](rng, travel(), pixels, photos) for _ in range(count)]


def _developed(rng: np.random.Generator, clip: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Return the clip (T,H,W,3) as uint8 after a random gain and offset, in some clips drift of light and noise."""
    gain: float | np.ndarray
    gain, lift = rng.uniform(0.8, 1.15), rng.uniform(-8, 14)
    if rng.uniform() < 0.25:
        drift = 1 + rng.uniform(-0.15, 0.15) * np.sin(np.pi * times * rng.uniform(0.3, 2) + rng.uniform(0, 6.3))
        gain = gain * drift.astype(np.float32)[:, None, None, None]
    clip = clip * gain + np.float32(lift)
    if rng.uniform() < 0.3:
        clip += rng.uniform(0.5, 2.5) * rng.standard_normal(clip.shape, np.float32)
    return np.clip(clip + 0.5, 0, 255).astype(np.uint8)
