"""`avd train-action`: a classifier and its card from a folder of labelled sets."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from avd_core.classifiers import action_data
from avd_core.classifiers.action_net import ActionClassifier, ClassifierError
from avd_core.cli import train_action
from avd_core.networks.avd import AVD


def arguments(*options: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    train_action.add_arguments(parser)
    return parser.parse_args(options)


def test_the_command_makes_a_classifier_and_its_card(
    falls: Path, tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = [
        *("--data", str(falls), "--checkpoint", str(tiny_checkpoint), "--out", str(tmp_path / "action")),
        *("--cache", str(tmp_path / "cache"), "--views", "2", "--epochs", "2", "--batch-size", "2", "--no-mirror"),
    ]
    with pytest.warns(UserWarning, match="Skipped Subject_4"):
        assert train_action.run(arguments(*options)) == 0
    printed = capsys.readouterr().out
    assert "choose  falls:" in printed
    assert "report  falls:" in printed
    network = ActionClassifier.from_pretrained(tmp_path / "action")
    assert network.config.labels == ("a fall", "daily life, no fall")
    card = (tmp_path / "action" / "README.md").read_text(encoding="utf-8")
    assert "8 images of 4 clips" in card
    assert AVD.from_pretrained(tiny_checkpoint).fingerprint in card
    assert "mirror False" in card
    assert str(falls) not in card
    assert "All sets state a licence." in card
    # The second time nothing is decoded, and the same comes out.
    weights = (tmp_path / "action" / "model.safetensors").read_bytes()
    monkeypatch.setattr(action_data, "distilled_views", lambda *_args: pytest.fail("distilled again"))
    assert train_action.run(arguments(*options)) == 0
    assert (tmp_path / "action" / "model.safetensors").read_bytes() == weights


def test_senseless_options_are_refused(falls: Path) -> None:
    with pytest.raises(ClassifierError, match="--views"):
        train_action.run(arguments("--data", str(falls), "--views", "0"))
    with pytest.raises(ClassifierError, match="at least one epoch"):
        train_action.run(arguments("--data", str(falls), "--epochs", "0"))
