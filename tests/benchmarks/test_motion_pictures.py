"""The benchmark of pictures of the movement: its figures on clips of which the truth is known, and going on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from avd_core.analysis.motion_pictures import strobe
from avd_core.classifiers.loading import Classifier
from benchmarks import motion_pictures
from tests.benchmarks.bars import SIDE, write_bars
from tests.core.evidence import miniatures
from tests.core.evidence.conftest import scorer  # noqa: F401

FILMS = 5  # fewer than five groups are no groups to an interval


@pytest.fixture
def call(tmp_path: Path, scorer: Classifier, monkeypatch: pytest.MonkeyPatch, capsys):  # noqa: F811
    """Call the command on bars, with one picture of the movement and a classifier that needs no weights."""
    bars = motion_pictures.ClipSet("bars", write_bars(tmp_path / "bars", FILMS), folds=FILMS, moving_camera=False)
    monkeypatch.setenv("AVD_DATA", str(tmp_path))
    monkeypatch.setattr(motion_pictures, "SIZE", SIDE)
    monkeypatch.setattr(motion_pictures, "STRENGTHS", (0.25,))
    monkeypatch.setattr(motion_pictures, "MOTION_PICTURES", {"strobe": strobe})
    monkeypatch.setattr(motion_pictures, "load_scorers", lambda names: [scorer])
    monkeypatch.setattr(motion_pictures, "clip_sets", lambda root, limit: [bars])

    def call(*words: str) -> str:
        monkeypatch.setattr("sys.argv", ["motion_pictures", "--work", str(tmp_path / "work"), *words])
        assert motion_pictures.main() == 0
        return capsys.readouterr().out

    return call


def test_movement_is_read_where_it_shows_and_the_middle_frame_is_guessing(call):
    """The two clips of a film share their middle frame, so that one of them is always right: half."""
    lines = call().splitlines()
    assert lines[0].strip() == f"bars: {2 * FILMS} training clips, {FILMS} groups, {FILMS} folds."
    rows = dict(line.strip("| ").split(" | ") for line in lines if line.startswith("| ") and "---" not in line)
    assert rows["middle frame"] == "50.0"
    for shown in ("four ordered frames", "strobe 0.25"):
        assert rows[shown] == "**100.0 (+50.0 [+50.0, +50.0])**", "every film gains one clip of two"
    assert rows["fading-strobe 0.25"] == "100.0 [100.0, 100.0]", "forwards or backwards"
    assert sum("corrected for 3 comparisons" in line for line in lines) == 1


def test_a_stopped_run_goes_on_where_it_was(call, scorer: Classifier, monkeypatch: pytest.MonkeyPatch):  # noqa: F811
    assert f"bars: 1 of {2 * FILMS} clips are done" in call("--seconds", "-1")
    looked = []
    features = motion_pictures.computed_features
    monkeypatch.setattr(motion_pictures, "computed_features", lambda *given: looked.append(given) or features(*given))
    first = call()
    assert len(looked) == 2 * FILMS - 1
    assert call() == first and len(looked) == 2 * FILMS - 1


def test_a_difference_is_marked_where_it_is_beyond_chance():
    films = [f"film{number}" for number in range(20) for _ in range(2)]
    sometimes = np.tile([0.0, 1.0], 20)
    assert motion_pictures.cell(np.ones(40), None, films, 1) == "100.0"
    assert motion_pictures.cell(np.ones(40), sometimes, films, 9) == "**100.0 (+50.0 [+50.0, +50.0])**"
    assert motion_pictures.cell(np.zeros(40), sometimes, films, 9) == "*0.0 (-50.0 [-50.0, -50.0])*"
    assert motion_pictures.cell(sometimes, sometimes, films, 9) == "50.0 (+0.0 [+0.0, +0.0])"


def test_clips_are_of_films_and_people_that_train(tmp_path: Path):
    miniatures.hmdb51(tmp_path / "jhmdb", lambda path, label, source, take: path.touch())
    for path in (tmp_path / "jhmdb").glob("*/*_test_split1.txt"):  # one clip of a film that trains reports
        path.write_text(path.read_text().replace("_goo_1.avi 1", "_goo_1.avi 2", 1))
    for user in range(1, 11):
        for take in ("R01", "R02", "R03"):
            path = tmp_path / "gestures" / "wave" / f"user{user:02d}_x_{take}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    films, people = motion_pictures.clip_sets(tmp_path)
    of_training = {path.name.split(f"_{path.parent.name}_")[0] for path in films.clips.paths}
    assert of_training == {"50_FIRST_DATES"}
    assert people.folds == 8 and len(people.clips.paths) == 16
    assert {path.stem[-3:] for path in people.clips.paths} == {"R01", "R03"}
    assert not {path.stem[:6] for path in people.clips.paths} & {"user09", "user10"}
    assert [len(chosen.clips.paths) for chosen in motion_pictures.clip_sets(tmp_path, limit=1)] == [3, 16]
