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

from avd_core.data.synthetic_actors import ball, cloth, drifter, inverse, person, pose, wander
from avd_core.data.synthetic_pictures import picture

_AFFINE, _BILINEAR = Image.Transform.AFFINE, Image.Resampling.BILINEAR


def _camera(rng: np.random.Generator) -> Callable[[float], np.ndarray]:
    """World -> view matrix over time; the view spans one unit. Two clips of five are filmed from a tripod."""
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

    # The world is just large enough that the camera never sees its edge.
    corners = np.array([[-width, width, -width, width], [-height, -height, height, height], [2 * unit] * 4]) / (
        2 * unit
    )
    seen = np.concatenate([(inverse(view(t)) @ corners)[:2] for t in times], axis=1)
    half = np.abs(seen).max(axis=1) + 4 / unit
    density = unit * min(1.0, 3.0 / half.max())
    world_w, world_h = (2 * half * density).astype(int)
    world = picture(rng, int(world_h), int(world_w), photos)
    to_world = pose(world_w / 2, world_h / 2, 0, density)

    kinds, weights = (drifter, ball, person, cloth), [0.36, 0.16, 0.36, 0.12]
    count = rng.choice(6, p=[0.06, 0.34, 0.28, 0.18, 0.1, 0.04])

    def speed() -> float:  # world units over the clip
        return float(np.exp(rng.uniform(np.log(0.04), np.log(1.0))))

    actors = [kinds[rng.choice(4, p=weights)](rng, speed(), unit, photos) for _ in range(count)]

    exposures = 3 if count < 3 else 2
    jitter = (
        np.array([[0.17, -0.3], [-0.33, 0.0], [0.17, 0.3]])
        if exposures == 3
        else np.array([[0.25, -0.25], [-0.25, 0.25]])
    ) / unit
    to_canvas = pose(width / 2, height / 2, 0, unit)

    @lru_cache(maxsize=exposures)  # a camera that stands still sees the same world in every frame
    def backdrop(back: tuple[float, ...]) -> Image.Image:
        return world.transform((width, height), _AFFINE, back, _BILINEAR)

    total = np.zeros((frames, height, width, 3), np.uint16)
    for index, time in enumerate(times):
        for exposure, offset in enumerate(jitter):
            t = time + shutter * (exposure / exposures - 0.5)
            camera = to_canvas @ pose(*offset) @ view(t)
            back = to_world @ inverse(camera)
            canvas = backdrop(tuple(back[:2].ravel())).copy()
            for paint in actors:
                paint(canvas, camera, t)
            total[index] += np.asarray(canvas)
    return _developed(rng, total.astype(np.float32) / exposures, times)


def _developed(rng: np.random.Generator, clip: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Exposure, contrast, drift of the light and, in some clips, a little sensor noise; float clip in, uint8 out."""
    gain: float | np.ndarray
    gain, lift = rng.uniform(0.8, 1.15), rng.uniform(-8, 14)
    if rng.uniform() < 0.25:
        drift = 1 + rng.uniform(-0.15, 0.15) * np.sin(np.pi * times * rng.uniform(0.3, 2) + rng.uniform(0, 6.3))
        gain = gain * drift.astype(np.float32)[:, None, None, None]
    clip = clip * gain + np.float32(lift)
    if rng.uniform() < 0.3:
        clip += rng.uniform(0.5, 2.5) * rng.standard_normal(clip.shape, np.float32)
    return np.clip(clip + 0.5, 0, 255).astype(np.uint8)
