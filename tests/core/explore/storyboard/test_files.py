"""A storyboard's files: images that say how to play them, films in step, a sheet, and the command."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from avd_core.cli.main import main
from avd_core.explore.explorer import Explorer
from avd_core.explore.storyboard.files import ORIGINAL, RESTORED, SHEET, ZIP, Board, save
from avd_core.explore.storyboard.panels import StoryboardMaker, StoryboardRequest
from avd_core.explore.storyboard.reader import TABLE
from avd_core.media.distilled_png import read_distilled
from tests.core.explore.storyboard.films import write_film


def test_every_image_says_how_to_play_it(made: tuple[Path, Board], explorer: Explorer):
    folder, board = made
    table = json.loads((folder / TABLE).read_text(), parse_constant=lambda word: pytest.fail(word))
    assert [window["file"] for window in table["windows"]] == [entry.file for entry in board.entries]
    for window in table["windows"]:
        path = folder / window["file"]
        _, info = read_distilled(path)
        assert info.fingerprint == table["fingerprint"] and info.fps == pytest.approx(window["fps"])
        assert window["bytes"] == path.stat().st_size and info.frames / info.fps == pytest.approx(window["seconds"])
        assert not explorer.restore(path).notes  # each plays by itself
    assert table["image_bytes"] == sum(window["bytes"] for window in table["windows"]) == board.image_bytes
    assert table["psnr"] == pytest.approx(np.mean([window["psnr"] for window in table["windows"]]))
    assert [window["cut"] for window in table["windows"]] == [True, True, False]


def test_the_films_show_each_frame_at_its_time(made: tuple[Path, Board], explorer: Explorer):
    folder, board = made
    for name in (RESTORED, ORIGINAL):
        with av.open(str(folder / name)) as container:
            frames = [(frame.time, frame.key_frame, frame.to_ndarray(format="rgb24")) for frame in container.decode()]
            assert container.duration / av.time_base == pytest.approx(board.end, abs=0.01)
        times = [e.start + e.seconds * i / board.frames for e in board.entries for i in range(board.frames)]
        assert [time for time, _, _ in frames] == pytest.approx(times, abs=1e-4)
        assert all(frames[i * board.frames][1] for i in range(len(board.entries))), "a window cannot be jumped to"
        if name == RESTORED:
            restored = explorer.restore(folder / board.entries[1].file).frames
            shown = frames[board.frames][2].astype(int)
            assert np.abs(shown - restored[0]).mean() < 6


def test_sheet_shows_every_image(made: tuple[Path, Board]):
    sheet = np.asarray(Image.open(made[0] / SHEET).convert("RGB")).astype(int)
    height, width = made[1].size
    scale = 160 / max(height, width)
    wide, high = round(width * scale), round(height * scale)
    for number, entry in enumerate(made[1].entries):
        image = Image.open(made[0] / entry.file).resize((wide, high), Image.Resampling.LANCZOS)
        left = 8 + number * (wide + 8)
        assert (sheet[8 : 8 + high, left : left + wide] == np.asarray(image)).all()


def test_whoever_stops_leaves_no_half_film(explorer: Explorer, tiny_checkpoint: Path, tmp_path: Path):
    film = write_film(tmp_path / "film.mp4", [100])
    (tmp_path / "out").mkdir()
    boards = save(StoryboardMaker(explorer, StoryboardRequest(film, str(tiny_checkpoint), 2.0)), tmp_path / "out")
    next(boards)
    boards.close()
    assert sorted(path.name for path in (tmp_path / "out").rglob("*")) == ["001.png", "images"]


def test_larger_images_are_called_larger(made: tuple[Path, Board]):
    board = made[1]
    assert board.image_bytes != board.source.bytes

    def beside(count: int) -> str:
        return replace(board, source=replace(board.source, bytes=count)).comparison()

    assert beside(board.image_bytes * 2) == "2.0 times smaller"
    assert beside(board.image_bytes // 2) == "2.0 times larger: nothing is saved"
    # Of a part, the bytes of that part's pictures count, not those of the whole file.
    part = replace(board.source, covered=1.0, picture_bytes=board.image_bytes // 4)
    assert replace(board, source=part).comparison().startswith("4.0 times larger")


# --- the command -------------------------------------------------------------------------------------------------


def names_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_command_makes_a_strip_and_plays_it_back(tmp_path: Path, tiny_checkpoint: Path, capsys):
    film = write_film(tmp_path / "film.mp4", [40, 60])
    command = ["storyboard", str(film), "--out", str(tmp_path / "out"), "--checkpoint", str(tiny_checkpoint)]
    assert main([*command, "--seconds", "2"]) == 0
    images = [f"images/{number:03d}.png" for number in (1, 2, 3)]
    assert names_in(tmp_path / "out") == sorted([*images, ORIGINAL, RESTORED, TABLE, ZIP, SHEET])
    printed = capsys.readouterr()
    assert printed.err == "" and "3 images for 0 to 5.00 s" in printed.out and "mean frames as stills" in printed.out
    assert len([line for line in printed.out.splitlines() if " s  " in line]) == 3

    assert main([*command, "--seconds", "4"]) == 0  # longer windows: nothing of the earlier strip stays
    assert names_in(tmp_path / "out") == sorted([*images[:2], ORIGINAL, RESTORED, TABLE, ZIP, SHEET])

    again = ["storyboard", str(tmp_path / "out" / ZIP), "--out", str(tmp_path / "again")]
    assert main([*again, "--checkpoint", str(tiny_checkpoint)]) == 0
    assert names_in(tmp_path / "again") == sorted([*images[:2], RESTORED, TABLE, ZIP, SHEET])
    assert "not here" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["missing.mp4"], "no file missing.mp4"),
        (["text.mp4"], "text file"),
        (["text.mp4", "--seconds", "3"], "2, 4, 8 s"),
        (["bad.zip"], "no storyboard that can be played"),
        (["bad.zip", "--seconds", "2"], "--seconds and --size are for a video"),
    ],
)
def test_bad_videos_and_zips_are_one_line(tmp_path: Path, tiny_checkpoint: Path, words, sentence, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("text.mp4").write_text("hello")
    Path("bad.zip").write_bytes(b"PK\x03\x04")
    assert main(["storyboard", *words, "--out", "out", "--checkpoint", str(tiny_checkpoint)]) == 2
    printed = capsys.readouterr().err
    assert len(printed.splitlines()) == 1 and sentence in printed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.zip", "text.mp4"]
