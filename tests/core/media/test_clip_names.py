"""Which files are clips, and which class a folder names."""

from __future__ import annotations

import pytest

from avd_core.media.clip_names import ClipFilter, classes_of, is_leftover, set_folder


@pytest.mark.parametrize(
    ("paths", "classes"),
    [
        ("wave/a jump/b", "wave jump"),
        ("set/wave/a set/jump/b", "wave jump"),
        ("set/wave/session1/a set/wave/session2/a set/jump/session1/a", "wave wave jump"),
        ("outer/set/wave/session1/a outer/set/jump/session1/a", "wave jump"),
        ("set/top set/wave/a set/jump/b", "- wave jump"),
        ("top set/wave/a set/jump/b", "- wave jump"),
        ("wave/a wave/deep/b", "wave wave"),
        ("wave/a wave/b", "wave wave"),
        ("set/wave/a", "wave"),
        ("a b", "- -"),
    ],
)
def test_the_class_is_the_first_folder_below_the_sets_own(paths, classes):
    parts = [tuple(path.split("/")) for path in paths.split()]
    assert classes_of(parts) == [name.strip("-") for name in classes.split()]


def test_nothing_has_no_folder():
    assert set_folder([]) == () and classes_of([]) == []


@pytest.mark.parametrize(
    "path",
    ["._a.mp4", ".Trashes/a.mp4", "__MACOSX/wave/._a.mp4", "$RECYCLE.BIN/a.mp4", "a/.cache/b.mp4", "wave/Thumbs.db",
     "wave/desktop.ini", "System Volume Information/a.mp4", "wave/@eaDir/a.mp4"],
)  # fmt: skip
def test_what_is_hidden_or_left_behind_is_no_clip(path):
    assert is_leftover(path.split("/"))
    assert not is_leftover(["wave", "..", "a.mp4"]) and not is_leftover(["wave.d", "a.b.mp4"])


def test_what_is_passed_over_is_counted_and_said():
    taken = ClipFilter()
    names = ["a.MTS", "b.m4v", "c.3gp", "notes.txt", "d.wmv", "e.wmv", "noextension", "._a.MTS", ".DS_Store"]
    assert [name for name in names if taken.takes([name])] == ["a.MTS", "b.m4v", "c.3gp"]
    assert taken.sentence("stick") == (
        "Passed over in stick: 4 files of other kinds (2 .wmv, 1 .txt, 1 no suffix) and 2 files hidden or left behind "
        "by a system."
    )
    assert ClipFilter().sentence("stick") == ""
