"""Before and after on one clip, and the parcel that a run leaves."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest
import torch

from avd_core.data.clip_files import Source
from avd_core.explore.before_after import Moment, before_and_after, initial_checkpoint
from avd_core.explore.explorer import Explorer
from avd_core.networks.avd import AVD
from avd_core.networks.calibration import Calibration
from avd_core.runs.run import Run, RunError
from avd_core.training import run_trainer
from avd_core.training.export import write_parcel
from avd_core.training.run_trainer import RunningTrainer
from tests.squares import MINI, QUICK, write_pack


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    squares = write_pack(folder / "squares.pack")
    run = Run(folder / "mine")
    config = {"model": MINI.to_dict(), "train": QUICK.to_dict(), "init": None, "clips": [{"path": str(squares)}]}
    run.create(config | {"held_out": []})
    running = RunningTrainer(run)
    running.resume()
    list(running.go())
    return run


def test_a_training_from_nothing_is_compared_with_the_weights_it_drew(run):
    start = AVD.from_pretrained(initial_checkpoint(run))
    torch.manual_seed(QUICK.seed)
    assert start.fingerprint == AVD(MINI).fingerprint != AVD.from_pretrained(run.folder).fingerprint


def test_both_are_looked_at_on_the_same_frames(run, rendered_clip, tmp_path):
    before = AVD.from_pretrained(initial_checkpoint(run))
    before.calibration = Calibration.from_scores(np.linspace(-9, 9, 50), [0.0])
    before.save_pretrained(tmp_path / "before")
    explorer = Explorer("cpu")
    names = str(tmp_path / "before"), str(run.folder)
    (pair,) = before_and_after(explorer, *names, [Moment(Source(rendered_clip, "a"))], "action")
    assert np.array_equal(pair.before.clip.frames, pair.after.clip.frames)
    assert pair.before.fingerprint != pair.after.fingerprint
    assert pair.gains[0] == pytest.approx(pair.before.quality.psnr - pair.before.quality.psnr_mean_copy)
    # One critic for both: the one from before.
    assert pair.realism[0] == pair.before.realism.percentile_among_real
    assert 0 <= pair.realism[1] <= 100 and pair.after.recognition.classifier == "action"


def test_private_checkpoints_are_shown_to_nobody(run, rendered_clip):
    explorer = Explorer("cpu")
    explorer.distill(rendered_clip, checkpoint=str(run.folder))
    assert str(run.folder) in explorer.checkpoints()
    explorer.models.set_private_root(run.folder.parent)
    assert str(run.folder) not in explorer.checkpoints()
    assert explorer.distill(rendered_clip, checkpoint=str(run.folder)).info.checkpoint == "mine"


def test_the_parcel_is_a_checkpoint_and_names_no_path_of_this_machine(run, tmp_path):
    path = write_parcel(run, tmp_path / "mine.zip", command="python -m avd_core train --run mine")
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "out")
        texts = [archive.read(name) for name in archive.namelist() if not name.endswith(".safetensors")]
    assert AVD.from_pretrained(tmp_path / "out").fingerprint == AVD.from_pretrained(run.folder).fingerprint
    assert "train --run mine" in (tmp_path / "out" / "README.md").read_text()
    assert json.loads((tmp_path / "out" / "run.json").read_text())["train"]["steps"] == QUICK.steps
    assert not any(str(run.folder.parent).encode() in text for text in texts)
    with pytest.raises(RunError, match="has not saved"):
        empty = Run(tmp_path / "empty")
        empty.create({"model": {}, "train": {}})
        write_parcel(empty, tmp_path / "empty.zip")
    assert run_trainer.in_plain_words(MemoryError()).startswith("The machine has run out of memory")
