"""The commands of docs/evidence.md for UCF101, HMDB51 and Kinetics, to the letter, on miniatures of these sets."""

from __future__ import annotations

import csv
import json
import shlex
from pathlib import Path

import pytest

from avd_core.cli.main import main
from avd_core.data.packs import PackedClips
from avd_core.evidence import runner
from avd_core.networks.avd import AVD
from tests.core.evidence.miniatures import hmdb51, kinetics, rendered, ucf101
from tests.repository import ROOT

LINES = (ROOT / "docs/evidence.md").read_text(encoding="utf-8").splitlines()
COMMANDS = {line: shlex.split(line)[3:] for line in LINES if line.startswith("python -m ") and " --dataset " in line}
SETS = {"ucf101": ucf101, "hmdb51": hmdb51, "kinetics": kinetics}


def of(verb: str) -> list[list[str]]:
    return [command for command in COMMANDS.values() if command[0] == verb]


def test_each_set_has_its_command():
    assert {command[command.index("--dataset") + 1] for command in of("evidence")} == set(SETS)
    assert of("pack")


@pytest.fixture
def here(tmp_path: Path, tiny_checkpoint: Path, scorer, monkeypatch) -> Path:
    """Where a person stands who has the data; networks that a test can afford take the place of the usual ones."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("avd_core.evidence.protocols.linear_probe.STRENGTHS", (1e-2, 1.0))
    monkeypatch.setattr(
        runner, "load_models", lambda names, size=None: {name: AVD.from_pretrained(tiny_checkpoint) for name in names}
    )
    monkeypatch.setattr(runner, "load_scorers", lambda names: [scorer])
    return tmp_path


@pytest.mark.parametrize("command", of("evidence"), ids=lambda command: command[1])
def test_the_command_of_a_set_runs_as_it_is_documented(command: list[str], here: Path, capsys):
    name = command[command.index("--dataset") + 1]
    SETS[name](here, rendered)
    assert main(command) == 0, capsys.readouterr().err
    out = here / command[command.index("--out") + 1]
    found = json.loads((out / "evidence.json").read_text())
    assert found["dataset"] == name and found["clips_to_fit_on"] > 0 and found["groups"] >= 2
    assert found["about"].startswith(f"Measured on {runner.DATASETS[name]}, by its official split.")
    assert "not a result on" not in (out / "report.html").read_text()
    with open(out / "recognition.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["representation"] == "middle" and row["through"] == "png"]
    assert len(rows) == found["clips"]
    right = sum(row["label"] == row["said"] for row in rows) / len(rows)
    assert right > 0.8, "the classes are colours; labels that were mixed up would read a third"
    recognition = found["protocols"]["recognition"]
    assert recognition["figures"][scorer_name(found)]["middle"]["mean"] == pytest.approx(right)
    assert recognition["windows"] == (3 if "--windows" in command else 1)
    assert not (out / "work").exists()


def scorer_name(found: dict) -> str:
    return found["scorers"][0]


@pytest.mark.parametrize("command", of("pack"), ids=lambda command: command[1])
def test_the_training_part_is_packed(command: list[str], here: Path):
    ucf101(here, rendered)
    assert main(command) == 0
    names = PackedClips(here / command[-1]).names
    groups = {name.rsplit("_g")[1][:2] for name in names}
    assert groups == {"08", "09", "10"} and len(names) == 3 * 3 * 2 - 1, "one clip of the list is not there"


def test_a_training_takes_the_training_part(here: Path, capsys):
    ucf101(here, rendered)
    command = ["train", "--run", "run", "--preset", "tiny", "--data", "UCF-101", "--dataset", "ucf101", "--split", "1"]
    assert main([*command, "--steps", "1", "--set", "batch_size=2"]) == 0, capsys.readouterr().err
    (source,) = json.loads((here / "run" / "config.json").read_text())["clips"]
    assert source == {"path": str(here / "UCF-101"), "dataset": "ucf101", "splits": ["1"], "lists": None}
    assert json.loads((here / "run" / "state.json").read_text())["status"] == "done"


def test_a_film_on_both_sides_is_told_and_left_out_beside_the_official_figures(here: Path, capsys):
    hmdb51(here, rendered)
    list_of_claps = here / "testTrainMulti_7030_splits" / "clap_test_split1.txt"
    lines = list_of_claps.read_text().splitlines()
    moved = [line.replace(" 1 ", " 2 ") if line.startswith("50_FIRST_DATES") else line for line in lines]
    list_of_claps.write_text("\n".join(moved))
    command = ["evidence", "hmdb51", "--dataset", "hmdb51", "--split", "1", "--protocols", "order", "--out", "out"]
    assert main([*command, "--representations", "middle"]) == 0
    said = capsys.readouterr().out
    assert "1 people or source videos stand on both sides of the split, with 2 of these clips and 4 of those" in said
    found = json.loads((here / "out" / "evidence.json").read_text())
    assert found["shared_groups"] == {"groups": 1, "clips": 2, "clips_to_fit_on": 4}
    assert found["clips"] == 14 and found["protocols"]["order"]["unseen"]["clips"] == 12
