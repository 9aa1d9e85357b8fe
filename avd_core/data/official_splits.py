"""The official lists of UCF101, HMDB51 and Kinetics, each read into a `ClipDataset`.

A list defines the clips of a part and their labels; the folder only holds the videos, in class folders as published or
all in one. Clips that a list names but the folder lacks (they vanish from YouTube) are counted in `missing` and
reported in one warning. A list that is not as published is refused with its file and line.

Layouts: UCF101 "Train/Test Splits for Action Recognition" (Soomro, Zamir, Shah, arXiv 1212.0402): `classInd.txt`,
`trainlist01.txt` to `testlist03.txt`. HMDB51 (Kuehne et al., ICCV 2011): `<class>_test_split<1-3>.txt`, a 1 behind a
training clip, a 2 behind a test clip, a 0 behind one left out. Kinetics (Kay et al., arXiv 1705.06950): a CSV with
`label,youtube_id,time_start,time_end,split`, clips named `<id>_<start>_<end>.mp4` with six digits each.

Example:
    dataset = ucf101("UCF-101", "ucfTrainTestlist", split=1, part="train", frames=16, size=112, as_clip=True)
    for clip, label, name in DataLoader(dataset, batch_size=8, shuffle=True, num_workers=4):
        ...  # clip: (8,3,16,112,112) in [-1, 1]
    sampler = ClipSampler([UnlabelledClips(dataset)], frames=16, crop=112, batch_size=8)  # to train a model
"""

from __future__ import annotations

import csv
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from avd_core.data.datasets import UNLABELLED, ClipDataset, DataError
from avd_core.media.clip_names import CLIP_SUFFIXES, is_leftover

SPLITS = (1, 2, 3)
_KINETICS_COLUMNS = ("youtube_id", "time_start", "time_end")


def ucf101(
    videos: str | Path, lists: str | Path, *, split: int = 1, part: str = "train", **reading: Any
) -> ClipDataset:
    """Read a part of UCF101.

    Args:
        videos: folder of `<class>/v_<class>_gNN_cNN.avi` (or of the files alone).
        lists: folder of `classInd.txt` and the split lists.
        split: 1, 2 or 3.
        part: "train" or "test".
        reading: `frames`, `size` and `as_clip` of the `ClipDataset`.

    Raises:
        DataError: when a list is not as published, or none of its clips is there.
    """
    _require(split, SPLITS, "split of UCF101")
    _require(part, ("train", "test"), "part of UCF101")
    classes: list[str] = []
    for where, line in _lines(Path(lists) / "classInd.txt"):
        number, *words = line.split()
        if number != str(len(classes) + 1) or len(words) != 1 or words[0] in classes:
            raise DataError(f"{where}: expected '{len(classes) + 1} <a new class>', not {line!r}.")
        classes += words
    # The archive, its lists and its mirrors differ between HandstandPushups and HandStandPushups.
    labels = {name.casefold(): label for label, name in enumerate(classes)}
    listed = []
    for where, line in _lines(Path(lists) / f"{part}list{split:02d}.txt"):
        found = re.fullmatch(r"([^/]+)/([^/]+\.\w+)(?:\s+(\d+))?", line)
        if not found:
            raise DataError(f"{where}: expected '<class>/<clip>.avi' with or without a number, not {line!r}.")
        name, file, number = found.groups()
        label = labels.get(name.casefold())
        if label is None:
            raise DataError(f"{where}: classInd.txt knows no class {name!r}.")
        if number is not None and int(number) != label + 1:
            raise DataError(f"{where}: classInd.txt gives {name!r} the number {label + 1}, not {number}.")
        listed.append((name, file, label))
    folder = _Videos(videos)
    files = [(folder.find(name, file), label) for name, file, label in listed]
    return folder.dataset(files, classes, **reading)


def hmdb51(
    videos: str | Path, lists: str | Path, *, split: int = 1, part: str = "train", **reading: Any
) -> ClipDataset:
    """Read a part of HMDB51; classes are numbered in alphabetical order.

    Args:
        videos: folder of `<class>/<clip>.avi` (or of the files alone).
        lists: folder of `<class>_test_split<split>.txt`.
        split: 1, 2 or 3.
        part: "train", "test" or "unused".
        reading: `frames`, `size` and `as_clip` of the `ClipDataset`.

    Raises:
        DataError: when a list is not as published, or none of its clips is there.
    """
    _require(split, SPLITS, "split of HMDB51")
    flags = {"unused": "0", "train": "1", "test": "2"}
    _require(part, tuple(flags), "part of HMDB51")
    ending = f"_test_split{split}.txt"
    paths = sorted(Path(lists).glob(f"?*{ending}"))
    if not paths:
        raise DataError(f"The folder {Path(lists).name!r} holds no list of HMDB51, '<class>{ending}'.")
    classes = [path.name.removesuffix(ending) for path in paths]
    folder = _Videos(videos)
    files = []
    for label, (name, path) in enumerate(zip(classes, paths, strict=True)):
        for where, line in _lines(path):
            found = re.fullmatch(r"([^/]+?)\s+([012])", line)
            if not found:
                raise DataError(f"{where}: expected '<clip>.avi' and 0, 1 or 2, not {line!r}.")
            if found[2] == flags[part]:
                files.append((folder.find(name, found[1]), label))
    return folder.dataset(files, classes, **reading)


def kinetics(videos: str | Path, table: str | Path, *, part: str | None = None, **reading: Any) -> ClipDataset:
    """Read a part of Kinetics; classes are those of the whole table in alphabetical order, for every part.

    Args:
        videos: folder that holds `<id>_<start>_<end>.mp4` at any depth, in class folders or not.
        table: the CSV; without a column `label`, as for a test set, every clip is `UNLABELLED`.
        part: value of the column `split` of the clips, such as "train"; None takes every row.
        reading: `frames`, `size` and `as_clip` of the `ClipDataset`.

    Raises:
        DataError: when the table is not as published, or none of its clips is there.
    """
    path = Path(table)
    rows = list(_kinetics_rows(path, with_part=part is not None))
    parts = {row.part for row in rows if row.part is not None}
    listed = [row for row in rows if part is None or row.part == part]
    if not listed and parts:
        raise DataError(f"{path.name} names no clips of the part {part!r}; its parts are {', '.join(sorted(parts))}.")
    if not listed:
        raise DataError(f"{path.name} is an empty table of clips.")
    return _kinetics_dataset(_Videos(videos), listed, {row.label for row in rows}, **reading)


def kinetics_parts(videos: str | Path, tables: Sequence[str | Path], **reading: Any) -> dict[str, ClipDataset]:
    """Read every part that the tables name, all with the same classes: those of all tables.

    Args:
        videos: as for `kinetics`.
        tables: CSV files, such as the published train.csv and validate.csv.
        reading: `frames`, `size` and `as_clip` of the `ClipDataset`.

    Raises:
        DataError: when a table is not as published, or none of the clips of a part is there.
    """
    rows = [row for table in tables for row in _kinetics_rows(Path(table), with_part=True)]
    folder = _Videos(videos)
    classes = {row.label for row in rows}
    parts = dict.fromkeys(row.part for row in rows if row.part is not None)
    return {
        part: _kinetics_dataset(folder, [row for row in rows if row.part == part], classes, **reading) for part in parts
    }


class _Row(NamedTuple):
    """A row of a Kinetics table; `label` and `part` are None where it has no such column."""

    file: str
    label: str | None
    part: str | None


def _kinetics_rows(path: Path, *, with_part: bool) -> Iterator[_Row]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as text:
            rows = csv.DictReader(text, strict=True)
            needed = [*_KINETICS_COLUMNS, *(["split"] if with_part else [])]
            lacking = [name for name in needed if name not in (rows.fieldnames or ())]
            if lacking:
                raise DataError(f"{path.name}, line 1: a table of Kinetics has a column {lacking[0]!r}.")
            labelled = "label" in (rows.fieldnames or ())
            for row in rows:
                identity, label = row["youtube_id"], row.get("label")
                try:
                    start, end = int(row["time_start"]), int(row["time_end"])
                    if not 0 <= start < end or not identity or "/" in identity or (labelled and not label):
                        raise ValueError
                except (TypeError, ValueError):
                    raise DataError(
                        f"{path.name}, line {rows.line_num}: expected a label, a YouTube id and two times in whole "
                        f"seconds, not {','.join(str(row[name]) for name in row)!r}."
                    ) from None
                yield _Row(f"{identity}_{start:06d}_{end:06d}.mp4", label, row.get("split"))
    except csv.Error as error:
        raise DataError(f"{path.name}, line {rows.reader.line_num}: this is no CSV, {error}.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path.name} cannot be read as a table of Kinetics: {error}.") from error


def _kinetics_dataset(folder: _Videos, rows: Sequence[_Row], classes: set[str | None], **reading: Any) -> ClipDataset:
    names = sorted(name for name in classes if name is not None)
    labels = {name: label for label, name in enumerate(names)}
    files = [(folder.find_anywhere(row.file), UNLABELLED if row.label is None else labels[row.label]) for row in rows]
    return folder.dataset(files, names, **reading)


class _Videos:
    """The videos of a folder, listed once: looking up each of half a million names on the disk takes far longer."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise DataError(f"There is no folder {str(folder)!r} to take clips from.")
        self._paths: dict[str, str] = {}
        self._by_name: dict[str, str] = {}
        for parent, folders, files in os.walk(self.folder):
            folders[:] = sorted(name for name in folders if not is_leftover([name]))
            for file in files:
                if not is_leftover([file]) and Path(file).suffix.lower() in CLIP_SUFFIXES:
                    path = (Path(parent) / file).relative_to(self.folder).as_posix()
                    self._paths[path] = path
                    self._paths.setdefault(path.casefold(), path)
                    self._by_name.setdefault(file, path)

    def find(self, name: str, file: str) -> str | None:
        """Find a clip in the folder of its class or in the set's folder, if need be with other capitals in its name."""
        places = (f"{name}/{file}", file)
        candidates = (*places, *(place.casefold() for place in places))
        return next((self._paths[place] for place in candidates if place in self._paths), None)

    def find_anywhere(self, file: str) -> str | None:
        """Find a clip by its file name, which is unique in the whole set."""
        return self._by_name.get(file)

    def dataset(self, files: Sequence[tuple[str | None, int]], classes: Sequence[str], **options: Any) -> ClipDataset:
        """Return a dataset of the files that are there; raise `DataError` if there are none."""
        if not files:
            raise DataError("The lists name no clips of the part that is asked for.")
        held = [(path, label) for path, label in files if path is not None]
        missing = len(files) - len(held)
        if not held:
            raise DataError(f"The folder {self.folder.name!r} holds none of the {len(files)} clips of the list.")
        if missing:
            warnings.warn(f"{missing} of {len(files)} clips are not in the folder {self.folder.name!r}.", stacklevel=3)
        return ClipDataset(self.folder, held, classes, missing=missing, **options)


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """Return ("<file>, line <n>", line) for each line that is not empty, also with Windows line ends, as in UCF101.

    Raises:
        DataError: the file cannot be read as text, or is empty.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path.name} cannot be read as a list of clips: {error}.") from error
    if not any(line.strip() for line in lines):
        raise DataError(f"{path.name} is an empty list of clips.")
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield f"{path.name}, line {number}", line.strip()


def _require(value: object, choices: Sequence[object], what: str) -> None:
    if value not in choices:
        raise DataError(f"There is no {what} called {value!r}; choose one of {', '.join(map(str, choices))}.")
