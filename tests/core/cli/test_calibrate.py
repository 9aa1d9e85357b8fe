"""`avd calibrate`: reference scores for each size, the size it is made for, the same weights."""

from __future__ import annotations

from avd_core.cli.main import main
from avd_core.networks.avd import AVD
from tests.squares import write_pack


def test_a_checkpoint_is_made_ready(tmp_path, capsys):
    pack, out = write_pack(tmp_path / "clips.pack"), tmp_path / "ready"
    words = ["tiny", "--data", str(pack), "--out", str(out), "--size", "96", "--sizes", "64", "96"]
    assert main(["calibrate", *words]) == 0
    model, before = AVD.from_pretrained(out), AVD.from_pretrained("tiny")
    assert model.fingerprint == before.fingerprint and model.config.size == 96
    assert set(model.calibration.sizes) == {64, 96}
    assert model.calibration.at(64).real != model.calibration.at(96).real == model.calibration.real
    assert "made for 96 px" in capsys.readouterr().out


def test_an_impossible_size_is_refused_before_any_work(tmp_path, capsys):
    words = ["tiny", "--data", str(tmp_path / "nothing.pack"), "--out", str(tmp_path / "out"), "--sizes", "100"]
    assert main(["calibrate", *words]) == 2
    assert "multiples of 8" in capsys.readouterr().err and not (tmp_path / "out").exists()
