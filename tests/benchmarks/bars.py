"""Clips of which the truth is known: where a bar passes is the class, and their middle frame does not tell."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from avd_core.data.clip_sets import Clips

T, SIDE, CELL = 16, 64, 8
CLASSES = ("above", "below")


def bar_frames(label: str, film: int) -> np.ndarray:
    """A scene of the film's own, over whose upper or lower half a bar runs to the right; not in frame 8. (T, H, W)."""
    scene = np.random.default_rng(film).integers(0, 60, (SIDE // CELL, SIDE // CELL), dtype=np.uint8)
    frames = np.stack([scene.repeat(CELL, 0).repeat(CELL, 1)] * T)
    top = 8 if label == "above" else 40
    for t in set(range(T)) - {T // 2}:
        frames[t, top : top + 16, 3 * t : 3 * t + 12] = 255
    return frames


def write_bars(folder: Path, films: int) -> Clips:
    """Write a clip of each class and film, without any loss, as `<class>/film<number>.gif`; the films are groups."""
    names = [(label, film) for label in CLASSES for film in range(films)]
    paths = tuple(folder / label / f"film{film}.gif" for label, film in names)
    for path, (label, film) in zip(paths, names, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        first, *others = [Image.fromarray(frame, "L") for frame in bar_frames(label, film)]
        first.save(path, save_all=True, append_images=others, duration=100)
    return Clips(folder, "all", paths, tuple(f"film{film}" for _, film in names))
