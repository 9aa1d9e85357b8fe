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
        ("session-01/a session-02/b", "- -"),
        ("wave/session-01/a wave/session-02/b", "wave wave"),
        ("session1/wave/a session1/jump/b session2/wave/c", "wave jump wave"),
        ("set/take_1/wave/a set/take_2/jump/b", "wave jump"),
        ("wave/100GOPRO/a wave/101GOPRO/b jump/100GOPRO/c", "wave wave jump"),
        ("DCIM/100CANON/a DCIM/101MEDIA/b DCIM/100_PANA/c", "- - -"),
        ("PRIVATE/AVCHD/BDMV/STREAM/a", "-"),
        ("2024-05-01/a 20240502/b 2024_05/c 2024-05-01_kitchen/d 1.5.2024/e", "- - - - -"),
        ("2024/wave/a 2024/jump/b", "wave jump"),
        ("top session1/wave/a session2/wave/b", "- wave wave"),
        ("train/wave/a train/jump/b test/wave/c", "wave jump wave"),
        ("set/Training/wave/a set/validation_set/wave/b set/TEST/jump/c", "wave wave jump"),
        ("train/session1/wave/a test/session2/jump/b", "wave jump"),
        ("train/wave/a val/b top", "wave - -"),
        ("train/a test/b", "- -"),
        ("train/a bus/b", "train bus"),
        ("vehicles/train/a vehicles/bus/b", "train bus"),
        ("wave/train/a wave/test/b jump/train/c", "wave wave jump"),
    ],
)
def test_the_class_is_the_first_folder_below_the_sets_own(paths, classes):
    parts = [tuple(path.split("/")) for path in paths.split()]
    assert classes_of(parts) == [name.strip("-") for name in classes.split()]


@pytest.mark.parametrize(
    "name",
    ["wave", "0", "07", "100", "100metres", "1000", "20", "stream", "clip", "video", "day", "dayparty", "clipping 2a",
     "class1", "2024", "20241399", "100METERS", "run_1", "a01", "person01"],
)  # fmt: skip
def test_a_class_may_be_called_so(name):
    assert classes_of([(name, "a"), ("other", "b")]) == [name, "other"]


def test_the_sets_folder_is_a_real_one():
    assert set_folder([("set", "wave", "session1", "a"), ("set", "jump", "session1", "b")]) == ("set",)
    assert set_folder([("DCIM", "set", "wave", "a"), ("DCIM", "set", "jump", "b")]) == ("DCIM", "set")
    assert set_folder([("session1", "wave", "a"), ("session2", "jump", "b")]) == ()
    assert set_folder([("set", "train", "wave", "a"), ("set", "test", "wave", "b")]) == ("set",)
    assert set_folder([("top",), ("set", "wave", "a"), ("set", "jump", "b")]) == ()


def test_nothing_has_no_folder():
    assert set_folder([]) == () and classes_of([]) == []


@pytest.mark.parametrize(
    "path",
    ["._a.mp4", ".Trashes/a.mp4", "__MACOSX/wave/._a.mp4", "$RECYCLE.BIN/a.mp4", "a/.cache/b.mp4", "wave/Thumbs.db",
     "wave/desktop.ini", "wave/Icon\r", "LOST.DIR/a.mp4", "FOUND.000/a.mp4",
     "System Volume Information/a.mp4", "wave/@eaDir/a.mp4"],
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
