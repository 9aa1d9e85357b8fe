"""Select the clips of an evaluation: the parts of a split, their classes and their groups.

A folder of classes is split by a JSON file of globs; UCF101, HMDB51 and Kinetics by their official lists. The *group*
of a clip is the person or the source video it comes from: all clips of one group lie on one side of every comparison.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from avd_core.data.datasets import ClipDataset, find_clips, read_split
from avd_core.media.clip_names import classes_of

T = TypeVar("T")

PARTS = ("train", "choose", "test")
DATASETS = {"folder": "a folder of classes", "ucf101": "UCF101", "hmdb51": "HMDB51", "kinetics": "Kinetics"}
# Where each set's lists lie beside its videos when both archives are unpacked in one place.
LISTS = {"ucf101": ("ucfTrainTestlist",), "hmdb51": ("testTrainMulti_7030_splits", "test_train_splits")}
FIRST_LIST = {"ucf101": "classInd.txt", "hmdb51": "*_test_split?.txt"}
# What a file's name says of its source: UCF101 "v_<class>_g<group>_c<clip>"; HMDB51 "<video>_<class>_<visible parts>_
# <camera>_<people>_<view>_<quality>_<number>"; Kinetics "<YouTube id>_<start>_<end>".
_UCF_GROUP = re.compile(r"v_(.+_g\d+)_c\d+\.\w+$", re.IGNORECASE)
_HMDB_TAIL = re.compile(r"_[fhlu]_(?:nm|cm)_np\d+_(?:ba|fr|le|ri)_(?:bad|goo|med)_\d+\.\w+$")
_KINETICS_CLIP = re.compile(r"^(.+)_\d{6}_\d{6}\.\w+$")


class EvidenceError(ValueError):
    """An evaluation cannot run; the message says why, in one sentence."""


@dataclass(frozen=True)
class Clips:
    """The clips of one part of a split.

    Attributes:
        folder: of the set.
        part: name of the part.
        paths: the files, in a fixed order.
        groups: the group of each; None if the split names none.
        labels: the class of each; None if it is the first folder of the path.
        missing: number of clips that the lists name but the folder lacks.
        names: of each, as shown to users; None if it is the path relative to the folder.
    """

    folder: Path
    part: str
    paths: tuple[Path, ...]
    groups: tuple[str, ...] | None
    labels: tuple[str, ...] | None = None
    missing: int = 0
    names: tuple[str, ...] | None = None

    def name(self, index: int) -> str:
        """Return a clip's name, by default its path relative to the folder."""
        return self.names[index] if self.names else self.paths[index].relative_to(self.folder).as_posix()

    def label(self, index: int) -> str:
        """Return a clip's class."""
        return self.labels[index] if self.labels else self.name(index).rpartition("/")[0].partition("/")[0]

    def limited(self, count: int) -> Clips:
        """Return at most `count` clips of each class, evenly spaced among them."""
        classes: dict[str, list[int]] = {}
        for index in range(len(self.paths)):
            classes.setdefault(self.label(index), []).append(index)
        kept = sorted(
            members[place]
            for members in classes.values()
            for place in np.linspace(0, len(members) - 1, min(count, len(members))).round().astype(int)
        )

        def those(values: tuple[T, ...]) -> tuple[T, ...]:
            return tuple(values[index] for index in kept)

        return replace(
            self,
            paths=those(self.paths),
            groups=those(self.groups) if self.groups else None,
            labels=those(self.labels) if self.labels else None,
            names=those(self.names) if self.names else None,
        )


@dataclass(frozen=True)
class SharedGroups:
    """Groups (people or source videos) with clips on both sides of a split, as in HMDB51's official lists.

    Attributes:
        groups: their number.
        clips: number of reported clips of such groups.
        clips_to_fit_on: number of other clips of such groups.
    """

    groups: int
    clips: int
    clips_to_fit_on: int


def shared_groups(sets: Sequence[Clips], part: str) -> SharedGroups | None:
    """Count the groups of the reported part that have clips in another part too; None if none has or none is known.

    Args:
        sets: parts of one or more folders.
        part: the reported part.
    """
    sides: tuple[list[tuple[Path, str]], list[tuple[Path, str]]] = ([], [])
    for clips in sets:
        sides[clips.part != part].extend((clips.folder, group) for group in clips.groups or ())
    reported, others = sides
    shared = set(reported) & set(others)
    if not shared:
        return None
    return SharedGroups(len(shared), *(sum(group in shared for group in side) for side in (reported, others)))


def select_sets(
    folders: Sequence[Path], splits: Sequence[Path] | None, part: str, *, fitting: bool, group: str | None = None
) -> list[Clips]:
    """Return the reported part of every folder of classes; if `fitting`, also the parts before it that are not empty.

    Raises:
        ValueError: as `select_clips`, or if there is not one split for each folder.
    """
    if splits is not None and len(splits) != len(folders):
        raise EvidenceError(f"There are {len(folders)} folders and {len(splits)} splits; each folder needs its own.")
    sets = []
    each: Sequence[Path | None] = splits or [None] * len(folders)
    for folder, split in zip(folders, each, strict=True):
        sets.append(select_clips(folder, split, part, group))
        for earlier in PARTS[: PARTS.index(part)] if fitting and split is not None else ():
            try:
                sets.append(select_clips(folder, split, earlier, group))
            except EvidenceError:  # the split has no such clips
                continue
    return sets


def select_clips(folder: str | Path, split: str | Path | None, part: str, group: str | None = None) -> Clips:
    """Return one part of a split of a folder of classes; without a split, all clips.

    A split is a JSON file with lists of globs `train`, `choose` and `test` and, optionally, `group`: a regular
    expression whose first group (or whole match) in a clip's relative path is the clip's group, or a list of lists of
    relative paths that belong together; a clip in none of these is a group by itself. The argument `group` overrides
    the split's.

    Raises:
        ValueError: no such clips or split; a clip in two parts; a clip without a group.
    """
    folder = Path(folder)
    every = find_clips(folder)
    label = dict(zip(every, classes_of([path.relative_to(folder).parts for path in every]), strict=True))
    if split is None:
        return grouped(Clips(folder, "all", tuple(every), None, tuple(label.values())), group)
    patterns = {name: read_split(split, [name]) for name in PARTS}
    if not patterns[part]:
        raise EvidenceError(f"{Path(split).name} names no clips to {part} on.")
    members = {name: find_clips(folder, globs) if globs else [] for name, globs in patterns.items()}
    for other in PARTS:
        shared = set(members[part]) & set(members[other])
        if other != part and shared:
            raise EvidenceError(f"{min(shared).name} is both in {part} and in {other} of {Path(split).name}.")
    clips = Clips(folder, part, tuple(members[part]), None, tuple(label[path] for path in members[part]))
    named = json.loads(Path(split).read_text(encoding="utf-8")).get("group")
    if group is None and isinstance(named, list):
        first = {name: together[0] for together in named for name in together}
        return replace(clips, groups=tuple(first.get(name, name) for name in map(clips.name, range(len(clips.paths)))))
    return grouped(clips, group if group is not None else named, of=Path(split).name)


def grouped(clips: Clips, regex: str | None, of: str = "--group") -> Clips:
    """Return the clips with the groups that a regular expression finds in their relative paths.

    Raises:
        EvidenceError: the expression is invalid, or does not match a clip's path.
    """
    if regex is None:
        return clips
    try:
        pattern = re.compile(regex)
    except (re.error, TypeError) as error:
        raise EvidenceError(f"The group of {of} is no regular expression: {error}.") from error
    groups = []
    for name in map(clips.name, range(len(clips.paths))):
        match = pattern.search(name)
        if match is None:
            raise EvidenceError(f"The group {regex!r} finds nothing in {name}.")
        groups.append(match[min(pattern.groups, 1)])
    return replace(clips, groups=tuple(groups))


# The official sets --------------------------------------------------------------------------------------------


def select_official(
    dataset: str,
    folder: str | Path,
    splits: Sequence[str | Path],
    *,
    fitting: bool,
    group: str | None = None,
    lists: str | Path | None = None,
) -> list[Clips]:
    """Return the reported part of UCF101, HMDB51 or Kinetics; if `fitting`, also the training part.

    The reported part of UCF101 and HMDB51 is `test`. Of Kinetics, whose test labels are not public, it is all of the
    tables but `train`. There is no part for model selection: probes choose among the training videos.

    Args:
        dataset: a key of `DATASETS`, but "folder".
        folder: the videos.
        splits: number of the split (UCF101, HMDB51), or the CSV files, each with one part or all (Kinetics).
        fitting: whether to return the training part too.
        group: regular expression that replaces the set's groups: class and group of UCF101, source video of HMDB51
            and Kinetics.
        lists: folder of the lists, if it lies neither in nor beside the videos' folder.

    Raises:
        ValueError: the lists are missing or not as published, or none of their clips is there.
    """
    found = official_videos(dataset, folder, splits, ["test", "train"] if fitting else ["test"], lists=lists)
    return [
        grouped(_clips(dataset, videos, part), group) if group else _clips(dataset, videos, part)
        for part, videos in found.items()
    ]


def official_videos(
    dataset: str,
    folder: str | Path,
    splits: Sequence[str | Path],
    parts: Sequence[str],
    *,
    lists: str | Path | None = None,
) -> dict[str, ClipDataset]:
    """Return the videos of `parts` (`train`, `test`) of UCF101, HMDB51 or Kinetics, which may lack `train`.

    Raises:
        ValueError: as `select_official`.
    """
    if dataset == "kinetics":
        return _kinetics(Path(folder), [Path(split) for split in splits], parts)
    number = str(splits[0]) if len(splits) == 1 else ""
    if number not in ("1", "2", "3"):
        raise EvidenceError(f"{DATASETS[dataset]} has the official splits 1, 2 and 3: --split takes one of them.")
    where = Path(lists) if lists else _lists(dataset, Path(folder))
    return {part: _official(dataset, folder, where, int(number), part) for part in parts}


def _official(dataset: str, folder: str | Path, lists: Path, split: int, part: str) -> ClipDataset:
    from avd_core.data import official_splits

    with warnings.catch_warnings(action="ignore"):  # `missing` counts them
        return getattr(official_splits, dataset)(folder, lists, split=split, part=part)


def _lists(dataset: str, folder: Path) -> Path:
    """Find the folder of a set's lists: inside the videos' folder, beside it, or one of the two itself."""
    roots = (folder, folder.resolve().parent)
    places = [root / name for root in roots for name in LISTS[dataset]] + list(roots)
    for place in places:
        if place.is_dir() and next(place.glob(FIRST_LIST[dataset]), None):
            return place
    raise EvidenceError(
        f"The lists of {DATASETS[dataset]} are neither in {folder.name} nor beside it: put the folder "
        f"{LISTS[dataset][0]} there, or name it with --lists."
    )


def _kinetics(folder: Path, tables: Sequence[Path], parts: Sequence[str]) -> dict[str, ClipDataset]:
    from avd_core.data.official_splits import kinetics_parts

    if not tables:
        raise EvidenceError("Kinetics is split by its CSV files: name them with --split, such as train.csv val.csv.")
    with warnings.catch_warnings(action="ignore"):
        found = kinetics_parts(folder, tables)
    train = found.pop("train", None)
    if "test" not in parts:
        if train is None:
            raise EvidenceError("The tables name no clips to train on: name the CSV that does, such as train.csv.")
        return {"train": train}
    if not found:
        raise EvidenceError(
            "The tables name clips to train on only: add the CSV of those that report, such as val.csv."
        )
    if len(found) > 1:
        raise EvidenceError(f"The tables name several parts that could report, {', '.join(found)}: leave all but one.")
    reported = next(iter(found.values()))
    if not reported.classes:
        raise EvidenceError("The table of the clips that report has no labels; take that of the validation part.")
    return {"test": reported} | ({"train": train} if train is not None and "train" in parts else {})


def _clips(dataset: str, videos: ClipDataset, part: str) -> Clips:
    return Clips(
        folder=videos.folder,
        part=part,
        paths=tuple(videos.folder / file for file in videos.files),
        groups=tuple(source_of(dataset, Path(file).name, Path(file).parent.name) for file in videos.files),
        labels=tuple(videos.classes[label] for label in videos.labels),
        missing=videos.missing,
    )


def source_of(dataset: str, file: str, folder: str = "") -> str:
    """Return the group of an official clip by its file name: the recording it was cut from, else the file itself.

    Args:
        dataset: a key of `DATASETS`.
        file: name of the file.
        folder: name of its folder, which is its class.
    """
    if dataset == "ucf101" and (found := _UCF_GROUP.search(file)):
        return found[1].casefold()  # the same group in two spellings
    if dataset == "hmdb51" and (found := _HMDB_TAIL.search(file)):
        return file[: found.start()].removesuffix(f"_{folder}")
    if dataset == "kinetics" and (found := _KINETICS_CLIP.search(file)):
        return found[1]
    return file
