"""Evidence: the right clips, figures that a few independent lines confirm, verdicts that planted cases confirm."""

from __future__ import annotations

import csv
import io
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from avd_core.cli.main import main
from avd_core.data.clip_sets import PARTS, EvidenceError, select_clips
from avd_core.evidence import runner
from avd_core.media.video import read_clip
from avd_core.media.writer import write_mp4
from avd_core.networks.avd import AVD
from tests.repository import ROOT

SPLITS = ROOT / "benchmarks" / "splits"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two classes, three people, one broken file."""
    folder = tmp_path_factory.mktemp("set")
    for number, name in enumerate(["a/p1_1", "a/p2_1", "a/p3_1", "b/p1_1", "b/p2_1", "b/p3_1"]):
        (folder / name).parent.mkdir(exist_ok=True)
        scene = np.random.default_rng(number).integers(0, 256, (8, 14, 3), dtype=np.uint8).repeat(9, 0).repeat(9, 1)
        write_mp4(folder / f"{name}.mp4", np.stack([np.roll(scene, number * t, axis=1) for t in range(10)]), 10)
    (folder / "b" / "p3_2.mp4").write_bytes(b"not a video")
    split = {"train": ["*/p1_*.mp4"], "choose": ["*/p2_*.mp4"], "test": ["*/p3_*.mp4"], "group": "p([0-9])"}
    (folder / "split.json").write_text(json.dumps(split))
    return folder


def test_select_clips_takes_the_part_and_its_groups(folder):
    clips = select_clips(folder, folder / "split.json", "choose")
    assert [clips.name(i) for i in range(2)] == ["a/p2_1.mp4", "b/p2_1.mp4"] and clips.groups == ("2", "2")
    assert len(select_clips(folder, None, "test").paths) == 7


def test_groups_may_be_listed(folder, tmp_path):
    split = {"train": [], "choose": [], "test": ["*/p[12]_*.mp4"], "group": [["b/p1_1.mp4", "a/p2_1.mp4"]]}
    (tmp_path / "split.json").write_text(json.dumps(split))
    clips = select_clips(folder, tmp_path / "split.json", "test")
    assert [clips.name(i) for i in range(4)] == ["a/p1_1.mp4", "a/p2_1.mp4", "b/p1_1.mp4", "b/p2_1.mp4"]
    assert clips.groups == ("a/p1_1.mp4", "b/p1_1.mp4", "b/p1_1.mp4", "b/p2_1.mp4")


@pytest.mark.parametrize(
    ("split", "sentence"),
    [
        ({"train": ["*/p*.mp4"], "choose": [], "test": ["*/p3_*.mp4"]}, "both in test and in train"),
        ({"train": ["*/p1*.mp4"], "choose": [], "test": []}, "names no clips"),
        ({"train": [], "choose": [], "test": ["*/q*.mp4"]}, "no matching clips"),
        ({"train": [], "choose": [], "test": ["*/p*.mp4"], "group": "p([12])"}, r"finds nothing in a/p3_1\.mp4"),
        ({"train": [], "choose": [], "test": ["*/p*.mp4"], "group": "p("}, "no regular expression"),
        ({"test": ["*/p*.mp4"]}, "no split"),
        ([], "no split"),
    ],
)
def test_a_split_that_cannot_be_right_is_refused(folder, tmp_path, split, sentence):
    (tmp_path / "split.json").write_text(json.dumps(split))
    with pytest.raises(ValueError, match=sentence):
        select_clips(folder, tmp_path / "split.json", "test")


def test_the_command_agrees_with_a_few_independent_lines(folder, tmp_path, tiny_checkpoint, capsys):
    out = tmp_path / "out"
    command = ["evidence", str(folder), "--out", str(out), "--split", str(folder / "split.json")]
    command += ["--protocols", "restoration"]
    assert main([*command, "--checkpoints", str(tiny_checkpoint)]) == 0
    printed = capsys.readouterr()
    assert "skipped b/p3_2.mp4" in printed.err and "1 could not be read" in printed.out
    assert "tiny - the mean frame" in printed.out and "too few clips" in printed.out

    model = AVD.from_pretrained(tiny_checkpoint)
    with open(out / "restoration.csv", newline="") as file:
        entries = [entry for entry in csv.DictReader(file) if entry["checkpoint"] == "tiny"]
    rows = {entry["clip"]: entry for entry in entries if entry["through"] == "png"}
    through_jpeg = {entry["clip"]: entry for entry in entries if entry["through"] == "jpeg-90"}
    assert list(rows) == ["a/p3_1.mp4", "b/p3_1.mp4"]
    for name, entry in rows.items():
        original = read_clip(folder / name, frames=8, size=64, whole=True).frames
        with torch.no_grad():
            image = model.encode(torch.from_numpy(original).permute(3, 0, 1, 2)[None] / 127.5 - 1)
            file = io.BytesIO()
            pixels = ((image[0].permute(1, 2, 0) + 1) * 127.5).round().to(torch.uint8).numpy()
            Image.fromarray(pixels).save(file, "PNG")
            jpeg = io.BytesIO()
            Image.fromarray(np.array(Image.open(file))).save(jpeg, "JPEG", quality=90, subsampling="4:2:0")
            restored = []
            for saved in (file, jpeg):
                pixels = torch.from_numpy(np.array(Image.open(saved))).permute(2, 0, 1)[None] / 127.5 - 1
                restored.append(((model.decode(pixels)[0].permute(1, 2, 3, 0) + 1) * 127.5).round().numpy())
        middle, mean = original[4], np.round(original.mean(axis=0))
        for row, figure, copy in (
            (entry, "psnr", restored[0]),
            (entry, "psnr_middle_copy", middle),
            (entry, "psnr_mean_copy", mean),
            (through_jpeg[name], "psnr", restored[1]),
            (through_jpeg[name], "psnr_mean_copy", mean),
        ):
            mse = ((original.astype(float) - copy) ** 2).mean()
            assert float(row[figure]) == pytest.approx(10 * np.log10(255**2 / mse), abs=1e-3), figure

    evidence = json.loads((out / "evidence.json").read_text())
    result = evidence["protocols"]["restoration"]["checkpoints"]["tiny"]
    assert (evidence["clips"], [skip["clip"] for skip in evidence["skipped"]]) == (2, ["b/p3_2.mp4"])
    assert evidence["checkpoints"]["tiny"]["fingerprint"] == model.fingerprint
    for figure in ("psnr", "ssim_mean_copy"):
        mean = np.mean([float(entry[figure]) for entry in rows.values()])
        assert result["figures"][figure]["mean"] == pytest.approx(mean)
    assert result["groups"]["3"]["clips"] == 2


def test_the_command_can_choose_and_compare_checkpoints(folder, tmp_path, tiny_checkpoint, capsys):
    torch.manual_seed(5)
    other = AVD(AVD.from_pretrained(tiny_checkpoint).config).save_pretrained(tmp_path / "other")
    out = tmp_path / "out"
    command = ["evidence", str(folder), "--out", str(out), "--split", str(folder / "split.json"), "--part", "choose"]
    command += ["--protocols", "restoration", "--through"]
    assert main([*command, "--checkpoints", str(tiny_checkpoint), str(other)]) == 0
    evidence = json.loads((out / "evidence.json").read_text())
    assert evidence["part"] == "choose" and list(evidence["checkpoints"]) == ["tiny", "other"]
    assert evidence["protocols"]["restoration"]["comparisons"] == 16  # two checkpoints and the codec
    printed = capsys.readouterr().out
    assert "tiny - the mean frame" in printed and "other - the mean frame" in printed


def test_nothing_readable_is_an_error_and_leaves_nothing(tmp_path, tiny_checkpoint, capsys):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.mp4").write_bytes(b"no")
    command = ["evidence", str(tmp_path / "set"), "--out", str(tmp_path / "out"), "--protocols", "restoration"]
    assert main([*command, "--checkpoints", str(tiny_checkpoint)]) == 2
    assert "None of the 1 clips can be read" in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("path", sorted(SPLITS.glob("*.json")), ids=lambda path: path.stem)
def test_the_shipped_splits_hold_what_the_sets_rules_say(path, data_dir):
    split = json.loads(path.read_text())
    assert all(isinstance(split[part], list) for part in PARTS)
    if path.stem in ("weizmann", "clips"):
        assert split["train"] == split["choose"] == []
    if data_dir is None:
        pytest.skip("AVD_DATA is unset: the clips themselves are not here")
    members = {}
    for part in filter(split.get, PARTS):
        clips = select_clips(data_dir / path.stem.removesuffix("-people"), path, part)
        members[part] = {clips.name(index) for index in range(len(clips.paths))}
    everything = set().union(*members.values())
    if path.stem == "gestures":
        users = {part: {name.split("/")[1][:6] for name in names} for part, names in members.items()}
        assert users["train"] == {f"user0{n}" for n in range(1, 7)}
        assert users["choose"] == {"user07", "user08"} and users["test"] == {"user09", "user10"}
        assert len(everything) == 1000
    if path.stem == "weizmann-people":
        people = {part: {name.split("subject")[1][:2] for name in names} for part, names in members.items()}
        assert people == {"train": {f"0{n}" for n in range(1, 7)}, "test": {"07", "08", "09"}}
        assert len(everything) == 72
    if path.stem == "surveillance":
        for kind in ("fight", "noFight"):
            files = sorted(f"{kind}/{file.name}" for file in (data_dir / path.stem / kind).glob("*.mp4"))
            assert {name for name in members["test"] if name.startswith(kind + "/")} == set(files[-20:])
            assert {name for name in members["choose"] if name.startswith(kind + "/")} <= set(files[-40:-20])
            assert {name for name in members["train"] if name.startswith(kind + "/")} <= set(files[:-40])
        assert len(everything | set(split["left_out"])) == 240 and not everything & set(split["left_out"])
    if path.stem == "yoga":
        assert {name.split("/")[0] for name in members["choose"]} == {"parvatasana"}
        assert "parvatasana" not in {name.split("/")[0] for name in members["train"]}


def test_no_scene_of_the_surveillance_set_is_on_two_sides(data_dir):
    """Grey thumbnails of five frames: across parts no two correlate above 0.8."""
    if data_dir is None:
        pytest.skip("AVD_DATA is unset: the clips themselves are not here")
    thumbnails = {}
    for part in PARTS:
        clips = select_clips(data_dir / "surveillance", SPLITS / "surveillance.json", part)
        for clip in clips.paths[::4]:
            grey = read_clip(clip, frames=5, size=64, whole=True).frames.mean(axis=-1).astype(np.uint8)
            small = np.stack([np.asarray(Image.fromarray(g).resize((24, 24), Image.BOX), float).ravel() for g in grey])
            small -= small.mean(axis=1, keepdims=True)
            thumbnails.setdefault(part, []).append(small / np.linalg.norm(small, axis=1, keepdims=True))
        kept, groups = thumbnails[part], clips.groups[::4]
        for one, other in itertools.combinations(range(len(kept)), 2):  # nor are two within a part unless listed
            assert groups[one] == groups[other] or (kept[one] @ kept[other].T).max() < 0.85
    sides = {part: np.concatenate(values) for part, values in thumbnails.items()}
    for one, other in (("train", "test"), ("train", "choose"), ("choose", "test")):
        assert (sides[one] @ sides[other].T).max() < 0.85  # another scaler, a little slack


def test_checkpoints_are_measured_at_the_size_that_is_asked_for():
    (own,), (larger,) = (runner.load_models(["tiny"], size).values() for size in (None, 96))
    assert own.config.size == 64 and larger.config.size == 96
    with pytest.raises(EvidenceError, match="multiples of 8"):
        runner.load_models(["tiny"], 100)
