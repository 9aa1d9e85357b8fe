"""A labelled set that is quick to make, for the tests of the action classifier and of the command that trains it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def _few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from avd_core.data import synthetic
    from avd_core.media import writer

    data = tmp_path_factory.mktemp("data")
    for number, name in enumerate(("run", "walk", "crawl", "ride")):
        (data / "few" / name).mkdir(parents=True)
        for part, film in enumerate("ABC", 1):
            frames = synthetic.random_scene(3 * number + part, frames=10, size=(72, 96))
            writer.write_mp4(data / "few" / name / f"{film}{number}_{name}_{part}.mp4", frames, 4)
    (data / "few" / "run" / "E_run_5.mp4").write_bytes(b"no video")
    (data / "splits").mkdir()
    split = {"train": ["*/*_1.mp4", "*/*_5.mp4"], "choose": ["*/*_2.mp4"], "test": ["*/*_3.mp4"]}
    (data / "splits" / "few.json").write_text(json.dumps(split))
    (data / "shared.txt").write_text("C0\n")
    return data


@pytest.fixture
def actions(_few: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with the one set there is, `few`: thirteen rendered clips of four classes, one of them damaged."""
    from avd_core.classifiers import action_card, action_data
    from avd_core.cli import train_action

    labels = {"run": "running", "walk": "walking", "crawl": "a baby crawling", "ride": "horse racing"}
    few = action_data.ActionSet("few", "few", labels, "rendered; no licence stated", "by film", "shared.txt")
    for module in (action_card, action_data, train_action):
        monkeypatch.setattr(module, "SETS", (few,))
    return _few
