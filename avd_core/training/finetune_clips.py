"""Somebody's clips as they are trained on: read once, when they arrive, with a thumbnail; the bad ones are named.

Axes: T frames, H, W. Frames are uint8 (T,H,W,3).
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from avd_core.data.clip_files import Source

THUMBNAIL = 120  # pixels of its short side


@dataclass(frozen=True)
class TakenClip:
    """A clip that can be read.

    Attributes:
        source: its file, name and class.
        stored: the file of its frames as they are trained on.
        shape: (T, H, W) of those.
        thumbnail: its middle frame, as a JPEG in base64.
    """

    source: Source
    stored: Path
    shape: tuple[int, int, int]
    thumbnail: str


def take(sources: Sequence[Source], folder: Path) -> Iterator[TakenClip | str]:
    """Reads clips one after the other; of one that cannot be read comes a sentence instead."""
    from avd_core.data.datasets import STORED_FRAMES, STORED_SIZE
    from avd_core.data.packs import encode_frames
    from avd_core.media.video import read_clip

    folder.mkdir(parents=True, exist_ok=True)
    for number, source in enumerate(sources):
        try:
            frames = read_clip(source.clip, frames=STORED_FRAMES, size=STORED_SIZE, whole=True).frames
        except ValueError as error:
            yield str(error) if source.title in str(error) else f"{source.title}: {error}"
            continue
        stored = folder / f"{number:04d}.avif"
        stored.write_bytes(encode_frames(frames))
        yield TakenClip(source, stored, frames.shape[:3], _thumbnail(frames[len(frames) // 2]))


def _thumbnail(frame: np.ndarray) -> str:
    picture, file = Image.fromarray(frame), io.BytesIO()
    picture.thumbnail((2 * THUMBNAIL, THUMBNAIL))
    picture.save(file, "JPEG", quality=80)
    return base64.b64encode(file.getvalue()).decode()


def hold_out(clips: Sequence[TakenClip]) -> frozenset[int]:
    """Which clips are kept for judging: a tenth of each class and at least one in all, evenly spread, eight at most.

    Of a single clip none: it is trained on and judged on, and that is told.
    """
    if len(clips) < 2:
        return frozenset()
    classes: dict[str, list[int]] = {}
    for number, clip in enumerate(clips):
        classes.setdefault(clip.source.label, []).append(number)
    picked = [
        number
        for members in classes.values()
        for number in (members[i] for i in np.linspace(0, len(members) - 1, len(members) // 10 + 2).astype(int)[1:-1])
    ]
    return frozenset(picked[:8]) or frozenset([len(clips) - 1])
