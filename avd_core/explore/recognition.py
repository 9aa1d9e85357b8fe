"""Classify images, map where the classifier finds its evidence, and measure how faithful that map is.

Axes: T frames, H, W; the last axis is RGB. Frames and images are uint8.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from avd_core.explore.parts import FrameSaliency, Recognition, Saliency

if TYPE_CHECKING:
    from avd_core.classifiers.loading import Classifier, Prediction
    from avd_core.classifiers.road import Faithfulness
    from avd_core.explore.model_cache import LoadedModel

Progress = Callable[[float], None]  # called with the share done, 0 to 1; an exception that it raises stops the work


def recognise(classifier: Classifier, image: np.ndarray, frame: np.ndarray | None = None) -> Recognition:
    """Classify an image (H, W, 3), and a frame of its clip; the caller must hold the classifier's lock."""
    from avd_core.networks.avd import image_to_tensor

    def topk(picture: np.ndarray) -> tuple[Prediction, ...]:
        return tuple(classifier.topk(image_to_tensor(picture), k=5))

    return Recognition(classifier.name, classifier.notice, topk(image), () if frame is None else topk(frame))


def explain(
    loaded: LoadedModel[Classifier],
    image: np.ndarray,
    method: str,
    target: str | None = None,
    progress: Progress | None = None,
) -> Saliency:
    """Map where a classifier finds evidence for a class in an image (H, W, 3); None is its first class."""
    from avd_core.classifiers.saliency import overlay, saliency
    from avd_core.networks.avd import image_to_tensor

    classifier, pixels = loaded.model, image_to_tensor(image)  # outside of inference mode: gradients flow through it
    index = None if target is None else classifier.index(target)
    # Maps have locks of their own, so that classifying does not wait for a slow one.
    heat = saliency(classifier, pixels, target=index, method=method, progress=progress)
    with loaded.lock:
        label = classifier.topk(pixels, k=1)[0].label if index is None else classifier.labels[index]
    return Saliency(heat, label, method, overlay(image, heat))


def explain_frames(
    loaded: LoadedModel[Classifier],
    frames: np.ndarray,
    label: str,
    method: str,
    progress: Progress | None = None,
) -> FrameSaliency:
    """Map where a classifier finds evidence for a class in each frame of (T, H, W, 3), on one scale."""
    from avd_core.classifiers.saliency import saliencies
    from avd_core.networks.avd import to_tensor

    target, pixels = loaded.model.index(label), to_tensor(frames)[0].transpose(0, 1)  # (T, 3, H, W)
    probabilities = []
    for frame in pixels:
        with loaded.lock:
            probabilities.append(loaded.model.probability(frame[None], target))
    maps = saliencies(loaded.model, pixels, target=target, method=method, progress=progress)
    return FrameSaliency(maps, tuple(probabilities))


def measure_faithfulness(
    classifier: Classifier, image: np.ndarray, saliency: Saliency, seed: int = 0, progress: Progress | None = None
) -> Faithfulness:
    """Measure the faithfulness of a map of an image (H, W, 3)."""
    from avd_core.classifiers.road import road
    from avd_core.networks.avd import image_to_tensor

    target = classifier.index(saliency.label)
    return road(classifier, image_to_tensor(image), saliency.map, target, seed=seed, progress=progress)


def saliency_seconds(classifier: Classifier) -> dict[str, float]:
    """Estimate the seconds that a map takes here by each method, from the last maps; {} before the first."""
    from avd_core.classifiers.saliency import METHODS, estimate

    seconds = {method: estimate(classifier, method) for method in METHODS}
    return {method: value for method, value in seconds.items() if value is not None}
