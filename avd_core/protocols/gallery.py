"""What all protocols look at: clips read once, their images by every representation, what classifiers see in those.

A *representation* makes of a clip one picture, or a few in order where it is a ceiling. Everything is kept: 16 frames
of 112 px are 0.6 MB a clip.

Axes: T frames, K pictures, H, W; N clips, D features.
"""

from __future__ import annotations

import itertools
import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from avd_core.damages import DAMAGES
from avd_core.datasets import find_clips, read_split
from avd_core.distillers import DISTILLERS, Distiller, distiller
from avd_core.video import VideoError, read_clip

if TYPE_CHECKING:
    from avd_core.classifiers import Classifier
    from avd_core.model import AVD

PARTS = ("train", "choose", "test")
ORDERED_FRAMES = 8  # pictures that the ceiling sees, in order
BATCH = 4  # more would be slower on a CPU

Sampling = tuple[int, int]  # frames, short side in pixels


class EvidenceError(ValueError):
    """Evidence that cannot be had, with a sentence saying why."""


# Which clips --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Clips:
    """The clips of one part of a split.

    Attributes:
        folder: where they lie.
        part: which part they are.
        paths: the files, sorted.
        groups: the group of each, or None where the split names none.
    """

    folder: Path
    part: str
    paths: tuple[Path, ...]
    groups: tuple[str, ...] | None

    def name(self, index: int) -> str:
        """The path of a clip relative to the folder."""
        return self.paths[index].relative_to(self.folder).as_posix()

    def label(self, index: int) -> str:
        """The class of a clip: the folder it lies in."""
        return self.name(index).rpartition("/")[0]

    def limited(self, count: int) -> Clips:
        """At most `count` clips of each class, evenly spaced among them."""
        classes: dict[str, list[int]] = {}
        for index in range(len(self.paths)):
            classes.setdefault(self.label(index), []).append(index)
        kept = sorted(
            members[place]
            for members in classes.values()
            for place in np.linspace(0, len(members) - 1, min(count, len(members))).round().astype(int)
        )
        groups = tuple(self.groups[index] for index in kept) if self.groups else None
        return replace(self, paths=tuple(self.paths[index] for index in kept), groups=groups)


def select_clips(folder: str | Path, split: str | Path | None, part: str) -> Clips:
    """Takes one part of a split; all clips without one.

    A split is a JSON file with lists of globs `train`, `choose` and `test` and, optionally, `group`: a regular
    expression whose first group (or whole match) in a clip's relative path is the clip's group; or a list of lists of
    relative paths that belong together, a clip in none of them being a group by itself.

    Raises:
        ValueError: no such clips or split; a clip in two parts; a clip without a group.
    """
    folder = Path(folder)
    if split is None:
        return Clips(folder, "all", tuple(find_clips(folder)), None)
    patterns = {name: read_split(split, [name]) for name in PARTS}
    if not patterns[part]:
        raise EvidenceError(f"{Path(split).name} names no clips to {part} on.")
    members = {name: find_clips(folder, globs) if globs else [] for name, globs in patterns.items()}
    for other in PARTS:
        shared = set(members[part]) & set(members[other])
        if other != part and shared:
            raise EvidenceError(f"{min(shared).name} is both in {part} and in {other} of {Path(split).name}.")
    clips = Clips(folder, part, tuple(members[part]), None)
    regex = json.loads(Path(split).read_text(encoding="utf-8")).get("group")
    if regex is None:
        return clips
    if isinstance(regex, list):
        first = {name: together[0] for together in regex for name in together}
        return replace(clips, groups=tuple(first.get(name, name) for name in map(clips.name, range(len(clips.paths)))))
    try:
        matches = [re.search(regex, clips.name(index)) for index in range(len(clips.paths))]
    except (re.error, TypeError) as error:
        raise EvidenceError(f"The group of {Path(split).name} is no regular expression: {error}.") from error
    if None in matches:
        raise EvidenceError(f"The group {regex!r} finds nothing in {clips.name(matches.index(None))}.")
    return replace(clips, groups=tuple(match[match.re.groups and 1] for match in matches))


# What is made of them -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Skipped:
    """A clip that cannot be read, and why."""

    clip: str
    reason: str


@dataclass(frozen=True)
class Entry:
    """A clip of the gallery.

    Attributes:
        name: relative path; below its set's name where there are several sets.
        set_name: the folder it was found in.
        part: of its split.
        label: its class.
        group: the person or video it is of; None where the split says nothing.
        frames: sampling -> uint8 (T, H, W, 3).
    """

    name: str
    set_name: str
    part: str
    label: str
    group: str | None
    frames: Mapping[Sampling, np.ndarray]


@dataclass(frozen=True)
class Representation:
    """What is made of a clip.

    Attributes:
        sampling: the frames it wants.
        pictures: uint8 (T, H, W, 3) -> (K, H, W, 3), K mostly 1.
        directed: whether it may look at the direction of time at all. The middle frame may not: with an even number
            of frames, which frame is the middle one would give the direction away.
    """

    sampling: Sampling
    pictures: Callable[[np.ndarray], np.ndarray]
    directed: bool = True


def ordered_frames(frames: np.ndarray) -> np.ndarray:
    """A few frames in order, evenly spaced, and the same ones when the clip runs backwards: (K, H, W, 3)."""
    count, half = len(frames), ORDERED_FRAMES // 2
    begin = np.floor((np.arange(half) + 0.5) * count / ORDERED_FRAMES - 0.5).clip(0).astype(int)
    return frames[np.concatenate([begin, count - 1 - begin[::-1]])]


def adjacent_frame(frames: np.ndarray) -> np.ndarray:
    """The frame after the middle one: as near to it as another picture of the clip comes."""
    return frames[min(len(frames) // 2 + 1, len(frames) - 1)]


def real_frames(frames: np.ndarray) -> np.ndarray:
    """Two different frames out of the middle half, drawn by the clip: (2, H, W, 3).

    Out of the middle, where distilled images are at home: at its ends a clip shows other poses, and a critic would
    tell the pose instead of the picture.
    """
    count = len(frames)
    middle = np.arange(count)[count // 4 : max(count // 4 + 2, count - count // 4)]
    rng = np.random.default_rng(zlib.crc32(np.ascontiguousarray(frames).data))
    return frames[rng.choice(middle, 2, replace=False)] if len(middle) > 1 else frames[[0, 0]]


def _one(make: Distiller) -> Callable[[np.ndarray], np.ndarray]:
    return lambda frames: make(frames)[None]


class Gallery:
    """The clips that could be read, and everything that is made of them, made when first asked for.

    Attributes:
        entries: the clips, of all parts.
        reported: the part that figures are told of.
        contenders: names of the checkpoints.
        models: the checkpoints by those names.
        representations: everything by name; `baselines` are the ones beside which a contender stands.
        sampling: of all that is no checkpoint.
    """

    def __init__(self, entries: Sequence[Entry], models: Mapping[str, AVD], reported: str) -> None:
        self.entries = tuple(entries)
        self.models = dict(models)
        self.reported = reported
        self.contenders = tuple(models)
        self.sampling = samplings(models)[0]
        self.baselines = tuple(DISTILLERS)
        self.representations: dict[str, Representation] = {
            **{
                name: Representation((m.config.frames, m.config.size), _one(distiller(m))) for name, m in models.items()
            },
            **{
                name: Representation(self.sampling, _one(make), directed=name != "middle")
                for name, make in DISTILLERS.items()
            },
            "adjacent": Representation(self.sampling, _one(adjacent_frame)),
            "ordered frames": Representation(self.sampling, ordered_frames),
            **{
                f"real {frames}x{size}": Representation((frames, size), lambda frames: real_frames(frames)[:1])
                for frames, size in samplings(models)
            },
            "other real": Representation(self.sampling, lambda frames: real_frames(frames)[1:]),
        }
        if set(models) & {*DISTILLERS, "adjacent", "ordered frames", "other real"}:
            raise EvidenceError(f"A checkpoint may not be called like one of {', '.join(DISTILLERS)}.")
        self._pictures: dict[tuple[str, int], np.ndarray] = {}
        self._seen: dict[tuple[str, str, bool, str, int], tuple[np.ndarray, np.ndarray]] = {}

    def real_beside(self, name: str) -> str:
        """The representation that is a real frame of the size of `name`; no checkpoint: of the first one's."""
        wanted = self.representations.get(name)
        frames, size = wanted.sampling if wanted else self.sampling
        return f"real {frames}x{size}"

    def members(self, *parts: str) -> np.ndarray:
        """The numbers of the clips of these parts (by default of the reported one)."""
        wanted = parts or (self.reported,)
        return np.array([i for i, entry in enumerate(self.entries) if entry.part in wanted], dtype=int)

    def groups(self, members: np.ndarray) -> list[str] | None:
        """The group of each clip, or None where no split names any; a clip without one is its own group."""
        if all(self.entries[i].group is None for i in members):
            return None
        return self.folds(members)

    def folds(self, members: np.ndarray) -> list[str]:
        """What must stay together in a cross-validation: the group, else the clip by itself."""
        return [
            f"{entry.set_name}/{entry.group}" if entry.group is not None else entry.name
            for entry in (self.entries[i] for i in members)
        ]

    def labels(self, members: np.ndarray) -> np.ndarray:
        """The class of each clip."""
        return np.array([self.entries[i].label for i in members])

    def pictures(self, name: str, index: int, *, reverse: bool = False) -> np.ndarray:
        """The pictures (K, H, W, 3) that a representation makes of a clip, or of the clip played backwards."""
        wanted = self.representations[name]
        frames = self.entries[index].frames[wanted.sampling]
        if reverse and wanted.directed:
            return wanted.pictures(np.ascontiguousarray(frames[::-1]))
        if (name, index) not in self._pictures:
            self._pictures[name, index] = wanted.pictures(frames)
        return self._pictures[name, index]

    def image(self, name: str, index: int) -> np.ndarray:
        """The only picture (H, W, 3) that a representation makes of a clip."""
        return self.pictures(name, index)[0]

    def features(
        self, scorer: Classifier, name: str, members: np.ndarray, *, reverse: bool = False, damage: str = "png"
    ) -> np.ndarray:
        """What the frozen classifier sees in each clip's pictures, one after the other: (N, K * D)."""
        self._look(scorer, name, members, reverse, damage)
        return np.stack([self._seen[scorer.name, name, reverse, damage, i][0].ravel() for i in members])

    def logits(self, scorer: Classifier, name: str, members: np.ndarray, *, damage: str = "png") -> np.ndarray:
        """What the unchanged classifier says of each clip's only picture: (N, classes)."""
        self._look(scorer, name, members, False, damage)
        return np.stack([self._seen[scorer.name, name, False, damage, i][1][0] for i in members])

    def _look(self, scorer: Classifier, name: str, members: np.ndarray, reverse: bool, damage: str) -> None:
        import torch

        from avd_core.model import image_to_tensor

        waiting: list[tuple[int, np.ndarray]] = []
        for i in members:
            if (scorer.name, name, reverse, damage, i) in self._seen:
                continue
            pictures = self.pictures(name, i, reverse=reverse)
            forward = self._seen.get((scorer.name, name, False, damage, i))
            if reverse and forward is not None and np.array_equal(pictures, self.pictures(name, i)[::-1]):
                # The same pictures, turned round; or the only one of what is blind to order: not looked at twice.
                self._seen[scorer.name, name, True, damage, i] = forward[0][::-1], forward[1][::-1]
                continue
            waiting += [(i, DAMAGES[damage](picture)) for picture in pictures]
        found: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
        for _, run in itertools.groupby(waiting, key=lambda pair: pair[1].shape):
            for batch in _batches(run):
                with torch.inference_mode():
                    features, logits = scorer.embed(torch.cat([image_to_tensor(picture) for _, picture in batch]))
                for (i, _), *pair in zip(batch, features.cpu().numpy(), logits.cpu().numpy(), strict=True):
                    found.setdefault(i, []).append(tuple(pair))
        for i, pairs in found.items():
            kept = tuple(np.stack(arrays) for arrays in zip(*pairs, strict=True))
            self._seen[scorer.name, name, reverse, damage, i] = kept


def _batches(items: Iterator[Any]) -> Iterator[list[Any]]:
    while batch := list(itertools.islice(items, BATCH)):
        yield batch


def samplings(models: Mapping[str, AVD]) -> list[Sampling]:
    """What the checkpoints want read, each once; the first is that of the first checkpoint."""
    return list(dict.fromkeys((model.config.frames, model.config.size) for model in models.values()))


def read_entries(sets: Sequence[Clips], wanted: Sequence[Sampling]) -> Iterator[Entry | Skipped]:
    """Reads every clip, whole; yields it, or why it cannot be read."""
    several = len({clips.folder for clips in sets}) > 1
    for clips in sets:
        set_name = clips.folder.resolve().name
        for index, path in enumerate(clips.paths):
            name = f"{set_name}/{clips.name(index)}" if several else clips.name(index)
            label = f"{set_name}/{clips.label(index)}" if several else clips.label(index)
            try:
                frames = {one: read_clip(path, frames=one[0], size=one[1], whole=True).frames for one in wanted}
            except VideoError as error:
                yield Skipped(name, str(error))
            else:
                group = clips.groups[index] if clips.groups else None
                yield Entry(name, set_name, clips.part, label, group, frames)
