"""The card of a checkpoint: true figures from its run, its owner's words, and nothing that is nobody's business."""

from __future__ import annotations

import dataclasses
import shutil
import statistics

import numpy as np
import pytest
from huggingface_hub import ModelCard
from PIL import Image

from avd_core.hub import push
from avd_core.hub.model_card import model_card, run_of
from avd_core.networks.avd import AVD
from avd_core.networks.checkpoint import CheckpointError
from avd_core.runs.previews import PreviewFigures, read_figures, write_preview
from avd_core.runs.run import Run
from avd_core.training.run_trainer import RunningTrainer
from tests.hub_server import TOKEN
from tests.squares import MINI, QUICK, write_pack


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    """A finished training of six steps that started from a folder."""
    folder = tmp_path_factory.mktemp("somewhere-private")
    pack = write_pack(folder / "squares-of-somebody.pack")
    AVD(MINI).save_pretrained(folder / "start")
    run = Run(folder / "my-run")
    run.create({
        "model": MINI.to_dict(), "train": dataclasses.replace(QUICK, learning_rate=1e-4).to_dict(),
        "init": str(folder / "start"), "clips": [{"path": str(pack)}], "held_out": [{"path": str(pack)}],
    })  # fmt: skip
    list(RunningTrainer(run, device="cpu").go())
    return run


def test_the_card_tells_what_the_run_measured(run):
    text = model_card(run.checkpoint, "me/squares", about="Four squares.\n\nMine.").text
    assert text.strip().startswith("# squares")
    assert (
        "Four squares. Mine." in text
        and "Trained on 4 clips." in text
        and "previews and reference scores: 4 clips" in text
    )
    assert "6 of 6 steps of 2 clips, crops of 64 px, fp32, seed 0 on cpu: " in text
    assert '"learning_rate": 0.0001' in text and '"seed"' not in text
    assert f"{statistics.fmean(line['gain_over_mean'] for line in run.metrics()):.3g} |" in text
    assert "4 held-out clips, restored whole, step 6 |" in text and " dB |" in text
    assert AVD.from_pretrained(run.checkpoint).fingerprint in text and "Fine-tuned from `start`." in text
    assert 'from_pretrained("me/squares")' in text


def test_previews_that_are_damaged_or_hostile_are_left_out(run, tmp_path):
    other = Run(tmp_path / "other")
    shutil.copytree(run.folder, other.folder)
    sheet = np.zeros((8, 8, 3), np.uint8)
    write_preview(other.previews, sheet, (8, 8), PreviewFigures(7, 99.0, 3, "<script>alert(1)</script>"))
    write_preview(other.previews, sheet, (8, 8), PreviewFigures(8, float("nan"), 3, "cpu"))
    Image.fromarray(sheet).save(other.previews / "000009.png")
    (other.previews / "000010.png").write_bytes(b"no picture")
    assert read_figures(other.previews) == read_figures(run.previews)
    assert [(one.step, one.clips, one.device) for one in read_figures(run.previews)] == [
        (s, 4, "cpu") for s in (0, 3, 6)
    ]
    assert "script" not in model_card(other.checkpoint, "me/squares").text


def test_no_path_and_no_file_name_of_its_owner_is_in_it(run):
    text = str(model_card(run.folder / "checkpoint", "me/squares"))
    assert "says nothing about the clips" in text
    for word in ("somewhere-private", "squares-of-somebody", str(run.folder.parent)):
        assert word not in text


def test_the_header_is_one_that_the_hub_reads(run):
    card = ModelCard(str(model_card(run.checkpoint, "me/squares", about="---\nlicense: gpl\n---")))
    assert card.data.library_name == "avd-explorer" and "video" in card.data.tags
    assert card.data.license is None and card.data.base_model is None


def test_a_start_on_the_hub_is_linked(run, tmp_path):
    again = Run(tmp_path / "again")
    again.create(run.config() | {"init": "somebody/start"})
    AVD.from_pretrained(run.checkpoint).save_pretrained(again.checkpoint)
    card = model_card(again.checkpoint, "me/squares")
    assert card.data.base_model == "somebody/start" and "Fine-tuned from `somebody/start`." in card.text
    assert "## Results" not in card.text, "nothing was measured"


def test_a_checkpoint_by_itself_has_a_card_without_a_training(tiny_checkpoint, tmp_path):
    assert run_of(tiny_checkpoint) is None
    text = model_card(tiny_checkpoint, "me/tiny").text
    assert "## Training" not in text and "## Limits" in text and "8 frames at 64 px" in text
    with pytest.raises(CheckpointError, match="no readable checkpoint"):
        model_card(tmp_path, "me/nothing")


def test_a_run_is_pushed_with_its_card(run, hub_server):
    push.push(run.folder, "me/squares", about="Squares.", token=TOKEN)
    files = hub_server.files("me/squares")
    assert {"config.json", "model.safetensors", "calibration.json", "README.md"} == set(files) - {".gitattributes"}
    assert b"6 of 6 steps" in files["README.md"]
    assert AVD.from_pretrained("me/squares").fingerprint == AVD.from_pretrained(run.checkpoint).fingerprint
