"""A run's config: to JSON and back, to a command line and back, and clips of folders at the size that it says."""

from __future__ import annotations

import dataclasses
import json
import shutil

import pytest

from avd_core.config import PRESETS, ConfigError, TrainConfig, preset_overrides
from avd_core.data.clip_spec import ClipSpec
from avd_core.runs.run import Run, RunError
from avd_core.training.run_config import RunConfig
from avd_core.training.run_trainer import RunningTrainer
from tests.squares import MINI, QUICK, described, write_pack

PLAIN = RunConfig(PRESETS["tiny"], TrainConfig(steps=7, noise_levels=2.0, augment="colour,shift", jpeg_share=0.0))
FULL = dataclasses.replace(
    PLAIN, clips=(ClipSpec("/clips/a.pack"), ClipSpec("/clips/b")), held_out=(ClipSpec("/clips/c.pack"),),
    photos="/photos", classifier=True, stored_size=240,
)  # fmt: skip
OFFICIAL = dataclasses.replace(PLAIN, clips=(ClipSpec("/sets/UCF-101", None, "ucf101", ("1",), "/sets/lists"),))
GLOBS = dataclasses.replace(PLAIN, clips=(ClipSpec("/clips/b", ("a/*.mp4",)),))


@pytest.mark.parametrize("config", [PLAIN, FULL, OFFICIAL, GLOBS])
def test_json_round_trip(config):
    assert RunConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize("config", [PLAIN, FULL, OFFICIAL])
def test_a_command_line_round_trip(config):
    words = config.to_argv("/runs/mine")
    assert words[:2] == ["--run", "/runs/mine"]
    assert described(words) == config


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_what_the_command_sets_by_itself_is_not_said(preset):
    train = TrainConfig.from_dict(preset_overrides(preset, from_nothing=True))
    words = RunConfig(PRESETS[preset], train).to_argv("r")
    assert words == ["--run", "r", "--preset", preset, "--steps", str(train.steps)]
    assert described(words).train == train


def test_what_no_command_line_describes_is_refused():
    with pytest.raises(ConfigError, match="names a split by its file"):
        GLOBS.to_argv("r")
    with pytest.raises(ConfigError, match="'mini' is no preset"):
        dataclasses.replace(PLAIN, model=MINI).to_argv("r")


def test_a_config_of_the_first_version_says_less_and_is_read():
    old = {"model": MINI.to_dict(), "train": {"steps": 3}, "clips": [{"path": "x.pack"}]}
    assert RunConfig.from_dict(old) == RunConfig(MINI, TrainConfig(steps=3), clips=(ClipSpec("x.pack"),))


@pytest.mark.parametrize(
    ("values", "told"),
    [({"train": {}}, "nothing about model"), ({}, "model and train"), ({"model": {}, "train": {"steps": 0}}, "steps"),
     ({"model": {}, "train": {}, "stored_size": 100}, "multiple of 8")],
)  # fmt: skip
def test_a_config_that_describes_no_training_is_refused(tmp_path, values, told):
    Run(tmp_path / "r").create(values)
    with pytest.raises(RunError, match=told):
        RunConfig.of(Run(tmp_path / "r"))


def test_clips_of_a_folder_are_read_at_the_stored_size_and_those_of_a_pack_as_they_are(tmp_path, rendered_clip):
    (tmp_path / "clips").mkdir()
    shutil.copy(rendered_clip, tmp_path / "clips" / "one.mp4")
    pack = write_pack(tmp_path / "squares.pack")
    words = ["--run", str(tmp_path / "r"), "--data", str(tmp_path / "clips"), str(pack), "--preset", "tiny"]
    for more, size in (([], 128), (["--stored-size", "72"], 72)):
        config = dataclasses.replace(described([*words, *more]), model=MINI, train=QUICK)
        run = Run(tmp_path / f"run{size}")
        run.create(config.to_dict())
        folder, packed = RunningTrainer(run, device="cpu").sources
        assert min(folder[0].shape[1:3]) == size and packed[0].shape[1:3] == (72, 72)
    with pytest.raises(ConfigError, match="multiple of 8"):
        described([*words, "--stored-size", "100"])
