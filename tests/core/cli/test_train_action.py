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
    actions: Path, tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    AVD(AVD.from_pretrained(tiny_checkpoint).config).save_pretrained(other)  # of random weights
    checkpoints = [tiny_checkpoint, other]
    options = [
        *("--data", str(actions), "--checkpoint", *map(str, checkpoints), "--out", str(tmp_path / "action")),
        *("--cache", str(tmp_path / "cache"), "--epochs", "2", "--batch-size", "2", "--no-mirror"),
    ]
    monkeypatch.setattr(train_action, "fit_threshold", lambda known, targets, unknown: 0.1 * len(known) / len(unknown))
    with pytest.warns(UserWarning, match="Skipped E_run_5"):
        assert train_action.run(arguments(*options)) == 0
    printed = capsys.readouterr().out
    # Two images and a frame of the two known clips that choose, beside two clips of the class that was left out for it.
    assert "named from a probability of 0.10" in printed
    assert "choose  few, images of tiny:" in printed and "choose  left out: horse racing, middle frames:" in printed
    assert "report  few, images of other:" in printed and "report  few, unseen films, middle frames:" in printed
    network = ActionClassifier.from_pretrained(tmp_path / "action")
    assert network.config.labels == ("running", "walking", "a baby crawling", "horse racing")
    assert network.config.threshold == pytest.approx(0.1)
    card = (tmp_path / "action" / "README.md").read_text(encoding="utf-8")
    assert "8 clips to train on" in card and "a first network of 2 classes" in card
    assert "not for judging or watching people" in card and "no licence stated" in card
    assert all(AVD.from_pretrained(checkpoint).fingerprint in card for checkpoint in checkpoints)
    assert "mirror False" in card
    assert str(actions) not in card
    # The second time nothing is decoded, and the same comes out.
    weights = (tmp_path / "action" / "model.safetensors").read_bytes()
    monkeypatch.setattr(action_data, "look", lambda *_args: pytest.fail("distilled again"))
    assert train_action.run(arguments(*options)) == 0
    assert (tmp_path / "action" / "model.safetensors").read_bytes() == weights


def test_the_first_network_never_sees_what_is_left_out(
    actions: Path, tiny_checkpoint: Path, tmp_path: Path, monkeypatch
):
    seen: dict[str, set[str]] = {}
    train = train_action.train

    def spied(clips, labels, recipe, device, title):
        seen[title] = {example.label for example in clips.examples}
        assert {example.part for example in clips.examples} <= {"train", "choose"}
        return train(clips, labels, recipe, device, title)

    monkeypatch.setattr(train_action, "train", spied)
    with pytest.warns(UserWarning, match="Skipped E_run_5"):
        train_action.run(
            arguments("--data", str(actions), "--checkpoint", str(tiny_checkpoint), "--out", str(tmp_path / "action"),
                      "--epochs", "1", "--batch-size", "2")
        )  # fmt: skip
    assert seen == {
        "choosing": {"running", "walking"},
        "training": {"running", "walking", "a baby crawling", "horse racing"},
    }


def test_senseless_options_are_refused(actions: Path, tiny_checkpoint: Path) -> None:
    with pytest.raises(ClassifierError, match="Two checkpoints are called"):
        train_action.run(arguments("--data", str(actions), "--checkpoint", *[str(tiny_checkpoint)] * 2))
    with pytest.raises(ClassifierError, match="at least one epoch"):
        train_action.run(arguments("--data", str(actions), "--epochs", "0"))
