"""The labelled clips that train the bundled action classifier: their distilled images, and plain frames.

Clips are split by group and film, as in the official lists of UCF101 and HMDB51, never at random, into the parts
`train`, `choose` (for the recipe, the temperature and the threshold) and `report` (used once).

Axes: N clips, V views (windows) of each, F frames of each, S side.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from avd_core.atomic_io import atomic_file
from avd_core.data.datasets import DataError, find_clips, read_split
from avd_core.networks.avd import AVD, to_tensor

PARTS = ("train", "choose", "report")
SIZE = 112
FRAMES = (8, 2, 13)  # of 16: the middle one, which the page classifies too, and two for training


@dataclass(frozen=True)
class ActionSet:
    """One folder of labelled clips below `$AVD_DATA`.

    Attributes:
        name: of the set.
        folder: of its classes, below the data folder; the split file is called like the last part of it.
        labels: class folder -> label. An action that two sets share has one label.
        about: source and licence of the clips, for the model card.
        split: how the parts are made, for the model card.
        shared: text file below the data folder that lists films with clips on both official sides. Their clips are in
            no part but `report`, and marked there (`Example.shared`).
    """

    name: str
    folder: str
    labels: Mapping[str, str]
    about: str
    split: str
    shared: str | None = None


SETS = (
    ActionSet(
        "ucf101",
        "ucf101/UCF-101",
        {
            "ApplyEyeMakeup": "putting on eye make-up",
            "ApplyLipstick": "putting on lipstick",
            "Archery": "archery",
            "BabyCrawling": "a baby crawling",
            "BalanceBeam": "gymnastics on a beam",
            "BasketballDunk": "playing basketball",
            "CricketBowling": "bowling in cricket",
            "CricketShot": "batting in cricket",
            "HorseRace": "horse racing",
            "PizzaTossing": "tossing pizza dough",
            "PlayingCello": "playing the cello",
            "PlayingPiano": "playing the piano",
            "PlayingViolin": "playing the violin",
            "Surfing": "surfing",
        },
        about="UCF101 (Soomro, Zamir, Shah, 2012), 14 classes, one clip a group; no licence stated",
        split="official split 1 by group: 08-21 train, 22-25 choose, 01-07 report",
    ),
    ActionSet(
        "jhmdb",
        "jhmdb/hmdb51",
        {
            "brush_hair": "brushing hair",
            "catch": "catching a ball",
            "clap": "clapping",
            "climb_stairs": "climbing stairs",
            "golf": "playing golf",
            "jump": "jumping",
            "kick_ball": "kicking a ball",
            "pick": "picking something up",
            "pour": "pouring a drink",
            "pullup": "doing pull-ups",
            "push": "pushing something",
            "run": "running",
            "shoot_ball": "playing basketball",
            "shoot_bow": "archery",
            "shoot_gun": "shooting a gun",
            "sit": "sitting down",
            "stand": "standing up",
            "swing_baseball": "batting in baseball",
            "throw": "throwing a ball",
            "walk": "walking",
            "wave": "waving",
        },
        about="JHMDB-21 (Jhuang et al., ICCV 2013), clips of HMDB51 (Kuehne et al., ICCV 2011), 21 classes; mirrors of "
        "HMDB51 give CC BY 4.0",
        split="HMDB51's split 1 by film; films on both of its sides neither train nor choose",
        shared="jhmdb/films-on-both-sides.txt",
    ),
)

LEFT_OUT = {
    "choose": ("a baby crawling", "brushing hair", "playing golf"),
    "report": ("clapping", "doing pull-ups", "horse racing", "tossing pizza dough"),
}
"""Classes that the first network is not trained on: `choose` fits the threshold, `report` evaluates it."""


@dataclass(frozen=True)
class Example:
    """A labelled clip; `shared` if the official training list has clips of the same film."""

    path: Path
    set_name: str
    label: str
    part: str
    shared: bool = False


def gather(data: Path, splits: Path | None = None, limit: int | None = None) -> list[Example]:
    """List the labelled clips below `data`, set by set; `limit` keeps that many of each class and part.

    Split files lie in `splits`, or in `data/splits`.

    Raises:
        DataError: when no set is there, or one that is there lacks its split file or its training clips.
    """
    examples: list[Example] = []
    for action_set in SETS:
        folder = data / action_set.folder
        if not folder.is_dir():
            continue
        split = (splits or data / "splits") / f"{folder.name}.json"
        shared = _lines(data / action_set.shared) if action_set.shared else ()
        for part, listed in zip(PARTS, ("train", "choose", "test"), strict=True):
            paths = find_clips(folder, read_split(split, [listed]))
            for name, label in action_set.labels.items():
                mine = [path for path in paths if path.parent.name == name]
                if not mine and part == "train":
                    raise DataError(f"{action_set.name}/{name} has no clips to train on.")
                examples += [
                    Example(path, action_set.name, label, part, film_of(path) in shared) for path in mine[:limit]
                ]
    if not examples:
        raise DataError(f"None of the sets {', '.join(s.name for s in SETS)} is below the data folder {data.name!r}.")
    return examples


def film_of(path: Path) -> str:
    """Return the film that a clip of HMDB51 is from: its name before `_<class>_<five codes>_<number>`."""
    return path.stem.rsplit(f"_{path.parent.name}_", 1)[0]


def _lines(path: Path) -> frozenset[str]:
    try:
        return frozenset(path.read_text(encoding="utf-8").split())
    except OSError as error:
        raise DataError(f"{path.name} cannot be read: {error}.") from error


class Pictures(NamedTuple):
    """Pictures of N clips, uint8, resized to squares; zeros for a clip that cannot be read.

    Attributes:
        images: (N,V,S,S,3) distilled images of the default window of `video.read_clip`, and of the whole clip.
        frames: (N,F,S,S,3) frames of the default window, the middle one first.
    """

    images: np.ndarray
    frames: np.ndarray

    def of(self, picks: Sequence[int] | np.ndarray) -> Pictures:
        """Return the pictures of the clips with the numbers `picks`."""
        return Pictures(self.images[picks], self.frames[picks])


def distill(examples: Sequence[Example], model: AVD, cache: Path | None) -> Pictures:
    """Read each clip and distill its windows at 112 px.

    With a `cache` folder, pictures that the same weights made before are read from there, class by class, so that a
    stopped run can continue.
    """
    made: dict[Path, tuple[np.ndarray, np.ndarray]] = {}
    groups: dict[Path, list[Path]] = {}
    for example in examples:
        groups.setdefault(example.path.parent, []).append(example.path)
    for folder, paths in groups.items():
        names = [path.name for path in paths]
        kept = None if cache is None else cache / f"{folder.parent.name}-{folder.name}-{model.fingerprint}-{SIZE}.npz"
        pictures = _load(kept, names) if kept else None
        if pictures is None:
            pairs = [look(path, model) for path in paths]
            pictures = Pictures(*(np.stack(part) for part in zip(*pairs, strict=True)))
            if kept:
                kept.parent.mkdir(parents=True, exist_ok=True)
                with atomic_file(kept) as staging, staging.open("wb") as file:
                    np.savez(file, names=np.array(names), **pictures._asdict())
        made |= dict(zip(paths, zip(*pictures, strict=True), strict=True))
        print(f"\rdistilled {len(made)} of {len(examples)} clips", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return Pictures(*(np.stack(part) for part in zip(*(made[example.path] for example in examples), strict=True)))


def _load(file: Path, names: Sequence[str]) -> Pictures | None:
    """Return the pictures of these clips from a file of the cache, or None where it lacks one of them."""
    if not file.is_file():
        return None
    with np.load(file) as kept:
        rows = {name: row for row, name in enumerate(kept["names"].tolist())}
        if not rows.keys() >= set(names):
            return None
        return Pictures(kept["images"], kept["frames"]).of([rows[name] for name in names])


@torch.inference_mode()
def look(path: Path, model: AVD) -> tuple[np.ndarray, np.ndarray]:
    """Return the distilled images (V,S,S,3) and the frames (F,S,S,3) of one clip."""
    from avd_core.classifiers.loading import squash
    from avd_core.media.video import VideoError, read_clip

    count = model.config.frames
    try:
        window = read_clip(path, frames=count, size=SIZE)
        short = window.seconds >= window.source.seconds  # the window is the whole clip already
        windows = [window] if short else [window, read_clip(path, frames=count, size=SIZE, whole=True)]
    except VideoError as error:
        warnings.warn(f"Skipped {path.name}: {error}", stacklevel=2)
        return np.zeros((2, SIZE, SIZE, 3), np.uint8), np.zeros((len(FRAMES), SIZE, SIZE, 3), np.uint8)
    clips = torch.cat([to_tensor(one.frames) for one in windows])
    images = model.encode(clips.to(next(model.parameters()).device)).cpu()
    count = clips.shape[2]
    frames = clips[0].transpose(0, 1)[[place * count // 16 for place in FRAMES]]
    squashed = squash(torch.cat([images, frames]), SIZE).clamp(-1, 1)
    pictures = squashed.add(1).mul(127.5).round().byte().permute(0, 2, 3, 1).numpy()
    return pictures[[0, len(windows) - 1]], pictures[len(windows) :]
