"""One clip in every representation: the same frames, the same judges, row by row."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from avd_core.analysis.baselines import DISTILLERS, mean_frame
from avd_core.analysis.degradations import through_jpeg
from avd_core.analysis.metrics import psnr, quality
from avd_core.cli.main import main
from avd_core.config import PRESETS
from avd_core.explore.comparison import COPIED, ORDERS, TITLES, CompareRequest, Comparison, compare
from avd_core.explore.explorer import Explorer
from avd_core.media.codec_image import CODEC, codec_frames, codec_image
from avd_core.media.distilled_png import read_distilled
from avd_core.media.video import VideoError
from avd_core.media.window import Window
from avd_core.networks.avd import AVD, image_to_tensor
from avd_core.networks.calibration import Calibration
from avd_core.networks.inference import restore

CLASSIFIER = "mobilenet_v2" if os.environ.get("TORCH_HOME") else "action"


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint whose critic has reference scores."""
    torch.manual_seed(3)
    calibration = Calibration(real=tuple(np.linspace(-2, 2, 81)), distilled=(-1.0, 0.0))
    return AVD(PRESETS["tiny"], calibration=calibration).save_pretrained(tmp_path_factory.mktemp("judge") / "judge")


@pytest.fixture(scope="module")
def longer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that takes more frames."""
    torch.manual_seed(4)
    config = dataclasses.replace(PRESETS["tiny"], frames=12)
    return AVD(config).save_pretrained(tmp_path_factory.mktemp("longer") / "longer")


@pytest.fixture(scope="module")
def explorer() -> Explorer:
    return Explorer("cpu")


@pytest.fixture(scope="module")
def request_for(rendered_clip: Path, judge: Path, tiny_checkpoint: Path, longer: Path):
    def make(**options) -> CompareRequest:
        names = tuple(map(str, (tiny_checkpoint, judge, longer)))
        usual = {"clip": rendered_clip, "checkpoints": names, "classifier": CLASSIFIER, "judge": str(judge)}
        return CompareRequest(**usual | options)

    return make


@pytest.fixture(scope="module")
def steps(explorer: Explorer, request_for) -> list[Comparison]:
    return list(compare(explorer, request_for()))


@pytest.fixture(scope="module")
def comparison(steps: list[Comparison]) -> Comparison:
    return steps[-1]


def row_of(comparison: Comparison, title: str):
    return next(row for row in comparison.rows if row.title == title)


def test_rows_come_one_by_one_as_they_were_planned(steps: list[Comparison]):
    assert [len(step.rows) for step in steps] == list(range(len(steps))) and steps[-1].complete
    planned = [title for _, title in steps[0].planned]
    assert planned == ["tiny", "judge", "longer", *TITLES.values()] and set(TITLES) == {*DISTILLERS, CODEC}
    assert [row.title for row in steps[-1].rows] == planned
    assert not any(step.complete for step in steps[:-1])


def test_every_representation_is_what_its_maker_makes(explorer: Explorer, comparison: Comparison, judge: Path):
    frames = comparison.clip.frames
    for name, make in DISTILLERS.items():
        assert np.array_equal(row_of(comparison, TITLES[name]).image, make(frames)), name
    distilled = explorer.distill(comparison.request.clip, checkpoint=str(judge))
    row = row_of(comparison, "judge")
    assert np.array_equal(row.image, distilled.image) and row.info == distilled.info


def test_restoration_is_that_of_the_main_job(comparison: Comparison):
    frames, row = comparison.clip.frames, row_of(comparison, "tiny")
    expected = quality(frames, row.restored)
    assert row.psnr == expected.psnr and row.per_frame == expected.per_frame["psnr"] and not row.copied
    middle, mean = row_of(comparison, "Middle frame"), row_of(comparison, "Mean frame")
    assert (middle.psnr, mean.psnr) == (expected.psnr_middle_copy, expected.psnr_mean_copy)
    assert middle.per_frame[len(frames) // 2] is None, "the copied frame itself is identical"
    assert all(row.copied for row in comparison.rows if row.name in COPIED)
    silent = {row.title for row in comparison.rows if row.psnr is None}
    assert silent == {TITLES[name] for name in DISTILLERS if name not in COPIED}


def test_the_codec_is_the_rival_of_checkpoints(explorer: Explorer, comparison: Comparison, tiny_checkpoint: Path):
    frames, row = comparison.clip.frames, row_of(comparison, "Codec")
    assert np.array_equal(row.image, codec_image(frames)) and not row.copied
    assert np.array_equal(row.restored, codec_frames(row.image, len(frames)))
    middle = row_of(comparison, "Middle frame")
    assert row.psnr > middle.psnr and row.psnr_jpeg == pytest.approx(middle.psnr, abs=1), "a JPEG leaves the carrier"
    tiny = row_of(comparison, "tiny")
    worn = explorer.models.checkpoint(str(tiny_checkpoint)).model
    assert tiny.psnr_jpeg == psnr(frames, restore(worn, through_jpeg(tiny.image, 90)))
    best = max((one for one in comparison.rows if one.info), key=lambda one: one.psnr)
    said = comparison.rival()
    assert f"{row.psnr:.1f} dB" in said and f"{best.title} at {best.psnr:.1f} dB" in said
    assert f"{best.title} {best.psnr_jpeg:.1f} dB" in said


def test_there_is_no_rival_before_its_row_is_there(steps: list[Comparison]):
    assert steps[3].rival() is None and len(steps[3].rows) == 3


def test_agreement_counts_the_frames_whose_first_class_is_in_the_top_five(explorer: Explorer, comparison: Comparison):
    classifier = explorer.models.classifier(CLASSIFIER).model
    firsts = [classifier.logits(image_to_tensor(frame)).argmax().item() for frame in comparison.clip.frames]
    for row in comparison.rows:
        best = classifier.logits(image_to_tensor(row.image))[0].topk(5).indices.tolist()
        assert row.agreeing == sum(first in best for first in firsts), row.title
        told = classifier.topk(image_to_tensor(row.image))
        assert [p.label for p in row.topk] == [p.label for p in told]
        assert [p.probability for p in row.topk] == pytest.approx([p.probability for p in told], abs=1e-5)
    assert row_of(comparison, "Middle frame").agreeing >= 1


def test_one_critic_judges_all(explorer: Explorer, comparison: Comparison, judge: Path):
    model = AVD.from_pretrained(judge)
    for row in comparison.rows:
        with torch.no_grad():
            logit = float(model.realism(image_to_tensor(row.image)))
        assert row.realism == pytest.approx(model.calibration.percentile_among_real(logit), abs=1.3), row.title


def test_critic_without_reference_scores_says_nothing(explorer: Explorer, request_for, tiny_checkpoint: Path):
    steps = compare(explorer, request_for(judge=str(tiny_checkpoint), checkpoints=()))
    next(steps)
    assert next(steps).rows[0].realism is None


def test_checkpoint_of_another_kind_says_where_it_is_measured(comparison: Comparison):
    row = row_of(comparison, "longer")
    assert len(row.restored) == 12 and len(row.per_frame) == 12 and "12 frames" in row.notes[0]
    assert row_of(comparison, "tiny").notes == ()


def test_order_is_a_choice_and_what_has_no_figure_comes_last(comparison: Comparison):
    assert comparison.ordered(None) == comparison.rows
    for by, figure in ORDERS.items():
        figures = [figure(row) for row in comparison.ordered(by)]
        known = [value for value in figures if value is not None]
        assert known == sorted(known, reverse=True) and figures[: len(known)] == known, by
        assert len(figures) == len(comparison.rows)


def test_missing_checkpoint_is_left_out_with_a_note(explorer: Explorer, request_for, judge: Path):
    *_, last = compare(explorer, request_for(checkpoints=("no-such-checkpoint", str(judge))))
    assert last.complete and last.rows[0].title == "judge" and len(last.rows) == 1 + len(TITLES)
    assert "no-such-checkpoint" in last.notes[-1]


def test_window_is_the_one_asked_for(explorer: Explorer, request_for, longer: Path):
    steps = compare(explorer, request_for(window=Window(0.5, 1.0), checkpoints=(str(longer),)))
    assert (next(steps).clip.start, next(steps).rows[0].info.fps) == (0.5, 12.0)
    with pytest.raises(VideoError):
        next(compare(explorer, request_for(clip=longer / "config.json")))


def test_no_lock_is_held_between_rows(explorer: Explorer, request_for, judge: Path):
    for _ in compare(explorer, request_for(checkpoints=(str(judge),))):
        assert not explorer.models.checkpoint(str(judge)).lock.locked()
        assert not explorer.models.classifier(CLASSIFIER).lock.locked()


def test_stopping_early_stops_the_work(explorer: Explorer, request_for, monkeypatch: pytest.MonkeyPatch):
    made = []
    for name in DISTILLERS:
        monkeypatch.setitem(DISTILLERS, name, lambda frames, name=name: made.append(name) or mean_frame(frames))
    steps = compare(explorer, request_for(checkpoints=()))
    next(steps), next(steps)
    steps.close()
    assert made == ["first"]


def test_command_writes_images_sheet_and_figures(tmp_path: Path, rendered_clip: Path, tiny_checkpoint: Path, capsys):
    words = ["compare", rendered_clip, "--out", tmp_path / "out", "--checkpoints", tiny_checkpoint]
    assert main([*map(str, words), "--classifier", CLASSIFIER, "--whole"]) == 0
    printed = capsys.readouterr()
    assert printed.err == "" and "Mean frame" in printed.out and "copied" in printed.out
    report = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert [row["title"] for row in report["rows"]] == ["tiny", *TITLES.values()]
    assert report["clip"]["name"] == rendered_clip.name and str(tmp_path) not in json.dumps(report)
    images = sorted((tmp_path / "out" / "images").iterdir())
    assert len(images) == len(report["rows"]) and images[0].name == "01-tiny.png"
    _, info = read_distilled(images[0])
    assert info.fingerprint == report["rows"][0]["fingerprint"], "a checkpoint's image still plays"
    restored = sorted(path.name for path in (tmp_path / "out" / "restored").iterdir())
    assert restored == ["01-tiny.mp4", "10-codec.mp4"]
    assert report["rival"] in printed.out and "JPEG of quality 90" in report["rival"]
    sheet = np.asarray(Image.open(tmp_path / "out" / "sheet.png"))
    assert sheet.shape[1] > 1000 and sheet.std() > 20


def test_command_names_a_checkpoint_that_is_not_there(tmp_path: Path, rendered_clip: Path, capsys):
    words = ["compare", str(rendered_clip), "--out", str(tmp_path / "out"), "--checkpoints", "no-such-one"]
    assert main(words) == 2
    assert "no-such-one" in capsys.readouterr().err and not (tmp_path / "out").exists()
