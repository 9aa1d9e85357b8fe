"""Outputs are there whole or not at all, and JSON is JSON."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from avd_core.atomic_io import (
    OutputError,
    atomic_folder,
    check_folder,
    recover_folder,
    remove_leftovers,
    staged_file,
    staged_folder,
    standing_folder,
    write_atomically,
    write_json,
)
from avd_core.media.distilled_png import ImageError
from avd_core.removal import MARKER, mark
from tests.kills import killed_at


def content(folder) -> dict[str, str]:
    return {p.relative_to(folder).as_posix(): p.read_text() for p in folder.rglob("*") if p.is_file()}


def test_a_new_folder_appears_whole(tmp_path):
    target = tmp_path / "deep" / "er" / "out"
    with staged_folder(target) as staging:
        (staging / "a.txt").write_text("a")
        assert not target.exists()
    assert content(tmp_path) == {"deep/er/out/a.txt": "a"}


def test_an_old_folder_keeps_what_is_not_replaced(tmp_path):
    target = tmp_path / "out"
    (target / "sub").mkdir(parents=True)
    for name in ("mine.txt", "a.txt", "sub/mine.txt", "sub/b.txt"):
        (target / name).write_text("old")
    with staged_folder(target) as staging:
        (staging / "sub").mkdir()
        (staging / "a.txt").write_text("new")
        (staging / "sub" / "b.txt").write_text("new")
    assert content(target) == {"mine.txt": "old", "a.txt": "new", "sub/mine.txt": "old", "sub/b.txt": "new"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_in_the_way_of_a_file_leaves_all_as_it_was(tmp_path):
    (tmp_path / "out" / "b.txt").mkdir(parents=True)
    (tmp_path / "out" / "a.txt").write_text("old")
    with pytest.raises(OutputError, match=r"b\.txt is in the way"), staged_folder(tmp_path / "out") as staging:
        (staging / "a.txt").write_text("new")
        (staging / "b.txt").write_text("new")
    assert content(tmp_path) == {"out/a.txt": "old"}


@pytest.mark.parametrize("failure", [ValueError("no"), KeyboardInterrupt()])
def test_a_failure_leaves_nothing(tmp_path, failure):
    with pytest.raises(type(failure)), staged_folder(tmp_path / "deep" / "out") as staging:
        (staging / "half.txt").write_text("half")
        raise failure
    with pytest.raises(type(failure)), staged_file(tmp_path / "deep" / "out.mp4") as staging:
        staging.write_text("half")
        raise failure
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_in_a_sentence(tmp_path):
    with pytest.raises(OutputError, match="out cannot be written: No space left"), staged_folder(tmp_path / "out"):
        raise OSError(28, "No space left on device")


def test_a_file_appears_whole_and_keeps_its_suffix(tmp_path):
    with staged_file(tmp_path / "new" / "clip.mp4") as staging:
        assert staging.suffix == ".mp4"
        staging.write_text("done")
    assert content(tmp_path) == {"new/clip.mp4": "done"}


def test_what_goes_wrong_with_a_file_names_the_file_that_was_asked_for(tmp_path):
    with (
        pytest.raises(ValueError, match=r"^image\.png is too large") as caught,
        staged_file(tmp_path / "image.png") as at,
    ):
        raise ImageError(f"{at.name} is too large.")
    assert type(caught.value) is ImageError


def test_places_that_cannot_be_are_refused_before_the_work(tmp_path):
    (tmp_path / "file").write_text("mine")
    for place in (tmp_path / "file", tmp_path / "file" / "out"):
        with pytest.raises(OutputError, match="is a file"):
            check_folder(place)
        with pytest.raises(OutputError), staged_folder(place):
            pytest.fail("it went on")
    with pytest.raises(OutputError, match="is a folder"), staged_file(tmp_path):
        pytest.fail("it went on")
    assert content(tmp_path) == {"file": "mine"}


def test_json_has_no_nan_no_infinity_and_no_numpy(tmp_path):
    value = {
        "nan": float("nan"),
        "deep": [(1.5, float("-inf")), np.float32("inf")],
        "array": np.array([1.0, np.nan]),
        "number": np.int64(3),
        "none": None,
        "text": "модель",
    }

    def refuse(word):
        pytest.fail(f"{word} is not JSON")

    back = json.loads(write_json(tmp_path / "a.json", value).read_text("utf-8"), parse_constant=refuse)
    assert back == {
        "nan": None, "deep": [[1.5, None], None], "array": [1.0, None], "number": 3, "none": None, "text": "модель",
    }  # fmt: skip


@pytest.mark.parametrize("write", [write_atomically, write_json])
def test_a_failed_write_leaves_the_old_file(write, tmp_path, monkeypatch):
    path = tmp_path / "state.json"
    path.write_text("old")

    def full_disk(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        write(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_changes_whole_and_keeps_others(tmp_path):
    target = tmp_path / "deep" / "checkpoint"
    target.mkdir(parents=True)
    (target / "mine.txt").write_text("mine")
    with atomic_folder(target) as staging:
        (staging / "a.txt").write_text("a")
        assert content(target) == {"mine.txt": "mine"}
    assert content(target) == {"a.txt": "a", "mine.txt": "mine"}
    with pytest.raises(KeyboardInterrupt), atomic_folder(target) as staging:
        (staging / "b.txt").write_text("b")
        raise KeyboardInterrupt
    assert "b.txt" not in content(target) and list(target.parent.iterdir()) == [target]


def test_a_folder_with_folders_and_links_in_it_keeps_them_where_they_are(tmp_path):
    target, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    (target / "thesis").mkdir(parents=True)
    (target / "thesis" / "chapter.txt").write_text("mine")
    elsewhere.mkdir()
    (target / "link").symlink_to(elsewhere)
    before = (target / "thesis").stat().st_ino
    for number in range(2):
        with atomic_folder(target) as staging:
            (staging / "a.txt").write_text(f"{number}")
    assert content(target) == {"a.txt": "1", "thesis/chapter.txt": "mine"}
    assert (target / "thesis").stat().st_ino == before and (target / "link").readlink() == elsewhere
    with atomic_folder(target / "link") as staging:
        (staging / "b.txt").write_text("b")
    assert (target / "link").is_symlink() and content(elsewhere) == {"b.txt": "b"}


def test_nothing_is_written_through_a_link(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "frames").symlink_to(elsewhere)
    (tmp_path / "out" / "a.txt").symlink_to(elsewhere / "a.txt")
    (elsewhere / "a.txt").write_text("mine")
    with pytest.raises(OutputError, match="frames is in the way"), staged_folder(tmp_path / "out") as staging:
        (staging / "frames").mkdir()
        (staging / "frames" / "0.png").write_text("new")
    with staged_folder(tmp_path / "out") as staging:
        (staging / "a.txt").write_text("new")
    assert content(elsewhere) == {"a.txt": "mine"} and (tmp_path / "out" / "a.txt").read_text() == "new"


def test_what_kills_leave_is_mended_and_removed_and_nothing_else(tmp_path):
    target = tmp_path / "checkpoint[1]"
    aside, half = tmp_path / f".checkpoint[1].{'0' * 12}.part", tmp_path / f".checkpoint[1].{'1' * 12}.part"
    for folder in (aside / "old", half):
        folder.mkdir(parents=True)
        (folder / "a.txt").write_text("a")
    for folder in (aside, half):
        mark(folder)
    (tmp_path / f".checkpoint[1].{'2' * 12}.part").touch()
    precious = {
        f".checkpoint[1].{'3' * 12}.part": "unmarked",
        ".checkpoint[1].old": "a copy",
        ".checkpoint[1].mine": "",
    }
    for name, text in precious.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.txt").write_text(text)
    (tmp_path / f".checkpoint[1].{'4' * 12}.part").symlink_to(tmp_path / ".checkpoint[1].old")
    assert standing_folder(target) == aside / "old"
    recover_folder(target)
    remove_leftovers(target)
    assert content(tmp_path) == {"checkpoint[1]/a.txt": "a"} | {f"{n}/mine.txt": text for n, text in precious.items()}
    assert (tmp_path / f".checkpoint[1].{'4' * 12}.part").is_symlink()


def test_the_next_command_removes_what_a_killed_one_left_and_no_living_ones(tmp_path):
    def write() -> None:
        with staged_folder(tmp_path / "out") as staging:
            (staging / "a.txt").write_text("a")

    number = 0
    while killed_at(number, write, tmp_path):
        number += 1
    assert number > 4 and content(tmp_path / "out") == {"a.txt": "a"}
    with staged_folder(tmp_path / "out") as living:
        write()
        assert living.is_dir()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_writer_whose_folder_was_taken_for_a_leftover_makes_another(tmp_path, monkeypatch):
    open_it, taken = Path.open, []

    def slow(path, mode="r", *rest, **more):
        if not taken and path.name == f"{MARKER}.new" and mode == "wb":
            taken.append(path.parent)
            with staged_folder(tmp_path / "out"):
                pass
            assert not path.parent.exists()
        return open_it(path, mode, *rest, **more)

    monkeypatch.setattr(Path, "open", slow)
    with staged_folder(tmp_path / "out") as staging:
        (staging / "a.txt").write_text("a")
    assert content(tmp_path) == {"out/a.txt": "a"} and [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_long_name_in_any_script_still_has_a_passing_name(tmp_path):
    with staged_file(tmp_path / ("動" * 80 + ".png")) as staging:
        staging.write_text("done")
    assert list(content(tmp_path).values()) == ["done"]
