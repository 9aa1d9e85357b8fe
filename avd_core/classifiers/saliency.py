"""Where an image classifier looks: class activation maps through the `grad-cam` package, and their overlay.

The package is made for scripts; a page with many users needs more care, and gets it here:

- Every classifier has private copies of its network, each behind a lock (the package is not thread-safe, leaves modes,
  gradients and, after a failure, replaced layers behind): one for the fast methods, one for the slow ones, so that
  nobody's first picture waits for another's Score-CAM. They share the frozen weights. A copy whose run failed is thrown
  away.
- The copy's weights are frozen and its input asks for gradients, so that it works under `no_grad` too.
- What follows the target layer may work in place (`F.relu(..., inplace=True)` in DenseNet, for one) and would spoil
  the stored activations: it is given a clone.
- The class number is checked first, because the package's `with` block swallows an IndexError; it is not used.
- A map comes at the resolution of the features and is enlarged once, smoothly, to the image. The classifiers see the
  whole image squashed to a square, so stretching the map back over the image puts every place where it belongs.
- The package scales every map by itself. Its values before that are kept, so that maps of several frames can be scaled
  together and show how much, too.

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
"""From this cost on a method is slow: it reports its progress, and the page asks before it runs one."""

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
"""Names that `saliency` takes, and what to call them."""


class SaliencyError(ValueError):
    """A map that cannot be made, with a sentence saying why."""


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

    The map is scaled by itself, so two of them tell where, not how much; `saliencies` scales several together. A map
    without any evidence (or with the same everywhere, as of a blank image) is zero. Safe to call from many threads;
    maps of one classifier wait their turn.

    Args:
        classifier: whose network is asked; it is left untouched.
        image: (1,3,H,W) in [-1, 1].
        target: class number; the likeliest class if None.
        method: a key of `METHODS`.
        progress: told the share that is done, 0 to 1; what it raises stops the work.

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

    The package's values are evidence in the class's own unit (of Grad-CAM, the logit's), so they compare from image to
    image: hot is the hottest place of all of them, and an image with little evidence stays cold. The lock is held for
    one image at a time.

    Args:
        classifier: whose network is asked.
        images: (N,3,H,W) in [-1, 1].
        target: class number.
        method: a key of `METHODS`. Eigen-CAM and Score-CAM weigh an image's channels against each other, so of theirs
            only the places compare.
        progress: told the share that is done, 0 to 1; what it raises stops the work.

    Returns:
        (N,H,W) float32 in [0, 1], with a maximum of 1 over all, unless there is no evidence anywhere.

    Raises:
        SaliencyError: as `saliency`.
    """
    tell = progress or _nothing
    count = len(images)
    maps = []
    for number, image in enumerate(images):

        def partly(share: float, done: int = number) -> None:
            tell((done + share) / count)

        maps.append(_evidence(classifier, image[None], target, method, partly))
        tell((number + 1) / count)
    return _scaled(maps, images.shape[-2:])


def estimate(classifier: Classifier, method: str) -> float | None:
    """Estimate the seconds of a map on this machine by the last one, else by the last one of another method.

    None before the classifier's first map.
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
    """Return a map (h,w) as the method's formula makes it, at least 0; raise as `saliency` does."""
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
    """Paint a map over an image: the hotter, the more; where it is cold the image stays as it is.

    Args:
        image: (H,W,3) uint8.
        heat: (H,W) in [0, 1].
        strength: opacity of the hottest place, 0 to 1.

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
    """A private copy of a classifier's network, a lock for its use, and the seconds that maps took with it.

    Attributes:
        network: the copy; None before the first map, while a map is computed, and after one that failed.
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
        from avd_core.classifiers import cam_methods  # takes seconds, which are no part of a map's

        with self._lock:
            network, self.network = self.network or self._private_copy(), None
            begun = time.perf_counter()
            heat = self._run(cam_methods.METHODS[method], network, prepared, target, progress)
            self.seconds[method] = time.perf_counter() - begun
            self.network = network  # only now: what failed half-way is not used again
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
