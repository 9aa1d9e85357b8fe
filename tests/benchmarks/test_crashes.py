"""A handful of kills of what writes; and a loss is found."""

from __future__ import annotations

import shutil

import pytest

from benchmarks import crashes
from benchmarks.crashes import COMMANDS, Training, crash


@pytest.mark.parametrize("kind", COMMANDS)
def test_nothing_finished_is_lost(kind: str):
    tally = crash(kind, kills=3, seed=1)
    assert tally.found == [] and tally.random + tally.aimed == 3


class Careless(Training):
    """A training whose saved state goes with its process."""

    def run(self) -> None:
        shutil.rmtree(self.out, ignore_errors=True)
        super().run()


def test_what_is_lost_is_found(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(COMMANDS, "training", Careless)
    tally = crash("training", kills=6, seed=0)
    assert "was saved" in tally.found[0] or "is gone" in tally.found[0]


def test_the_figures_are_printed_and_a_loss_is_a_failure(monkeypatch: pytest.MonkeyPatch, capsys):
    for lost in ([], ["a step"]):
        monkeypatch.setattr(crashes, "crash", lambda *_, lost=lost: crashes.Tally(1, 2, 3, lost))
        assert crashes.main(["--kinds", "training", "--kills", "3"]) == bool(lost)
    assert "training: a step" in capsys.readouterr().out
