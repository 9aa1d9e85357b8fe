"""The options of a training: every field has a control, and a config survives the way out and in."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import gradio as gr
import pytest

from app.components.training_options import TrainingOptions
from avd_core.config import ConfigError, TrainConfig
from avd_core.training.finetune import recipe


def test_every_field_has_a_control_and_a_config_goes_out_and_in_again(tmp_path: Path):
    with gr.Blocks():
        panel = TrainingOptions()
    assert list(panel.fields) == [field.name for field in dataclasses.fields(TrainConfig)]
    assert all(control.info for control in panel.fields.values())
    train = TrainConfig.from_dict(recipe(33) | {"noise_levels": 1.5, "augment": "shift"}).to_dict()
    path = panel.write(train, tmp_path / "c.json")
    assert panel.read(path) == train
    path.write_text(json.dumps({"model": {}, "train": train}))
    assert panel.read(path) == train, "what comes with a checkpoint is taken, too"
    for text in ("[]", "{", '{"steps": "rm -rf"}', '{"no_such_field": 1}', "[" * 50_000, '{"train": {"steps": -1}}'):
        path.write_text(text)
        with pytest.raises(ConfigError):
            panel.read(path)
    path.write_text('{"steps": 1}' + " " * 70_000)
    with pytest.raises(ConfigError, match="too large"):
        panel.read(path)
