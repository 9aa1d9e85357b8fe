"""Representations of a clip as pictures: checkpoints' images, baselines, ceilings and real frames.

A representation turns a clip into one picture, or into a few in order if it is a ceiling.

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
    """One way to turn a clip into pictures.

    Attributes:
        sampling: number of frames and short side in pixels that it takes.
        pictures: uint8 (T, H, W, 3) -> (K, H, W, 3), K mostly 1.
        directed: whether it may depend on the direction of time. The middle frame may not: with an even number of
            frames, the choice of the middle one would reveal the direction.
        restore: uint8 (H, W, 3) -> (T, H, W, 3); None if the clip cannot be restored from it.
        weights_key: fingerprint of its weights; empty without weights.
    """

    sampling: Sampling
    pictures: Callable[[np.ndarray], np.ndarray]
    directed: bool = True
    weights_key: str = ""
    restore: Callable[[np.ndarray], np.ndarray] | None = None


def representations(models: Mapping[str, AVD]) -> dict[str, Representation]:
    """Return all representations by name; those without a checkpoint are sampled like the first checkpoint.

    Raises:
        EvidenceError: a checkpoint has the name of another representation.
    """
    sampling = samplings(models)[0]
    if set(models) & {*BASELINES, "adjacent", "ordered frames", "other real"}:
        raise EvidenceError(f"A checkpoint may not be called like one of {', '.join(BASELINES)}.")
    return {
        **{
            name: Representation(
                (m.config.frames, m.config.size),
                _one(distiller(m)),
                weights_key=f"{m.fingerprint}:{m.config.size}",
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
    """Return the codec's representation: the middle frame with H.264 of the clip in its `bits` lowest bits.

    Args:
        sampling: number of frames and short side in pixels.
        bits: how many lowest bits; None lets `codec_image` choose.
    """
    return Representation(
        sampling,
        _one(partial(codec_image, bits=bits)),
        directed=False,
        restore=lambda image: codec_frames(image, sampling[0]),
    )


def ordered_frames(frames: np.ndarray) -> np.ndarray:
    """Return `ORDERED_FRAMES` evenly spaced frames in order, the same ones for the reversed clip: (K, H, W, 3)."""
    count, half = len(frames), ORDERED_FRAMES // 2
    begin = np.floor((np.arange(half) + 0.5) * count / ORDERED_FRAMES - 0.5).clip(0).astype(int)
    return frames[np.concatenate([begin, count - 1 - begin[::-1]])]


def adjacent_frame(frames: np.ndarray) -> np.ndarray:
    """Return the frame after the middle one, the most similar other picture of the clip."""
    return frames[min(len(frames) // 2 + 1, len(frames) - 1)]


def real_frames(frames: np.ndarray) -> np.ndarray:
    """Draw two different frames from the middle half of a clip: (2, H, W, 3). The same clip gives the same frames.

    Distilled images resemble middle frames. The ends of a clip show other poses, by which a critic could tell them
    from an image.
    """
    count = len(frames)
    middle = np.arange(count)[count // 4 : max(count // 4 + 2, count - count // 4)]
    rng = np.random.default_rng(zlib.crc32(np.ascontiguousarray(frames).data))
    return frames[rng.choice(middle, 2, replace=False)] if len(middle) > 1 else frames[[0, 0]]


def _one(make: Distiller) -> Callable[[np.ndarray], np.ndarray]:
    return lambda frames: make(frames)[None]


def samplings(models: Mapping[str, AVD]) -> list[Sampling]:
    """Return the distinct samplings of the checkpoints, the first checkpoint's first."""
    return list(dict.fromkeys((model.config.frames, model.config.size) for model in models.values()))
