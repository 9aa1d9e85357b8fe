"""Clips handed in as files, folders and zips."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from avd_core.data.clip_files import ClipFilesError, gather
from avd_core.data.clip_sets import select_clips
from avd_core.data.datasets import ClipDataset, DataError, FolderClips, class_of, find_clips, find_photos
from avd_core.media.archives import ArchiveLimits


@pytest.fixture(scope="module")
def zipped(tmp_path_factory: pytest.TempPathFactory, rendered_clip: Path) -> Path:
    """Three clips in two classes."""
    path = tmp_path_factory.mktemp("zip") / "clips.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(rendered_clip, "set/wave/a.mp4")
        archive.write(rendered_clip, "set/Jump/b.mp4")
        archive.writestr("set/wave/broken.mp4", b"not a video")
    return path


def test_clips_are_found_in_files_folders_and_zips(tmp_path: Path, zipped: Path, rendered_clip: Path):
    folder = tmp_path / "mine"
    for name in ("top.mp4", "wave/deep/x.AVI", ".trash/y.mp4", "wave/notes.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    (tmp_path / "unpacked").mkdir()
    found = gather([rendered_clip, folder, zipped, zipped], tmp_path / "unpacked")
    told = [(source.title, source.label) for source in found.sources]
    assert told[:3] == [(rendered_clip.name, ""), ("top.mp4", ""), ("x.AVI", "deep")] and len(told) == 9
    assert len({source.clip for source in found.sources}) == 9


def lay(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


@pytest.mark.parametrize("around", ["", "my_dataset/", "download/my_dataset/"])
def test_folders_name_the_same_classes_everywhere(tmp_path: Path, around: str):
    """In Inspect and Fine-tune as a folder and as a zip, in training and in evidence."""
    files = [f"{around}{name}/session{i}/clip.mp4" for name in ("jump", "wave") for i in (1, 2)]
    folder = lay(tmp_path / "handed", *files)
    with zipfile.ZipFile(tmp_path / "handed.zip", "w") as archive:
        for file in files:
            archive.writestr(file, b"x")
    right = ["jump", "jump", "wave", "wave"]
    (tmp_path / "unpacked").mkdir()
    for given in (folder, tmp_path / "handed.zip"):
        assert [source.label for source in gather([given], tmp_path / "unpacked").sources] == right
    dataset = ClipDataset.from_folder(folder)
    assert [dataset.classes[label] for label in dataset.labels] == right
    assert [class_of(name) for name in FolderClips(folder).names] == right
    part = ClipDataset.from_folder(folder, [f"{around}wave/**/*.mp4"])
    assert part.classes == ("jump", "wave") and part.labels == [1, 1]
    clips = select_clips(folder, None, "test")
    assert [clips.label(i) for i in range(4)] == right


@pytest.mark.parametrize("session", ["session-0{}", "10{}GOPRO", "2024-05-0{}", "DCIM/10{}CANON"])
@pytest.mark.parametrize(
    ("where", "right"),
    [("{s}/{c}/clip.mp4", "jump jump wave wave"), ("{c}/{s}/clip.mp4", "jump jump wave wave"), ("{s}/{c}.mp4", "")],
)
def test_sessions_are_not_taken_for_classes(tmp_path: Path, session: str, where: str, right: str):
    """In whatever order folders lie in one another, alike in Inspect, Fine-tune, training and evidence."""
    files = [where.format(s=session.format(i), c=name) for name in ("jump", "wave") for i in (1, 2)]
    folder = lay(tmp_path / "handed", *files)
    with zipfile.ZipFile(tmp_path / "handed.zip", "w") as archive:
        for file in files:
            archive.writestr(file, b"x")
    labels = sorted(right.split()) or [""] * 4
    (tmp_path / "unpacked").mkdir()
    for given in (folder, tmp_path / "handed.zip"):
        assert sorted(source.label for source in gather([given], tmp_path / "unpacked").sources) == labels
    dataset = ClipDataset.from_folder(folder)
    assert dataset.classes == tuple(sorted(set(right.split())))
    names = FolderClips(folder).names
    assert [class_of(name) for name in names] == [dataset.classes[i] if i >= 0 else "" for i in dataset.labels]
    assert sorted(map(class_of, names)) == labels
    clips = select_clips(folder, None, "test")
    assert sorted(clips.label(i) for i in range(4)) == labels


def test_a_stick_of_a_mac_or_windows_gives_its_clips_and_says_what_else_is_there(tmp_path: Path):
    names = ["wave/0.MP4", "jump/1.MTS", "wave/2.m4v", "jump/3.3gp"]
    junk = ["wave/._0.MP4", ".Trashes/old.mp4", "__MACOSX/wave/._0.MP4", "wave/Thumbs.db", "$RECYCLE.BIN/gone.mp4"]
    stick = lay(tmp_path / "stick", *names, *junk, "wave/notes.txt", "jump/noextension", "jump/tape.wmv")
    said = (
        "Passed over in stick: 3 files of other kinds (1 .wmv, 1 no suffix, 1 .txt) and 5 files hidden or left behind "
        "by a system."
    )
    found = gather([stick], tmp_path)
    assert sorted(source.title for source in found.sources) == ["0.MP4", "1.MTS", "2.m4v", "3.3gp"]
    assert sorted(found.passed_over[0]) == sorted(said) and found.skipped == ()
    assert sorted(path.relative_to(stick).as_posix() for path in find_clips(stick)) == sorted(names)
    with zipfile.ZipFile(tmp_path / "stick.zip", "w") as archive:
        for path in sorted(stick.rglob("*")):
            archive.write(path, path.relative_to(tmp_path))
    (tmp_path / "unpacked").mkdir()
    zipped = gather([tmp_path / "stick.zip"], tmp_path / "unpacked")
    assert sorted(source.title for source in zipped.sources) == ["0.MP4", "1.MTS", "2.m4v", "3.3gp"]
    assert "5 files hidden" in zipped.passed_over[0]
    by_hand = gather([stick / "wave/._0.MP4", stick / "jump/noextension"], tmp_path)
    assert [source.title for source in by_hand.sources] == ["noextension"] and "1 file hidden" in by_hand.sentences[0]


def test_a_folder_without_clips_says_what_is_in_it(tmp_path: Path):
    lay(tmp_path / "old", "a.wmv", "b.mpg", ".hidden/c.mp4", "._d.jpg", "d.jpg")
    with pytest.raises(DataError, match=r"no matching clips.*1 \.mpg, 1 \.wmv.*2 files hidden"):
        find_clips(tmp_path / "old")
    with pytest.raises(ClipFilesError, match=r"1 \.wmv"):
        gather([tmp_path / "old"], tmp_path)
    assert [path.name for path in find_photos(tmp_path / "old")] == ["d.jpg"]


def test_nothing_or_too_much_is_one_sentence(tmp_path: Path, zipped: Path):
    letter = tmp_path / "letter.zip"
    letter.write_text("hello")
    with pytest.raises(ClipFilesError, match=r"letter\.zip is no zip file"):
        gather([letter], tmp_path)
    with pytest.raises(ClipFilesError, match="no clip"):
        gather([], tmp_path)
    (tmp_path / "again").mkdir()
    with pytest.raises(ClipFilesError, match="6 clips; at most 5"):
        gather([zipped, zipped], tmp_path / "again", ArchiveLimits(max_files=5))
    (tmp_path / "bytes").mkdir()
    one = sum(entry.file_size for entry in zipfile.ZipFile(zipped).infolist())
    found = gather([zipped, zipped], tmp_path / "bytes", ArchiveLimits(max_bytes=int(1.5 * one)))
    assert len(found.sources) == 3 and "split it" in found.skipped[-1], "the second zip is one too many"
