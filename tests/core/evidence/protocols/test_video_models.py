"""Ceilings: torchvision's own video network behind our interface, and one from scratch, never called a ceiling."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from avd_core.evidence.protocols import video_models
from avd_core.evidence.protocols.video_models import CEILING, SCRATCH, VideoModel, headless, squashed


@pytest.fixture(scope="module")
def r3d() -> VideoModel:
    """The real network with random weights: its interface is what is tested."""
    from torchvision import models

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = models.get_model("r3d_18", weights=None)
    return headless("r3d_18", network, models.get_model_weights("r3d_18").DEFAULT.transforms())


def test_a_video_network_is_probed_beside_the_images(plant, scorer, r3d, monkeypatch):
    monkeypatch.setattr(video_models, "FRAMES", 4)
    monkeypatch.setattr(video_models, "SIZE", 32)
    cache = plant(lambda frames: frames[0])
    cache.baselines = ("middle",)
    report = video_models.measure(cache, [scorer], ceiling=r3d, steps=20)
    (rows,) = report.summary["figures"].values()
    assert set(rows) == {"planted", "middle", CEILING, SCRATCH}
    assert rows["middle"]["mean"] == 1 and report.summary["not_run"] is None
    assert "no ceiling" in SCRATCH and "no ceiling" in report.summary["how"]


def test_without_its_weights_the_ceiling_is_reported_as_not_run(plant, scorer):
    cache = plant(lambda frames: frames[0])
    cache.baselines = ()
    report = video_models.measure(cache, [scorer], ceiling="the download failed", steps=2)
    (rows,) = report.summary["figures"].values()
    assert set(rows) == {"planted", SCRATCH}
    assert "was not run: the download failed." in report.summary["not_run"] and "was not run" in report.text


def test_weights_that_cannot_be_had_are_told(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(video_models, "find_ceiling", video_models.find_ceiling.__wrapped__)
    assert "switched off" in video_models.find_ceiling()


def test_features_are_those_of_the_network(r3d):
    frames = np.random.default_rng(0).integers(0, 256, (8, 40, 48, 3), dtype=np.uint8)
    clip = squashed(frames, video_models.FRAMES, video_models.SIZE)
    mean, std = (torch.tensor(v).view(3, 1, 1, 1) for v in ((0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)))
    with torch.no_grad():
        expected = r3d.network((clip - mean) / std)[0]
    assert np.allclose(r3d.features(frames), expected.numpy(), atol=1e-5) and len(expected) == 512


def test_a_clip_is_squashed_evenly_in_time():
    frames = np.repeat(np.arange(16, dtype=np.uint8)[:, None, None, None], 8, 1).repeat(8, 2).repeat(3, 3)
    clip = squashed(frames, 8, 4)
    assert clip.shape == (1, 3, 8, 4, 4)
    assert (clip[0, 0, :, 0, 0] * 255).round().tolist() == [1, 3, 5, 7, 9, 11, 13, 15]
