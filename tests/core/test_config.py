"""Configurations: JSON round trips, and every wrong field refused by name."""

from __future__ import annotations

import dataclasses
import json

import pytest

from avd_core.config import PRESETS, ConfigError, ModelConfig, TrainConfig


@pytest.mark.parametrize("config", [*PRESETS.values(), TrainConfig()])
def test_json_round_trip(config, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config.to_dict()))
    assert type(config).from_json(path) == config


def test_what_a_training_did_is_kept_and_makes_no_other_model():
    old, told = ModelConfig.from_dict({"preset": "base"}), ModelConfig(trained_through_jpeg=True)
    assert not old.trained_through_jpeg and ModelConfig.from_dict(told.to_dict()).trained_through_jpeg
    assert old == told, "a run that was prepared before the field was there fits its start"


def test_presets_are_named_after_their_key():
    assert {name: config.preset for name, config in PRESETS.items()} == {name: name for name in PRESETS}


def test_a_config_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        PRESETS["base"].frames = 8


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"frames": 7}, "frames"),
        ({"frames": 33}, "frames"),
        ({"frames": 18}, "frames"),
        ({"frames": "16"}, "frames"),
        ({"frames": True}, "frames"),
        ({"size": 100}, "size"),
        ({"size": 10**9}, "size"),
        ({"patch": 3}, "patch"),
        ({"clip_channels": [32, 48]}, "clip_channels"),
        ({"clip_channels": [10**9, 48, 64]}, "clip_channels"),
        ({"clip_channels": [1.5, 48, 64]}, "clip_channels"),
        ({"image_channels": 10**9}, "image_channels"),
        ({"deep_blocks": -1}, "deep_blocks"),
        ({"rounding": 1}, "rounding"),
        ({"surprise": 1}, "surprise"),
        ({"preset": ""}, "preset"),
        ([1, 2], "object"),
    ],
)
def test_a_wrong_model_config_is_refused_by_name(values, named):
    with pytest.raises(ConfigError, match=named):
        ModelConfig.from_dict(values)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"steps": 0}, "steps"),
        ({"crop": 100}, "crop"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"adv_weight": -1.0}, "adv_weight"),
        ({"adv_weight": float("nan")}, "adv_weight"),
        ({"recon_weight": 0.0, "adv_weight": 0.0, "guide_weight": 0.0}, "at least one loss"),
        ({"precision": "fp8"}, "precision"),
        ({"optimizer": "sgd"}, "optimizer"),
        ({"psnr_weight": -1.0}, "psnr_weight"),
        ({"peak_weight": float("inf")}, "peak_weight"),
        ({"peak_levels": -1.0}, "peak_levels"),
        ({"guide_target": "dynamic"}, "guide_target.*strobe"),
        ({"guide_strength": 0.0}, "guide_strength"),
        ({"seed": -1}, "seed"),
        ({"ema_decay": 1.0}, "ema_decay"),
    ],
)
def test_a_wrong_train_config_is_refused_by_name(values, named):
    with pytest.raises(ConfigError, match=named):
        TrainConfig.from_dict(values)


@pytest.mark.parametrize("config", [ModelConfig, TrainConfig])
def test_every_field_says_what_it_is(config):
    assert list(config.descriptions()) == [field.name for field in dataclasses.fields(config)]
    assert all(len(about) > 10 and about[-1] != "." for about in config.descriptions().values())


def test_whole_numbers_pass_for_real_ones():
    assert TrainConfig.from_dict({"adv_weight": 0}).adv_weight == 0


@pytest.mark.parametrize("text", ["", "[", "nonsense", "[" * 100_000])
def test_a_file_that_is_no_json_is_refused(text, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"config\.json"):
        ModelConfig.from_json(path)
