"""The command with every protocol: what is measured stands in its files, what is not is told with its reason."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from avd_core.cli.main import main
from avd_core.evidence import runner
from avd_core.evidence.protocols import linear_probe, network_fitting, video_models
from avd_core.media.writer import write_mp4


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two classes, three people, two clips of each."""
    folder = tmp_path_factory.mktemp("set")
    for name in ("a", "b"):
        (folder / name).mkdir()
        for number in range(6):
            rng = np.random.default_rng((number, ord(name)))
            scene = rng.integers(0, 200, (8, 9, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
            scene[..., 0 if name == "a" else 2] += 55
            frames = np.stack([np.roll(scene, number * t, axis=1) for t in range(8)])
            write_mp4(folder / name / f"p{number // 2}_{number}.mp4", frames, 8)
    split = {"train": ["*/p0_*"], "choose": ["*/p1_*"], "test": ["*/p2_*"], "group": "p([0-9])"}
    (folder / "split.json").write_text(json.dumps(split))
    return folder


def test_every_protocol_is_measured_or_says_why_not(folder, tmp_path, tiny_checkpoint, scorer, monkeypatch, capsys):
    monkeypatch.setattr(runner, "load_scorers", lambda names: [scorer])
    # Nothing is said here of how well is fitted, which takes most of the time.
    monkeypatch.setattr(network_fitting, "BATCH", 2)
    monkeypatch.setattr(video_models, "SMALL_FRAMES", 4)
    monkeypatch.setattr(video_models, "SMALL_SIZE", 32)
    monkeypatch.setattr(linear_probe, "STRENGTHS", (1e-2, 1.0))
    out = tmp_path / "out"
    command = ["evidence", str(folder), "--split", str(folder / "split.json"), "--out", str(out), "--limit", "1"]
    assert main([*command, "--checkpoints", str(tiny_checkpoint), "--protocols", *runner.PROTOCOLS]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("2 clips of") and "at most 1 of each class of the 4 there are" in printed
    assert "realism: not measured, because the clips are all of one group" in printed
    assert "kernel-distance: not measured, because a kernel distance needs at least 10 clips" in printed
    measured = json.loads((out / "evidence.json").read_text())["protocols"]
    assert set(measured) == set(runner.PROTOCOLS)
    assert {name for name, one in measured.items() if "not_measured" in one} == {"realism", "kernel-distance", "layout"}
    for name in ("agreement", "order", "recognition"):
        with open(out / f"{name}.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        assert {row["clip"] for row in rows} == {"a/p2_4.mp4", "b/p2_4.mp4"}, "nothing but the reported part"
        assert {row["representation"] for row in rows} >= {"tiny", "middle", "mean", "dynamic", "random"}
        assert measured[name]["comparisons"] == len(measured[name]["differences"]) > 10


def test_several_folders_are_pooled_each_with_its_split(folder, tmp_path, tiny_checkpoint, capsys):
    other = tmp_path / "other"
    (other / "c").mkdir(parents=True)
    (other / "c" / "clip.mp4").write_bytes((folder / "a" / "p0_0.mp4").read_bytes())
    (other / "split.json").write_text(json.dumps({"train": [], "choose": [], "test": ["*/*"]}))
    out = tmp_path / "out"
    command = ["evidence", str(folder), str(other), "--out", str(out), "--protocols", "restoration", "--through"]
    command += ["--checkpoints", str(tiny_checkpoint), "--split", str(folder / "split.json")]
    assert main(command) == 2
    assert "2 folders and 1 splits" in capsys.readouterr().err
    assert main([*command, str(other / "split.json")]) == 0
    with open(out / "restoration.csv", newline="") as file:
        names = [row["clip"] for row in csv.DictReader(file) if row["checkpoint"] == "tiny"]
    assert len(names) == 5 and "other/c/clip.mp4" in names and f"{folder.name}/a/p2_4.mp4" in names


def test_a_run_that_was_stopped_goes_on_and_reads_nothing_twice(folder, tmp_path, tiny_checkpoint, monkeypatch, capsys):
    out = tmp_path / "out"
    command = ["evidence", str(folder), "--split", str(folder / "split.json"), "--out", str(out)]
    command += ["--checkpoints", str(tiny_checkpoint), "--protocols", "restoration", "--through"]

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(runner, "measure_protocols", stop)
        assert main(command) == 130
    assert not (out / "evidence.json").exists() and len(list((out / "work").rglob("*.safetensors"))) == 4
    with monkeypatch.context() as patch:
        patch.setattr("avd_core.evidence.clip_reader.read_clip", stop)
        assert main(command) == 0, "nothing is read again"
    assert (out / "report.html").is_file() and not (out / "work").exists()
    assert "Measured on" in capsys.readouterr().out


def test_the_work_may_be_kept_for_a_further_run(folder, tmp_path, tiny_checkpoint, capsys):
    out = tmp_path / "out"
    command = ["evidence", str(folder), "--split", str(folder / "split.json"), "--out", str(out), "--keep-work"]
    assert main([*command, "--checkpoints", str(tiny_checkpoint), "--through"]) == 0
    assert len(list((out / "work").rglob("*.safetensors"))) == 4


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--split", "1"], "A folder of classes has no official splits"),
        (["--dataset", "ucf101", "--split", "1"], "The lists of UCF101 are neither in"),
        (["--dataset", "hmdb51"], "has the official splits 1, 2 and 3"),
        (["--dataset", "kinetics"], "name them with --split"),
        (["--dataset", "ucf101", "--part", "choose", "--split", "1"], "its test part reports"),
        (["--windows", "0"], "--windows must be at least 1"),
        (["--group", "(["], "is no regular expression"),
    ],
)
def test_what_cannot_be_meant_is_told_in_a_sentence(folder, tmp_path, arguments, sentence, capsys):
    assert main(["evidence", str(folder), "--out", str(tmp_path / "out"), *arguments]) == 2
    told = capsys.readouterr().err
    assert sentence in told and told.count("\n") == 1
    assert not (tmp_path / "out").exists()
