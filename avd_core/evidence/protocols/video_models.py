"""Ceilings: recognition by networks that see the whole clip, compared with one image of it.

A torchvision video network with its Kinetics-400 weights, frozen, under the same linear probe; if these weights are not
available, it is reported as not run. And a small 3D network trained from scratch on the same few clips, which shows
what the data alone can teach and is no ceiling; it is labelled so.

Axes: B batch, C channels, T frames, H, W; K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import urlparse

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avd_core.analysis.intervals import scoreboard, scoreboard_table
from avd_core.classifiers.weights import WeightsUnavailable, fetch
from avd_core.devices import default_device
from avd_core.evidence.protocols import recognition
from avd_core.evidence.protocols.linear_probe import Fold, Probe, Samples, describe_folds
from avd_core.evidence.report import Report, describe
from avd_core.evidence.requirements import ClassifierOutput, Requirement

if TYPE_CHECKING:
    from torchvision.transforms._presets import VideoClassification

    from avd_core.classifiers.loading import Classifier
    from avd_core.evidence.feature_cache import FeatureCache

NAME = "r3d_18"  # 40.7 GFLOPs a clip; 63.2 % top-1 on Kinetics-400, as torchvision publishes
CEILING = f"{NAME}, Kinetics-400 weights (ceiling)"
SCRATCH = "small 3D network from scratch (no ceiling)"
FRAMES, SIZE = 16, 112
SMALL_FRAMES, SMALL_SIZE = 8, 64
STEPS = 200
QUESTION = "What does a network that sees the whole clip recognise, beside one that sees a single image of it?"


@dataclass(frozen=True)
class VideoModel:
    """A frozen video network: normalised clips (B,3,T,H,W) -> features (B,D)."""

    name: str
    network: nn.Module
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def features(self, frames: np.ndarray) -> np.ndarray:
        """Return the features (D,) of frames uint8 (T, H, W, 3)."""
        device = next(self.network.parameters()).device
        clip = squashed(frames, FRAMES, SIZE).to(device)
        mean, std = (torch.tensor(values, device=device).view(1, 3, 1, 1, 1) for values in (self.mean, self.std))
        with torch.inference_mode():
            return self.network((clip - mean) / std)[0].cpu().numpy()


def load_video_model(name: str = NAME, device: str = "cpu") -> VideoModel:
    """Load a torchvision video network with its Kinetics-400 weights and without its last layer.

    Raises:
        WeightsUnavailable: they are neither here nor can be downloaded.
    """
    from torchvision import models

    weights = models.get_model_weights(name).DEFAULT
    path = fetch(weights.url, Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(weights.url).path).name)
    network = models.get_model(name, weights=None)
    try:
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:
        raise WeightsUnavailable(f"its file {path.name} does not load; delete it to have it downloaded anew") from error
    return headless(name, network, weights.transforms(), device)


def headless(name: str, network: nn.Module, preset: VideoClassification, device: str = "cpu") -> VideoModel:
    """Remove the network's last layer and wrap it as a `VideoModel`."""
    network.fc = nn.Identity()
    network = network.eval().requires_grad_(False).to(device)
    return VideoModel(name, network, tuple(preset.mean), tuple(preset.std))


@lru_cache(maxsize=1)
def find_ceiling() -> VideoModel | str:
    """Load the ceiling once; return it, or the reason why it cannot be loaded."""
    try:
        return load_video_model(device=default_device())
    except WeightsUnavailable as error:
        return str(error)


@dataclass(frozen=True)
class VideoFeatures:
    """Features of a clip by a video network; a `Requirement`."""

    model: VideoModel
    fits: ClassVar[bool] = True

    def keys(self, cache: FeatureCache) -> tuple[str, ...]:
        return (f"video|{self.model.name}|{cache.sampling}",)

    def make(self, cache: FeatureCache, index: int) -> dict[str, np.ndarray]:
        return {self.keys(cache)[0]: self.model.features(cache.frames(index, cache.sampling))}


@dataclass(frozen=True)
class SmallClip:
    """A clip scaled down for training on a CPU; a `Requirement`."""

    fits: ClassVar[bool] = True

    def keys(self, cache: FeatureCache) -> tuple[str, ...]:
        return (f"small|{SMALL_FRAMES}x{SMALL_SIZE}|{cache.sampling}",)

    def make(self, cache: FeatureCache, index: int) -> dict[str, np.ndarray]:
        clip = squashed(cache.frames(index, cache.sampling), SMALL_FRAMES, SMALL_SIZE)
        return {self.keys(cache)[0]: (clip[0] * 255).round().to(torch.uint8).numpy()}


class SmallNetwork(nn.Module):
    """Clips (B,3,8,64,64) in [0, 1] -> logits (B,K)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, width in pairwise((3, 16, 32, 64, 96)):
            layers += [nn.Conv3d(before, width, 3, stride=(1 if before == 3 else 2, 2, 2), padding=1), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(96, classes))

    def forward(self, clip: Tensor) -> Tensor:
        return self.layers(2 * clip - 1)


def squashed(frames: np.ndarray, count: int, size: int) -> Tensor:
    """Resample frames uint8 (T, H, W, 3) to (1,3,count,size,size) in [0, 1], evenly spaced in time."""
    chosen = frames[((np.arange(count) + 0.5) * len(frames) / count).astype(int)]
    pictures = torch.from_numpy(np.ascontiguousarray(chosen)).permute(0, 3, 1, 2).float() / 255
    small = F.interpolate(pictures, (size, size), mode="bilinear", antialias=True, align_corners=False)
    return small.transpose(0, 1)[None].clamp(0, 1)


def requirements(
    cache: FeatureCache, scorers: Sequence[Classifier], *, ceiling: VideoModel | str | None = None
) -> list[ClassifierOutput | Requirement]:
    """List what to compute."""
    ceiling = ceiling or find_ceiling()
    names = (*cache.contenders, *cache.baselines)
    outputs = [
        ClassifierOutput(scorers[0], name, window=window) for name in names for window in recognition.windows(cache)
    ]
    return [*outputs, SmallClip(), *([VideoFeatures(ceiling)] if isinstance(ceiling, VideoModel) else [])]


def measure(
    cache: FeatureCache,
    scorers: Sequence[Classifier],
    *,
    ceiling: VideoModel | str | None = None,
    seed: int = 0,
    steps: int = STEPS,
) -> Report:
    """Compare both video networks with every representation under the first scorer's probe.

    Args:
        cache: the clips.
        scorers: of which the first is used.
        ceiling: the video network, or why there is none; None outputs for it.
        seed: of the small network.
        steps: of its training.

    Raises:
        NotMeasurable: there are no clips to fit on, or they are all of one class.
    """
    ceiling = ceiling or find_ceiling()
    model = ceiling if isinstance(ceiling, VideoModel) else None
    parts = recognition.checked_folds(cache)
    reported = np.concatenate([fold.report for fold in parts])
    truth = cache.labels(reported)
    answers: dict[str, Callable[[Fold], np.ndarray]] = {
        name: partial(_probed, cache, scorers[0], name) for name in (*cache.contenders, *cache.baselines)
    }
    if model is not None:
        answers[CEILING] = partial(_watched, cache, model)
    answers[SCRATCH] = partial(_from_scratch, cache, steps=steps, seed=seed)
    right = {name: np.concatenate([answer(fold) for fold in parts]) == truth for name, answer in answers.items()}
    column = f"{scorers[0].name}, or the whole clip"
    board = scoreboard(
        {column: {name: values.astype(float) for name, values in right.items()}},
        cache.contenders,
        cache.groups(reported),
        seed=seed,
        unseen=cache.unseen(reported),
    )
    rows = [
        {"clip": cache.entries[i].name, "representation": name, "right": float(values[place])}
        for name, values in right.items() for place, i in enumerate(reported)
    ]  # fmt: skip
    not_run = f"The ceiling, {NAME} with its Kinetics-400 weights, was not run: {ceiling}." if model is None else ""
    how = (
        f"Frozen features of {NAME} with its Kinetics-400 weights under a linear probe are the ceiling. A small 3D "
        f"network, trained from scratch on the clips to fit on for {steps} steps, is no ceiling: it tells what these "
        f"clips alone can teach. Images are read by {scorers[0].name} under the same probe. {describe_folds(cache)} "
        f"{not_run}"
    )
    chance = 1 / len(set(truth))
    summary = {**board, **describe(QUESTION, how.strip()), "chance": chance, "steps": steps, "not_run": not_run or None}
    text = "\n\n".join(filter(None, [scoreboard_table(board), not_run, f"Guessing: {chance:.1%}."]))
    return Report("Video networks: the whole clip beside one image of it, % of clips", summary, text, rows)


def _probed(cache: FeatureCache, scorer: Classifier, name: str, fold: Fold) -> np.ndarray:
    return recognition.predict(cache, scorer, name, fold, recognition.fitted(cache, scorer, name, fold), "png")


def _watched(cache: FeatureCache, model: VideoModel, fold: Fold) -> np.ndarray:
    def samples(members: np.ndarray) -> Samples:
        features = np.stack([cache.get(VideoFeatures(model), i)[0] for i in members])
        return Samples(features, cache.labels(members), np.array(cache.folds(members)))

    choose = samples(fold.choose) if len(fold.choose) else None
    return Probe(samples(fold.fit), choose).predict(samples(fold.report).features)


def _from_scratch(cache: FeatureCache, fold: Fold, *, steps: int, seed: int) -> np.ndarray:
    from avd_core.evidence.protocols.network_fitting import fit, named

    members = np.concatenate([fold.fit, fold.choose])
    classes, labels = np.unique(cache.labels(members), return_inverse=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = SmallNetwork(len(classes))
    network.to(default_device())

    def inputs(some: np.ndarray) -> Callable[[Sequence[int]], Tensor]:
        def batch(places: Sequence[int]) -> Tensor:
            clips = [cache.get(SmallClip(), some[place])[0] for place in places]
            return torch.from_numpy(np.stack(clips)).float() / 255

        return batch

    fit(network, [network], inputs(members), labels, steps=steps, seed=seed)
    return classes[named(network, inputs(fold.report), len(fold.report))]
