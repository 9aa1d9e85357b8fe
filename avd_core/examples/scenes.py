"""The example clips: seven little films that are rendered by code alone.

They differ in what moves (an arm, a body, a ball, the camera, soft tissue, pendulums, a wheel), in shape and light.
Rendering needs numpy and Pillow only and is deterministic; a scene that repeats after `loop` seconds is computed once.
Each scene is a file; shared functions are in `film`, and people in `figure`.

Axis legend: T frames, H, W.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from avd_core.atomic_io import write_atomically
from avd_core.examples import balloons, basketball, cradle, jellyfish, jumping_jacks, pinwheel, wave
from avd_core.examples.film import Expose, develop


@dataclass(frozen=True)
class Scene:
    """A film that can be rendered.

    Attributes:
        title: A few words for a gallery.
        description: One line that says what moves.
        size: Height and width in pixels, by default.
        seconds: Length of the clip.
        fps: Frames per second.
        loop: Seconds after which the picture repeats; None if it does not.
        exposures: How many moments within the shutter time are averaged into a frame.
        shutter: The shutter time as a share of the frame time.
        shoot: (generator, height, width) -> the light over time; see `film.Expose`.
    """

    title: str
    description: str
    size: tuple[int, int]
    seconds: float
    fps: float
    loop: float | None
    exposures: int
    shutter: float
    shoot: Callable[[np.random.Generator, int, int], Expose]

    @property
    def aspect(self) -> float:
        """Width over height."""
        return self.size[1] / self.size[0]


# In the order of the gallery, by how well the bundled checkpoint restores them. The first, calm and muted like the
# footage that it was trained on, is also the fastest to render, and all that a new visitor waits for.
SCENES: dict[str, Scene] = {
    "wave": Scene(
        "Waving",
        "A person waves by a window: the arm swings out and up, the body hardly stirs, the camera stands still.",
        (320, 320), wave.PERIOD, 20, wave.PERIOD, 1, 0.4, wave.shoot,
    ),
    "cradle": Scene(
        "Newton's cradle",
        "Five chrome balls hang in a row, and the outer two swing out in turn.",
        (288, 384), 3 * cradle.PERIOD, 25, cradle.PERIOD, 8, 0.4, cradle.shoot,
    ),
    "balloons": Scene(
        "Balloons at dusk",
        "The camera glides past hot-air balloons, and each range of hills slides by at its own pace.",
        (288, 512), balloons.SECONDS, 24, None, 1, 0.5, balloons.shoot,
    ),
    "jellyfish": Scene(
        "Jellyfish",
        "A jellyfish pulses in blue water; the wave runs down its arms and tentacles.",
        (320, 256), jellyfish.LOOP, 20, jellyfish.LOOP, 1, 0.5, jellyfish.shoot,
    ),
    "basketball": Scene(
        "Basketball",
        "A spinning basketball bounces on a gym floor, flattening at each touch; its shadow comes and goes.",
        (320, 320), 5 * basketball.PERIOD, 25, basketball.PERIOD, 8, 0.4, basketball.shoot,
    ),
    "jumping_jacks": Scene(
        "Jumping jacks",
        "A person does jumping jacks in a sunlit room: arms and legs open and close, the camera stands still.",
        (384, 256), 2 * jumping_jacks.PERIOD, 20, jumping_jacks.PERIOD, 4, 0.25, jumping_jacks.shoot,
    ),
    "pinwheel": Scene(
        "Pinwheel",
        "A paper pinwheel turns in gusts of wind, filmed by a hand that is not quite steady: hard to restore.",
        (288, 288), pinwheel.PERIOD, 20, pinwheel.PERIOD, 3, 0.3, pinwheel.shoot,
    ),
}  # fmt: skip


def render(
    name: str,
    *,
    seed: int = 0,
    frames: int | None = None,
    size: tuple[int, int] | None = None,
    fps: float | None = None,
) -> np.ndarray:
    """Render a scene; the same arguments give the same clip.

    Args:
        name: A key of `SCENES`.
        seed: Another seed gives another wood, sky, foliage; the motion stays.
        frames: Number of frames T; by default the scene's whole length at `fps`.
        size: Height and width in pixels; by default the scene's own.
        fps: Frames per second; by default the scene's own.

    Returns:
        uint8 (T, H, W, 3).

    Raises:
        ValueError: For an unknown name, no frames, a rate that is not positive, or sides under 48 pixels.
    """
    if name not in SCENES:
        raise ValueError(f"There is no scene called {name!r}; choose one of {', '.join(SCENES)}.")
    scene = SCENES[name]
    height, width = size or scene.size
    fps = scene.fps if fps is None else fps
    if not fps > 0:
        raise ValueError(f"The rate must be positive, not {fps} frames a second.")
    frames = round(scene.seconds * fps) if frames is None else frames
    if frames < 1 or min(height, width) < 48:
        raise ValueError(f"A scene needs at least 1 frame of 48x48 pixels, not {frames} of {height}x{width}.")

    expose = scene.shoot(np.random.default_rng([seed, 1]), height, width)
    grain = np.random.default_rng([seed, 2]).normal(0, 1.0, (height, width)).astype(np.float32)
    # The moments are spread over the shutter time, and in the same order over the pixel (a golden-ratio lattice).
    moments = [(k + 0.5) / scene.exposures - 0.5 for k in range(scene.exposures)]
    shifts = [(moment, (k * 0.618034 + 0.5) % 1 - 0.5) for k, moment in enumerate(moments)]
    if scene.exposures == 1:
        shifts = [(0.0, 0.0)]
    repeats = scene.loop is not None and frames / fps > scene.loop
    clip = np.empty((frames, height, width, 3), np.uint8)
    taken: dict[int, np.ndarray] = {}
    for index in range(frames):
        time = index / fps if scene.loop is None else (index / fps) % scene.loop
        moment = round(time * 1e5)  # a loop returns to the same moment but for rounding
        light = taken.get(moment)
        if light is None:
            exposed = [
                expose(time + scene.shutter / fps * at, shift) for at, shift in zip(moments, shifts, strict=True)
            ]
            light = np.add.reduce(exposed) / np.float32(scene.exposures)
            if repeats:
                taken[moment] = light
        clip[index] = develop(light, np.roll(grain, (37 * index, 61 * index), axis=(0, 1)))
    return clip


@lru_cache(maxsize=1)
def renderer_version() -> str:
    """Return twelve hex digits that change whenever a file of this package does."""
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:12]


def write_examples(folder: str | os.PathLike[str], names: Iterable[str] = tuple(SCENES)) -> list[Path]:
    """Write scenes as `<name>.mp4` into a folder, except those that the same renderer has written there.

    `examples.json` beside them stores each clip's renderer version, so that a changed renderer renders it anew. Files
    are replaced atomically, so that an interrupted call can be repeated.

    Args:
        folder: Made if missing.
        names: Keys of `SCENES`.

    Returns:
        The clips' paths, in the order of `names`.

    Raises:
        ValueError: For an unknown name.
        OSError: If the folder cannot be written.
    """
    from avd_core.media.writer import write_mp4  # here, so that training imports no av

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    note = folder / "examples.json"
    paths = []
    for name in names:
        path = folder / f"{name}.mp4"
        paths.append(path)
        if path.is_file() and _versions(note).get(name) == renderer_version():
            continue
        clip = render(name)
        write_mp4(path, clip, SCENES[name].fps)
        write_atomically(note, json.dumps(_versions(note) | {name: renderer_version()}, indent=2) + "\n")
    return paths


def _versions(note: Path) -> dict[str, str]:
    try:
        versions = json.loads(note.read_text())
    except (OSError, ValueError):
        return {}
    return versions if isinstance(versions, dict) else {}
