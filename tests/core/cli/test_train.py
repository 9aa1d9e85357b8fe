"""`avd train`: which run the arguments describe, and which make no sense."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest

from avd_core.config import FROM_NOTHING, PRESETS, ConfigError, TrainConfig
from avd_core.data.datasets import DataError
from avd_core.networks.avd import AVD
from avd_core.runs.run import Run, RunError
from tests.squares import train, write_pack


@pytest.fixture(scope="module")
def squares(tmp_path_factory):
    return write_pack(tmp_path_factory.mktemp("packs") / "squares.pack")


def test_a_split_in_which_nobody_chooses_holds_no_clip_out(tmp_path, rendered_clip):
    folder, split = tmp_path / "clips", tmp_path / "split.json"
    (folder / "a").mkdir(parents=True)
    shutil.copy(rendered_clip, folder / "a" / "one.mp4")
    run = ["--data", str(folder), "--split", str(split), "--preset", "tiny", "--prepare"]
    for choose in ([], ["a/*.mp4"]):
        split.write_text(json.dumps({"train": ["a/*.mp4"], "choose": choose, "test": []}))
        assert train("--run", str(tmp_path / f"run{len(choose)}"), *run) == 0
        config = json.loads((tmp_path / f"run{len(choose)}" / "config.json").read_text())
        assert [source["patterns"] for source in config["held_out"]] == ([choose] if choose else [])


@pytest.mark.parametrize("pair", ["nothing=1", "steps=many", "crop=99"])
def test_a_wrong_override_is_refused(tmp_path, pair):
    with pytest.raises(ConfigError):
        train("--run", str(tmp_path / "r"), "--preset", "tiny", "--set", pair)
    assert not (tmp_path / "r").exists()


def test_resume_goes_on_to_the_steps_of_the_config(tmp_path, squares):
    folder = tmp_path / "r"
    same = ["--run", str(folder), "--data", str(squares), "--preset", "tiny", "--steps", "6", "--set=batch_size=2",
            "--set=crop=64"]  # fmt: skip
    train(*same, "--seconds=0")
    assert Run(folder).state()["status"] == "stopped"
    with pytest.raises(RunError, match="goes on to step 6"):
        train("--run", str(folder), "--resume", "--steps", "9")
    train(*same, "--resume")  # the command of the start, with --resume
    assert (Run(folder).state()["status"], Run(folder).state()["step"]) == ("done", 6)


def test_clips_and_photographs_are_looked_for_before_a_folder_is_made(tmp_path, squares):
    (tmp_path / "empty").mkdir()
    run = ["--run", str(tmp_path / "r"), "--preset", "tiny"]
    for wrong in (
        ["--data", str(tmp_path / "nowhere")],
        ["--data", str(tmp_path / "empty")],
        ["--data", str(squares), "--held-out", str(tmp_path / "empty")],
        ["--data", str(squares), "--photos", str(tmp_path / "empty")],
    ):
        with pytest.raises(DataError):
            train(*run, *wrong)
        assert not (tmp_path / "r").exists()
    assert train(*run, "--data", str(squares), "--prepare") == 0


def test_a_run_that_failed_before_its_first_step_gives_way(tmp_path, squares, rendered_clip):
    """Files that are called clips and are none are found out when they are read."""
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.mp4").write_bytes(b"no video")
    usual = ["--run", str(tmp_path / "r"), "--preset", "tiny", "--steps", "2", "--set=batch_size=2", "--set=crop=64"]
    for resume in ([], ["--resume"]):
        with pytest.warns(UserWarning, match="Skipped"), pytest.raises(DataError, match="can be read"):
            train(*usual, "--data", str(tmp_path / "bad"))
        assert Run(tmp_path / "r").state()["status"] == "failed"
        train(*usual, *resume, "--data", str(squares))
        assert (Run(tmp_path / "r").state()["status"], Run(tmp_path / "r").state()["step"]) == ("done", 2)
        with pytest.raises(RunError, match="already holds a run"):
            train(*usual, "--data", str(squares))
        shutil.rmtree(tmp_path / "r")


def test_what_is_passed_over_is_said(tmp_path, rendered_clip, capsys):
    (tmp_path / "stick" / "wave").mkdir(parents=True)
    shutil.copy(rendered_clip, tmp_path / "stick" / "wave" / "0.MP4")
    for name in ("wave/._0.MP4", "wave/notes.txt"):
        (tmp_path / "stick" / name).write_bytes(b"x")
    train("--run", str(tmp_path / "r"), "--preset", "tiny", "--data", str(tmp_path / "stick"), "--prepare")
    assert "1 file of other kinds (1 .txt) and 1 file hidden" in capsys.readouterr().err


def test_a_run_alone_needs_a_config_with_a_model(tmp_path):
    with pytest.raises(RunError, match=r"holds no config\.json"):
        train("--run", str(tmp_path / "none"))
    Run(tmp_path / "r").create({"train": {}})
    with pytest.raises(RunError, match="says nothing about model"):
        train("--run", str(tmp_path / "r"))


@pytest.mark.parametrize(
    ("described", "weight"), [(["--preset", "paper"], 0.0), (["--preset", "paper", "--set", "guide_weight=0.1"], 0.1)]
)
def test_the_paper_preset_trains_by_what_was_published(tmp_path, described, weight):
    train("--run", str(tmp_path / "r"), *described, "--prepare")
    config = Run(tmp_path / "r").config()["train"]
    assert config["guide_weight"] == weight
    assert config["recon_weight"] > 0 and config["adv_weight"] > 0
    assert config["noise_levels"] == config["jpeg_share"] == config["spectrum_weight"] == 0


def test_from_nothing_a_code_is_found_before_it_has_to_last(tmp_path):
    start = AVD(PRESETS["tiny"]).save_pretrained(tmp_path / "start")
    described = {"nothing": ["--preset", "tiny"], "start": ["--init", str(start)]}
    for name, words in described.items():
        train("--run", str(tmp_path / "runs" / name), *words, "--prepare")
    config = {name: Run(tmp_path / "runs" / name).config()["train"] for name in described}
    assert config["nothing"]["jpeg_start"] == FROM_NOTHING["jpeg_start"] > config["start"]["jpeg_start"] == 0
    assert config["nothing"]["steps"] > config["start"]["steps"]


def test_a_start_without_jpeg_is_trained_on_without_it(tmp_path):
    for name, through_jpeg in (("base", False), ("robust", True)):
        small = replace(PRESETS["tiny"], preset="base", trained_through_jpeg=through_jpeg)
        start = AVD(small).save_pretrained(tmp_path / name)
        train("--run", str(tmp_path / "runs" / name), "--init", str(start), "--prepare")
    asked = ["--run", str(tmp_path / "runs" / "asked"), "--init", str(tmp_path / "base"), "--set", "jpeg_share=0.3"]
    train(*asked, "--prepare")
    shares = {run.name: Run(run).config()["train"]["jpeg_share"] for run in (tmp_path / "runs").iterdir()}
    assert shares == {"base": 0, "robust": TrainConfig().jpeg_share, "asked": 0.3}


def test_help_says_what_every_field_means(capsys):
    with pytest.raises(SystemExit):
        train("--help")
    words = " ".join(capsys.readouterr().out.split())
    for name, about in TrainConfig.descriptions().items():
        assert f"{name}={getattr(TrainConfig(), name)}: {about.replace('`', '')}" in words
