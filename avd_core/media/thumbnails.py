"""Filmstrips: a few small pictures over the whole length of a video, for choosing a window."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from avd_core.media.container import DEFAULT_LIMITS, Limits, VideoError
from avd_core.media.containment.contained import contained
from avd_core.media.decoder import take
from avd_core.media.frame_transform import Fit
from avd_core.media.index import read_index
from avd_core.media.video import DEFAULT_WINDOW

COUNT, SIDE = 12, 64  # pictures, and pixels of their short side


@dataclass(frozen=True)
class Filmstrip:
    """Pictures of equal parts of a video.

    Attributes:
        frames: uint8 RGB (H, W, 3) each; None for a part that cannot be decoded.
        seconds: the video's length.
        liveliest: start of the `DEFAULT_WINDOW` with the most motion, in seconds; 0 in a shorter video.
    """

    frames: tuple[np.ndarray | None, ...]
    seconds: float
    liveliest: float


@contained(VideoError)
def filmstrip(path: str | os.PathLike[str], count: int = COUNT, limits: Limits = DEFAULT_LIMITS) -> Filmstrip:
    """Read the filmstrip of a video.

    A part's picture is its first keyframe, which is fast to decode, or without one the picture in its middle. So a long
    video takes hardly longer than a short one.

    Raises:
        VideoError: the file is no accepted video, or is beyond `limits`.
    """
    index = read_index(path, limits)
    length = index.seconds / count
    keys = np.sort(index.times[index.keys & index.visible])
    targets = []
    for part in range(count):
        inside = keys[(keys >= part * length) & (keys < (part + 1) * length)]
        targets.append(float(inside[0]) if len(inside) else (part + 0.5) * length)
    taken, _ = take(index, limits, targets, Fit(index, SIDE, limits))
    return Filmstrip(
        frames=tuple(one.picture if one else None for one in taken),
        seconds=index.seconds,
        liveliest=index.liveliest(DEFAULT_WINDOW) if index.seconds > DEFAULT_WINDOW else 0.0,
    )
