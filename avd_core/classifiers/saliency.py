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
  together and then tell how much, too.

Score-CAM and Ablation-CAM are rewritten on the package's frame. There the first keeps a masked image for each channel
in memory (1.3 GB for MobileNetV2) and asks about all of them (89 s on one core); here about those that vary most. The
second runs the whole network for each channel, though only what follows the target layer changes, and divides by the
class's logit, which turns the map around where that is negative and leaves frames that do not compare. XGrad-CAM may
turn around where features are negative. Eigen-CAM's sign is arbitrary there, and its singular value decomposition takes
gigabytes on a large map.

Axes: B batch, C channels, K classes, H, W; h, w are the sides of a feature map.
"""

from __future__ import annotations

import copy
import functools
import math
import threading
import time
import weakref
from collections.abc import Callable, Sequence

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
"""From this cost on a method is slow: it tells its progress, and the page asks before it runs one."""

SCORED_CHANNELS = 256
"""How many channels Score-CAM asks about, at most."""

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
        maps.append(
            _evidence(classifier, image[None], target, method, lambda share, done=number: tell((done + share) / count))
        )
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


def _evidence(classifier: Classifier, image: Tensor, target: int | None, method: str, progress: Progress | None):
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
        warm_up()  # seconds of importing are no part of a map's
        with self._lock:
            network, self.network = self.network or self._private_copy(), None
            begun = time.perf_counter()
            heat = self._run(network, prepared, target, method, progress)
            self.seconds[method] = time.perf_counter() - begun
            self.network = network  # only now: what failed half-way is not used again
        return heat

    def _private_copy(self) -> nn.Module:
        # Weights are frozen and large, so the copy holds the same ones.
        shared = {id(tensor): tensor for tensor in self._original.parameters()}
        network = copy.deepcopy(self._original, shared).eval()
        for module in network.modules():
            if getattr(module, "inplace", False):
                module.inplace = False
        return network

    def _run(self, network: nn.Module, prepared: Tensor, target: int | None, method: str, progress: Progress) -> Tensor:
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

        layer = network.get_submodule(self._target_name)
        cam = _methods()[method](network, [layer], reshape_transform=_as_map)
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


def _without(channels: Tensor, _module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
    """Forward hook: the output once for each of `channels`, with that one zero."""
    copies = output.repeat(len(channels), *[1] * (output.ndim - 1))
    by_channel = copies if output.ndim == 4 else copies.transpose(1, 2)
    by_channel[torch.arange(len(channels)), channels] = 0
    return copies


def warm_up() -> None:
    """Import the package now (three seconds), so that the first map does not wait for it."""
    _methods()


@functools.cache
def _methods() -> dict[str, Callable]:
    """Return the package's classes by name, made safe; import it only here, because that takes three seconds."""
    import pytorch_grad_cam as package

    class _Finite:
        """Non-finite places count as no evidence; the map keeps the resolution of the features, and its own scale."""

        def get_cam_image(self, *args, **kwargs) -> np.ndarray:
            self.evidence = np.nan_to_num(super().get_cam_image(*args, **kwargs), nan=0.0, posinf=0.0, neginf=0.0)
            return self.evidence

        def get_target_width_height(self, input_tensor: Tensor) -> None:
            return None

    class _EigenCAM(package.EigenCAM):
        """First principal component of the features, with a thin SVD, and signed so that strong features are hot."""

        def get_cam_image(self, input_tensor, layer, targets, activations, *_) -> np.ndarray:
            _, channels, height, width = activations.shape
            features = activations.reshape(channels, -1).T  # (h*w, C)
            centred = features - features.mean(axis=0)
            component = centred @ np.linalg.svd(centred, full_matrices=False)[2][0]
            if component @ centred.mean(axis=1) < 0:
                component = -component
            return component.reshape(1, height, width)

    class _XGradCAM(package.XGradCAM):
        """XGrad-CAM (arXiv 2008.02312); its normalisation by the features' sum assumes that none is negative."""

        def get_cam_weights(self, input_tensor, layer, targets, activations, grads) -> np.ndarray:
            return (grads * activations).sum(axis=(2, 3)) / (np.abs(activations).sum(axis=(2, 3)) + 1e-7)

    class _ScoreCAM(package.ScoreCAM):
        """Score-CAM (arXiv 1910.01279) of the `SCORED_CHANNELS` that vary most, a few masked images at a time."""

        def get_cam_weights(self, input_tensor, layer, targets, activations, grads) -> np.ndarray:
            maps = torch.from_numpy(activations[0]).to(self.device)  # (C,h,w)
            busiest = maps.std(dim=(1, 2)).topk(min(SCORED_CHANNELS, len(maps))).indices
            scores = []
            with torch.no_grad():
                for channels in busiest.split(4):  # larger batches take longer an image on a CPU
                    masks = F.interpolate(
                        maps[channels, None], input_tensor.shape[-2:], mode="bilinear", align_corners=False
                    )
                    low, high = masks.amin((1, 2, 3), keepdim=True), masks.amax((1, 2, 3), keepdim=True)
                    masked = input_tensor * (masks - low) / (high - low + 1e-8)
                    scores.append(torch.stack([targets[0](output) for output in self.model(masked)]))
                    self.report_progress(4 * len(scores) / len(busiest))
            weights = torch.zeros(1, len(maps))
            weights[0, busiest.cpu()] = torch.cat(scores).softmax(dim=0).cpu()
            return weights.numpy()

    class _AblationCAM(package.AblationCAM):
        """Ablation-CAM (WACV 2020): what the score loses without a channel."""

        def get_cam_weights(self, input_tensor, layer, targets, activations, grads) -> np.ndarray:
            score = targets[0](self.outputs[0]).item()
            scores = []
            for channels in torch.arange(activations.shape[1]).split(64):
                handle = layer.register_forward_hook(functools.partial(_without, channels))
                try:
                    with torch.no_grad():  # one image goes in, as many come out as there are channels to leave out
                        scores += [targets[0](output).item() for output in self.model(input_tensor)]
                finally:
                    handle.remove()
                self.report_progress(len(scores) / activations.shape[1])
            return (score - np.float32(scores))[None]

    bases = {
        "gradcam": package.GradCAM,
        "gradcam++": package.GradCAMPlusPlus,
        "hirescam": package.HiResCAM,
        "layercam": package.LayerCAM,
        "xgradcam": _XGradCAM,
        "eigencam": _EigenCAM,
        "ablationcam": _AblationCAM,
        "scorecam": _ScoreCAM,
    }
    return {name: type(base.__name__, (_Finite, base), {}) for name, base in bases.items()}
