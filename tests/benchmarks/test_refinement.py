"""The benchmark of refinement: a row a clip, kept, and what they say together."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import refinement


def test_the_command_measures_and_keeps_each_clip(
    tiny_checkpoint: Path, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("AVD_DATA", raising=False)
    words = ["--checkpoint", str(tiny_checkpoint), "--size", "64", "--steps", "2", "--limit", "1"]
    assert refinement.main([*words, "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr()
    assert "| example " in printed.out and "1 clips: gain" in printed.out and "farther" in printed.err
    assert refinement.main([*words, "--out", str(tmp_path)]) == 0
    again = capsys.readouterr()
    assert again.out == printed.out and not again.err  # nothing is measured twice


def test_only_clips_that_gain_enough_near_enough_are_counted():
    row = {"mean": 20.0, "before": 25.0, "image": 40.0, "seconds": 3.0}
    found = refinement.table({
        "reaches": row | {"gain": 1.2, "farther": 0.3},
        "gains too little": row | {"gain": 0.4, "farther": 0.3},
        "goes too far": row | {"gain": 1.2, "farther": 0.9},
    })  # fmt: skip
    assert "1 gain at least 1 dB" in found and "| +5.00 | +6.20 | +1.20 | 40.0 | 0.30 | 3 |" in found
