"""Fine-tunes for tests: clips that are quick to make, and a training small enough to be over in seconds."""

from __future__ import annotations

import base64
import io
import time
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from avd_core.data.clip_files import Source
from avd_core.data.packs import encode_frames
from avd_core.media.window import Window
from avd_core.runs.process import AT_WORK, look
from avd_core.runs.registry import new_secret, owner_of
from avd_core.runs.run import Run
from avd_core.training.finetune import FineTune, recipe
from avd_core.training.finetune_clips import Part, TakenClip

WHO = [owner_of(new_secret()) for _ in range(3)]


def some_clips(folder: Path, clip: Path, count: int = 3, labels: str = "ab") -> tuple[TakenClip, ...]:
    """Clips of moving noise that all claim to be of one file; with two labels, a run ends by training a classifier."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for number, (encoded, thumbnail) in enumerate(_noise(count)):
        stored = folder / f"{number}.avif"
        stored.write_bytes(encoded)
        part = Part(Window(whole=True), {96: (stored, (16, 96, 96))})
        made.append(TakenClip(Source(clip, f"clip {number}.mp4", labels[number % len(labels)]), (part,), thumbnail))
    return tuple(made)


@cache
def _noise(count: int) -> list[tuple[bytes, str]]:
    """Frames and a thumbnail of each, encoded: that takes two seconds, and many tests want them."""
    rng, made = np.random.default_rng(0), []
    for _ in range(count):
        coarse = rng.integers(0, 255, (16, 8, 8, 3), np.uint8)
        frames, picture = np.kron(coarse, np.ones((1, 12, 12, 1), np.uint8)), io.BytesIO()
        Image.fromarray(frames[0]).save(picture, "JPEG")
        made.append((encode_frames(frames), base64.b64encode(picture.getvalue()).decode()))
    return made


def asked(clips: tuple[TakenClip, ...], name: str = "mine", steps: int = 4, **fields: object) -> FineTune:
    """A training of `tiny` from nothing."""
    train = recipe(steps, "preset:tiny") | {"batch_size": 2, "crop": 64, "preview_every": 1000} | fields
    return FineTune(name, "preset:tiny", clips, frozenset([len(clips) - 1]), train)


def waited(run: Run, *until: str, seconds: float = 120.0) -> str:
    """Waits for a status, by default for any in which nothing happens by itself any more."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        status = look(run).status
        if status in until or (not until and status not in ("queued", *AT_WORK)):
            return status
        time.sleep(0.1)
    raise AssertionError(f"still {look(run)} after {seconds} s: {run.log_tail()}")


def waited_for_steps(run: Run, count: int, seconds: float = 120.0) -> None:
    """Waits until a run has made so many steps."""
    end = time.monotonic() + seconds
    while len(run.metrics()) < count:
        assert time.monotonic() < end and look(run).status in ("queued", *AT_WORK), (look(run), run.log_tail())
        time.sleep(0.05)
