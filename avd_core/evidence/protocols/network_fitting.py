"""Fit a small network to labelled pictures or clips, reproducibly, in a few minutes on a CPU.

Axes: B batch, C channels, T frames, H, W; K classes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from avd_core.classifiers.loading import Classifier

BATCH = 16
WEIGHT_DECAY = 0.01
OLD, NEW = 3e-4, 3e-3  # learning rates: of what was trained before, of what starts from nothing


def fit(
    network: nn.Module,
    fresh: Sequence[nn.Module],
    inputs: Callable[[Sequence[int]], Tensor],
    labels: np.ndarray,
    *,
    steps: int,
    seed: int,
) -> nn.Module:
    """Train a network on random batches, with the running statistics of its normalisations frozen.

    Args:
        network: inputs -> logits (B,K); changed, and returned in eval mode.
        fresh: those of its modules that start from nothing; they learn faster.
        inputs: what the network takes, for the samples of those numbers.
        labels: (N,) of all samples, 0 to K - 1.
        steps: batches of at most `BATCH`.
        seed: of the order of the samples.
    """
    device = next(network.parameters()).device
    new = {id(parameter) for module in fresh for parameter in module.parameters()}
    network.requires_grad_(True)
    every = list(network.parameters())
    rates = {rate: [p for p in every if (id(p) in new) == (rate == NEW)] for rate in (NEW, OLD)}
    groups = [{"params": parameters, "lr": rate} for rate, parameters in rates.items() if parameters]
    optimizer = torch.optim.AdamW(groups, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, [rate for rate, parameters in rates.items() if parameters], total_steps=max(steps, 2), pct_start=0.2
    )
    rng = np.random.default_rng(seed)
    network.eval()  # small batches would spoil the statistics of batch normalisation
    for _ in range(steps):
        chosen = rng.choice(len(labels), min(BATCH, len(labels)), replace=False)
        logits = network(inputs(chosen.tolist()).to(device))
        loss = F.cross_entropy(logits, torch.from_numpy(labels[chosen]).to(device))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(every, 1.0)
        optimizer.step()
        schedule.step()
    return network.eval().requires_grad_(False)


def named(network: nn.Module, inputs: Callable[[Sequence[int]], Tensor], count: int) -> np.ndarray:
    """Predict the class (0 to K - 1) of each of `count` samples."""
    device = next(network.parameters()).device
    with torch.inference_mode():
        found = [
            network(inputs(list(range(begin, min(begin + BATCH, count)))).to(device)).argmax(dim=1).cpu()
            for begin in range(0, count, BATCH)
        ]
    return torch.cat(found).numpy()


def with_new_head(classifier: Classifier, classes: int, seed: int) -> tuple[nn.Module, nn.Module]:
    """Return a copy of a classifier's network for other classes, and its new, randomly initialised last layer."""
    network = copy.deepcopy(classifier.network)
    known = len(classifier.labels)
    name, last = [
        (name, module)
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d) and len(module.weight) == known
    ][-1]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if isinstance(last, nn.Linear):
            head: nn.Module = nn.Linear(last.in_features, classes)
        else:  # SqueezeNet's classifier is a convolution
            head = nn.Conv2d(last.in_channels, classes, 1)
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, head.to(classifier.device))
    if hasattr(network, "num_classes"):
        setattr(network, "num_classes", classes)  # noqa: B010  an attribute of some networks only
    return network, head
