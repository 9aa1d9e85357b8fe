"""Checkpoints: what is written is read back; what a stranger wrote is refused with a reason."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from avd_core.atomic_io import recover_folder, remove_leftovers
from avd_core.config import PRESETS
from avd_core.networks import checkpoint
from avd_core.networks.avd import AVD
from avd_core.networks.calibration import Calibration
from avd_core.networks.checkpoint import CheckpointError, bundled
from tests.kills import killed_at


@pytest.fixture
def folder(tiny_checkpoint, tmp_path):
    return shutil.copytree(tiny_checkpoint, tmp_path / "mine")


def test_round_trip_keeps_weights_name_and_calibration(tmp_path):
    model = AVD(PRESETS["tiny"], calibration=Calibration((1.0, 2.0), (0.5,)))
    loaded = AVD.from_pretrained(model.save_pretrained(tmp_path / "mine"))
    assert (loaded.name, loaded.config, loaded.calibration) == ("mine", model.config, model.calibration)
    assert loaded.fingerprint == model.fingerprint
    assert not loaded.training
    for name, weight in loaded.state_dict().items():
        assert torch.equal(weight, model.state_dict()[name].half().float()), name


def test_of_the_bundled_checkpoints_one_is_made_for_jpeg():
    configs = {name: json.loads((checkpoint.locate(name) / checkpoint.CONFIG).read_text()) for name in bundled()}
    assert {name for name, config in configs.items() if config.get("trained_through_jpeg")} == {"robust"}
    card = (checkpoint.locate("robust") / "README.md").read_text()
    assert AVD.from_pretrained("robust").fingerprint in card, "what it says of itself changes no fingerprint"


def test_a_fingerprint_names_the_weights(folder):
    loaded = AVD.from_pretrained(folder)
    before = loaded.fingerprint
    weights = load_file(folder / checkpoint.WEIGHTS)
    weights["encoder.stem.bias"][0] += 1
    save_file(weights, folder / checkpoint.WEIGHTS)
    assert AVD.from_pretrained(folder).fingerprint != before


def test_saving_keeps_other_files_and_leaves_nothing_behind(folder):
    (folder / "README.md").write_text("a card")
    AVD(PRESETS["tiny"]).save_pretrained(folder)
    assert (folder / "README.md").read_text() == "a card"
    assert [path.name for path in folder.parent.iterdir()] == ["mine"]


def test_a_failed_save_keeps_the_old_checkpoint(folder, monkeypatch):
    before = AVD.from_pretrained(folder).fingerprint

    def full_disk(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(checkpoint, "write_weights", full_disk)
    with pytest.raises(OSError, match="No space"):
        AVD(PRESETS["tiny"]).save_pretrained(folder)
    assert AVD.from_pretrained(folder).fingerprint == before
    assert [path.name for path in folder.parent.iterdir()] == ["mine"]


def every_kill(folder: Path):
    """Save another checkpoint over `folder`, killed at each of its writes in turn; yield after each kill."""
    number = 0
    while killed_at(number, lambda: AVD(PRESETS["tiny"]).save_pretrained(folder), folder.parent):
        yield
        number += 1
    assert number > 5


@pytest.mark.parametrize("swaps", [True, False])
def test_a_checkpoint_can_be_read_after_a_kill_at_any_write(folder, swaps, monkeypatch):
    if not swaps:  # as on a file system that cannot exchange two folders
        monkeypatch.setattr("avd_core.atomic_io.exchange", lambda one, other: False)
    (folder / "README.md").write_text("a card")
    for _ in every_kill(folder):
        assert AVD.from_pretrained(folder).config == PRESETS["tiny"]
        assert not swaps or (folder / "README.md").read_text() == "a card"
    recover_folder(folder)
    remove_leftovers(folder)
    assert AVD.from_pretrained(folder).config == PRESETS["tiny"]
    assert (folder / "README.md").read_text() == "a card"
    assert [path.name for path in folder.parent.iterdir()] == ["mine"]


def test_a_run_directory_loads_under_the_name_of_the_run(folder, tmp_path):
    (tmp_path / "my-run").mkdir()
    folder.rename(tmp_path / "my-run" / "checkpoint")
    assert AVD.from_pretrained(tmp_path / "my-run").name == "my-run"


@pytest.mark.parametrize("name", ["nothing-here", "../..", "/etc/passwd", "a/b/c", "", "owner/../x", "http://x/y"])
def test_a_name_that_is_nothing_is_refused(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=r"no checkpoint|holds no"):
        AVD.from_pretrained(name)


def test_a_folder_without_weights_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"holds no config\.json"):
        AVD.from_pretrained(tmp_path)


def test_a_hub_repo_that_cannot_be_reached_is_told():
    with pytest.raises(CheckpointError, match="could not be fetched from the Hub"):
        checkpoint.locate("someone/something", timeout=1)


def test_whatever_the_hubs_client_raises_is_one_sentence(monkeypatch):
    class ReadTimeout(Exception):
        """What an HTTP library raises: no OSError."""

    def ask(*args, **options):
        raise ReadTimeout("The read operation timed out\nand so on")

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", ask)
    with pytest.raises(CheckpointError, match=r"could not be fetched from the Hub: The read operation timed out\.$"):
        checkpoint.locate("someone/something")


def test_a_pickle_in_place_of_safetensors_is_refused(folder):
    torch.save(AVD(PRESETS["tiny"]).state_dict(), folder / checkpoint.WEIGHTS)
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        AVD.from_pretrained(folder)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda w: w.pop("encoder.stem.bias"), "lacks 'encoder.stem.bias'"),
        (lambda w: w.update(extra=torch.zeros(1)), "holds 'extra'"),
        (lambda w: w.update({"encoder.stem.bias": torch.zeros(3)}), "shape"),
        (lambda w: w["encoder.stem.bias"].fill_(float("nan")), "not finite"),
        (lambda w: w.update({"encoder.stem.bias": torch.zeros(8, dtype=torch.int64)}), "type I64"),
    ],
)
def test_weights_that_do_not_fit_are_refused(folder, change, reason):
    weights = load_file(folder / checkpoint.WEIGHTS)
    change(weights)
    save_file(weights, folder / checkpoint.WEIGHTS)
    with pytest.raises(CheckpointError, match=reason):
        AVD.from_pretrained(folder)


@pytest.mark.parametrize("values", [{"frames": 10**9}, {"preset": 3}, {"__class__": "os.system"}, []])
def test_a_hostile_config_is_refused(folder, values):
    (folder / checkpoint.CONFIG).write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match="refused"):
        AVD.from_pretrained(folder)


def test_a_huge_config_is_refused_unread(folder):
    (folder / checkpoint.CONFIG).write_text(" " * (checkpoint.MAX_JSON_BYTES + 1))
    with pytest.raises(CheckpointError, match="larger than"):
        AVD.from_pretrained(folder)


def test_a_hostile_calibration_is_refused(folder):
    (folder / checkpoint.CALIBRATION).write_text('{"real": [NaN], "distilled": []}')
    with pytest.raises(CheckpointError, match="refused"):
        AVD.from_pretrained(folder)
