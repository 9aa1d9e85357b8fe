"""The targets of a batch are the pictures of its clips, and nothing learns through them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from avd_core.analysis.motion_pictures import MOTION_PICTURES
from avd_core.config import GUIDE_TARGETS, TrainConfig
from avd_core.networks.avd import to_tensor
from avd_core.training.guide_targets import guide_target


def clips(frames: int) -> np.ndarray:
    """Two clips (2,T,H,W,3) of a noisy scene through which a patch moves."""
    rng = np.random.default_rng(5)
    scene = rng.integers(40, 200, (2, 1, 24, 40, 3)) + rng.integers(-4, 5, (2, frames, 24, 40, 3))
    for t in range(frames):
        left = 34 * t // frames
        scene[:, t, 8:16, left : left + 6] = rng.integers(0, 256, (2, 8, 6, 3))
    return scene.astype(np.uint8)


def batch(some: np.ndarray) -> torch.Tensor:
    return torch.cat([to_tensor(clip) for clip in some])


def test_every_picture_can_be_a_target():
    assert set(GUIDE_TARGETS) == {"middle", *MOTION_PICTURES}


@pytest.mark.parametrize("name", MOTION_PICTURES)
@pytest.mark.parametrize("frames", [7, 16])
@pytest.mark.parametrize("strength", [0.25, 1.0])
def test_it_is_the_picture_of_each_clip_within_its_rounding(name: str, frames: int, strength: float):
    some = clips(frames)
    target = (guide_target(batch(some), name, strength) + 1) * 127.5
    pictures = np.stack([MOTION_PICTURES[name](clip, strength) for clip in some])
    assert np.abs(target.movedim(1, -1).numpy() - pictures).max() <= 0.51


def test_the_middle_frame_is_the_default_target():
    clip = batch(clips(8))
    assert torch.equal(guide_target(clip, TrainConfig().guide_target, 0.5), clip[:, :, 4])


@pytest.mark.parametrize("name", GUIDE_TARGETS)
def test_nothing_learns_through_a_target(name: str):
    clip = batch(clips(8)).requires_grad_(True)
    assert not guide_target(clip, name, 0.5).requires_grad
