"""The benchmark of checkpoints' images: its figures on clips of which the truth is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from avd_core.analysis.metrics import psnr
from avd_core.classifiers.loading import Classifier
from avd_core.config import PRESETS
from avd_core.evidence.array_store import Disk
from avd_core.networks.avd import AVD
from avd_core.networks.inference import distill, restore
from benchmarks import images_read, motion_pictures
from tests.benchmarks.bars import CLASSES, SIDE, T, bar_frames, write_bars
from tests.core.evidence.conftest import scorer  # noqa: F401

FILMS = 5


@pytest.fixture
def model(tmp_path: Path) -> AVD:
    """An untrained network of 16 frames, as the benchmark takes, as `small`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        AVD(replace(PRESETS["tiny"], frames=T)).save_pretrained(tmp_path / "small")
    return AVD.from_pretrained(tmp_path / "small")


def test_the_action_is_read_from_the_movement_and_not_from_the_middle_frame(
    model: AVD, tmp_path: Path, scorer: Classifier, monkeypatch: pytest.MonkeyPatch, capsys  # noqa: F811
):  # fmt: skip
    test, fit = write_bars(tmp_path / "test", FILMS), write_bars(tmp_path / "fit", FILMS)
    sets = [images_read.ReadSet("fitted", test, fit), images_read.ReadSet("left out", test, None)]
    monkeypatch.setenv("AVD_DATA", str(tmp_path))
    for module in (images_read, motion_pictures):
        monkeypatch.setattr(module, "SIZE", SIDE)
    monkeypatch.setattr(images_read, "read_sets", lambda root: sets)
    monkeypatch.setattr(images_read, "load_scorers", lambda names: [scorer])
    words = ["--work", str(tmp_path / "work"), "--checkpoints", str(tmp_path / "small")]
    monkeypatch.setattr("sys.argv", ["images_read", *words])
    assert images_read.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.strip() for line in lines[:2]] == [
        "fitted: 10 clips of 5 groups, fitted on 10.",
        "left out: 10 clips of 5 groups, each person left out once.",
    ]
    rows = {line.split(" | ")[0].strip("| "): line.strip("| ").split(" | ")[1:] for line in lines if "|" in line}
    best = "**100.0 (+50.0 [+50.0, +50.0])**"
    assert rows["middle frame"] == ["50.0", "50.0"], "the two clips of a film share it"
    assert rows["four ordered frames"] == rows["steady-exposure 0.5"] == [best, best]

    frames = [np.repeat(bar_frames(label, film)[..., None], 3, -1) for label in CLASSES for film in range(FILMS)]
    gains = [psnr(clip, restore(model, distill(model, clip))) - psnr(clip, mean_copy(clip)) for clip in frames]
    (named,) = (name for name in rows if name.startswith("image of small"))
    assert named == f"image of small ({model.fingerprint})"
    assert rows[named] == [f"{np.mean(gains):+.2f}"] * 2, "the second table, of how much comes back"

    monkeypatch.setattr(images_read, "distill", None)  # what was measured is kept
    assert images_read.gains(test, model, Disk(tmp_path / "work")) == pytest.approx(gains)


def mean_copy(clip: np.ndarray) -> np.ndarray:
    """The clip's mean frame, repeated."""
    return np.broadcast_to(clip.mean(axis=0).round().astype(np.uint8), clip.shape)
