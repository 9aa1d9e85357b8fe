"""Held cameras: a scene seen through known maps comes to rest, and what moves in front of it is left to move."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from avd_core.analysis.camera_motion import IDENTITY, camera_path, hold_camera, warp

HEIGHT, WIDTH = 128, 168


def scene() -> np.ndarray:
    """A large smooth picture, to be looked at through a window."""
    coarse = np.random.default_rng(3).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((400, 300), Image.Resampling.BICUBIC))


def filmed(*cameras: np.ndarray) -> np.ndarray:
    """The scene's centre through each map."""
    frames = []
    for camera in cameras:
        seen = warp(scene().astype(np.float32), camera)[0]
        top, left = (300 - HEIGHT) // 2, (400 - WIDTH) // 2
        frames.append(np.rint(seen[top : top + HEIGHT, left : left + WIDTH]).astype(np.uint8))
    return np.stack(frames)


def camera(x: float = 0.0, y: float = 0.0, zoom: float = 1.0, turn: float = 0.0) -> np.ndarray:
    return np.array([[zoom * np.cos(turn), -np.sin(turn), x], [np.sin(turn), zoom * np.cos(turn), y]])


def unrest(frames: np.ndarray) -> float:
    """Mean difference to the middle frame, away from the border."""
    apart = np.abs(frames.astype(float) - frames[len(frames) // 2])
    return float(apart[:, 24:-24, 24:-24].mean())


@pytest.mark.parametrize(
    "cameras",
    [
        [camera(-8, 3), camera(-4, 1.5), camera(), camera(4, -1.5)],
        [camera(zoom=1.12), camera(zoom=1.06), camera(), camera(zoom=0.95)],
        [camera(turn=-0.08), camera(turn=-0.04), camera(), camera(turn=0.05)],
    ],
    ids=["pan", "zoom", "turn"],
)
def test_a_camera_that_moves_is_held(cameras: list[np.ndarray]):
    frames = filmed(*cameras)
    held = hold_camera(frames)
    assert held.shape == frames.shape and held.dtype == np.uint8
    assert np.array_equal(held[2], frames[2])
    assert unrest(held) < 0.2 * unrest(frames)


def test_the_path_of_a_pan_is_told_in_pixels():
    path = camera_path(filmed(camera(), camera(6, -4), camera(), camera()))
    # The map leads from the middle frame to where its content lies in the other: against the window's own move.
    assert path[1][:, 2] == pytest.approx([-6, 4], abs=0.3)
    assert path[1][:, :2] == pytest.approx(IDENTITY[:, :2], abs=0.01)


def test_a_camera_that_stands_leaves_the_clip_untouched_whatever_moves_before_it():
    frames = filmed(*[camera()] * 5).copy()
    for t in range(5):
        frames[t, 40:80, 10 + 25 * t : 40 + 25 * t] = 255
    assert np.array_equal(hold_camera(frames), frames)


def test_a_cut_is_left_as_it_is():
    rng = np.random.default_rng(0)
    one, other = (rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8) for _ in range(2))
    frames = np.stack([one, one, other, other])
    held = hold_camera(frames)
    assert held.shape == frames.shape and np.array_equal(held[2:], frames[2:])
