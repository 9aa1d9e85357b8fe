"""Clips handed in as files, folders and zips."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from avd_core.data.clip_files import ClipFilesError, gather
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
