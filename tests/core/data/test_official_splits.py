"""UCF101, HMDB51 and Kinetics as they are published, in small: what a list means, and what a wrong one says."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from avd_core.data.datasets import UNLABELLED, DataError
from avd_core.data.official_splits import hmdb51, kinetics, ucf101


def place(clip: Path, folder: Path, *names: str) -> Path:
    """Puts the clip under each name; links, because what matters here are the names."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(clip)
    return folder


def labelled(dataset) -> dict[str, int]:
    return {name.partition("/")[2]: label for name, label in zip(dataset.names, dataset.labels, strict=True)}


# --- UCF101 ---

JUGGLE, YOYO = "v_JugglingBalls_g01_c01.avi", "v_YoYo_g08_c02.avi"


def ucf_lists(folder: Path, **changed: str) -> Path:
    """The official files, with Windows line ends as in the published archive."""
    files = {
        "classInd": "1 JugglingBalls\r\n2 YoYo\r\n",
        "trainlist01": f"JugglingBalls/v_JugglingBalls_g08_c01.avi 1\r\nYoYo/{YOYO} 2\r\n",
        "testlist01": f"JugglingBalls/{JUGGLE}\r\nYoYo/v_YoYo_g01_c01.avi\r\n",
        "trainlist03": f"JugglingBalls/{JUGGLE} 1\r\n",
    } | changed
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.txt").write_bytes(text.encode())
    return folder


@pytest.fixture
def ucf(tmp_path, rendered_clip) -> Path:
    return place(
        rendered_clip, tmp_path / "UCF-101", "JugglingBalls/v_JugglingBalls_g08_c01.avi", f"JugglingBalls/{JUGGLE}",
        f"YoYo/{YOYO}", "YoYo/v_YoYo_g01_c01.avi",
    )  # fmt: skip


def test_ucf101_parts_and_splits(ucf, tmp_path):
    lists = ucf_lists(tmp_path / "ucfTrainTestlist")
    train, test = ucf101(ucf, lists, frames=2, size=64), ucf101(ucf, lists, part="test")
    assert train.classes == test.classes == ("JugglingBalls", "YoYo")
    assert labelled(train) == {"JugglingBalls/v_JugglingBalls_g08_c01.avi": 0, f"YoYo/{YOYO}": 1}
    assert labelled(test) == {f"JugglingBalls/{JUGGLE}": 0, "YoYo/v_YoYo_g01_c01.avi": 1}
    assert labelled(ucf101(ucf, lists, split=3)) == {f"JugglingBalls/{JUGGLE}": 0}
    item = train[1]
    assert item.clip.shape == (2, 64, 88, 3) and (item.label, item.name) == (1, f"UCF-101/YoYo/{YOYO}")


def test_ucf101_without_class_folders_and_with_clips_missing(tmp_path, rendered_clip):
    flat = place(rendered_clip, tmp_path / "flat", YOYO)
    lists = ucf_lists(tmp_path / "lists")
    with pytest.warns(UserWarning, match="1 of 2 clips are not in the folder 'flat'"):
        dataset = ucf101(flat, lists)
    assert labelled(dataset) == {YOYO: 1} and dataset.missing == 1
    with pytest.raises(DataError, match="holds none of the 2 clips"):
        ucf101(flat, lists, part="test")


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"classInd": "1 JugglingBalls\n3 YoYo\n"}, r"classInd\.txt, line 2: expected '2 <a new class>', not '3 YoYo'"),
        ({"classInd": "1 A\n2 A\n"}, r"classInd\.txt, line 2"),
        ({"classInd": ""}, r"classInd\.txt is an empty list"),
        ({"trainlist01": f"YoYo/{YOYO} 2\n\nYoYo {YOYO} 2\n"}, r"trainlist01\.txt, line 3: expected '<class>/<clip>"),
        ({"trainlist01": f"YoYo/{YOYO} 1\n"}, r"trainlist01\.txt, line 1: .* 'YoYo' the number 2, not 1"),
        ({"trainlist01": "Chess/v_Chess_g01_c01.avi 3\n"}, r"trainlist01\.txt, line 1: .* no class 'Chess'"),
        ({"trainlist01": "YoYo/../../secret.avi 2\n"}, r"trainlist01\.txt, line 1"),
    ],
)
def test_a_wrong_list_of_ucf101_is_refused_with_file_and_line(ucf, tmp_path, changed, message):
    with pytest.raises(DataError, match=message):
        ucf101(ucf, ucf_lists(tmp_path / "lists", **changed))


@pytest.mark.parametrize(
    "choice, message",
    [({"split": 4}, "split of UCF101 called 4; choose one of 1, 2, 3"), ({"part": "val"}, "part of UCF101"),
     ({"split": 2}, r"trainlist02\.txt cannot be read as a list")],
)  # fmt: skip
def test_parts_that_ucf101_does_not_have(ucf, tmp_path, choice, message):
    with pytest.raises(DataError, match=message):
        ucf101(ucf, ucf_lists(tmp_path / "lists"), **choice)


# --- HMDB51 ---

ODD = "#20_Rhythm_clap_u_nm_np1_fr_goo_0.avi"  # as they really are called
ODDER = "(Must_See)_Wow![1]_wave_f_cm_np1_ba_med_0.avi"


def hmdb_lists(folder: Path, wave: str | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "clap_test_split1.txt").write_text(f"{ODD} 1 \nb.avi 2 \nc.avi 0 \n")
    (folder / "fall_floor_test_split1.txt").write_text("b.avi 1\nd.avi 2\n")
    (folder / "wave_test_split1.txt").write_text(f"{ODDER} 1 \n" if wave is None else wave)
    (folder / "clap_test_split2.txt").write_text("c.avi 1\n")
    return folder


def test_hmdb51_parts_and_splits(tmp_path, rendered_clip):
    names = [f"clap/{ODD}", "clap/b.avi", "clap/c.avi", "fall_floor/b.avi", "fall_floor/d.avi", f"wave/{ODDER}"]
    videos, lists = place(rendered_clip, tmp_path / "hmdb51", *names), hmdb_lists(tmp_path / "lists")
    train = hmdb51(videos, lists, frames=1, size=64)
    assert train.classes == ("clap", "fall_floor", "wave")
    assert labelled(train) == {f"clap/{ODD}": 0, "fall_floor/b.avi": 1, f"wave/{ODDER}": 2}
    assert labelled(hmdb51(videos, lists, part="test")) == {"clap/b.avi": 0, "fall_floor/d.avi": 1}
    assert labelled(hmdb51(videos, lists, part="unused")) == {"clap/c.avi": 0}
    assert labelled(hmdb51(videos, lists, split=2)) == {"clap/c.avi": 0}
    assert train[0].clip.shape == (1, 64, 88, 3)
    with pytest.raises(DataError, match="no clips of the part"):
        hmdb51(videos, lists, split=2, part="test")


@pytest.mark.parametrize("line", ["a.avi 3", "a.avi", "1", "x/a.avi 1"])
def test_a_wrong_list_of_hmdb51_is_refused_with_file_and_line(tmp_path, rendered_clip, line):
    videos = place(rendered_clip, tmp_path / "hmdb51", "wave/a.avi")
    with pytest.raises(DataError, match=r"wave_test_split1\.txt, line 2: expected '<clip>\.avi' and 0, 1 or 2"):
        hmdb51(videos, hmdb_lists(tmp_path / "lists", f"a.avi 1\n{line}\n"))


def test_a_folder_without_lists_of_hmdb51(tmp_path):
    with pytest.raises(DataError, match=r"holds no list of HMDB51, '<class>_test_split3\.txt'"):
        hmdb51(tmp_path, hmdb_lists(tmp_path / "lists"), split=3)


# --- Kinetics ---

TABLE = """label,youtube_id,time_start,time_end,split
air drumming,-0AbCdEfGhI,7,17,train
"massaging person's head",zz_yyXXww12,1200,1210,train
zumba,abcdefghijk,0,10,validate
"""
DRUM, HEAD = "-0AbCdEfGhI_000007_000017.mp4", "zz_yyXXww12_001200_001210.mp4"


def table(folder: Path, text: str = TABLE) -> Path:
    path = folder / "kinetics.csv"
    path.write_text(text)
    return path


@pytest.mark.parametrize("layout", ["{0}", "{1}/{0}", "train/{1}/{0}"])
def test_kinetics_in_class_folders_or_not(tmp_path, rendered_clip, layout):
    places = [layout.format(DRUM, "air_drumming"), layout.format(HEAD, "massaging person's head")]
    videos = place(rendered_clip, tmp_path / "kinetics", *places)
    train = kinetics(videos, table(tmp_path), part="train", frames=1, size=64)
    assert train.classes == ("air drumming", "massaging person's head", "zumba"), "of all parts, so that labels agree"
    assert labelled(train) == dict(zip(places, (0, 1), strict=True))
    assert train[0].clip.shape == (1, 64, 88, 3)
    with pytest.warns(UserWarning, match="1 of 3 clips are not"):
        assert kinetics(videos, table(tmp_path)).missing == 1


def test_kinetics_test_table_has_no_labels(tmp_path, rendered_clip):
    videos = place(rendered_clip, tmp_path / "kinetics", DRUM)
    csv = table(tmp_path, "youtube_id,time_start,time_end,split\n-0AbCdEfGhI,7,17,test\n")
    dataset = kinetics(videos, csv)
    assert dataset.labels == [UNLABELLED] and dataset.classes == ()


@pytest.mark.parametrize(
    "text, message",
    [
        ("", r"line 1: a table of Kinetics has a column 'youtube_id'"),
        ("label,youtube_id,start,end,split\n", r"line 1: .* column 'time_start'"),
        ("label,youtube_id,time_start,time_end\na,b,1,2\n", r"line 1: .* column 'split'"),
        (
            TABLE + "zumba,abcdefghijk,ten,20,train\n",
            r"kinetics\.csv, line 5: expected a label.*'zumba,abcd.*,ten,20",
        ),
        (TABLE + "zumba,abcdefghijk,20,10,train\n", r"line 5"),
        (TABLE + ",abcdefghijk,0,10,train\n", r"line 5"),
        (TABLE + "zumba\n", r"line 5"),
        (TABLE + "zumba,../../abc,0,10,train\n", r"line 5"),
        (TABLE + '"zumba,abcdefghijk,0,10,train\n', r"kinetics\.csv, line 5: this is no CSV"),
        ("label,youtube_id,time_start,time_end,split\n", "is an empty table"),
        (TABLE.replace("train", "test"), "no clips of the part 'train'; its parts are test, validate"),
    ],
)
def test_a_wrong_table_of_kinetics_is_refused_with_file_and_line(tmp_path, rendered_clip, text, message):
    videos = place(rendered_clip, tmp_path / "kinetics", DRUM)
    with pytest.raises(DataError, match=message):
        kinetics(videos, table(tmp_path, text), part="train")


def test_a_binary_file_is_no_list(tmp_path, ucf):
    lists = ucf_lists(tmp_path / "lists")
    (lists / "trainlist01.txt").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(DataError, match=r"trainlist01\.txt cannot be read as a list"):
        ucf101(ucf, lists)
    with pytest.raises(DataError, match=r"trainlist01\.txt cannot be read as a table"):
        kinetics(ucf, lists / "trainlist01.txt")
    with pytest.raises(DataError, match="There is no folder"):
        ucf101(tmp_path / "gone", ucf_lists(tmp_path / "lists"))


def test_a_broken_clip_of_a_list_is_skipped_and_counted(ucf, tmp_path):
    broken = ucf / "JugglingBalls" / "v_JugglingBalls_g08_c01.avi"
    broken.unlink()
    broken.write_bytes(b"RIFF")
    dataset = ucf101(ucf, ucf_lists(tmp_path / "lists"), frames=1, size=64)
    with pytest.warns(UserWarning, match="Skipped UCF-101/JugglingBalls"):
        item = dataset[0]
    assert item.label == 1 and dataset.broken == {0}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset[0]
