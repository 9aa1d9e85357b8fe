"""Class activation maps of image classifiers, by the `grad-cam` package, and their overlay on the image.

The package is made for scripts. For a page with many users this module adds:

- Each classifier has two private copies of its network, each with a lock: one for the fast methods, one for the slow
  ones, so that a Grad-CAM never waits for a Score-CAM. (The package is not thread-safe, and leaves changed modes,
  gradients and, after a failure, replaced layers behind.) The copies share the frozen weights. A copy whose run failed
  is discarded.
- The copy's weights are frozen and its input requires gradients, so that it works under `no_grad` too.
- The layers after the target layer may work in place (such as `F.relu(..., inplace=True)` in DenseNet), which would
  change the stored activations; they get a clone.
- The class number is checked first, because the package's `with` block swallows an IndexError; that block is not used.
- A map has the resolution of the features and is enlarged once, smoothly, to the image. Classifiers get the whole image
  resized to a square, so stretching the map back over the image puts every value in its place.
- The package scales each map by itself. Its unscaled values are kept, so that maps of several frames can be scaled
  together.

Axes: B batch, C channels, K classes, H, W; h, w are the sides of a feature map.
"""

from __future__ import annotations

import copy
import math
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avd_core.classifiers.loading import Classifier

COSTS: dict[str, float] = {
    "gradcam": 1,
    "gradcam++": 1,
    "hirescam": 1,
    "layercam": 1,
    "xgradcam": 1,
    "eigencam": 0.4,
    "ablationcam": 11,
    "scorecam": 127,
}
"""Time of a map relative to Grad-CAM's, measured with MobileNetV2 on one core (Grad-CAM: 65 ms)."""

SLOW = 3
"""From this cost on a method is slow: it reports its progress, and the page runs it on request only."""

METHODS: dict[str, str] = {
    "gradcam": "Grad-CAM",
    "gradcam++": "Grad-CAM++",
    "hirescam": "HiResCAM",
    "layercam": "LayerCAM",
    "xgradcam": "XGrad-CAM",
    "eigencam": "Eigen-CAM (the same for every class)",
    "ablationcam": "Ablation-CAM",
    "scorecam": "Score-CAM",
}
"""Names that `saliency` takes, and their titles."""


class SaliencyError(ValueError):
    """A map cannot be made; the message says why, in one sentence."""


Progress = Callable[[float], None]


def saliency(
    classifier: Classifier,
    image: Tensor,
    *,
    target: int | None = None,
    method: str = "gradcam",
    progress: Progress | None = None,
) -> np.ndarray:
    """Map where the classifier finds evidence for a class.

    The map is scaled to its own maximum, so values of two maps do not compare; `saliencies` scales several together. A
    map without evidence, or with equal evidence everywhere, as of a blank image, is zero. Thread-safe; calls for one
    classifier wait for each other.

    Args:
        classifier: the classifier to explain; it is not changed.
        image: (1,3,H,W) in [-1, 1].
        target: class number; None is the likeliest class.
        method: a key of `METHODS`.
        progress: called with the share done, 0 to 1; an exception that it raises stops the work.

    Returns:
        (H,W) float32 in [0, 1], with a maximum of 1 unless it is zero everywhere.

    Raises:
        SaliencyError: for an unknown method or class, or an image of another shape or with values that are not finite.
    """
    return _scaled([_evidence(classifier, image, target, method, progress)], image.shape[-2:])[0]


def saliencies(
    classifier: Classifier,
    images: Tensor,
    *,
    target: int,
    method: str = "gradcam",
    progress: Progress | None = None,
) -> np.ndarray:
    """Map where the classifier finds evidence for one class in each of several images, on one scale.

    The package's values have a unit (Grad-CAM's, the logit's), so they compare between images: 1 is the maximum over
    all images, and an image with little evidence has low values. The lock is held for one image at a time.

    Args:
        classifier: the classifier to explain.
        images: (N,3,H,W) in [-1, 1].
        target: class number.
        method: a key of `METHODS`. Values of Eigen-CAM and Score-CAM do not compare between images, because they
            weigh an image's channels against each other.
        progress: called with the share done, 0 to 1; an exception that it raises stops the work.

    Returns:
        (N,H,W) float32 in [0, 1], with a maximum of 1 over all, unless there is no evidence anywhere.

    Raises:
        SaliencyError: as `saliency`.
    """
    report = progress or _nothing
    count = len(images)
    maps = []
    for number, image in enumerate(images):

        def partly(share: float, done: int = number) -> None:
            report((done + share) / count)

        maps.append(_evidence(classifier, image[None], target, method, partly))
        report((number + 1) / count)
    return _scaled(maps, images.shape[-2:])


def estimate(classifier: Classifier, method: str) -> float | None:
    """Estimate the seconds that a map takes here, from the classifier's last one, if need be of another method.

    None before its first map.
    """
    seconds = {
        name: taken
        for explainer in explainers.get(classifier, {}).values()
        for name, taken in explainer.seconds.items()
    }
    if method in seconds or not seconds:
        return seconds.get(method)
    known = min(seconds, key=lambda name: COSTS[name])
    return seconds[known] * COSTS[method] / COSTS[known]


def _nothing(_share: float) -> None:
    pass


def _evidence(
    classifier: Classifier, image: Tensor, target: int | None, method: str, progress: Progress | None
) -> Tensor:
    """Return the unscaled map (h,w) of a method, at least 0; raise as `saliency` does."""
    if method not in METHODS:
        raise SaliencyError(f"There is no saliency method {method!r}; there are {', '.join(METHODS)}.")
    if image.ndim != 4 or image.shape[:2] != (1, 3) or 0 in image.shape:
        raise SaliencyError(f"Expected one image (1, 3, H, W); got {tuple(image.shape)}.")
    if not torch.isfinite(image).all():
        raise SaliencyError("The image holds values that are not finite, so nothing can be seen in it.")
    if target is not None and not (isinstance(target, int | np.integer) and 0 <= target < len(classifier.labels)):
        raise SaliencyError(
            f"{classifier.name} has no class number {target}; they go from 0 to {len(classifier.labels) - 1}."
        )
    with torch.inference_mode(False):  # also for callers inside inference mode, whose tensors carry no gradients
        with torch.no_grad():
            prepared = classifier.prepare(image.detach().clone())
        return explainer_for(classifier, method).explain(prepared, target, method, progress or _nothing)


def _scaled(maps: Sequence[Tensor], size: Sequence[int]) -> np.ndarray:
    """Scale maps (h,w) together, to the size of the image: (N,H,W) in [0, 1]."""
    evidence = torch.stack(list(maps))[:, None]
    low, peak = evidence.min(), evidence.max()
    if peak - low <= 1e-5 * peak:  # the same everywhere, but for rounding
        return np.zeros((len(maps), *size), np.float32)
    # Bicubic, because a 7 x 7 map shows its cells as diamonds when enlarged linearly; it may overshoot.
    heat = F.interpolate((evidence - low) / (peak - low), tuple(size), mode="bicubic", antialias=True).clamp(min=0)
    return (heat / heat.max())[:, 0].numpy()


def overlay(image: np.ndarray, heat: np.ndarray, strength: float = 0.5) -> np.ndarray:
    """Paint a map over an image, the more opaque the higher its value; where it is 0 the image is unchanged.

    Args:
        image: (H,W,3) uint8.
        heat: (H,W) in [0, 1].
        strength: opacity at value 1, from 0 to 1.

    Returns:
        (H,W,3) uint8.

    Raises:
        SaliencyError: when the shapes differ or the map is not finite.
    """
    from matplotlib import colormaps

    if image.ndim != 3 or image.shape[2] != 3 or heat.shape != image.shape[:2]:
        raise SaliencyError(f"A map {heat.shape} does not fit an image {image.shape}.")
    if not np.isfinite(heat).all():
        raise SaliencyError("The map holds values that are not finite.")
    heat = np.clip(heat, 0, 1)
    opacity = (np.clip(strength, 0, 1) * np.sqrt(heat))[..., None]  # the root keeps the rim of a hot place in sight
    colour = colormaps["turbo"](heat * 0.95)[..., :3] * 255  # its very end is dark
    return np.round(image * (1 - opacity) + colour * opacity).astype(np.uint8)


class Explainer:
    """A private copy of a classifier's network, with a lock.

    Attributes:
        network: the copy; None before the first map, while one is computed, and after a failure.
        seconds: of the last map, by method.
    """

    def __init__(self, classifier: Classifier) -> None:
        self._lock = threading.Lock()
        self._original = classifier.network
        self._target_name = next(
            name for name, module in classifier.network.named_modules() if module is classifier.target_layer
        )
        self.network: nn.Module | None = None
        self.seconds: dict[str, float] = {}

    def explain(self, prepared: Tensor, target: int | None, method: str, progress: Progress) -> Tensor:
        """Return a map (h,w), at least 0, on the CPU."""
        from avd_core.classifiers import cam_methods  # imported before the clock starts: it takes seconds

        with self._lock:
            network, self.network = self.network or self._private_copy(), None
            begun = time.perf_counter()
            heat = self._run(cam_methods.METHODS[method], network, prepared, target, progress)
            self.seconds[method] = time.perf_counter() - begun
            self.network = network  # only after success: a copy that failed is not used again
        return heat

    def _private_copy(self) -> nn.Module:
        # Weights are frozen and large, so the copy holds the same ones.
        shared = {id(tensor): tensor for tensor in self._original.parameters()}
        network = copy.deepcopy(self._original, shared).eval()
        for module in network.modules():
            if getattr(module, "inplace", False):
                setattr(module, "inplace", False)  # noqa: B010  of whichever class has it
        return network

    def _run(
        self, method: Callable[..., Any], network: nn.Module, prepared: Tensor, target: int | None, progress: Progress
    ) -> Tensor:
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

        layer = network.get_submodule(self._target_name)
        cam = method(network, [layer], reshape_transform=_as_map)
        cam.report_progress = progress
        # Registered after the package's own hooks: these keep the original, what follows gets the clone.
        clone = layer.register_forward_hook(lambda _module, _inputs, output: output.clone())
        try:
            with torch.enable_grad(), np.errstate(all="ignore"):
                targets = None if target is None else [ClassifierOutputTarget(target)]
                cam(prepared.requires_grad_(True), targets)
        finally:
            clone.remove()
            cam.activations_and_grads.release()
        return torch.from_numpy(np.ascontiguousarray(cam.evidence[0], dtype=np.float32)).clamp(min=0)


explainers: weakref.WeakKeyDictionary[Classifier, dict[bool, Explainer]] = weakref.WeakKeyDictionary()
_explainers_lock = threading.Lock()


def explainer_for(classifier: Classifier, method: str) -> Explainer:
    """Return the classifier's explainer for fast or for slow methods; both live as long as the classifier."""
    with _explainers_lock:
        of_both_kinds = explainers.setdefault(classifier, {})
        slow = COSTS[method] >= SLOW
        if slow not in of_both_kinds:
            of_both_kinds[slow] = Explainer(classifier)
        return of_both_kinds[slow]


def _as_map(features: Tensor) -> Tensor:
    """Turn a vision transformer's tokens (B,1+h*w,C) into (B,C,h,w), without its class token; keep maps as they are."""
    if features.ndim == 4:
        return features
    side = math.isqrt(features.shape[1])
    tokens = features[:, features.shape[1] - side * side :]
    return tokens.transpose(1, 2).unflatten(2, (side, side))
