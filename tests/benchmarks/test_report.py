"""The report: its figures on six clips, going on where it was, and what is left out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from avd_core.analysis.baselines import mean_frame, middle_frame
from avd_core.analysis.metrics import psnr
from avd_core.classifiers.loading import Classifier
from avd_core.data.clip_sets import select_official
from avd_core.media.codec_image import codec_frames, codec_image
from avd_core.media.video import read_clip
from benchmarks import report, report_figures
from tests.core.evidence import miniatures
from tests.core.evidence.conftest import scorer  # noqa: F401

SIZE = 72  # not the size that the checkpoint was made for


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """UCF101 and HMDB51 in small, and none of the other sets."""
    folder = tmp_path / "data"
    miniatures.ucf101(folder / "ucf101", miniatures.rendered)
    miniatures.hmdb51(folder / "jhmdb", miniatures.rendered)
    monkeypatch.setenv("AVD_DATA", str(folder))
    return folder


@pytest.fixture
def call(tmp_path: Path, data: Path, tiny_checkpoint: Path, scorer: Classifier, monkeypatch, capsys):  # noqa: F811
    """Call the command on six clips of each set, with a classifier that needs no weights; return what it prints."""
    monkeypatch.setattr("avd_core.evidence.runner.load_scorers", lambda names: [scorer])

    def call(*words: str) -> str:
        usual = ["--checkpoints", str(tiny_checkpoint), "--sizes", str(SIZE), "--limit", "6", "--workers", "0"]
        assert report.main([*usual, "--out", str(tmp_path / "out"), *words]) == 0
        return capsys.readouterr().out

    return call


def rows(tmp_path: Path) -> dict[tuple[str, str], dict]:
    finished = json.loads((tmp_path / "out" / "rows.json").read_text())
    return {(row["set"], row["name"]): row for some in finished.values() for row in some}


def test_the_figures_of_six_clips(call, data: Path, tmp_path: Path, tiny_checkpoint: Path):
    printed = call("--sets", "ucf101", "--today", str(tiny_checkpoint), "--codec-bits", "2")
    found = {name: row for (_, name), row in rows(tmp_path).items()}
    assert list(found) == ["tiny", "today", "codec", "codec, 2 bits", "mean frame", "middle frame"]
    assert all(row["clips"] == 6 and row["size"] == SIZE for row in found.values())

    clips = select_official("ucf101", data / "ucf101" / "UCF-101", ["1"], fitting=False)[0]
    kept = [clips.paths[i] for i in np.linspace(0, len(clips.paths) - 1, 6).round().astype(int)]
    frames = [read_clip(path, frames=8, size=SIZE, whole=True).frames for path in kept]
    restored = [psnr(clip, codec_frames(codec_image(clip), 8)) for clip in frames]
    over = np.subtract(restored, [psnr(clip, mean_frame(clip)) for clip in frames])
    assert found["codec"]["restored"] == pytest.approx(np.mean(restored))
    assert found["codec"]["over_mean"] == pytest.approx(np.mean(over))
    near = [psnr(middle_frame(clip), codec_image(clip)) for clip in frames]
    assert found["codec"]["image"] == pytest.approx(np.mean(near))
    assert found["codec"]["largest_p95"] == 1 < found["codec, 2 bits"]["largest_p95"]
    assert found["codec, 2 bits"]["restored"] > found["codec"]["restored"]

    middle, mean = found["middle frame"], found["mean frame"]
    assert middle["over_middle"] == mean["over_mean"] == middle["largest_p95"] == middle["near_motion"] == 0
    assert middle["over_mean"] == pytest.approx(-mean["over_middle"]) and middle["image"] == 60
    assert found["tiny"]["agreement"]["random features"].keys() == {"value", "next_frame", "verdict"}
    assert middle["agreement"]["random features"]["value"] == 1
    assert "| tiny |" in printed and "| +0.00 |" in printed, "the same checkpoint is as good as itself"
    assert not (tmp_path / "out" / "work" / f"ucf101-{SIZE}").exists()


def test_unseen_films_stand_beside_all(call, tmp_path: Path):
    printed = call("--sets", "jhmdb", "--limit", "20")
    found = rows(tmp_path)
    assert 0 < found["jhmdb-unseen", "codec"]["clips"] <= found["jhmdb", "codec"]["clips"] <= 20
    assert "unseen films, 72 px" in printed
    assert found["jhmdb", "tiny"]["kid"]["random features"].keys() == {"value", "floor"}, "enough clips for a distance"


def test_it_goes_on_where_it_was(call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    first = call("--sets", "ucf101")
    measured = []
    whole = report.report_on
    monkeypatch.setattr(report, "report_on", lambda part, *rest: measured.append(part.key) or whole(part, *rest))
    assert call("--sets", "ucf101") == first and not measured
    both = call("--sets", "ucf101", "jhmdb")
    assert measured == ["jhmdb"] and both.startswith(first.rstrip())
    call("--sets", "ucf101", "--limit", "5")
    assert measured == ["jhmdb", "ucf101"], "other clips are measured anew"


def test_a_missing_set_is_said_and_left_out(call, tmp_path: Path):
    printed = call("--sets", "ucf101", "gestures")
    assert "gestures, people 09 and 10 is left out" in printed and "| codec |" in printed
    assert {name for name, _ in rows(tmp_path)} == {"ucf101"}


def test_without_data_there_is_no_report(
    capsys, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_checkpoint: Path
):
    monkeypatch.delenv("AVD_DATA", raising=False)
    words = ["--sets", "clips", "--checkpoints", str(tiny_checkpoint), "--scorers", "action", "--out", str(tmp_path)]
    assert report.main(words) == 1
    assert "AVD_DATA is not set" in capsys.readouterr().out


def test_change_near_what_moves_is_told_from_change_elsewhere():
    frames = np.full((8, 64, 96, 3), 100, np.uint8)
    for t in range(8):
        frames[t, 28:36, 8 * t : 8 * t + 8] = 200
    image = middle_frame(frames).copy()
    image[:8, :8] += 50  # in a corner, 20 pixels from where anything moves
    _, largest, near = report_figures.nearness(frames, image)
    assert (largest, near) == (50, 0)
    image[24:40] += 10
    assert report_figures.nearness(frames, image)[2] == 10
    still = np.repeat(frames[:1], 8, axis=0)
    assert np.isnan(report_figures.nearness(still, image)[2])
