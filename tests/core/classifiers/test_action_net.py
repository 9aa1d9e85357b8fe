"""The small network's folder: a round trip, and everything that is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from avd_core.classifiers.action_net import ActionClassifier, ActionConfig, ClassifierError, bundled_action_folder

CONFIG = ActionConfig(("wave", "bow", "jump"), size=32, widths=(4, 8))


@pytest.fixture
def network() -> ActionClassifier:
    torch.manual_seed(0)
    made = ActionClassifier(CONFIG)
    made.train()(torch.randn(8, 3, 32, 32))  # batch norm has statistics of its own
    return made.eval()


@pytest.fixture
def folder(network: ActionClassifier, tmp_path: Path) -> Path:
    return network.save_pretrained(tmp_path / "action", "the card")


def test_a_round_trip_keeps_the_answer_to_half_precision(network: ActionClassifier, folder: Path) -> None:
    loaded = ActionClassifier.from_pretrained(folder)
    image = torch.rand(2, 3, 32, 32) * 2 - 1
    torch.testing.assert_close(loaded(image), network(image), atol=5e-3, rtol=5e-3)
    assert loaded.config == CONFIG
    assert not loaded.training
    assert (folder / "README.md").read_text() == "the card"
    assert {tensor.dtype for tensor in load_file(folder / "model.safetensors").values()} == {torch.float16}


def test_the_default_shape_is_small() -> None:
    network = ActionClassifier(ActionConfig(tuple(f"class {n}" for n in range(20))))
    assert network(torch.zeros(1, 3, 112, 112)).shape == (1, 20)
    assert sum(p.numel() for p in network.parameters()) < 1_000_000


def test_every_pixel_has_a_say(network: ActionClassifier) -> None:
    image = torch.zeros(1, 3, 32, 32, requires_grad=True)
    network(image).square().sum().backward()
    assert (image.grad.abs().sum(dim=1) > 0).float().mean() > 0.95


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"labels": ["one"]}, "2 to 1000"),
        ({"labels": ["same", "same"]}, "different"),
        ({"labels": ["a", 3]}, "short texts"),
        ({"size": 10_000_000}, "32 to 512"),
        ({"widths": [4, 1_000_000]}, "4 to 512"),
        ({"widths": [4] * 50}, "2 to 5"),
        ({"dropout": "much"}, "dropout"),
        ({"threshold": 1}, "threshold"),
        ({"kind": "model"}, "not that of an action classifier"),
        ({"surprise": 1}, "surprise"),
        ({"widths": [8, 8]}, "shape"),
    ],
)
def test_a_config_that_is_wrong_or_hostile(folder: Path, change: dict, reason: str) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(ClassifierError, match=reason):
        ActionClassifier.from_pretrained(folder)


def test_a_config_from_before_the_threshold_names_always(folder: Path) -> None:
    file = folder / "config.json"
    config = json.loads(file.read_text())
    del config["threshold"]
    file.write_text(json.dumps(config))
    assert ActionClassifier.from_pretrained(folder).config.threshold == 0


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "null", "[" * 100_000])
def test_a_config_that_is_no_config(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text)
    with pytest.raises(ClassifierError, match="cannot be loaded"):
        ActionClassifier.from_pretrained(folder)


@pytest.mark.parametrize("fault", ["missing", "extra", "shape", "not finite", "garbage", "no file"])
def test_weights_that_do_not_fit(folder: Path, fault: str) -> None:
    file = folder / "model.safetensors"
    weights = load_file(file)
    if fault == "missing":
        del weights["head.bias"]
    elif fault == "extra":
        weights["another"] = torch.zeros(1)
    elif fault == "shape":
        weights["head.bias"] = torch.zeros(4)
    elif fault == "not finite":
        weights["head.bias"][0] = float("nan")
    save_file(weights, file)
    if fault == "garbage":
        file.write_bytes(b"no safetensors at all")
    elif fault == "no file":
        file.unlink()
    with pytest.raises(ClassifierError, match=r"model\.safetensors"):
        ActionClassifier.from_pretrained(folder)


def test_a_failed_save_leaves_the_old_one(
    network: ActionClassifier, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (folder / "model.safetensors").read_bytes()
    monkeypatch.setattr("avd_core.networks.checkpoint.save_file", lambda *_args, **_kwargs: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        network.save_pretrained(folder)
    assert (folder / "model.safetensors").read_bytes() == before
    assert [entry.name for entry in folder.parent.iterdir()] == ["action"]


def test_one_is_bundled_and_its_card_tells_where_it_is_from() -> None:
    folder = bundled_action_folder()
    assert folder is not None, "checkpoints/action is missing: python -m avd_core train-action makes it"
    network = ActionClassifier.from_pretrained(folder)
    assert sum(p.numel() for p in network.parameters()) < 1_000_000
    assert sum(file.stat().st_size for file in folder.iterdir()) < 10_000_000
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "no licence" in card
    assert all(label in card for label in network.config.labels)
