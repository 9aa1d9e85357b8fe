"""What is made of a clip to look at: checkpoints' images, what they are compared with, ceilings and real frames.

A *representation* makes of a clip one picture, or a few in order where it is a ceiling.

Axes: T frames, K pictures, H, W.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from avd_core.analysis.baselines import DISTILLERS, Distiller
from avd_core.data.clip_sets import EvidenceError
from avd_core.evidence.clip_reader import Sampling
from avd_core.media.codec_image import CODEC, codec_frames, codec_image
from avd_core.networks.inference import distiller, restore

if TYPE_CHECKING:
    from avd_core.networks.avd import AVD

ORDERED_FRAMES = 8  # pictures that the ceiling sees, in order
BASELINES: dict[str, Distiller] = {**DISTILLERS, CODEC: codec_image}


@dataclass(frozen=True)
class Representation:
    """What is made of a clip.

    Attributes:
        sampling: the frames it wants.
        pictures: uint8 (T, H, W, 3) -> (K, H, W, 3), K mostly 1.
        directed: whether it may look at the direction of time at all. The middle frame may not: with an even number
            of frames, which frame is the middle one would give the direction away.
        restore: uint8 (H, W, 3) -> (T, H, W, 3), for an image that plays.
        made_by: the fingerprint of the weights that make it, where there are any.
    """

    sampling: Sampling
    pictures: Callable[[np.ndarray], np.ndarray]
    directed: bool = True
    made_by: str = ""
    restore: Callable[[np.ndarray], np.ndarray] | None = None


def representations(models: Mapping[str, AVD]) -> dict[str, Representation]:
    """Everything by name; all that is no checkpoint is sampled as the first checkpoint is.

    Raises:
        EvidenceError: a checkpoint is called like something else.
    """
    sampling = samplings(models)[0]
    if set(models) & {*BASELINES, "adjacent", "ordered frames", "other real"}:
        raise EvidenceError(f"A checkpoint may not be called like one of {', '.join(BASELINES)}.")
    return {
        **{
            name: Representation(
                (m.config.frames, m.config.size),
                _one(distiller(m)),
                made_by=f"{m.fingerprint}:{m.config.size}",
                restore=partial(restore, m),
            )
            for name, m in models.items()
        },
        **{name: Representation(sampling, _one(make), directed=name != "middle") for name, make in DISTILLERS.items()},
        CODEC: codec_representation(sampling),
        "adjacent": Representation(sampling, _one(adjacent_frame)),
        "ordered frames": Representation(sampling, ordered_frames),
        **{
            f"real {frames}x{size}": Representation((frames, size), lambda frames: real_frames(frames)[:1])
            for frames, size in samplings(models)
        },
        "other real": Representation(sampling, lambda frames: real_frames(frames)[1:]),
    }


def codec_representation(sampling: Sampling, bits: int | None = None) -> Representation:
    """The codec with so many lowest bits, or as many as its own rule takes. It looks like the middle frame."""
    return Representation(
        sampling,
        _one(partial(codec_image, bits=bits)),
        directed=False,
        restore=lambda image: codec_frames(image, sampling[0]),
    )


def ordered_frames(frames: np.ndarray) -> np.ndarray:
    """A few frames in order, evenly spaced, and the same ones when the clip runs backwards: (K, H, W, 3)."""
    count, half = len(frames), ORDERED_FRAMES // 2
    begin = np.floor((np.arange(half) + 0.5) * count / ORDERED_FRAMES - 0.5).clip(0).astype(int)
    return frames[np.concatenate([begin, count - 1 - begin[::-1]])]


def adjacent_frame(frames: np.ndarray) -> np.ndarray:
    """The frame after the middle one: as near to it as another picture of the clip comes."""
    return frames[min(len(frames) // 2 + 1, len(frames) - 1)]


def real_frames(frames: np.ndarray) -> np.ndarray:
    """Two different frames out of the middle half, drawn by the clip: (2, H, W, 3).

    Out of the middle, where distilled images are at home: at its ends a clip shows other poses, and a critic would
    tell the pose instead of the picture.
    """
    count = len(frames)
    middle = np.arange(count)[count // 4 : max(count // 4 + 2, count - count // 4)]
    rng = np.random.default_rng(zlib.crc32(np.ascontiguousarray(frames).data))
    return frames[rng.choice(middle, 2, replace=False)] if len(middle) > 1 else frames[[0, 0]]


def _one(make: Distiller) -> Callable[[np.ndarray], np.ndarray]:
    return lambda frames: make(frames)[None]


def samplings(models: Mapping[str, AVD]) -> list[Sampling]:
    """What the checkpoints want read, each once; the first is that of the first checkpoint."""
    return list(dict.fromkeys((model.config.frames, model.config.size) for model in models.values()))
