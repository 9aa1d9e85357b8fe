"""A clip whose name has a byte that is no UTF-8, as old disks and zips leave, goes through every command."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path

import pytest

from avd_core.cli.main import main

CLASSIFIER = "mobilenet_v2" if os.environ.get("TORCH_HOME") else "action"


@pytest.fixture
def clip(tmp_path: Path, rendered_clip: Path) -> Path:
    folder = tmp_path / "class"
    folder.mkdir()
    return Path(shutil.copy(rendered_clip, Path(os.fsdecode(os.fsencode(str(folder)) + b"/caf\xe9.mp4"))))


@pytest.mark.parametrize("command", ["explore", "probe", "compare"])
def test_a_name_that_is_no_utf8_is_shown_with_a_replacement(tmp_path, clip, tiny_checkpoint, capsys, command):
    out = tmp_path / "out"
    words = [command, str(clip), "--out", str(out)]
    words += ["--checkpoints" if command == "compare" else "--checkpoint", str(tiny_checkpoint)]
    words += {"explore": ["--classifier", CLASSIFIER], "compare": ["--classifier", CLASSIFIER]}.get(command, [])
    assert main(words) == 0
    assert "caf?.mp4" in capsys.readouterr().out
    (report,) = out.glob("*.json")
    said = json.loads(report.read_text(encoding="utf-8"))["clip"]
    assert (said if isinstance(said, str) else said["name"]) == "caf?.mp4"


def test_many_clips_are_written_whatever_they_are_called(tmp_path, clip, tiny_checkpoint):
    out = tmp_path / "out"
    words = ["inspect", str(clip.parent.parent), "--out", str(out), "--checkpoint", str(tiny_checkpoint)]
    assert main([*words, "--classifier", CLASSIFIER]) == 0
    with (out / "inspection.csv").open(newline="", encoding="utf-8-sig") as file:
        (row,) = csv.DictReader(file)
    assert row["clip"].startswith("caf?") and not row["problem"] and len(list(out.glob("*.png"))) == 1
