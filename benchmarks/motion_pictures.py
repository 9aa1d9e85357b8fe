"""Which picture of the movement is read better than the middle frame? `python -m benchmarks.motion_pictures`.

Pictures made without a network (`avd_core.analysis.motion_pictures`), each at three strengths, of the clip as taken and
with the camera held still, are compared with the middle frame and the other baselines. A linear probe on the features
of each of two frozen classifiers predicts the class, fitted on other films or people. Only training clips are used:
those of JHMDB-21 (HMDB51's split 1) whose films have no clip on the other side, films held out in five folds, and
people 01-08 of the gestures, each held out in turn.

Computing the features takes long; they are stored under `runs/`, so that a run that was stopped, or ended by
`--seconds`, continues when called again. It prints Markdown.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from avd_core.analysis import baselines
from avd_core.analysis.camera_motion import hold_camera
from avd_core.analysis.intervals import intervals
from avd_core.analysis.motion_pictures import MOTION_PICTURES, fading_strobe
from avd_core.classifiers.loading import Classifier
from avd_core.data.clip_sets import Clips, select_clips, select_official
from avd_core.data.datasets import ClipDataset
from avd_core.evidence.array_store import Disk, clip_key
from avd_core.evidence.protocols.linear_probe import Probe, Samples, group_folds
from avd_core.evidence.runner import SCORERS, load_scorers
from avd_core.networks.avd import image_to_tensor

FRAMES, SIZE = 16, 112
ORDERED = [2, 6, 9, 13]  # frames of the ceiling
STRENGTHS = (0.25, 0.5, 1.0)
FOLDS = 5  # of films; of the people each is left out once
REPETITIONS = ("R01", "R03", "R05", "R07")  # of the ten of each gesture and person
BATCH = 4
LEVEL = 0.95
SPLITS = Path(__file__).parent / "splits"


@dataclass(frozen=True)
class Variant:
    """A way to make a picture.

    Attributes:
        name: in the table.
        make: uint8 (T, H, W, 3) -> (H, W, 3), or (K, H, W, 3) for several pictures in order.
        held: whether the camera is held still first.
    """

    name: str
    make: Callable[[np.ndarray], np.ndarray]
    held: bool = False

    @property
    def key(self) -> str:
        return f"{self.name}{', camera held' if self.held else ''}"


MIDDLE = Variant("middle frame", baselines.middle_frame)


def variants(*, moving_camera: bool) -> list[Variant]:
    """Return all pictures to test, the middle frame first."""
    pictures = [
        Variant(f"{name} {strength:g}", partial(make, strength=strength), held)
        for held in ((False, True) if moving_camera else (False,))
        for name, make in MOTION_PICTURES.items()
        if not (held and name.startswith("steady"))  # a camera that was held still is steady
        for strength in STRENGTHS
    ]
    others = [
        Variant("mean frame", baselines.mean_frame),
        Variant("four ordered frames", lambda frames: frames[ORDERED]),
    ]
    return [MIDDLE, *others, *pictures]


def both_ways() -> list[Variant]:
    """Return the picture that shows time, of the clip forwards and backwards; of 15 frames, which have one middle."""
    return [
        Variant(
            f"fading-strobe {strength:g}, {way}",
            lambda frames, s=strength, step=step: fading_strobe(frames[1:][::step], s),
        )
        for strength in STRENGTHS
        for way, step in (("forwards", 1), ("backwards", -1))
    ]


@dataclass(frozen=True)
class ClipSet:
    """Clips to test on, with the number of groups that are held out at a time and whether the camera moves."""

    name: str
    clips: Clips
    folds: int
    moving_camera: bool


def clip_sets(root: Path, limit: int | None = None) -> list[ClipSet]:
    """Return the training clips of both sets; of JHMDB at most `limit` of each class, evenly spaced."""
    test, train = select_official("hmdb51", root / "jhmdb" / "hmdb51", ["1"], fitting=True)
    unseen = [index for index, film in enumerate(train.groups) if film not in set(test.groups)]
    jhmdb = _subset(train, unseen).limited(limit or len(unseen))
    parts = [select_clips(root / "gestures", SPLITS / "gestures.json", part) for part in ("train", "choose")]
    some = [
        _subset(part, [i for i, path in enumerate(part.paths) if path.stem.endswith(REPETITIONS)]) for part in parts
    ]
    paths, groups = (sum((getattr(part, name) for part in some), ()) for name in ("paths", "groups"))
    gestures = Clips(root / "gestures", "train", paths, groups)
    return [
        ClipSet("JHMDB-21", jhmdb, FOLDS, moving_camera=True),
        ClipSet("gestures", gestures, len(set(groups)), moving_camera=False),
    ]


def _subset(clips: Clips, kept: Sequence[int]) -> Clips:
    labels = tuple(clips.label(index) for index in kept)
    return Clips(
        clips.folder, clips.part, tuple(clips.paths[i] for i in kept), tuple(clips.groups[i] for i in kept), labels
    )


# Looking ------------------------------------------------------------------------------------------------------


def look(clips: Clips, requested: Sequence[Variant], scorers: Sequence[Classifier], store: Disk) -> Iterator[int]:
    """Compute and store the features of every variant of every clip; yield the number of each clip that took work."""
    inside = [(path.relative_to(clips.folder).as_posix(), 0) for path in clips.paths]
    files = ClipDataset(clips.folder, inside, ["-"], frames=FRAMES, size=SIZE)
    for number, path in enumerate(clips.paths):
        clip = clip_key(path, files.names[number])
        lacking = store.lacks(clip, [_key(scorer, variant) for scorer in scorers for variant in requested])
        wanted = [variant for variant in requested if lacking & {_key(scorer, variant) for scorer in scorers}]
        if not wanted:
            continue
        frames = files.read(number)
        held = hold_camera(frames) if any(variant.held for variant in wanted) else frames
        made = [variant.make(held if variant.held else frames) for variant in wanted]
        sheets = [picture[None] if picture.ndim == 3 else picture for picture in made]
        found = {}
        for scorer in scorers:
            features = computed_features(scorer, np.concatenate(sheets))
            ends = np.cumsum([len(sheet) for sheet in sheets])[:-1]
            found |= {
                _key(scorer, variant): rows.ravel()
                for variant, rows in zip(wanted, np.split(features, ends), strict=True)
            }
        store.put(clip, found)
        yield number


def features_of(clips: Clips, scorer: Classifier, variant: Variant, store: Disk) -> np.ndarray:
    """Return the stored features of a variant: (N, D)."""
    folder = clips.folder.absolute().name
    names = [clip_key(path, f"{folder}/{path.relative_to(clips.folder).as_posix()}") for path in clips.paths]
    return np.stack([store.get(name, _key(scorer, variant)) for name in names])


def _key(scorer: Classifier, variant: Variant) -> str:
    return f"{scorer.name}|{variant.key}|{FRAMES}x{SIZE}"


def computed_features(scorer: Classifier, pictures: np.ndarray) -> np.ndarray:
    """Return features (K, D) of pictures (K, H, W, 3)."""
    in_bf16 = scorer.device.type == "cpu" and torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    parts = [pictures[begin : begin + BATCH] for begin in range(0, len(pictures), BATCH)]
    with torch.inference_mode(), torch.autocast(scorer.device.type, torch.bfloat16, enabled=in_bf16):
        features = [scorer.embed(torch.cat([image_to_tensor(one) for one in part]))[0] for part in parts]
    return torch.cat(features).float().numpy()


# Reading ------------------------------------------------------------------------------------------------------


def hits(chosen: ClipSet, scorer: Classifier, shown: Sequence[Variant], labels: np.ndarray, store: Disk) -> np.ndarray:
    """Return 1 for each clip that a probe, fitted on other films or people, classifies correctly, else 0: (N,).

    With several variants each gives a sample of every clip, with `labels` (variants, N), and the result is the share of
    a clip's samples that are classified correctly.
    """
    clips = chosen.clips
    key = f"hits|{scorer.name}|{'|'.join(variant.key for variant in shown)}|{FRAMES}x{SIZE}"
    place = f"hits|{chosen.name}|{len(clips.paths)}"
    found = store.get(place, key)
    if found is None:
        features = np.stack([features_of(clips, scorer, variant, store) for variant in shown])
        found = np.zeros(labels.shape)
        groups = np.array(clips.groups)
        for fit, held_out in group_folds(clips.groups, count=chosen.folds):
            samples = Samples(
                features[:, fit].reshape(-1, features.shape[-1]),
                labels[:, fit].ravel(),
                np.tile(groups[fit], len(shown)),
            )
            predicted = Probe(samples).predict(features[:, held_out].reshape(-1, features.shape[-1]))
            found[:, held_out] = (predicted == labels[:, held_out].ravel()).reshape(len(shown), -1)
        store.put(place, {key: found})
    return found.mean(axis=0)


def table(sets: Sequence[ClipSet], scorers: Sequence[Classifier], store: Disk) -> Iterator[str]:
    """Return a line for each picture: its accuracy with each scorer on each set, and the gain over the middle frame."""
    columns = [(chosen, scorer) for chosen in sets for scorer in scorers]
    rows: dict[str, dict[int, np.ndarray]] = {}
    for number, (chosen, scorer) in enumerate(columns):
        labels = np.array([chosen.clips.label(index) for index in range(len(chosen.clips.paths))])[None]
        for variant in variants(moving_camera=chosen.moving_camera):
            rows.setdefault(variant.key, {})[number] = hits(chosen, scorer, [variant], labels, store)
    comparisons = sum(len(found) for name, found in rows.items() if name != MIDDLE.key)
    yield "| picture |" + "".join(f" {chosen.name}, {scorer.name} |" for chosen, scorer in columns)
    yield "|---|" + "---|" * len(columns)
    for name, found in rows.items():
        cells = []
        for number, (chosen, _) in enumerate(columns):
            if number not in found:
                cells.append("")
                continue
            middle = None if name == MIDDLE.key else rows[MIDDLE.key][number]
            cells.append(cell(found[number], middle, chosen.clips.groups, comparisons))
        yield f"| {name} | " + " | ".join(cells) + " |"
    yield ""
    yield footnote(comparisons)


def cell(found: np.ndarray, middle: np.ndarray | None, groups: Sequence[str] | None, comparisons: int) -> str:
    """Format the accuracy of `found` (N,), 0 or 1 each, and its difference to that of the `middle` frame (N,)."""
    text = f"{100 * found.mean():.1f}"
    if middle is None:
        return text
    plain, judged = intervals(found - middle, groups, levels=(LEVEL, 1 - (1 - LEVEL) / comparisons))
    text += f" ({100 * plain.mean:+.1f} [{100 * plain.low:+.1f}, {100 * plain.high:+.1f}])"
    return f"**{text}**" if judged.low > 0 else f"*{text}*" if judged.high < 0 else text


def footnote(comparisons: int) -> str:
    """Return a sentence that explains a table's cells."""
    return (
        f"Per cent of clips; in brackets the paired difference to the middle frame with its {LEVEL:.0%} interval over "
        "films or people, or over clips if there are fewer than five of these. Bold: above the middle frame, italic: "
        f"below it, by the interval corrected for {comparisons} comparisons."
    )


def order_table(sets: Sequence[ClipSet], scorers: Sequence[Classifier], store: Disk) -> Iterator[str]:
    """Return a line for each strength of the picture that shows time: the accuracy for the direction of time."""
    columns = [(chosen, scorer) for chosen in sets for scorer in scorers]
    yield "| forwards or backwards |" + "".join(f" {chosen.name}, {scorer.name} |" for chosen, scorer in columns)
    yield "|---|" + "---|" * len(columns)
    ways = both_ways()
    for pair in zip(ways[::2], ways[1::2], strict=True):
        cells = []
        for chosen, scorer in columns:
            labels = np.repeat([["forwards"], ["backwards"]], len(chosen.clips.paths), axis=1)
            accuracy = intervals(hits(chosen, scorer, pair, labels, store), chosen.clips.groups, levels=(LEVEL,))[0]
            cells.append(f"{100 * accuracy.mean:.1f} [{100 * accuracy.low:.1f}, {100 * accuracy.high:.1f}]")
        yield f"| {pair[0].name.rpartition(',')[0]} | " + " | ".join(cells) + " |"


def main() -> int:
    """Compute features within the time limit; print the tables once all are there."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.motion_pictures", description=__doc__.split("\n")[0])
    parser.add_argument("--work", type=Path, default=Path("runs/motion-pictures"), metavar="DIR", help="%(default)s")
    parser.add_argument("--limit", type=int, metavar="N", help="at most N clips of each class of JHMDB (default: all)")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="of looking, then stop (default: no end)")
    args = parser.parse_args()
    if not os.environ.get("AVD_DATA"):
        print("Set AVD_DATA to the folder of clips that checkpoints/README.md names.", file=sys.stderr)
        return 2
    ends = time.monotonic() + args.seconds
    store, scorers, sets = Disk(args.work), load_scorers(SCORERS), clip_sets(Path(os.environ["AVD_DATA"]), args.limit)
    for chosen in sets:
        requested = [*variants(moving_camera=chosen.moving_camera), *both_ways()]
        for number in look(chosen.clips, requested, scorers, store):
            if time.monotonic() > ends:
                print(
                    f"{chosen.name}: {number + 1} of {len(chosen.clips.paths)} clips are done; call again to continue."
                )
                return 0
    for chosen in sets:
        films = len(set(chosen.clips.groups))
        print(f"{chosen.name}: {len(chosen.clips.paths)} training clips, {films} groups, {chosen.folds} folds.  ")
    print("", *table(sets, scorers, store), "", *order_table(sets, scorers, store), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
