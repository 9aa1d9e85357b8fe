"""Recognise actions in checkpoints' images: `python -m benchmarks.images_read --checkpoints base exposure`.

Images are compared with the middle frame, the guide target of `exposure` (a picture of the movement), and four frames
in order. A linear probe on the features of a frozen classifier is fitted on training clips and tested on clips that
neither checkpoints nor probe were trained on: JHMDB-21 (HMDB51's split 1; films on both sides are not fitted on),
gestures of people 09 and 10 by those of 01 to 08, and Weizmann's, each person left out once. Clips are whole, 16 frames
of 112 px. A second table has the restoration gain. A stopped run continues when called again.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from avd_core.analysis.metrics import quality
from avd_core.analysis.motion_pictures import MOTION_PICTURES
from avd_core.classifiers.loading import Classifier
from avd_core.data.clip_sets import Clips, select_clips, select_official
from avd_core.data.datasets import ClipDataset
from avd_core.evidence.array_store import Disk, clip_key
from avd_core.evidence.protocols.linear_probe import Probe, Samples, group_folds
from avd_core.evidence.runner import SCORERS, load_scorers
from avd_core.networks.avd import AVD
from avd_core.networks.inference import distill, restore
from benchmarks.motion_pictures import (
    FRAMES,
    MIDDLE,
    ORDERED,
    SIZE,
    SPLITS,
    Variant,
    cell,
    clip_sets,
    features_of,
    footnote,
    look,
)

PICTURE, STRENGTH = "steady-exposure", 0.5


@dataclass(frozen=True)
class ReadSet:
    """Test clips, and clips to fit a probe on; without these, each group of the test clips is left out once."""

    name: str
    test: Clips
    fit: Clips | None


def read_sets(root: Path) -> list[ReadSet]:
    """Return the test clips of the three sets, and those to fit on."""
    jhmdb, gestures = (chosen.clips for chosen in clip_sets(root))
    test, _ = select_official("hmdb51", root / "jhmdb" / "hmdb51", ["1"], fitting=True)
    return [
        ReadSet("JHMDB-21", test, jhmdb),
        ReadSet("gestures", select_clips(root / "gestures", SPLITS / "gestures.json", "test"), gestures),
        ReadSet("weizmann", select_clips(root / "weizmann", SPLITS / "weizmann.json", "test"), None),
    ]


def variants(models: Sequence[AVD]) -> list[Variant]:
    """Return the pictures to test, the middle frame first."""
    return [
        MIDDLE,
        Variant(f"{PICTURE} {STRENGTH:g}", lambda frames: MOTION_PICTURES[PICTURE](frames, STRENGTH)),
        Variant("four ordered frames", lambda frames: frames[ORDERED]),
        *(Variant(_name(model), lambda frames, model=model: distill(model, frames)) for model in models),
    ]


def _name(model: AVD) -> str:
    return f"image of {model.name} ({model.fingerprint})"


def hits(chosen: ReadSet, scorer: Classifier, variant: Variant, store: Disk) -> np.ndarray:
    """Return 1 for each clip that is classified correctly, else 0: (N,)."""
    features, labels = features_of(chosen.test, scorer, variant, store), _labels(chosen.test)
    if chosen.fit is not None:
        fitted = features_of(chosen.fit, scorer, variant, store)
        probe = Probe(Samples(fitted, _labels(chosen.fit), np.array(chosen.fit.groups)))
        return (probe.predict(features) == labels).astype(float)
    found, groups = np.zeros(len(labels)), np.array(chosen.test.groups)
    for fit, held_out in group_folds(chosen.test.groups, count=len(set(chosen.test.groups))):
        probe = Probe(Samples(features[fit], labels[fit], groups[fit]))
        found[held_out] = probe.predict(features[held_out]) == labels[held_out]
    return found


def _labels(clips: Clips) -> np.ndarray:
    return np.array([clips.label(index) for index in range(len(clips.paths))])


def gains(clips: Clips, model: AVD, store: Disk) -> np.ndarray:
    """Return each clip's restoration gain over its mean frame, from the 8-bit image, in dB: (N,)."""
    inside = [(path.relative_to(clips.folder).as_posix(), 0) for path in clips.paths]
    files = ClipDataset(clips.folder, inside, ["-"], frames=FRAMES, size=SIZE)
    key, found = f"gain|{model.fingerprint}|{FRAMES}x{SIZE}", np.zeros(len(clips.paths))
    for number, path in enumerate(clips.paths):
        name = clip_key(path, files.names[number])
        kept = store.get(name, key)
        if kept is None:
            frames = files.read(number)
            figures = quality(frames, restore(model, distill(model, frames)))
            kept = np.array([figures.psnr - figures.psnr_mean_copy])
            store.put(name, {key: kept})
        found[number] = kept[0]
    return found


def table(sets: Sequence[ReadSet], scorers: Sequence[Classifier], models: Sequence[AVD], store: Disk) -> Iterator[str]:
    """Return a line for each picture: its accuracy, and the difference to that of the middle frame."""
    columns = [(chosen, scorer) for chosen in sets for scorer in scorers]
    shown = variants(models)
    found = {
        (variant.key, column): hits(chosen, scorer, variant, store)
        for variant in shown
        for column, (chosen, scorer) in enumerate(columns)
    }
    comparisons = len(found) - len(columns)
    yield "| picture |" + "".join(f" {chosen.name}, {scorer.name} |" for chosen, scorer in columns)
    yield "|---|" + "---|" * len(columns)
    for variant in shown:
        cells = [
            cell(
                found[variant.key, column],
                None if variant is MIDDLE else found[MIDDLE.key, column],
                chosen.test.groups,
                comparisons,
            )
            for column, (chosen, _) in enumerate(columns)
        ]
        yield f"| {variant.name} | " + " | ".join(cells) + " |"
    yield ""
    yield footnote(comparisons)
    yield ""
    yield "| restored over the mean frame, dB | " + " | ".join(chosen.name for chosen in sets) + " |"
    yield "|---|" + "---|" * len(sets)
    for model in models:
        cells = [f"{gains(chosen.test, model, store).mean():+.2f}" for chosen in sets]
        yield f"| {_name(model)} | " + " | ".join(cells) + " |"


def main() -> int:
    """Compute all features, fit and test the probes, and print both tables."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.images_read", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--checkpoints", nargs="+", default=["base", "exposure"], metavar="NAME", help="%(default)s")
    parser.add_argument("--sets", nargs="+", metavar="NAME", help="of JHMDB-21, gestures, weizmann (default: all)")
    parser.add_argument("--work", type=Path, default=Path("runs/motion-pictures"), metavar="DIR", help="%(default)s")
    args = parser.parse_args()
    if not os.environ.get("AVD_DATA"):
        print("Set AVD_DATA to the folder of clips that checkpoints/README.md names.", file=sys.stderr)
        return 2
    store, scorers = Disk(args.work), load_scorers(SCORERS)
    models = [AVD.from_pretrained(name) for name in args.checkpoints]
    sets = [one for one in read_sets(Path(os.environ["AVD_DATA"])) if not args.sets or one.name in args.sets]
    shown = variants(models)
    with torch.inference_mode():
        for clips in (clips for one in sets for clips in (one.fit, one.test) if clips is not None):
            for number in look(clips, shown, scorers, store):
                print(f"\r{clips.folder.name}: {number + 1} of {len(clips.paths)}", end="", file=sys.stderr)
        for one in sets:
            fitted = f", fitted on {len(one.fit.paths)}" if one.fit else ", each person left out once"
            print(f"{one.name}: {len(one.test.paths)} clips of {len(set(one.test.groups))} groups{fitted}.  ")
        print("", *table(sets, scorers, models, store), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
