"""Size and refinement: what is asked for is done, said in the file and the report, and what cannot be is refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from avd_core.cli.main import main
from avd_core.config import SIZES
from avd_core.explore.comparison import CompareRequest, compare
from avd_core.explore.explorer import Explorer
from avd_core.explore.models import read_for, sizes_of
from avd_core.explore.requests import ExploreRequest, RequestError
from avd_core.explore.storyboard.panels import StoryboardMaker, StoryboardRequest
from avd_core.media.distilled_png import read_distilled
from avd_core.media.video import largest_within
from avd_core.networks.avd import AVD


@pytest.fixture(scope="module")
def explorer() -> Explorer:
    return Explorer(device="cpu")


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> AVD:
    """`tiny`, said to be made for 224 px."""
    model = AVD.from_pretrained("tiny")
    return AVD(dataclasses.replace(model.config, size=224))


def test_nothing_is_enlarged_by_default(large: AVD, rendered_clip: Path):
    assert sizes_of(large) == SIZES and sizes_of(AVD.from_pretrained("tiny")) == (64,)
    assert [largest_within(SIZES, side) for side in (90, 112, 159, 160, 1080)] == [112, 112, 112, 160, 224]
    clip = read_for(large, rendered_clip)  # 120 x 160
    assert min(clip.frames.shape[1:3]) == 112
    assert min(read_for(large, rendered_clip, size=64).frames.shape[1:3]) == 64


def test_the_size_that_is_asked_for_is_used_and_enlarging_is_said(explorer: Explorer, rendered_clip: Path):
    small, enlarged = (
        explorer.explore(ExploreRequest(rendered_clip, "tiny", classifier="action", size=size)) for size in (80, 160)
    )
    assert min(small.distilled.shape[:2]) == 80 and min(enlarged.distilled.shape[:2]) == 160
    assert not small.report()["enlarged"] and not any("enlarged" in note for note in small.notes)
    assert enlarged.report()["enlarged"] and any("enlarged" in note for note in enlarged.notes)
    assert enlarged.info.size == enlarged.distilled.shape[:2]


def test_refining_gains_and_is_said(explorer: Explorer, rendered_clip: Path, tmp_path: Path):
    plain, refined = (
        explorer.explore(ExploreRequest(rendered_clip, "tiny", classifier="action", refine=steps)) for steps in (0, 10)
    )
    assert plain.refined is None and plain.report()["refined"] is None
    assert refined.refined.steps == 10 and refined.refined.gain > 0
    assert refined.quality.psnr == pytest.approx(plain.quality.psnr + refined.refined.gain, abs=0.1)
    assert refined.report()["refined"]["gain"] == refined.refined.gain and "refine" in refined.seconds
    assert any("refined by 10 steps" in note for note in refined.notes)
    image, info = read_distilled(refined.save(tmp_path / "out").distilled)
    assert info.refined == 10 and info.intact and np.array_equal(image, refined.distilled)
    again = explorer.restore(tmp_path / "out" / "distilled.png")
    assert np.array_equal(again.frames, refined.restored)


def test_a_finished_exploration_is_refined_and_whatever_was_best_is_kept(explorer: Explorer, rendered_clip: Path):
    before = explorer.explore(ExploreRequest(rendered_clip, "tiny", classifier="action"))
    for refinement in explorer.refine(before, 20):
        if refinement.step == 6:
            break  # as a visitor who has seen enough
    after = explorer.with_refined(before, refinement)
    assert after.complete and after.refined.steps == 6 and after.refined.gain == refinement.gain > 0
    assert after.quality.psnr > before.quality.psnr and after.request.refine == 6
    assert not np.array_equal(after.distilled, before.distilled) and after.info.refined == 6
    *_, last = explorer.refine(after, 4)
    assert explorer.with_refined(after, last).refined.steps == 10, "steps add up"


@pytest.mark.parametrize("values", [{"size": 100}, {"size": 56}, {"size": 232}, {"refine": -1}, {"refine": 401}])
def test_what_cannot_be_is_refused(values: dict[str, int], rendered_clip: Path):
    with pytest.raises(RequestError, match=r"multiple of 8, 64 to 224|0 to 400"):
        ExploreRequest(rendered_clip, **values)


def test_other_verbs_take_a_size(explorer: Explorer, rendered_clip: Path):
    *_, comparison = compare(
        explorer, CompareRequest(rendered_clip, ("tiny",), classifier="action", judge="tiny", size=96)
    )
    assert {min(row.image.shape[:2]) for row in comparison.rows} == {96}
    (panel,) = StoryboardMaker(explorer, StoryboardRequest(rendered_clip, "tiny", size=80))
    assert min(panel.image.shape[:2]) == 80


def test_the_command_line_says_it_all(rendered_clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "out"
    options = ["--checkpoint", "tiny", "--classifier", "action", "--size", "80", "--refine", "3"]
    assert main(["explore", str(rendered_clip), "--out", str(out), *options]) == 0
    assert "by 3 steps on the image" in capsys.readouterr().out
    report = json.loads((out / "report.json").read_text())
    assert min(report["size"]) == 80 and report["refined"]["steps"] == 3
    image = str(tmp_path / "a.png")
    assert main(["distill", str(rendered_clip), "--out", image, "--checkpoint", "tiny", "--size", "72"]) == 0
    assert min(read_distilled(image)[1].size) == 72
    assert main(["distill", str(rendered_clip), "--out", image, "--size", "71"]) == 2
    assert "multiple of 8" in capsys.readouterr().err
