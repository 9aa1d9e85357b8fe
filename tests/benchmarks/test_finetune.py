"""What fine-tuning is measured by: how the table counts, and the GPU script's dry run."""

from __future__ import annotations

import pytest

from avd_core.training.run_trainer import RunningTrainer
from benchmarks import gpu
from benchmarks.finetune_quick import table


def row(gain: float) -> dict:
    return {"steps": 9, "kept": 9 if gain else 0, "before": 1.0, "after": 1.0 + gain, "gain": gain, "chosen": gain,
            "image": 0.0, "cpu": 1.0}  # fmt: skip


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [
        ((0.4, 0.5, 0.6, 0.4, 0.4), "Median gain +0.40 dB on the moments that report, positive on 5 of 5: met"),
        ((0.9, 0.9, 0.9, 0.0, 0.0), "positive on 3 of 5: missed"),
        ((0.3, 0.3, 0.3, 0.9, 0.9), "Median gain +0.30 dB on the moments that report, positive on 5 of 5: missed"),
    ],
)
def test_a_clip_where_nothing_better_was_found_counts_as_none(gains, verdict):
    assert verdict in table({str(number): row(gain) for number, gain in enumerate(gains)})


def test_memory_that_runs_out_is_told_and_loses_nothing(tmp_path, monkeypatch, rendered_clip, tiny_checkpoint, capsys):
    monkeypatch.setenv("AVD_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    monkeypatch.setattr(gpu, "recipe", lambda steps, init: {"steps": steps, "batch_size": 1, "crop": 64})
    found = gpu.out_of_memory(str(tiny_checkpoint), rendered_clip, tmp_path, "cpu")
    assert "smaller batch_size" in found["error"] and found["kept"] == 2
    assert "resumed, and done" in capsys.readouterr().out
    # The check is one that can fail: a trainer that does not save keeps nothing.
    monkeypatch.setattr(RunningTrainer, "save", lambda _: None)
    (tmp_path / "again").mkdir()
    with pytest.raises(gpu.Failed, match="is lost"):
        gpu.out_of_memory(str(tiny_checkpoint), rendered_clip, tmp_path / "again", "cpu")


def test_devices_that_differ_by_more_than_a_level_are_found_out(monkeypatch, rendered_clip, tiny_checkpoint):
    assert [one["size"] for one in gpu.agreement(str(tiny_checkpoint), rendered_clip, "cpu")] == [64]
    play = gpu.restore
    calls = iter((0, 2))
    monkeypatch.setattr(gpu, "restore", lambda model, image: play(model, image) // 2 + next(calls))
    with pytest.raises(gpu.Failed, match="more than one level"):
        gpu.agreement(str(tiny_checkpoint), rendered_clip, "cpu")
