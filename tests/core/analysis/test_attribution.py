"""Which frame an image draws on, for images whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from avd_core.analysis.attribution import contributions
from avd_core.analysis.baselines import mean_frame, middle_frame
from avd_core.explore.explorer import Explorer


@pytest.fixture
def frames() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, 8, 16, 3), dtype=np.uint8)


def test_copied_frame_contributes_alone(frames: np.ndarray):
    maps = np.stack(list(contributions(middle_frame, frames)))
    others = np.delete(frames, 2, axis=0).mean(axis=0)
    assert maps.shape == (5, 8, 16) and maps.dtype == np.float32
    assert not np.delete(maps, 2, axis=0).any()
    assert np.allclose(maps[2], np.abs(frames[2] - np.rint(others)).mean(axis=-1))


def test_half_and_half_is_told_place_by_place(frames: np.ndarray):
    def halves(clip: np.ndarray) -> np.ndarray:
        return np.concatenate([clip[0][:, :8], clip[4][:, 8:]], axis=1)

    maps = np.stack(list(contributions(halves, frames)))
    assert (maps[:, :, :8].argmax(axis=0) == 0).all() and (maps[:, :, 8:].argmax(axis=0) == 4).all()


def test_frames_are_left_as_they_were_and_a_still_clip_contributes_nothing(frames: np.ndarray):
    before = frames.copy()
    list(contributions(mean_frame, frames))
    assert np.array_equal(frames, before)
    still = np.repeat(frames[:1], 5, axis=0)
    assert not np.stack(list(contributions(mean_frame, still))).any()


def test_explorer_asks_its_checkpoint(tiny_checkpoint):
    clip = np.random.default_rng(1).integers(0, 256, (16, 32, 32, 3), dtype=np.uint8)
    explorer = Explorer("cpu")
    frames = clip[: explorer._checkpoint(str(tiny_checkpoint)).model.config.frames]
    maps = np.stack(list(explorer.contributions(frames, str(tiny_checkpoint))))
    assert maps.shape == frames.shape[:3] and maps.max() > 0
