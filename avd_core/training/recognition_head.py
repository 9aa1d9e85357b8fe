"""A recognition head of one's own: the small action classifier, trained on the distilled images of a run's clips.

A clip's class is the folder that it came in. The images are those that the run's checkpoint makes of the clips, so the
head belongs to that checkpoint and lies in its run directory, `classifier-<step>/`.

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
WINDOWS = ((0.0, 1.0), (0.0, 0.75), (0.25, 1.0))  # parts of each clip; the first is what it is judged by
STEPS = 240  # of the head's training, about: some clips must not take longer than the run itself


_FILES = re.compile(f"{re.escape(CONFIG)}|{re.escape(WEIGHTS)}")  # of a head


def train_head(run: Run, model: AVD, train: Iterable[ClipSource], held_out: Iterable[ClipSource], step: int) -> str:
    """Trains a head on the labelled clips and puts it into the run directory; older ones go.

    Args:
        run: where it goes.
        model: makes the images.
        train: clips whose names say `set/class/...`.
        held_out: likewise; what it is judged on.
        step: of the model.

    Returns:
        A sentence about how many held-out clips it names rightly.

    Raises:
        ValueError: there are not two classes to tell apart, or their names are of no use.
    """
    images, names = _distilled(model, train, WINDOWS)
    labels = tuple(sorted(set(names)))
    targets = np.array([labels.index(name) for name in names])
    # The generator of the training itself stays as it is: a resume must not depend on a head.
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
    """Delete the other heads beside `folder`; what is no file of a head stays."""
    for older in folder.parent.glob("classifier-*"):
        if older != folder and re.fullmatch(r"classifier-\d+", older.name):
            remove_files(older, _FILES)
            with suppress(OSError):  # somebody put a file of their own into it
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
    """Images (N,V,S,S,3), 8 bit, of the clips that have a class, and their classes."""
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
