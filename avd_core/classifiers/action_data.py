"""The labelled clips that the bundled action classifier learns from, and their distilled images.

Parts go by person, scene or time of day, never at random: `train`, `choose` (what settles the recipe and the
temperature) and `report` (looked at once).

Axes: N clips, V views (windows) of each, S side.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from avd_core.data.datasets import DataError, find_clips, read_split
from avd_core.networks.avd import AVD, to_tensor

PARTS = ("train", "choose", "report")
SIZE = 112
LONGEST_WINDOW = 4.0  # seconds


@dataclass(frozen=True)
class ActionSet:
    """One folder of labelled clips below `$AVD_DATA`.

    Attributes:
        name: of the folder.
        labels: class folder -> what people read; a translation of the folder's name, nothing more.
        about: where the clips come from and under which licence, for the model card.
        split: how the parts are cut, for the model card.
        parts: globs of the `choose` and `report` parts; the split file of that name decides where this is None.
    """

    name: str
    labels: Mapping[str, str]
    about: str
    split: str
    parts: Mapping[str, Sequence[str]] | None = None


SETS = (
    ActionSet(
        "gestures",
        {
            "arabic": "signing 'Arabic'",
            "eat": "signing 'eat'",
            "go": "signing 'go'",
            "hi": "signing 'hi'",
            "please": "signing 'please'",
            "sleep": "signing 'sleep'",
            "uae": "signing 'UAE'",
            "university": "signing 'university'",
            "what": "signing 'what'",
            "you": "signing 'you'",
        },
        about="ten Arabic sign gestures by ten people (7abushahla/MLR511), no licence stated",
        split="people 09 and 10 report",
    ),
    ActionSet(
        "surveillance",
        {"fight": "fight", "noFight": "people, no fight"},
        about="fights and other scenes in the wild (seymanurakti/fight-detection-surv-dataset), MIT",
        split="the last 20 files of each class report; what resembles them is left out of training",
    ),
    ActionSet(
        "yoga",
        {
            "bhujangasan": "yoga: cobra pose",
            "child_s_pose": "yoga: child's pose",
            "padmasana": "yoga: lotus pose",
            "parvatasana": "yoga: mountain pose",
            "shavasana": "yoga: corpse pose",
            "trikonasana": "yoga: triangle pose",
        },
        about="six poses in one place on one day (DarshilPungalia/Major-Project), no licence stated",
        split="what was filmed after 15:15 reports; same place and perhaps same people, so this is easy",
        parts={
            "choose": ("*/*20250127150[5-9]*", "*/*20250127151[0-4]*"),
            "report": ("*/*20250127151[5-9]*", "*/*2025012715[2-5]*"),
        },
    ),
    ActionSet(
        "falls",
        {"fall": "a fall", "adl": "daily life, no fall"},
        about="staged falls and daily life of four people (ekramalam/GMDCSA24), MIT",
        split="person 1 reports",
        parts={"choose": ("*/Subject_2_*",), "report": ("*/Subject_1_*",)},
    ),
)


@dataclass(frozen=True)
class Example:
    """One labelled clip."""

    path: Path
    set_name: str
    label: str
    part: str


def gather(data: Path, splits: Path, limit: int | None = None) -> list[Example]:
    """List the labelled clips below `data`, set by set; `limit` keeps that many of each class and part.

    Raises:
        DataError: when no set is there, or one that is there lacks a class, a part or its split file.
    """
    examples = []
    for action_set in SETS:
        folder = data / action_set.name
        if not folder.is_dir():
            continue
        split = splits / f"{action_set.name}.json"
        if action_set.parts is None:
            globs = {"train": read_split(split, ["train"]), "choose": read_split(split, ["choose"]),
                     "report": read_split(split, ["test"])}  # fmt: skip
            parts = {part: set(find_clips(folder, patterns)) for part, patterns in globs.items()}
        else:
            parts = {part: set(find_clips(folder, patterns)) for part, patterns in action_set.parts.items()}
            parts["train"] = set(find_clips(folder)) - parts["choose"] - parts["report"]
        for name, label in action_set.labels.items():
            for part in ("train", "choose", "report"):
                paths = sorted(path for path in parts[part] if path.parent.name == name)
                if not paths:
                    raise DataError(f"{action_set.name}/{name} has no clips in its part {part!r}.")
                examples += [Example(path, action_set.name, label, part) for path in paths[:limit]]
    if not examples:
        raise DataError(f"None of the sets {', '.join(s.name for s in SETS)} is below the data folder {data.name!r}.")
    return examples


def distill(examples: Sequence[Example], model: AVD, *, views: int, cache: Path | None, seed: int = 0) -> np.ndarray:
    """Return distilled images (N,V,S,S,3), 8 bit, squashed to squares; all zero for a clip that cannot be read.

    The first view is the default window of `video.read_clip`, the others are random windows of 60 to 100 % of it.
    With a `cache` folder, what was made before by the same weights is read from there.
    """
    made = []
    for name in dict.fromkeys(example.set_name for example in examples):
        group = [example for example in examples if example.set_name == name]
        names = [f"{example.path.parent.name}/{example.path.name}" for example in group]
        file = None if cache is None else cache / f"{name}-{model.fingerprint}-{views}x{SIZE}-{seed}.npz"
        if file is not None and file.is_file():
            with np.load(file) as kept:
                if kept["names"].tolist() == names:
                    made.append(kept["images"])
                    continue
        images = []
        for number, example in enumerate(group, 1):
            images.append(distilled_views(example.path, model, views, np.random.default_rng((seed, number))))
            if number % 25 == 0 or number == len(group):
                print(f"\rdistilled {number} of {len(group)} clips of {name}", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        made.append(np.stack(images))
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            np.savez(file, images=made[-1], names=np.array(names))
    return np.concatenate(made)


@torch.inference_mode()
def distilled_views(path: Path, model: AVD, views: int, rng: np.random.Generator) -> np.ndarray:
    from avd_core.classifiers.loading import squash
    from avd_core.media.video import VideoError, read_clip

    device = next(model.parameters()).device
    frames, size = model.config.frames, model.config.size
    try:
        first = read_clip(path, frames=frames, size=size)
        length = min(first.source.seconds, LONGEST_WINDOW)
        windows = [first]
        for _ in range(views - 1):
            seconds = length * rng.uniform(0.6, 1)
            windows.append(
                read_clip(
                    path,
                    frames=frames,
                    size=size,
                    start=rng.uniform(0, first.source.seconds - seconds),
                    seconds=seconds,
                )
            )
    except VideoError as error:
        warnings.warn(f"Skipped {path.name}: {error}", stacklevel=2)
        return np.zeros((views, SIZE, SIZE, 3), np.uint8)
    clips = torch.cat([to_tensor(window.frames) for window in windows])
    images = squash(model.encode(clips.to(device)), SIZE).clamp(-1, 1)
    return images.add(1).mul(127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()
