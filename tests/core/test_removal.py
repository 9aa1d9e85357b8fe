"""Nothing is deleted that is not proven to be this program's: precious files beside, inside and under links."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from avd_core.atomic_io import remove_leftovers
from avd_core.classifiers import weights
from avd_core.evidence.array_store import Disk
from avd_core.explore.storyboard.files import drop_stale
from avd_core.explore.storyboard.reader import FORMAT, TABLE
from avd_core.removal import MARKER, claim_folder, is_marked, is_report, mark, remove
from avd_core.runs.registry import HOME_MARKER, RUN_MARKER, RunRegistry
from avd_core.training.recognition_head import drop_older
from scripts.space import PROOF, assemble
from tests.repository import ROOT

WORK = "years of work"
LONG_AGO = time.time() - 400 * 24 * 3600


def precious(folder: Path, name: str = "chapter.txt") -> Path:
    """A file of somebody's, old, in a folder that is made for it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(WORK)
    for path in (folder / name, folder):
        os.utime(path, (LONG_AGO, LONG_AGO))
    return folder / name


def owned(folder: Path) -> Path:
    folder.mkdir(parents=True)
    mark(folder)
    return folder


def test_a_marked_folder_goes_with_its_links_and_nothing_behind_them(tmp_path):
    mine, theirs = owned(tmp_path / "mine"), precious(tmp_path / "theirs")
    (mine / "deep").mkdir()
    (mine / "deep" / "link").symlink_to(theirs.parent)
    (mine / "link").symlink_to(theirs.parent)
    (mine / "file").symlink_to(theirs)
    assert remove(mine / "deep", owner=mine) and remove(mine / "file", owner=mine) and is_marked(mine)
    assert remove(mine) and not mine.exists()
    assert theirs.read_text() == WORK


def test_what_nothing_proves_stays(tmp_path):
    theirs, mine = precious(tmp_path / "theirs"), owned(tmp_path / "mine")
    (tmp_path / "linked").symlink_to(mine)
    (mine / "out").symlink_to(theirs.parent)
    borrowed = precious(tmp_path / "borrowed")
    (borrowed.parent / MARKER).symlink_to(mine / MARKER)
    folder_for_marker = precious(tmp_path / "odd")
    (folder_for_marker.parent / MARKER).mkdir()
    assert not remove(theirs.parent)
    assert not remove(theirs, owner=theirs.parent)
    assert not remove(theirs, owner=mine)
    assert not remove(mine / ".." / "theirs", owner=mine)
    assert not remove(mine / "out" / "chapter.txt", owner=mine)
    assert not remove(tmp_path / "linked")
    assert not remove(borrowed.parent) and not remove(folder_for_marker.parent)
    assert all(path.read_text() == WORK for path in (theirs, borrowed, folder_for_marker)) and is_marked(mine)


def test_a_used_folder_is_not_claimed_and_an_empty_one_is(tmp_path):
    theirs = precious(tmp_path / "work")
    claim_folder(theirs.parent)
    claim_folder(tmp_path / "new")
    assert not remove(theirs.parent) and theirs.read_text() == WORK
    assert remove(tmp_path / "new")


# Everything that is swept ---------------------------------------------------------------------------------------


def leftovers(root: Path) -> tuple[Callable[[], object], list[Path]]:
    passing = owned(root / f".checkpoint.{'0' * 12}.part")
    (passing / "model.safetensors").touch()
    part = root / f".checkpoint.{'1' * 12}.part"
    part.touch()
    return lambda: remove_leftovers(root / "checkpoint"), [passing, part]


def runs(root: Path) -> tuple[Callable[[], object], list[Path]]:
    home = RunRegistry(root)
    (root / HOME_MARKER).touch()
    abandoned = root / ("k" * 22)
    abandoned.mkdir()
    (abandoned / RUN_MARKER).touch()
    os.utime(abandoned, (LONG_AGO, LONG_AGO))
    return home.sweep, [abandoned]


def heads(root: Path) -> tuple[Callable[[], object], list[Path]]:
    old, new = root / "classifier-10", root / "classifier-20"
    for folder in (old, new):
        folder.mkdir()
        (folder / "config.json").touch()
        (folder / "model.safetensors").touch()
    return lambda: drop_older(new), [old]


def arrays(root: Path) -> tuple[Callable[[], object], list[Path]]:
    store = Disk(root)
    part = store.folder / f".{'a' * 24}.safetensors.{'0' * 12}.part"
    part.touch()
    precious(store.folder, ".notes.part")
    return lambda: Disk(root), [part]


def downloads(root: Path) -> tuple[Callable[[], object], list[Path]]:
    partial = root / ".net.pth.abcdefgh.partial"
    partial.touch()
    os.utime(partial, (LONG_AGO, LONG_AGO))
    return lambda: weights.sweep(root / "net.pth"), [partial]


def strips(root: Path) -> tuple[Callable[[], object], list[Path]]:
    (root / "images").mkdir()
    (root / TABLE).write_text(json.dumps({"format": FORMAT, "fingerprint": "0"}))
    stale = [root / "images" / "001.png", root / "original.mp4"]
    for path in stale:
        path.touch()
    return lambda: drop_stale(root), stale


def evidence_work(root: Path) -> tuple[Callable[[], object], list[Path]]:
    claim_folder(root / "work")
    (root / "work" / "v1").mkdir()
    return lambda: remove(root / "work"), [root / "work"]


@pytest.mark.parametrize("swept", [leftovers, runs, heads, arrays, downloads, strips, evidence_work])
def test_a_sweep_takes_its_own_and_nothing_of_anybodys(tmp_path, swept):
    root = tmp_path / "root"
    root.mkdir()
    sweep, own = swept(root)
    theirs = [precious(tmp_path), precious(tmp_path / "elsewhere"), *_beside(root, tmp_path / "elsewhere")]
    theirs += [path for path in root.rglob("*") if path.is_file() and not path.is_symlink() and _text(path) == WORK]
    sweep()
    assert not [path for path in own if path.exists()]
    assert [path for path in theirs if path.read_text() != WORK] == []
    assert _links(root)


def _text(path: Path) -> str:
    return path.read_text() if path.stat().st_size < 100 else ""


def _beside(root: Path, elsewhere: Path) -> Iterator[Path]:
    """Precious folders and files under names near to those that are swept, and links to precious ones under them."""
    for name in (
        "thesis", ".checkpoint.old", f".checkpoint.{'2' * 12}.part", "classifier-notes", "classifier-7", "l" * 22,
        ".sync.mine",
    ):  # fmt: skip
        yield precious(root / name)
    for name in (".checkpoint.mine.part", ".net.pth.backup.partial"):
        yield precious(root, name)
    for name in (f".checkpoint.{'3' * 12}.part", "classifier-8", "m" * 22):
        (root / name).symlink_to(elsewhere)
    (root / ".net.pth.aaaaaaaa.partial").symlink_to(elsewhere / "chapter.txt")


def _links(root: Path) -> bool:
    return all(path.exists() for path in root.iterdir() if path.is_symlink())


def test_files_behind_a_linked_folder_stay(tmp_path):
    theirs = precious(tmp_path / "photos", "001.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "images").symlink_to(theirs.parent)
    (tmp_path / "out" / TABLE).write_text(json.dumps({"format": FORMAT, "fingerprint": "0"}))
    drop_stale(tmp_path / "out")
    assert theirs.read_text() == WORK


def test_a_folder_without_our_report_keeps_its_films(tmp_path):
    theirs = precious(tmp_path, "original.mp4")
    for text in ("", "{}", "[1]", "[" * 100_000):
        (tmp_path / TABLE).write_text(text)
        assert not is_report(tmp_path / TABLE, "format")
        drop_stale(tmp_path)
    assert theirs.read_text() == WORK


def test_a_list_that_names_other_peoples_files_deletes_none(tmp_path):
    theirs = precious(tmp_path / "home")
    (tmp_path / "space").mkdir()
    (tmp_path / "space" / "link").symlink_to(theirs.parent)
    (tmp_path / "space.json").write_text(json.dumps({PROOF: [str(theirs), "../home/chapter.txt", "link/chapter.txt"]}))
    assemble(tmp_path / "space")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text(WORK)
    (tmp_path / "thesis.json").write_text(json.dumps(["chapter.txt"]))
    with pytest.raises(ValueError, match="was not put there by this program"):
        assemble(tmp_path / "thesis")
    assert theirs.read_text() == WORK and (tmp_path / "thesis" / "chapter.txt").read_text() == WORK


def test_every_place_that_deletes_stands_in_the_list():
    """`docs/security.md` lists the files that delete or replace, and no others."""
    calls = re.compile(
        r"rmtree\(|\.(unlink|rmdir)\(|os\.replace\(|\.rename\(|shutil\.move\(|(?<![.\w])remove(_files|_leftovers)?\("
    )
    deleting = set()
    for folder in ("avd_core", "app", "scripts", "benchmarks"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if calls.search(path.read_text(encoding="utf-8")):
                deleting.add(path.relative_to(ROOT).as_posix())
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `([\w/]+\.py)` \|", page.partition("## What deletes")[2], re.MULTILINE))
    assert listed == deleting
