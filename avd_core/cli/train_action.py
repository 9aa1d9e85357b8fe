"""avd train-action: train the bundled action classifier on frames of real clips and on what checkpoints make of them.

First on the `train` part of every set, without the classes of `LEFT_OUT`: that network gives the temperature and the
threshold below which nothing is named, on the `choose` parts and three of those classes, and is judged on the others.
Then again, on all classes and both parts; temperature and threshold are taken over. The `report` part is looked at
once, at the end, through the window that a person gets by default; nothing is chosen by it.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch

from avd_core.classifiers.action_data import LEFT_OUT, SETS, SIZE, Example, Pictures, distill, gather
from avd_core.classifiers.action_net import ACTION, ActionClassifier, ActionConfig, ClassifierError
from avd_core.classifiers.action_training import (
    Recipe,
    Score,
    calibration_error,
    class_logits,
    epochs,
    fit_temperature,
    fit_threshold,
    score,
)
from avd_core.networks import checkpoint
from avd_core.networks.avd import AVD

CHECKPOINTS = ("base", "exposure")  # the bundled ones whose images people look at
FRAMES = "middle frames"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `avd train-action`."""
    default_data = os.environ.get("AVD_DATA")
    parser.add_argument("--data", type=Path, default=default_data, required=default_data is None, metavar="DIR",
                        help="folder of the labelled sets (default: $AVD_DATA)")  # fmt: skip
    parser.add_argument("--splits", type=Path, metavar="DIR",
                        help="folder of split files (default: splits/ below the data)")  # fmt: skip
    parser.add_argument("--checkpoint", nargs="+", default=list(CHECKPOINTS), metavar="NAME",
                        help=f"what distils the clips (default: {' '.join(CHECKPOINTS)})")  # fmt: skip
    parser.add_argument("--out", type=Path, default=checkpoint.BUNDLED_FOLDER / ACTION, metavar="DIR",
                        help="where the classifier goes (default: the bundled one is replaced)")  # fmt: skip
    parser.add_argument("--cache", type=Path, metavar="DIR",
                        help="scratch folder that keeps the pictures; a stopped run goes on from it")  # fmt: skip
    parser.add_argument("--limit", type=int, metavar="N", help="only N clips of each class and part, for a quick try")
    parser.add_argument("--device", default="cpu", help="default: %(default)s")
    for option in fields(Recipe):
        kind = type(option.default)
        how: dict[str, Any] = {"action": argparse.BooleanOptionalAction} if kind is bool else {"type": kind}
        name = f"--{option.name.replace('_', '-')}"
        parser.add_argument(name, default=option.default, help="default: %(default)s", **how)


@dataclass(frozen=True)
class _Clips:
    """Clips and their pictures, `pictures` by the name of the checkpoint; their frames are the same."""

    examples: Sequence[Example]
    pictures: Mapping[str, Pictures]

    def where(self, wanted: Sequence[bool] | np.ndarray) -> _Clips:
        picks = np.flatnonzero(wanted)
        pictures = {name: of_one.of(picks) for name, of_one in self.pictures.items()}
        return _Clips([self.examples[pick] for pick in picks.tolist()], pictures)

    def of(self, *parts: str) -> _Clips:
        """Return those of the named parts."""
        return self.where([example.part in parts for example in self.examples])

    def labelled(self, labels: Sequence[str]) -> _Clips:
        """Return those of the classes `labels`."""
        return self.where([example.label in labels for example in self.examples])

    def targets(self, labels: Sequence[str]) -> np.ndarray:
        """Return their class numbers (N,), -1 for a class that is not among `labels`."""
        number = {label: place for place, label in enumerate(labels)}
        return np.array([number.get(example.label, -1) for example in self.examples], np.int64)

    def seen(self, network: ActionClassifier) -> dict[str, torch.Tensor]:
        """Return logits (N,K) of what a person gets, by kind: the default window's images and its middle frame."""
        looked_at = {f"images of {name}": of_one.images[:, 0] for name, of_one in self.pictures.items()}
        looked_at[FRAMES] = next(iter(self.pictures.values())).frames[:, 0]
        return {kind: class_logits(network, pictures) for kind, pictures in looked_at.items()}

    def views(self) -> np.ndarray:
        """Return every picture of each clip, 8 bit: (N,V,S,S,3)."""
        images = [of_one.images for of_one in self.pictures.values()]
        return np.concatenate([*images, next(iter(self.pictures.values())).frames], axis=1)


def run(args: argparse.Namespace) -> int:
    """Carry out `avd train-action`."""
    recipe = Recipe(**{option.name: getattr(args, option.name) for option in fields(Recipe)})
    began = time.perf_counter()
    models = {}
    for name in args.checkpoint:
        model = AVD.from_pretrained(name, device=args.device)
        if model.name in models:
            raise ClassifierError(f"Two checkpoints are called {model.name}: rename the folder of one of them.")
        models[model.name] = model
    clips, labels = _read(args, models)
    prepared = time.perf_counter() - began

    began = time.perf_counter()
    first, temperature, threshold, judged = _choose(clips, labels, recipe, args.device)
    training = clips.of("train", "choose")
    final = train(training, labels, recipe, args.device, "training")
    _cool(final, temperature)
    final.config = replace(final.config, threshold=threshold)
    seconds = time.perf_counter() - began

    count = len(training.examples)
    facts = {
        "avd": " and ".join(f"{name} ({model.fingerprint})" for name, model in models.items()),
        "clips": count,
        "steps": recipe.epochs * math.ceil(count / recipe.batch_size),
        "device": str(args.device),
        "prepared": prepared,
        "seconds": seconds,
        "temperature": temperature,
        "known": len(first.config.labels),
    }
    final.cpu().save_pretrained(args.out)
    kept = ActionClassifier.from_pretrained(args.out)  # what is measured is what ships, after rounding to fp16
    report = clips.of("report")
    reported = _measure(kept, report)
    calibration = {
        kind: calibration_error(logits, report.targets(labels)) for kind, logits in report.seen(kept).items()
    }
    kept.save_pretrained(args.out, card(kept, recipe, facts, judged, reported, calibration, clips.examples))
    for line in reported:
        print(f"report  {line}")
    for kind, error in calibration.items():
        print(f"report  {kind}: expected calibration error {error:.3f}")
    print(f"{args.out}: {sum(p.numel() for p in kept.parameters()):,} parameters, trained in {seconds:.0f} s")
    return 0


def _choose(
    clips: _Clips, labels: tuple[str, ...], recipe: Recipe, device: str
) -> tuple[ActionClassifier, float, float, list[Score]]:
    """Train a network without some classes; return it, the temperature and threshold, and how well it refuses."""
    left_out = {label for group in LEFT_OUT.values() for label in group}
    known = tuple(label for label in labels if label not in left_out)
    network = train(clips.of("train").labelled(known), known, recipe, device, "choosing")
    choosing = clips.of("choose").labelled(known)
    seen = choosing.seen(network)
    targets = np.tile(choosing.targets(known), len(seen))
    temperature = fit_temperature(torch.cat([*seen.values()]), targets)
    _cool(network, temperature)
    foreign = clips.of("train", "choose").labelled(LEFT_OUT["choose"])
    threshold = 0.0
    if foreign.examples:
        threshold = fit_threshold(
            torch.cat([*choosing.seen(network).values()]), targets, torch.cat([*foreign.seen(network).values()])
        )
    network.config = replace(network.config, threshold=threshold)
    judged = _measure(network, clips.of("report").labelled(known))
    for label in LEFT_OUT["report"]:
        others = clips.labelled([label])  # all parts: this network was trained on none
        if others.examples:
            judged += [
                score(f"left out: {label}, {kind}", logits, others.targets(known), threshold, 0)
                for kind, logits in others.seen(network).items()
            ]
    for line in [*_measure(network, choosing), *judged]:
        print(f"choose  {line}")
    print(f"choose  temperature {temperature:.2f}, named from a probability of {threshold:.2f}")
    return network, temperature, threshold, judged


def _cool(network: ActionClassifier, temperature: float) -> None:
    with torch.no_grad():
        network.head.weight.div_(temperature)
        network.head.bias.div_(temperature)


def _read(args: argparse.Namespace, models: Mapping[str, AVD]) -> tuple[_Clips, tuple[str, ...]]:
    """Return every readable clip, and the classes."""
    examples = gather(Path(args.data), args.splits, args.limit)
    clips = _Clips(examples, {name: distill(examples, model, args.cache) for name, model in models.items()})
    clips = clips.where(np.asarray(clips.views().any(axis=(1, 2, 3, 4))))
    present = {example.label for example in clips.examples}
    labels = dict.fromkeys(label for action_set in SETS for label in action_set.labels.values() if label in present)
    return clips, tuple(labels)


def train(clips: _Clips, labels: tuple[str, ...], recipe: Recipe, device: str, title: str) -> ActionClassifier:
    torch.manual_seed(recipe.seed)
    network = ActionClassifier(ActionConfig(labels, size=SIZE)).to(device)
    for epoch in epochs(network, clips.views(), clips.targets(labels), recipe):
        progress = f"\r{title}: epoch {epoch.number} of {recipe.epochs}, loss {epoch.loss:.3f}"
        print(progress, end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return epoch.network


def _measure(network: ActionClassifier, clips: _Clips) -> list[Score]:
    """Judge each kind of image and middle frames, set by set, and of films that nothing was trained on."""
    labels, scores = network.config.labels, []
    for action_set in SETS:
        mine = clips.where([example.set_name == action_set.name for example in clips.examples])
        groups = {action_set.name: mine}
        if any(example.seen for example in mine.examples):
            groups[f"{action_set.name}, unseen films"] = mine.where([not example.seen for example in mine.examples])
        classes = len(set(action_set.labels.values()) & set(labels))
        for title, group in groups.items():
            if group.examples:
                scores += [
                    score(f"{title}, {kind}", logits, group.targets(labels), network.config.threshold, classes)
                    for kind, logits in group.seen(network).items()
                ]
    return scores


def card(
    network: ActionClassifier,
    recipe: Recipe,
    facts: Mapping[str, Any],
    judged: Sequence[Score],
    reported: Sequence[Score],
    calibration: Mapping[str, float],
    examples: Sequence[Example],
) -> str:
    """The model card, from what was measured."""
    present = [s for s in SETS if any(example.set_name == s.name for example in examples)]
    sets = "\n".join(
        f"| `{s.name}` | {sum(e.set_name == s.name and e.part != 'report' for e in examples)} | {s.about} | {s.split} |"
        for s in present
    )
    scores = "\n".join(
        f"| {line.title} | {100 * line.correct / line.count:.1f} % | {line.count} | {100 / line.classes:.0f} % | "
        f"{line.refused} | {line.refused_right} |"
        for line in reported
    )
    refusals = "\n".join(
        f"| {line.title} | {line.count} | {line.refused if not line.classes else ''} | "
        f"{line.refused if line.classes else ''} | {line.correct - line.refused_right if line.classes else ''} |"
        for line in judged
    )
    errors = ", ".join(f"{error:.3f} on {kind}" for kind, error in calibration.items())
    if "cpu" in str(facts["device"]):
        machine = f"CPU ({platform.machine()}), {torch.get_num_threads()} thread(s)"
    else:
        machine = torch.cuda.get_device_name(facts["device"])
    count = len(network.config.labels)
    return f"""---
license: mit
library_name: avd-explorer
tags: [image-classification, action-recognition]
---
# Action classifier

A residual network of {sum(p.numel() for p in network.parameters()):,} parameters that names the action in a distilled
image of AVD, or in a frame. It is trained from scratch, and answers where ImageNet weights cannot be had. It is small,
and knows only the {count} actions below. Where the likeliest has a probability below {network.config.threshold:.2f}, it
answers "none of the {count} actions it knows".

**For research and inspection; not for judging or watching people.**

{", ".join(network.config.labels)}

## Data

{facts["clips"]} clips to train on, as they are (three frames of each) and distilled at {SIZE} px (the default window
and the whole clip) by {facts["avd"]}, whose own cards say which of them they were trained on.

| set | clips | what | held out |
|---|---|---|---|
{sets}

An action that both sets hold is one class. No footage is in these files.

## Training

{facts["steps"]} steps of {recipe.batch_size} pictures ({recipe.epochs} epochs) on {machine}, {date.today():%Y-%m-%d}:
{facts["seconds"]:.0f} s for two trainings, after {facts["prepared"]:.0f} s of distilling (or reading what was distilled
before). No other network than these had a part in it.
Recipe: {", ".join(f"{key} {value}" for key, value in asdict(recipe).items())}. Logits are divided by
{facts["temperature"]:.2f}, fitted on the groups and films that chose.

## Results

One window a clip, the default one, named among all {count} classes; looked at once. "Refused" were not named at all,
"though right" are those of them whose likeliest class was the true one.

| set and picture | right | clips | guessing in the set | refused | though right |
|---|---|---|---|---|---|
{scores}

Expected calibration error (10 bins, 0 is best): {errors}.

## None of these

Judged by a first network of {facts["known"]} classes, which saw no clip of {", ".join(LEFT_OUT["choose"])} (these
settled the threshold, beside the clips that chose) nor of {", ".join(LEFT_OUT["report"])} (these judge it).
To refuse those last is right, to refuse a clip of a class that it knows is wrong.

| pictures | clips | right refusals | wrong refusals | named rightly |
|---|---|---|---|---|
{refusals}

## Limits

The clips are from a few hundred films and sports broadcasts; an action looks like its usual place, and is named by it.
The figures are those of small parts of UCF101 and of JHMDB, not comparable with tables of UCF101 or HMDB51. A name that
it gives is no ground for a decision about anybody.
"""
