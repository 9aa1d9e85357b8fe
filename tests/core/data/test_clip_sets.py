"""Which clips: the official sets as they are published, in small, and what must stay together."""

from __future__ import annotations

from pathlib import Path

import pytest

from avd_core.data.clip_sets import (
    Clips,
    EvidenceError,
    SharedGroups,
    select_clips,
    select_official,
    shared_groups,
    source_of,
)
from tests.core.evidence.miniatures import hmdb51, kinetics, ucf101


def told(clips) -> dict[str, tuple[str, str]]:
    return {clips.name(i): (clips.label(i), clips.groups[i]) for i in range(len(clips.paths))}


def test_ucf101_test_and_train_with_its_groups_and_its_two_spellings(tmp_path: Path, rendered_clip: Path):
    videos = ucf101(tmp_path, lambda path, *_: path.symlink_to(rendered_clip))
    test, train = select_official("ucf101", videos, ["1"], fitting=True)
    assert (test.part, train.part) == ("test", "train")
    assert told(test)["HandstandPushups/v_HandStandPushups_g01_c01.avi"] == (
        "HandstandPushups", "handstandpushups_g01"
    )  # fmt: skip
    assert told(test)["YoYo/v_YoYo_g01_c02.avi"] == ("YoYo", "yoyo_g01")
    assert not set(test.groups) & set(train.groups) and {name[-3:] for name in train.groups} == {"g08", "g09", "g10"}
    assert train.missing == 1 and test.missing == 0, "one clip of the list is not in the folder"
    two, _ = select_official("ucf101", videos, ["2"], fitting=True)
    assert set(two.paths) != set(test.paths)
    (alone,) = select_official("ucf101", videos, ["1"], fitting=False)
    assert alone == test


def test_ucf101_where_folder_and_list_are_spelt_differently(tmp_path: Path, rendered_clip: Path):
    videos = ucf101(tmp_path, lambda path, *_: path.symlink_to(rendered_clip))
    (videos / "HandstandPushups").rename(videos / "HandStandPushups")
    (test,) = select_official("ucf101", videos, ["1"], fitting=False)
    assert told(test)["HandStandPushups/v_HandStandPushups_g01_c01.avi"][0] == "HandstandPushups"


def test_hmdb51_keeps_the_clips_of_a_source_video_together(tmp_path: Path, rendered_clip: Path):
    videos = hmdb51(tmp_path, lambda path, *_: path.symlink_to(rendered_clip))
    test, train = select_official("hmdb51", videos, ["1"], fitting=True)
    assert all("unused" not in name for clips in (test, train) for name in told(clips))
    assert not set(test.groups) & set(train.groups)
    found = told(test)
    first = found["wave/#20_Rhythm_wave_u_nm_np1_fr_goo_0.avi"]
    assert first == found["wave/#20_Rhythm_wave_u_nm_np1_fr_goo_1.avi"] == ("wave", "#20_Rhythm")


def test_kinetics_reports_what_is_not_train_and_counts_what_is_gone(tmp_path: Path, rendered_clip: Path):
    videos = kinetics(tmp_path, lambda path, *_: path.symlink_to(rendered_clip))
    tables = [videos / "annotations" / name for name in ("train.csv", "val.csv")]
    test, train = select_official("kinetics", videos, tables, fitting=True)
    assert set(test.labels) == set(train.labels) == {"air drumming", "massaging person's head", "zumba"}
    assert test.missing == 1, "one video is gone from YouTube"
    assert train.groups == tuple(path.name[:11] for path in train.paths)
    with pytest.raises(EvidenceError, match=r"add the CSV of those that report"):
        select_official("kinetics", videos, tables[:1], fitting=True)
    with pytest.raises(EvidenceError, match="name them with --split"):
        select_official("kinetics", videos, [], fitting=True)


@pytest.mark.parametrize(
    ("dataset", "file", "folder", "group"),
    [
        ("ucf101", "v_HandStandPushups_g01_c02.avi", "HandstandPushups", "handstandpushups_g01"),
        ("hmdb51", "Faith_Rewarded_clap_f_nm_np1_fr_med_3.avi", "clap", "Faith_Rewarded"),
        ("hmdb51", "(Must_See)_Wow![1]_wave_f_cm_np1_ba_med_0.avi", "wave", "(Must_See)_Wow![1]"),
        ("hmdb51", "odd.avi", "wave", "odd.avi"),
        ("kinetics", "-0Ab_dEfGhI_000007_000017.mp4", "zumba", "-0Ab_dEfGhI"),
    ],
)
def test_a_clips_source_is_read_off_its_name(dataset, file, folder, group):
    assert source_of(dataset, file, folder) == group


def test_lists_that_are_nowhere_and_splits_that_do_not_exist(tmp_path: Path, rendered_clip: Path):
    videos = ucf101(tmp_path, lambda path, *_: path.symlink_to(rendered_clip))
    with pytest.raises(EvidenceError, match="splits 1, 2 and 3"):
        select_official("ucf101", videos, ["4"], fitting=False)
    lists = tmp_path / "ucfTrainTestlist"
    lists.rename(tmp_path / "elsewhere")
    with pytest.raises(EvidenceError, match="neither in UCF-101 nor beside it"):
        select_official("ucf101", videos, ["1"], fitting=False)
    assert select_official("ucf101", videos, ["1"], fitting=False, lists=tmp_path / "elsewhere")


def test_a_group_may_be_named_for_a_folder_without_a_split(tmp_path: Path, rendered_clip: Path):
    for name in ("a/p1_x.mp4", "b/p2_x.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(rendered_clip)
    assert select_clips(tmp_path, None, "test", "p([0-9])").groups == ("1", "2")
    with pytest.raises(EvidenceError, match=r"finds nothing in a/p1_x\.mp4"):
        select_clips(tmp_path, None, "test", "q([0-9])")


def test_groups_on_both_sides_are_counted_within_each_folder():
    def part(name: str, *groups: str, folder: str = "one") -> Clips:
        paths = tuple(Path(folder) / f"{name}{n}.mp4" for n in range(len(groups)))
        return Clips(Path(folder), name, paths, groups or None)

    test, train = part("test", "film", "film", "own"), part("train", "film", "other", "film", "film")
    assert shared_groups([test, train], "test") == SharedGroups(groups=1, clips=2, clips_to_fit_on=3)
    assert shared_groups([test, train, part("choose", "own")], "test") == SharedGroups(2, 3, 4)
    assert shared_groups([test, part("train", "film", folder="another")], "test") is None, "another set's namesake"
    assert shared_groups([test], "test") is None and shared_groups([part("test"), part("train")], "test") is None
