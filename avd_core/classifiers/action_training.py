"""Train the small action classifier on pictures of clips: distilled images and frames.

There are few clips of each class, so pictures are moved, turned, mirrored and recoloured at random, labels smoothed and
weights averaged. No other network is involved.

Axes: N clips, V pictures of each, B batch, S side, K classes.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from avd_core.classifiers.action_net import ActionClassifier, ClassifierError
from avd_core.networks.avd import to_tensor


@dataclass(frozen=True)
class Recipe:
    """Settings of the training; the defaults were chosen on the `choose` parts."""

    epochs: int = 120
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
    """Train `network` in place, one view of every clip an epoch; classes are drawn by the square root of their size.

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
            keep = min(recipe.ema_decay, steps / (steps + 10))  # the first weights lose their influence quickly
            with torch.no_grad():
                for kept, new in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
                    kept.lerp_(new, 1 - keep) if kept.is_floating_point() else kept.copy_(new)
        yield Epoch(number, total / batches, average)


def augment(image: Tensor, noise: torch.Generator, *, mirror: bool = True) -> Tensor:
    """Move, scale, turn, perhaps mirror, and recolour each of the images (B,3,S,S) in [-1, 1] at random."""
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
    """Convert 8-bit (B,S,S,3) to (B,3,S,S) in [-1, 1]."""
    return to_tensor(images)[0].transpose(0, 1).contiguous()


@torch.no_grad()
def class_logits(network: ActionClassifier, images: np.ndarray, batch_size: int = 128) -> Tensor:
    """Return logits (B,K) of 8-bit images (B,S,S,3)."""
    device = next(network.parameters()).device
    parts = [network(to_images(images[i : i + batch_size]).to(device)).cpu() for i in range(0, len(images), batch_size)]
    return torch.cat(parts)


def fit_temperature(logits: Tensor, targets: np.ndarray) -> float:
    """Return the temperature, the divisor of logits (N,K) that minimises the loss of `targets` (arXiv 1706.04599)."""
    candidates = np.geomspace(0.25, 4, 81)
    losses = [F.cross_entropy(logits / float(t), torch.from_numpy(targets)).item() for t in candidates]
    return float(candidates[int(np.argmin(losses))])


def calibration_error(logits: Tensor, targets: np.ndarray, bins: int = 10) -> float:
    """Return the expected calibration error, 0 to 1: confidence against accuracy, equal bins (1706.04599)."""
    confidence, named = (part.numpy() for part in logits.softmax(dim=1).max(dim=1))
    right = named == targets
    where = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [abs((right[where == one] - confidence[where == one]).sum()) for one in range(bins)]
    return float(sum(gaps) / len(targets))


def fit_threshold(known: Tensor, targets: np.ndarray, unknown: Tensor) -> float:
    """Return the threshold: the probability below which the likeliest class is not named (arXiv 1610.02136).

    It maximises the mean of two shares: that of pictures of known classes that are named correctly, and that of
    pictures of other classes that are not named.

    Args:
        known: logits (N,K) of pictures of the K classes.
        targets: their class numbers (N,).
        unknown: logits (M,K) of pictures of other classes.
    """
    confidence, named = (part.numpy() for part in known.softmax(dim=1).max(dim=1))
    right = named == targets
    foreign = unknown.softmax(dim=1).max(dim=1).values.numpy()
    candidates = np.arange(100) / 100
    gains = [((right & (confidence >= t)).mean() + (foreign < t).mean()) / 2 for t in candidates]
    return float(candidates[int(np.argmax(gains))])


@dataclass(frozen=True)
class Score:
    """Counts over `count` pictures.

    Attributes:
        title: of the clips and of the kind of picture.
        correct: pictures whose likeliest class is the true one, above the threshold or not.
        refused: pictures whose likeliest class is below the threshold.
        refused_right: those of `refused` whose likeliest class is the true one.
        count: all pictures.
        classes: number of classes in the set; 0 if the network knows none of them, so that every refusal is right.
    """

    title: str
    correct: int
    refused: int
    refused_right: int
    count: int
    classes: int

    def __str__(self) -> str:
        refused = f"{self.refused} refused"
        if not self.classes:
            return f"{self.title}: {refused} of {self.count}, rightly"
        share, chance = 100 * self.correct / self.count, 100 / self.classes
        return (
            f"{self.title}: {share:.1f} % of {self.count} ({chance:.0f} % by guessing in the set); {refused}, "
            f"{self.refused_right} of them although right"
        )


def score(title: str, logits: Tensor, targets: np.ndarray, threshold: float, classes: int) -> Score:
    """Count correct and refused pictures by their logits (N,K) and class numbers (N,), -1 for an unknown class."""
    confidence, named = (part.numpy() for part in logits.softmax(dim=1).max(dim=1))
    right, refused = named == targets, confidence < threshold
    return Score(title, int(right.sum()), int(refused.sum()), int((right & refused).sum()), len(targets), classes)
