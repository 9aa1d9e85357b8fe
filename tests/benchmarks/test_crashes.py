"""A handful of kills of what writes; and a loss is found."""

from __future__ import annotations

import pytest

from benchmarks.reliability import crashes
from benchmarks.reliability.crashes import crash
from benchmarks.reliability.killed_commands import COMMANDS, Lost, Training


@pytest.mark.parametrize(("kind", "kills"), [("training", 3), ("storyboard", 4), ("evidence", 2)])
def test_nothing_finished_is_lost(kind: str, kills: int):
    tally = crash(kind, kills, seed=1)
    assert kind in COMMANDS and tally.found == [] and tally.random + tally.aimed == kills


def test_what_is_lost_is_found(tmp_path):
    training = Training(tmp_path)
    training.run()
    training.check()
    assert training.saved == Training.steps
    for lost in ("checkpoint/model.safetensors", "training.pt", "config.json"):
        (training.out / lost).unlink()
        with pytest.raises(ValueError if "checkpoint" in lost else Lost):
            training.check()


def test_the_figures_are_printed_and_a_loss_is_a_failure(monkeypatch: pytest.MonkeyPatch, capsys):
    for lost in ([], ["a step"]):
        monkeypatch.setattr(crashes, "crash", lambda *_, lost=lost: crashes.Tally(1, 2, 3, lost))
        assert crashes.main(["--kinds", "training", "--kills", "3"]) == bool(lost)
    assert "training: a step" in capsys.readouterr().out
