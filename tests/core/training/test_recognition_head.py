"""A recognition head on labelled clips: it learns them, serves beside the others, and is nobody else's."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from avd_core.classifiers.action_net import ClassifierError
from avd_core.classifiers.loading import check_offered, classifier_names, load_classifier
from avd_core.classifiers.names import ClassifierNameError, is_own, titled
from avd_core.data.packs import encode_frames
from avd_core.explore.explorer import Explorer
from avd_core.explore.requests import ExploreRequest
from avd_core.runs.registry import head_folder, head_of
from avd_core.runs.run import Run
from avd_core.training.export import write_parcel
from tests.squares import train

KEY = "a-key-that-nobody-can-guess"


def pack_of(path: Path, *classes: str) -> Path:
    """Six clips a class: a block that moves, warm or cold; '-' stands for no class."""
    rng, index = np.random.default_rng(0), []
    with zipfile.ZipFile(path, "w") as archive:
        for number, label in enumerate(name for name in classes for _ in range(6)):
            frames = rng.integers(90, 120, (12, 64, 64, 3), np.uint8)
            for time in range(12):
                frames[time, 20:44, 2 * time : 2 * time + 24] = (230, 60, 40) if label == "warm" else (40, 80, 230)
            archive.writestr(f"{number}.avif", encode_frames(frames))
            name = f"clips/{label}/{number}.mp4"
            index.append({"name": name, "file": f"{number}.avif", "frames": 12, "height": 64, "width": 64})
        archive.writestr("index.json", json.dumps(index))
    return path


def trained(folder: Path, *classes: str) -> Run:
    data = pack_of(folder.parent / "train.pack", *classes)
    judged = pack_of(folder.parent / "judged.pack", *classes)
    train("--run", str(folder), "--data", str(data), "--held-out", str(judged), "--preset", "tiny", "--steps", "2",
          "--set=crop=64", "--set=batch_size=2", "--classifier", "--quiet")  # fmt: skip
    return Run(folder)


@pytest.fixture(scope="module")
def run(runs_of_tests: Path) -> Run:
    """A finished run where the page's runs lie."""
    (runs_of_tests / KEY).mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("avd_core.training.recognition_head.STEPS", 60)  # enough for two colours
        return trained(runs_of_tests / KEY / "mine", "warm", "cold", "-")


def test_it_names_clips_that_it_never_saw(run: Run):
    (told,) = [line for line in run.log_tail() if "recognition" in line]
    assert "recognition of 2 classes: 12 of 12 held-out clips named rightly, 50 % by guessing" in told
    assert run.state()["status"] == "done"
    assert load_classifier(head_of(run.folder), head_folder=head_folder).labels == ("cold", "warm"), (
        "a clip without a class is none"
    )


def test_it_serves_in_explore_with_its_map(run: Run, rendered_clip: Path):
    name = head_of(run.folder)
    assert is_own(name) and titled(name) == "mine, your own classes" and head_folder(name).is_dir()
    ask = ExploreRequest(rendered_clip, str(run.folder), classifier=name)
    result = Explorer("cpu").explore(ask)
    assert {prediction.label for prediction in result.recognition.topk} == {"cold", "warm"}
    assert result.saliency.map.max() > 0 and result.report()["classifier"] == name
    assert str(run.folder.parent.parent) not in json.dumps(result.report()), "no path of the server leaves it"


def test_only_who_knows_the_key_gets_it(run: Run):
    name = head_of(run.folder)
    check_offered(name)
    assert name not in classifier_names()
    for wrong in ("own:../../../etc/passwd", f"own:{KEY}/../x/2", "own:short/mine/2", f"own:{KEY}/mine/2/.."):
        assert not is_own(wrong)
        with pytest.raises((ClassifierError, ClassifierNameError)):
            check_offered(wrong)
    with pytest.raises(ClassifierError, match="not here any more"):
        load_classifier(f"own:{KEY}/mine/7", head_folder=head_folder)
    assert head_of("base") is None and head_of("/") is None


def test_it_travels_with_the_checkpoint(run: Run, tmp_path: Path):
    with zipfile.ZipFile(write_parcel(run, tmp_path / "mine.zip")) as archive:
        assert {"classifier/config.json", "classifier/model.safetensors"} <= set(archive.namelist())


def test_one_class_alone_is_told_and_costs_nobody_the_checkpoint(tmp_path: Path):
    run = trained(tmp_path / "r", "warm")
    assert run.state()["status"] == "done" and (run.checkpoint / "model.safetensors").exists()
    assert any("no classifier" in line for line in run.log_tail()) and not list(run.folder.glob("classifier*"))
