"""avd train-action: train the bundled action classifier on distilled images of real clips.

First on the `train` part of every set, which gives the temperature on its `choose` part; then again on both together.
The `report` part is looked at once, at the end, through the window that a person gets by default; nothing is chosen by
it. Parts go by person, scene or time of day, never at random.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch

from avd_core.classifiers.action_data import SETS, SIZE, Example, distill, gather
from avd_core.classifiers.action_net import ACTION, ActionClassifier, ActionConfig, ClassifierError
from avd_core.classifiers.action_training import Recipe, Score, class_logits, epochs, fit_temperature, score
from avd_core.networks import checkpoint
from avd_core.networks.avd import AVD


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `avd train-action`."""
    default_data = os.environ.get("AVD_DATA")
    parser.add_argument("--data", type=Path, default=default_data, required=default_data is None, metavar="DIR",
                        help="folder of the labelled sets (default: $AVD_DATA)")  # fmt: skip
    parser.add_argument("--splits", type=Path, default=Path("benchmarks/splits"), metavar="DIR",
                        help="folder of split files (default: %(default)s)")  # fmt: skip
    parser.add_argument("--checkpoint", default="base", help="what distils the clips (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=checkpoint.BUNDLED_FOLDER / ACTION, metavar="DIR",
                        help="where the classifier goes (default: the bundled one is replaced)")  # fmt: skip
    parser.add_argument("--cache", type=Path, metavar="DIR", help="scratch folder that keeps the distilled images")
    parser.add_argument("--views", type=int, default=3, help="windows distilled of each clip (default: %(default)s)")
    parser.add_argument("--limit", type=int, metavar="N", help="only N clips of each class and part, for a quick try")
    parser.add_argument("--device", default="cpu", help="default: %(default)s")
    for option in fields(Recipe):
        kind = type(option.default)
        how: dict[str, Any] = {"action": argparse.BooleanOptionalAction} if kind is bool else {"type": kind}
        name = f"--{option.name.replace('_', '-')}"
        parser.add_argument(name, default=option.default, help="default: %(default)s", **how)


@dataclass(frozen=True)
class _Images:
    """Distilled images (N,V,S,S,3), what they are of, and their class numbers (N,)."""

    examples: Sequence[Example]
    images: np.ndarray
    targets: np.ndarray

    def of(self, *parts: str) -> _Images:
        """Return those of the named parts."""
        picks = [number for number, example in enumerate(self.examples) if example.part in parts]
        return _Images([self.examples[number] for number in picks], self.images[picks], self.targets[picks])

    @property
    def first_views(self) -> np.ndarray:
        return self.images[:, 0]


def run(args: argparse.Namespace) -> int:
    """Carry out `avd train-action`."""
    recipe = Recipe(**{option.name: getattr(args, option.name) for option in fields(Recipe)})
    if args.views < 1:
        raise ClassifierError("--views must be at least 1.")
    began = time.perf_counter()
    model = AVD.from_pretrained(args.checkpoint, device=args.device)
    images, labels = _distilled(args, model)
    prepared = time.perf_counter() - began

    began = time.perf_counter()
    choosing, training = images.of("choose"), images.of("train", "choose")
    first = _train(images.of("train"), labels, recipe, args.device, "choosing")
    temperature = fit_temperature(class_logits(first, choosing.first_views), choosing.targets)
    chosen = _measure(first, choosing)
    for line in chosen:
        print(f"choose  {line}")
    final = _train(training, labels, recipe, args.device, "training")
    with torch.no_grad():
        final.head.weight.div_(temperature)
        final.head.bias.div_(temperature)
    seconds = time.perf_counter() - began

    clips = len(training.examples)
    facts = {
        "avd": f"{model.name} ({model.fingerprint})",
        "clips": clips,
        "images": clips * args.views,
        "steps": recipe.epochs * math.ceil(clips / recipe.batch_size),
        "device": str(args.device),
        "prepared": prepared,
        "seconds": seconds,
        "temperature": temperature,
    }
    final.cpu().save_pretrained(args.out)
    kept = ActionClassifier.from_pretrained(args.out)  # what is measured is what ships, after rounding to fp16
    reported = _measure(kept, images.of("report"))
    kept.save_pretrained(args.out, card(kept, recipe, facts, chosen, reported, images.examples))
    for line in reported:
        print(f"report  {line}")
    print(f"{args.out}: {sum(p.numel() for p in kept.parameters()):,} parameters, trained in {seconds:.0f} s")
    return 0


def _distilled(args: argparse.Namespace, model: AVD) -> tuple[_Images, tuple[str, ...]]:
    """Return the images of every readable clip, and the classes."""
    examples = gather(Path(args.data), args.splits, args.limit)
    images = distill(examples, model, views=args.views, cache=args.cache)
    readable = [bool(views.any()) for views in images]
    examples = [example for example, ok in zip(examples, readable, strict=True) if ok]
    present = {example.label for example in examples}
    labels = tuple(label for action_set in SETS for label in action_set.labels.values() if label in present)
    return _Images(examples, images[readable], np.array([labels.index(e.label) for e in examples])), labels


def _train(clips: _Images, labels: tuple[str, ...], recipe: Recipe, device: str, title: str) -> ActionClassifier:
    torch.manual_seed(recipe.seed)
    network = ActionClassifier(ActionConfig(labels, size=SIZE)).to(device)
    for epoch in epochs(network, clips.images, clips.targets, recipe):
        progress = f"\r{title}: epoch {epoch.number} of {recipe.epochs}, loss {epoch.loss:.3f}"
        print(progress, end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return epoch.network


def _measure(network: ActionClassifier, clips: _Images) -> list[Score]:
    return score(class_logits(network, clips.first_views), clips.targets, clips.examples)


def card(
    network: ActionClassifier,
    recipe: Recipe,
    facts: Mapping[str, object],
    chosen: Sequence[Score],
    reported: Sequence[Score],
    examples: Sequence[Example],
) -> str:
    """The model card, from what was measured."""
    present = [s for s in SETS if any(example.set_name == s.name for example in examples)]
    sets = "\n".join(
        f"| `{s.name}` | {sum(e.set_name == s.name and e.part != 'report' for e in examples)} | {s.about} | {s.split} |"
        for s in present
    )
    by_name = {line.set_name: line for line in chosen}
    scores = "\n".join(
        f"| `{line.set_name}` | {100 * line.correct / line.count:.1f} % | {line.count} | {100 / line.classes:.0f} % "
        f"| {100 * by_name[line.set_name].correct / by_name[line.set_name].count:.1f} % "
        f"| {by_name[line.set_name].count} |"
        for line in reported
    )
    unlicensed = [f"`{s.name}`" for s in present if "no licence" in s.about]
    if "cpu" in str(facts["device"]):
        machine = f"CPU ({platform.machine()}), {torch.get_num_threads()} thread(s)"
    else:
        machine = torch.cuda.get_device_name(str(facts["device"]))
    return f"""---
license: mit
library_name: avd-explorer
tags: [image-classification, action-recognition]
---
# Action classifier

A residual network of {sum(p.numel() for p in network.parameters()):,} parameters that names the action in a distilled
image of AVD. It is trained from scratch, and answers where ImageNet weights cannot be had. It is small, knows only
the {len(network.config.labels)} classes below, and gives one of them to any image whatsoever.

{", ".join(network.config.labels)}

## Data

{facts["images"]} images of {facts["clips"]} clips, distilled by the AVD checkpoint {facts["avd"]}, whose own card says
which of them it was trained on.

| set | clips | what | held out |
|---|---|---|---|
{sets}

{"For " + " and ".join(unlicensed) + " no licence is stated." if unlicensed else "All sets state a licence."} No footage
is in these files.

## Training

{facts["steps"]} steps of {recipe.batch_size} images ({recipe.epochs} epochs) on {machine}, {date.today():%Y-%m-%d}:
{facts["seconds"]:.0f} s for two trainings, after {facts["prepared"]:.0f} s of distilling (or reading what was distilled
before). No other network than that AVD had a part in it.
Recipe: {", ".join(f"{key} {value}" for key, value in asdict(recipe).items())}. Logits are divided by
{facts["temperature"]:.2f}, fitted on the people and scenes that chose.

## Results

One image a clip, its default window, named among all {len(network.config.labels)} classes. "Report" was looked at once;
"choose" belongs to a training without those clips.

| set | report | clips | guessing in the set | choose | clips |
|---|---|---|---|---|---|
{scores}

## Limits

These are small sets, each with its own look, so that the set is recognised before the action; the signs are those of
ten masked people before one camera. The figures say nothing about UCF101, HMDB51 or Kinetics, and a probability of this
network is no ground for a decision about anybody, least of all about a fight or a fall.
"""
