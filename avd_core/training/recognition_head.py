"""A run's recognition head: the small action classifier, trained on the distilled images of the run's clips.

A clip's class is its folder. The images are made by the run's checkpoint, so the head belongs to that checkpoint; it
lies in the run directory, `classifier-<step>/`.

Axes: N clips, V views (windows) of each, S side.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch

from avd_core.classifiers.action_net import ActionClassifier, for_classes
from avd_core.classifiers.action_training import Recipe, class_logits, epochs
from avd_core.classifiers.loading import squash
from avd_core.data.datasets import ClipSource, class_of
from avd_core.networks.avd import AVD
from avd_core.networks.checkpoint import CONFIG, WEIGHTS
from avd_core.removal import remove_files
from avd_core.runs.run import Run
from avd_core.training.preview import whole_clip

SIZE = 112
WINDOWS = ((0.0, 1.0), (0.0, 0.75), (0.25, 1.0))  # windows of each clip; accuracy is that on the first
STEPS = 240  # of the head's training, roughly; a bound, so that it does not outlast the run


_FILES = re.compile(f"{re.escape(CONFIG)}|{re.escape(WEIGHTS)}")  # of a head


def train_head(run: Run, model: AVD, train: Iterable[ClipSource], held_out: Iterable[ClipSource], step: int) -> str:
    """Train a head on the labelled clips and write it into the run directory; delete older ones.

    Args:
        run: the run.
        model: makes the images.
        train: clips with names `set/class/...`.
        held_out: clips with such names, for its accuracy.
        step: of the model.

    Returns:
        A sentence with its accuracy on the held-out clips.

    Raises:
        ValueError: there are fewer than two classes, or their names are invalid.
    """
    images, names = _distilled(model, train, WINDOWS)
    labels = tuple(sorted(set(names)))
    targets = np.array([labels.index(name) for name in names])
    # The training's random state is kept: a resume must not depend on the head.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = for_classes(labels).to(next(model.parameters()).device)
        recipe = Recipe(epochs=max(10, STEPS // math.ceil(len(targets) / Recipe.batch_size)))
        for epoch in epochs(network, images, targets, recipe):
            network_so_far = epoch.network
    folder = run.folder / f"classifier-{step}"
    network_so_far.cpu().save_pretrained(folder)
    drop_older(folder)
    return f"recognition of {len(labels)} classes: {_score(folder, model, held_out, labels)}"


def drop_older(folder: Path) -> None:
    """Delete the other heads beside `folder`, but no other files in their folders."""
    for older in folder.parent.glob("classifier-*"):
        if older != folder and re.fullmatch(r"classifier-\d+", older.name):
            remove_files(older, _FILES)
            with suppress(OSError):  # not empty: it holds another file
                older.rmdir()


def _score(folder: Path, model: AVD, held_out: Iterable[ClipSource], labels: Sequence[str]) -> str:
    images, names = _distilled(model, held_out, WINDOWS[:1])
    known = [number for number, name in enumerate(names) if name in labels]
    if not known:
        return "no held-out clip of these classes to judge by"
    logits = class_logits(ActionClassifier.from_pretrained(folder), images[known, 0])
    right = sum(labels[k] == names[n] for k, n in zip(logits.argmax(dim=1).tolist(), known, strict=True))
    return f"{right} of {len(known)} held-out clips named rightly, {100 / len(labels):.0f} % by guessing"


@torch.inference_mode()
def _distilled(
    model: AVD, sources: Iterable[ClipSource], windows: Sequence[tuple[float, float]]
) -> tuple[np.ndarray, list[str]]:
    """Return the images (N,V,S,S,3), uint8, of the clips that have a class, and their classes."""
    device, images, names = next(model.parameters()).device, [], []
    for source in sources:
        for index, name in enumerate(source.names):
            label = class_of(name)
            if not label:
                continue
            stored = source[index]
            views = [stored[int(a * len(stored)) : max(1, math.ceil(b * len(stored)))] for a, b in windows]
            clips = torch.cat([whole_clip(view, model.config) for view in views]).to(device)
            square = squash(model.encode(clips), SIZE).clamp(-1, 1)
            images.append(square.add(1).mul(127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy())
            names.append(label)
    return np.stack(images) if images else np.zeros((0, len(windows), SIZE, SIZE, 3), np.uint8), names
