"""Trains the bundled action classifier on distilled images of real clips: `python -m avd_core train-action`.

First on the `train` part of every set, which gives the temperature on its `choose` part; then again on both together.
The `report` part is looked at once, at the end, through the window that a person gets by default; nothing is chosen by
it. Parts go by person, scene or time of day, never at random.

Few people act in these sets, so the regularisation is soft but broad: every image is moved, turned, mirrored and
recoloured, labels are smoothed, weights averaged. No other network has a part in it.

Axes: N clips, V views (windows) of each, B batch, S side, K classes.
"""

from __future__ import annotations

import argparse
import copy
import math
import os
import platform
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import date
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from avd_core.classifiers.action_data import SETS, SIZE, Example, distill, gather
from avd_core.classifiers.action_net import ACTION, ActionClassifier, ActionConfig, ClassifierError
from avd_core.networks import checkpoint
from avd_core.networks.avd import AVD, to_tensor


@dataclass(frozen=True)
class Recipe:
    """How the classifier is trained; chosen on the `choose` parts."""

    epochs: int = 40
    batch_size: int = 16
    learning_rate: float = 3e-3
    weight_decay: float = 0.05
    smoothing: float = 0.05
    mirror: bool = True
    ema_decay: float = 0.99
    seed: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 2 or not 0 <= self.smoothing < 1:
            raise ClassifierError("Training needs at least one epoch, two images a batch, and smoothing below 1.")


class Epoch(NamedTuple):
    """One pass over the clips: its number from 1, the mean loss, and the averaged network so far."""

    number: int
    loss: float
    network: ActionClassifier


def epochs(network: ActionClassifier, images: np.ndarray, targets: np.ndarray, recipe: Recipe) -> Iterator[Epoch]:
    """Trains `network` in place, one view of every clip an epoch; classes are drawn by the square root of their size.

    Args:
        network: on its device.
        images: (N,V,S,S,3), 8 bit.
        targets: (N,) class numbers.
        recipe: how.
    """
    device = next(network.parameters()).device
    rng, noise = np.random.default_rng(recipe.seed), torch.Generator().manual_seed(recipe.seed)
    counts = np.bincount(targets, minlength=len(network.config.labels))
    weights = 1 / np.sqrt(counts[targets])
    batches = max(1, math.ceil(len(targets) / recipe.batch_size))
    decayed = [p for p in network.parameters() if p.ndim > 1]
    rest = [p for p in network.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": rest, "weight_decay": 0.0}],
        lr=recipe.learning_rate,
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, total_steps=recipe.epochs * batches, pct_start=0.2
    )
    steps = 0
    average = copy.deepcopy(network).eval().requires_grad_(False)
    for number in range(1, recipe.epochs + 1):
        network.train()
        order = rng.choice(len(targets), size=batches * recipe.batch_size, p=weights / weights.sum())
        total = 0.0
        for picks in order.reshape(batches, recipe.batch_size):
            views = rng.integers(images.shape[1], size=len(picks))
            image = augment(to_images(images[picks, views]).to(device), noise, mirror=recipe.mirror)
            target = torch.from_numpy(targets[picks]).to(device)
            loss = F.cross_entropy(network(image), target, label_smoothing=recipe.smoothing)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
            steps += 1
            keep = min(recipe.ema_decay, steps / (steps + 10))  # the beginning is soon forgotten
            with torch.no_grad():
                for kept, new in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
                    kept.lerp_(new, 1 - keep) if kept.is_floating_point() else kept.copy_(new)
        yield Epoch(number, total / batches, average)


def augment(image: Tensor, noise: torch.Generator, *, mirror: bool = True) -> Tensor:
    """Images (B,3,S,S) in [-1, 1], each moved, scaled, turned, perhaps mirrored, and recoloured at random."""
    count = len(image)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.rand(count, *shape, generator=noise).mul(high - low).add(low)

    angle, scale, stretch = uniform(-0.15, 0.15), uniform(0.7, 1.05), uniform(-0.15, 0.15).exp()
    across, down = scale * stretch, scale / stretch
    if mirror:
        across = across * torch.where(torch.rand(count, generator=noise) < 0.5, -1.0, 1.0)
    shift = (1 - scale).clamp(min=0.05)
    rows = [
        torch.stack([across * angle.cos(), -down * angle.sin(), shift * uniform(-1, 1)], dim=1),
        torch.stack([across * angle.sin(), down * angle.cos(), shift * uniform(-1, 1)], dim=1),
    ]
    grid = F.affine_grid(torch.stack(rows, dim=1).to(image.device), list(image.shape), align_corners=False)
    moved = F.grid_sample(image, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    contrast, brightness, colour, tint = (
        values.to(image.device)
        for values in (uniform(0.6, 1.4, 1, 1, 1), uniform(-0.3, 0.3, 1, 1, 1), uniform(0.2, 1.3, 1, 1, 1),
                       uniform(-0.1, 0.1, 3, 1, 1))
    )  # fmt: skip
    grey = moved.mean(dim=1, keepdim=True)
    middle = grey.mean(dim=(2, 3), keepdim=True)
    moved = grey + (moved - grey) * colour
    return ((moved - middle) * contrast + middle + brightness + tint).clamp(-1, 1)


def to_images(images: np.ndarray) -> Tensor:
    """8-bit (B,S,S,3) -> (B,3,S,S) in [-1, 1]."""
    return to_tensor(images)[0].transpose(0, 1).contiguous()


@torch.no_grad()
def class_logits(network: ActionClassifier, images: np.ndarray, batch_size: int = 128) -> Tensor:
    """Logits (B,K) of 8-bit images (B,S,S,3)."""
    device = next(network.parameters()).device
    parts = [network(to_images(images[i : i + batch_size]).to(device)).cpu() for i in range(0, len(images), batch_size)]
    return torch.cat(parts)


def fit_temperature(logits: Tensor, targets: np.ndarray) -> float:
    """The number to divide logits by so that probabilities of people not trained on are honest (arXiv 1706.04599)."""
    candidates = np.geomspace(0.25, 4, 81)
    losses = [F.cross_entropy(logits / float(t), torch.from_numpy(targets)).item() for t in candidates]
    return float(candidates[int(np.argmin(losses))])


class Score(NamedTuple):
    """How many of `count` clips of one set were named rightly, among all K classes; `classes` the set has itself."""

    set_name: str
    correct: int
    count: int
    classes: int

    def __str__(self) -> str:
        share, chance = 100 * self.correct / self.count, 100 / self.classes
        return f"{self.set_name}: {share:.1f} % of {self.count} clips ({chance:.0f} % by guessing in the set)"


def score(logits: Tensor, targets: np.ndarray, examples: Sequence[Example]) -> list[Score]:
    """Accuracy set by set."""
    right = logits.argmax(dim=1).numpy() == targets
    scores = []
    for action_set in SETS:
        mine = np.array([example.set_name == action_set.name for example in examples])
        if mine.any():
            scores.append(Score(action_set.name, int(right[mine].sum()), int(mine.sum()), len(action_set.labels)))
    return scores


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `python -m avd_core train-action`."""
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
        how = {"action": argparse.BooleanOptionalAction} if kind is bool else {"type": kind}
        name = f"--{option.name.replace('_', '-')}"
        parser.add_argument(name, default=option.default, help="default: %(default)s", **how)


def run(args: argparse.Namespace) -> int:
    """Carries out `python -m avd_core train-action`."""
    recipe = Recipe(**{option.name: getattr(args, option.name) for option in fields(Recipe)})
    if args.views < 1:
        raise ClassifierError("--views must be at least 1.")
    began = time.perf_counter()
    examples = gather(Path(args.data), args.splits, args.limit)
    model = AVD.from_pretrained(args.checkpoint, device=args.device)
    images = distill(examples, model, views=args.views, cache=args.cache)
    readable = images.any(axis=(1, 2, 3, 4))
    examples, images = [e for e, ok in zip(examples, readable, strict=True) if ok], images[readable]
    labels = tuple(label for s in SETS for label in s.labels.values() if any(e.label == label for e in examples))
    targets = np.array([labels.index(example.label) for example in examples])
    part = np.array([example.part for example in examples])
    prepared = time.perf_counter() - began

    def train(members: np.ndarray, title: str) -> ActionClassifier:
        torch.manual_seed(recipe.seed)
        network = ActionClassifier(ActionConfig(labels, size=SIZE)).to(args.device)
        for epoch in epochs(network, images[members], targets[members], recipe):
            print(f"\r{title}: epoch {epoch.number} of {recipe.epochs}, loss {epoch.loss:.3f}", end="",
                  file=sys.stderr, flush=True)  # fmt: skip
        print(file=sys.stderr)
        return epoch.network

    def measure(network: ActionClassifier, name: str) -> list[Score]:
        held_out = part == name
        logits = class_logits(network, images[held_out, 0])
        return score(logits, targets[held_out], [e for e in examples if e.part == name])

    began = time.perf_counter()
    first = train(part == "train", "choosing")
    temperature = fit_temperature(class_logits(first, images[part == "choose", 0]), targets[part == "choose"])
    chosen = measure(first, "choose")
    for line in chosen:
        print(f"choose  {line}")
    final = train(part != "report", "training")
    with torch.no_grad():
        final.head.weight /= temperature
        final.head.bias /= temperature
    seconds = time.perf_counter() - began

    facts = {
        "avd": f"{model.name} ({model.fingerprint})",
        "clips": int((part != "report").sum()),
        "images": int((part != "report").sum()) * args.views,
        "steps": recipe.epochs * math.ceil(int((part != "report").sum()) / recipe.batch_size),
        "device": str(args.device),
        "prepared": prepared,
        "seconds": seconds,
        "temperature": temperature,
    }
    final.cpu().save_pretrained(args.out)
    kept = ActionClassifier.from_pretrained(args.out)  # what is measured is what ships, after rounding to fp16
    reported = measure(kept, "report")
    kept.save_pretrained(args.out, card(kept, recipe, facts, chosen, reported, examples))
    for line in reported:
        print(f"report  {line}")
    print(f"{args.out}: {sum(p.numel() for p in kept.parameters()):,} parameters, trained in {seconds:.0f} s")
    return 0


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
        machine = torch.cuda.get_device_name(facts["device"])
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
