"""Many clips at once: found in files, folders and zips, looked at one by one, told as a table."""

from __future__ import annotations

import csv
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from avd_core.classifiers.loading import Prediction
from avd_core.cli.main import main
from avd_core.data.clip_files import Source, gather
from avd_core.explore.batch import (
    BatchRequest,
    Inspected,
    inspect,
    ordered,
    write_csv,
)
from avd_core.explore.explorer import Explorer, ExploreRequest
from avd_core.media.distilled_png import read_distilled

CLASSIFIER = "mobilenet_v2" if os.environ.get("TORCH_HOME") else "action"


@pytest.fixture(scope="module")
def zipped(tmp_path_factory: pytest.TempPathFactory, rendered_clip: Path) -> Path:
    """Two clips in two classes, one that is broken, and one that points elsewhere."""
    path = tmp_path_factory.mktemp("zip") / "clips.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(rendered_clip, "set/wave/a.mp4")
        archive.write(rendered_clip, "set/Jump/b.mp4")
        archive.writestr("set/wave/broken.mp4", b"not a video")
        archive.writestr("../outside.mp4", b"x" * 100)
    return path


@pytest.fixture(scope="module")
def rows(zipped: Path, tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Inspected]:
    found = gather([zipped], tmp_path_factory.mktemp("unpacked"))
    assert found.skipped == ("outside.mp4 points outside of the archive.",)
    return list(inspect(Explorer("cpu"), BatchRequest(found.sources, str(tiny_checkpoint), CLASSIFIER)))


def test_every_clip_gives_a_row_in_order_and_a_broken_one_is_named(rows: list[Inspected]):
    assert [row.source.title for row in rows] == ["a.mp4", "b.mp4", "broken.mp4"]
    assert [row.source.label for row in rows] == ["wave", "Jump", "wave"]
    assert [row.problem is None for row in rows] == [True, True, False]
    assert "broken.mp4" in rows[2].problem and rows[2].image is None


def test_row_holds_what_explore_finds(rows: list[Inspected], rendered_clip: Path, tiny_checkpoint: Path):
    seen = Explorer("cpu").explore(ExploreRequest(rendered_clip, str(tiny_checkpoint), classifier=CLASSIFIER))
    row = rows[0]
    assert np.array_equal(row.image, seen.distilled) and row.info == seen.info
    assert row.gain == pytest.approx(seen.quality.psnr - seen.quality.psnr_mean_copy)
    assert row.topk == seen.recognition.topk and (row.start, row.seconds) == (seen.clip.start, seen.clip.seconds)


def test_rows_are_ready_one_by_one(rendered_clip: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch):
    """Whoever stops after the first has paid for the first."""
    explorer, looked = Explorer("cpu"), []
    steps = explorer.explore_steps
    monkeypatch.setattr(explorer, "explore_steps", lambda ask: looked.append(ask) or steps(ask))
    sources = (Source(rendered_clip, "one"), Source(rendered_clip, "two"))
    running = inspect(explorer, BatchRequest(sources, str(tiny_checkpoint), CLASSIFIER))
    assert next(running).source.title == "one" and len(looked) == 1
    running.close()
    assert len(looked) == 1


def test_what_cannot_be_had_at_all_is_no_row(rendered_clip: Path):
    with pytest.raises(ValueError, match="no-such"):
        next(inspect(Explorer("cpu"), BatchRequest((Source(rendered_clip, "one"),), "no-such")))


def made_up(title: str, label: str, gain: float, realism: float | None, sure: float) -> Inspected:
    return Inspected(
        Source(Path(title), title, label), psnr=20 + gain, psnr_mean_copy=20.0, realism=realism,
        topk=(Prediction("=cmd()", sure),),
    )  # fmt: skip


MADE_UP = [
    made_up("b", "Wave", 3.0, 10.0, 0.5),
    made_up("-a", "jump", -1.0, None, 0.9),
    Inspected(Source(Path("x"), "x"), problem="@broken"),
    made_up("c", "wave", 5.0, 90.0, 0.1),
]


@pytest.mark.parametrize(
    ("by", "titles"),
    [(None, "b -a c"), ("class", "-a b c"), ("gain", "c b -a"), ("realism", "c b -a"), ("confidence", "-a b c")],
)
def test_order_is_a_choice(by: str | None, titles: str):
    assert [row.source.title for row in ordered(MADE_UP, by)] == titles.split()


def test_table_holds_all_and_no_formula(tmp_path: Path):
    with write_csv(tmp_path / "t.csv", MADE_UP).open(encoding="utf-8-sig") as file:
        table = list(csv.DictReader(file))
    assert [row["clip"] for row in table] == ["b", "'-a", "x", "c"]
    assert float(table[1]["gain_db"]) == -1.0 and table[1]["realism_percentile"] == ""
    assert table[2]["problem"] == "'@broken" and table[2]["psnr_db"] == ""
    assert all(row["first_class"] in ("'=cmd()", "") for row in table)


def test_command_goes_past_a_bad_clip(tmp_path: Path, zipped: Path, rendered_clip: Path, tiny_checkpoint: Path, capsys):
    words = ["inspect", zipped, rendered_clip, "--out", tmp_path / "out", "--checkpoint", tiny_checkpoint]
    assert main([*map(str, words), "--classifier", CLASSIFIER]) == 2
    printed = capsys.readouterr()
    assert "outside.mp4" in printed.err and "broken.mp4" in printed.err and len(printed.err.splitlines()) == 2
    assert "4 of 4" in printed.out
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == ["a.png", "b.png", "inspection.csv", f"{rendered_clip.stem}.png"]
    assert read_distilled(tmp_path / "out" / "a.png")[1].checkpoint == "tiny"


def test_command_about_nothing_leaves_nothing(tmp_path: Path, capsys):
    letter = tmp_path / "letter.zip"
    letter.write_text("hello")
    assert main(["inspect", str(letter), "--out", str(tmp_path / "out")]) == 2
    assert "letter.zip" in capsys.readouterr().err and not (tmp_path / "out").exists()
