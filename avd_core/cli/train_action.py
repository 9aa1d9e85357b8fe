"""avd train-action: train the bundled action classifier on frames of real clips, and on checkpoints' images of them.

Two networks are trained. The first sees the `train` part of every set without the classes of `LEFT_OUT`; temperature
and the threshold below which no action is named are fitted with it, on the `choose` parts and on some of those classes,
and the others show how well it refuses. The second, which ships, sees all classes of both parts and takes over
temperature and threshold. The `report` part is used once, at the end, in the window that is the default; nothing is
chosen by it.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from avd_core.classifiers.action_card import Facts, card
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

CHECKPOINTS = ("base", "exposure")  # the bundled ones whose images are made to be looked at
FRAMES = "middle frames"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `avd train-action`."""
    default_data = os.environ.get("AVD_DATA")
    parser.add_argument("--data", type=Path, default=default_data, required=default_data is None, metavar="DIR",
                        help="folder of the labelled sets (default: $AVD_DATA)")  # fmt: skip
    parser.add_argument("--splits", type=Path, metavar="DIR",
                        help="folder of split files (default: splits/ below the data)")  # fmt: skip
    parser.add_argument("--checkpoint", nargs="+", default=list(CHECKPOINTS), metavar="NAME",
                        help=f"what distills the clips (default: {' '.join(CHECKPOINTS)})")  # fmt: skip
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
    """Clips, and their pictures by the name of the checkpoint, all with the same frames."""

    examples: Sequence[Example]
    pictures: Mapping[str, Pictures]

    def where(self, wanted: Sequence[bool] | np.ndarray) -> _Clips:
        """Return those for which `wanted` (N,) holds."""
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

    def logits(self, network: ActionClassifier) -> dict[str, torch.Tensor]:
        """Return the logits (N,K) of the default window's images and of its middle frame, by kind of picture."""
        shown = {f"images of {name}": pictures.images[:, 0] for name, pictures in self.pictures.items()}
        shown[FRAMES] = next(iter(self.pictures.values())).frames[:, 0]
        return {kind: class_logits(network, pictures) for kind, pictures in shown.items()}

    def views(self) -> np.ndarray:
        """Return every picture of each clip, uint8 (N,V,S,S,3)."""
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
    first, temperature, threshold, refusing = _choose(clips, labels, recipe, args.device)
    training = clips.of("train", "choose")
    final = train(training, labels, recipe, args.device, "training")
    _cool(final, temperature)
    final.config = replace(final.config, threshold=threshold)
    seconds = time.perf_counter() - began

    final.cpu().save_pretrained(args.out)
    kept = ActionClassifier.from_pretrained(args.out)  # measure what ships, which is rounded to fp16
    report = clips.of("report")
    reported = _measure(kept, report)
    calibration = {
        kind: calibration_error(logits, report.targets(labels)) for kind, logits in report.logits(kept).items()
    }
    count = len(training.examples)
    facts = Facts(
        avd=" and ".join(f"{name} ({model.fingerprint})" for name, model in models.items()),
        examples=clips.examples,
        clips=count,
        steps=recipe.epochs * math.ceil(count / recipe.batch_size),
        device=str(args.device),
        prepared=prepared,
        seconds=seconds,
        temperature=temperature,
        known=len(first.config.labels),
    )
    kept.save_pretrained(args.out, card(kept, recipe, facts, refusing, reported, calibration))
    for line in reported:
        print(f"report  {line}")
    for kind, error in calibration.items():
        print(f"report  {kind}: expected calibration error {error:.3f}")
    print(f"{args.out}: {sum(p.numel() for p in kept.parameters()):,} parameters, trained in {seconds:.0f} s")
    return 0


def _choose(
    clips: _Clips, labels: tuple[str, ...], recipe: Recipe, device: str
) -> tuple[ActionClassifier, float, float, list[Score]]:
    """Train a network without the classes of `LEFT_OUT`.

    Returns:
        The network, the temperature, the threshold, and how well it refuses what it does not know.
    """
    left_out = {label for group in LEFT_OUT.values() for label in group}
    known = tuple(label for label in labels if label not in left_out)
    network = train(clips.of("train").labelled(known), known, recipe, device, "choosing")
    choosing = clips.of("choose").labelled(known)
    logits = choosing.logits(network)
    targets = np.tile(choosing.targets(known), len(logits))
    temperature = fit_temperature(torch.cat([*logits.values()]), targets)
    _cool(network, temperature)
    foreign = clips.of("train", "choose").labelled(LEFT_OUT["choose"])
    threshold = 0.0
    if foreign.examples:
        threshold = fit_threshold(
            torch.cat([*choosing.logits(network).values()]), targets, torch.cat([*foreign.logits(network).values()])
        )
    network.config = replace(network.config, threshold=threshold)
    judged = _measure(network, clips.of("report").labelled(known))
    for label in LEFT_OUT["report"]:
        others = clips.labelled([label])  # all parts: this network was trained on none
        if others.examples:
            judged += [
                score(f"left out: {label}, {kind}", logits, others.targets(known), threshold, 0)
                for kind, logits in others.logits(network).items()
            ]
    for line in [*_measure(network, choosing), *judged]:
        print(f"choose  {line}")
    print(f"choose  temperature {temperature:.2f}, named from a probability of {threshold:.2f}")
    return network, temperature, threshold, judged


def _cool(network: ActionClassifier, temperature: float) -> None:
    """Divide the network's logits by a temperature, once and for all."""
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
    """Train a network of the classes `labels`; print the progress under `title`."""
    torch.manual_seed(recipe.seed)
    network = ActionClassifier(ActionConfig(labels, size=SIZE)).to(device)
    for epoch in epochs(network, clips.views(), clips.targets(labels), recipe):
        progress = f"\r{title}: epoch {epoch.number} of {recipe.epochs}, loss {epoch.loss:.3f}"
        print(progress, end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return epoch.network


def _measure(network: ActionClassifier, clips: _Clips) -> list[Score]:
    """Score each kind of picture, set by set, and again on films that no training clip is from."""
    labels, scores = network.config.labels, []
    for action_set in SETS:
        mine = clips.where([example.set_name == action_set.name for example in clips.examples])
        groups = {action_set.name: mine}
        if any(example.shared for example in mine.examples):
            groups[f"{action_set.name}, unseen films"] = mine.where([not example.shared for example in mine.examples])
        classes = len(set(action_set.labels.values()) & set(labels))
        for title, group in groups.items():
            if group.examples:
                scores += [
                    score(f"{title}, {kind}", logits, group.targets(labels), network.config.threshold, classes)
                    for kind, logits in group.logits(network).items()
                ]
    return scores
