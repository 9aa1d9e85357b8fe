"""Still-image classifiers by name: torchvision's with their ImageNet weights, or the bundled small action classifier.

A distilled image is fed to them as it is. Preprocessing is the weights' own mean, deviation, interpolation and crop
size, but as a differentiable transform of [-1, 1] images of any aspect, and of the **whole** image: it is squashed to
the crop size, not cut. A distilled image carries its clip up to the edges, every network accepts a square (vision
transformers accept nothing else), and a class activation map then covers the image edge to edge. It costs nothing:
MobileNetV2 on 396 ImageNet photographs, made 112 px on the short side and up to 2:1 like distilled images, has top-1 /
top-5 of 56.8 / 83.6 % squashed, 54.5 / 82.8 % centre-cropped, 52.0 / 78.8 % with torchvision's resize-256-crop-224
(on the 141 wider than 1.45:1 alone: 54.6 / 80.9 against 54.6 / 83.0 and 54.6 / 80.9 %).

Axes: B batch, K classes, H, W.
"""

from __future__ import annotations

import difflib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlparse

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avd_core.classifiers import hub_models
from avd_core.classifiers.action_net import ACTION, ActionClassifier, ClassifierError, bundled_action_folder
from avd_core.classifiers.names import any_allowed, is_foreign, is_own, listed, takes_labels, without_labels
from avd_core.classifiers.weights import WeightsUnavailable, fetch

if TYPE_CHECKING:
    from torchvision.models._api import WeightsEnum

__all__ = [
    "ACTION",
    "DEFAULT",
    "Classifier",
    "ClassifierError",
    "Prediction",
    "Preprocessing",
    "classifier_names",
    "known_names",
    "load_classifier",
]

DEFAULT = "mobilenet_v2"
_build_lock = threading.Lock()


@dataclass(frozen=True)
class Prediction:
    """One class and its probability, 0 to 1.

    Attributes:
        none_of: number of classes if the likeliest one is below the classifier's threshold; else 0.
    """

    label: str
    probability: float
    none_of: int = 0

    @property
    def refusal(self) -> str | None:
        """Return a phrase that says the picture shows none of the classes; None if `none_of` is 0."""
        return f"none of the {self.none_of} actions it knows" if self.none_of else None

    def __str__(self) -> str:
        return self.refusal or f"{self.label} {self.probability:.0%}"


@dataclass(frozen=True)
class Preprocessing:
    """Images (B,3,H,W) in [-1, 1] -> what a network was trained on, (B,3,size,size); differentiable.

    Attributes:
        size: side of the square the whole image is squashed to, antialiased.
        mean: per channel, of values in [0, 1].
        std: per channel, of values in [0, 1].
        mode: "bilinear" or "bicubic".
    """

    size: int
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)
    mode: str = "bilinear"

    def __call__(self, image: Tensor) -> Tensor:
        if image.ndim != 4 or image.shape[1] != 3 or 0 in image.shape:
            raise ClassifierError(f"Expected an image (B, 3, H, W); got {tuple(image.shape)}.")
        mean, std = (image.new_tensor(values).view(1, 3, 1, 1) for values in (self.mean, self.std))
        # Bicubic overshoots; an 8-bit image, which the networks were trained on, cannot.
        square = squash(image, self.size, self.mode).clamp(-1, 1)
        return ((square + 1) / 2 - mean) / std


def squash(image: Tensor, size: int, mode: str = "bilinear") -> Tensor:
    """Resize the whole of each image (B,3,H,W), antialiased, to (B,3,size,size)."""
    return F.interpolate(image, (size, size), mode=mode, antialias=True, align_corners=False)


class Classifier:
    """A frozen image classifier that takes distilled images as they are.

    Attributes:
        name: as `load_classifier` takes it.
        labels: K class names.
        network: takes what `prepare` returns; eval mode, weights frozen. Not to be changed afterwards.
        target_layer: the module of `network` whose output is its last map of features (for class activation maps).
        threshold: probability below which the likeliest class is no answer; 0 where it always is one.
        notice: a sentence if this classifier replaces the requested one, saying which it is and why; else empty.
    """

    def __init__(
        self,
        name: str,
        network: nn.Module,
        labels: Sequence[str],
        preprocessing: Preprocessing,
        *,
        threshold: float = 0.0,
        notice: str | None = None,
    ) -> None:
        self.name = name
        self.labels = tuple(labels)
        self.network = network.eval().requires_grad_(False)
        self.preprocessing = preprocessing
        self.threshold = threshold
        self.notice = notice
        self.target_layer = _last_map(self)

    def __repr__(self) -> str:
        return f"Classifier({self.name!r}, {len(self.labels)} classes)"

    @property
    def device(self) -> torch.device:
        """Return the network's device; images are moved there."""
        return next(self.network.parameters()).device

    def prepare(self, image: Tensor) -> Tensor:
        """Turn images (B,3,H,W) in [-1, 1] into the network's input (B,3,S,S), on its device."""
        return self.preprocessing(image.to(self.device, torch.float32))

    def logits(self, image: Tensor) -> Tensor:
        """Return logits (B,K) of images (B,3,H,W) in [-1, 1], differentiable in the image."""
        return self.network(self.prepare(image))

    def embed(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (B,D), the last layer's input averaged over places, and logits (B,K).

        Images are (B,3,H,W) in [-1, 1]. Not for several threads on one classifier: a hook records the features.
        """
        recorded: list[Tensor] = []
        handle = _last_layer(self).register_forward_pre_hook(lambda _module, inputs: recorded.append(inputs[0]))
        try:
            logits = self.logits(image)
        finally:
            handle.remove()
        features = recorded[0]
        return (features.mean(dim=(-2, -1)) if features.ndim == 4 else features), logits

    def topk(self, image: Tensor, k: int = 5) -> list[Prediction]:
        """Return the `k` likeliest classes (all, if there are fewer) of the first image, likeliest first.

        Raises:
            ClassifierError: when the image or the result is not finite.
        """
        with torch.no_grad():
            return self.likeliest(self.logits(image[:1])[0], k)

    def likeliest(self, logits: Tensor, k: int = 5) -> list[Prediction]:
        """Return the `k` likeliest classes (all, if there are fewer) by logits (K,), likeliest first.

        Raises:
            ClassifierError: when they are not finite.
        """
        probabilities = logits.softmax(dim=0)
        if not torch.isfinite(probabilities).all():
            raise ClassifierError("This image cannot be classified: it holds values that are not finite.")
        best = probabilities.topk(min(k, len(self.labels)))
        pairs = list(zip(best.values.tolist(), best.indices.tolist(), strict=True))
        none_of = len(self.labels) if pairs[0][0] < self.threshold else 0
        return [Prediction(self.labels[i], p, none_of) for p, i in pairs]

    def probability(self, image: Tensor, target: int) -> float:
        """Return the probability of class number `target` in an image (1,3,H,W) in [-1, 1]."""
        with torch.no_grad():
            return float(self.logits(image).softmax(dim=1)[0, target])

    def index(self, label: str) -> int:
        """Return the number of a class by its name; case does not matter where that is not ambiguous.

        Raises:
            ClassifierError: for an unknown name; the sentence holds the nearest ones.
        """
        if label in self.labels:
            return self.labels.index(label)
        wanted = label.casefold().strip()
        folded = [known.casefold() for known in self.labels]
        if wanted in folded:
            return folded.index(wanted)
        near = [self.labels[i] for i, known in enumerate(folded) if wanted and wanted in known]
        near += [self.labels[folded.index(match)] for match in difflib.get_close_matches(wanted, folded, cutoff=0.5)]
        hint = "near it: " + ", ".join(list(dict.fromkeys(near))[:4]) if near else f"it knows {len(folded)} others"
        raise ClassifierError(f"The classifier {self.name} has no class {label!r}; {hint}.")


def load_classifier(
    name: str = DEFAULT, device: str | torch.device = "cpu", *, head_folder: Callable[[str], Path] | None = None
) -> Classifier:
    """Load a classifier by name: any torchvision classifier with ImageNet weights, or "action", the bundled one.

    torchvision's weights are read from torch's hub folder (below `TORCH_HOME`), or downloaded in the background; see
    `avd_core.classifiers.weights` for how long a call waits. If they are not there in time, the bundled action
    classifier is returned with a `notice`; a later call returns the requested one once its download is finished. For
    all other names, what cannot be loaded is an error.

    Args:
        name: one of `known_names` or `classifier_names`, or a name as `classifiers.names` describes them.
        device: where to put its network.
        head_folder: returns the folder of a fine-tuning run's head ("own:..."); without it such names are refused.

    Raises:
        ClassifierError: for an unknown name, or when not even the bundled classifier is there.
    """
    if is_foreign(name):
        network, labels, size, mean, std, mode = hub_models.load(name, device)
        return Classifier(name, network, labels, Preprocessing(size, mean, std, mode))
    if is_own(name):
        return _own(name, device, head_folder)
    key = name.strip().lower()
    if key == ACTION:
        return _action(device)
    weights = imagenet_weights(key)
    try:
        return _torchvision(key, weights, device)
    except WeightsUnavailable as error:
        reason = f"the ImageNet weights of {key} cannot be had now: {error}"
    try:
        return _action(device, notice=f"The bundled action classifier is in use, because {reason}.")
    except ClassifierError as error:
        raise ClassifierError(f"There is no image classifier to use: {reason}. {error}") from error


def classifier_names() -> list[str]:
    """List the default, every other classifier whose weights are here, the bundled one, and those the operator lists.

    The default is always included, since requesting it at least starts its download.
    """
    here = [
        name for name in _torchvision_names() if name != DEFAULT and _weights_path(imagenet_weights(name)).is_file()
    ]
    return [DEFAULT, *here, *([ACTION] if bundled_action_folder() else []), *listed()]


def check_offered(name: str) -> None:
    """Check a name that comes from a visitor.

    Raises:
        ClassifierError: the operator does not offer it.
    """
    # The keys of runs cannot be guessed, and give access to them.
    if without_labels(name) in classifier_names() or is_own(name):
        return
    if not any_allowed():
        raise ClassifierError(f"{name[:100]!r} is none of the classifiers offered here.")
    if takes_labels(name):
        raise ClassifierError("Labels of one's own need one of the models that are listed here.")


def known_names() -> list[str]:
    """List every torchvision name that `load_classifier` accepts, and the bundled one."""
    return [*_torchvision_names(), ACTION]


def _torchvision_names() -> list[str]:
    from torchvision import models

    return models.list_models(module=models)


def imagenet_weights(name: str) -> WeightsEnum:
    """Return the torchvision weights entry of a classifier: the first ImageNet version where there is one."""
    from torchvision import models

    if name not in _torchvision_names():
        near = difflib.get_close_matches(name, known_names(), n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"try {DEFAULT} or {ACTION}."
        raise ClassifierError(f"There is no classifier {name!r}; {hint}")
    entries = models.get_model_weights(name)
    return entries.__members__.get("IMAGENET1K_V1", entries.DEFAULT)


def _weights_path(weights: WeightsEnum) -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(weights.url).path).name


def _torchvision(name: str, weights: WeightsEnum, device: str | torch.device) -> Classifier:
    from torchvision import models

    path = fetch(weights.url, _weights_path(weights))
    preset = weights.transforms()
    preprocessing = Preprocessing(
        size=preset.crop_size[0], mean=tuple(preset.mean), std=tuple(preset.std), mode=preset.interpolation.value
    )
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        # torchvision's own builder knows each family's options and old key names; it only must not load the file
        # itself (without a deadline, and unpickling anything). It gets the tensors instead, and loads strictly.
        with _build_lock:
            weights.get_state_dict = lambda *_args, **_kwargs: state
            try:
                network = models.get_model(name, weights=weights, progress=False)
            finally:
                del weights.get_state_dict
        classifier = Classifier(name, network, weights.meta["categories"], preprocessing)
    except Exception as error:  # a damaged file fails in many ways; one message serves all
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise WeightsUnavailable(
            f"its file {path.name} is here but does not load ({reason}); delete it to have it downloaded anew"
        ) from error
    classifier.network.to(device)
    return classifier


def _action(device: str | torch.device, notice: str | None = None) -> Classifier:
    folder = bundled_action_folder()
    if folder is None:
        raise ClassifierError("No action classifier is bundled with this copy of the project.")
    network = ActionClassifier.from_pretrained(folder)
    preprocessing = Preprocessing(size=network.config.size)
    config = network.config
    return Classifier(
        ACTION, network.to(device), config.labels, preprocessing, threshold=config.threshold, notice=notice
    )


def _own(name: str, device: str | torch.device, head_folder: Callable[[str], Path] | None) -> Classifier:
    folder = head_folder(name) if head_folder else None
    if folder is None or not folder.is_dir():
        raise ClassifierError("This classifier is not here any more: its run was resumed or deleted.")
    network = ActionClassifier.from_pretrained(folder)
    return Classifier(name, network.to(device), network.config.labels, Preprocessing(size=network.config.size))


def _last_layer(classifier: Classifier) -> nn.Module:
    """Return the layer that makes classes of features: linear, or a convolution of one pixel (SqueezeNet)."""
    layers = [module for module in classifier.network.modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    return [layer for layer in layers if len(layer.weight) == len(classifier.labels)][-1]


def _last_map(classifier: Classifier) -> nn.Module:
    """Find the last module that outputs a map of features, by running the network: so it works for any architecture."""
    network, size = classifier.network, classifier.preprocessing.size
    found: dict[str, nn.Module] = {}
    norms: list[nn.Module] = []  # of tokens, since the last map

    def note(module: nn.Module, _args: object, output: object) -> None:
        if not isinstance(output, Tensor):
            return
        if output.ndim == 4 and min(output.shape[-2:]) > 1:
            found["classes" if output.shape[1] == len(classifier.labels) else "features"] = module
            norms.clear()
        elif output.ndim == 3 and isinstance(module, nn.LayerNorm) and output.shape[1] > 3:
            norms.append(module)

    handles = [module.register_forward_hook(note) for module in network.modules()]
    try:
        with torch.no_grad():
            logits = network(torch.zeros(1, 3, size, size, device=classifier.device))
    finally:
        for handle in handles:
            handle.remove()
    if logits.shape != (1, len(classifier.labels)) or not torch.isfinite(logits).all() or not found:
        raise ClassifierError(f"{classifier.name} does not make finite logits of its classes from a map of features.")
    if norms:
        found["features"] = _before_last_attention(network, norms)
    return found.get("features") or found["classes"]  # SqueezeNet makes a map of classes after that of its features


def _before_last_attention(network: nn.Module, norms: Sequence[nn.Module]) -> nn.Module:
    """Return the layer norm before a vision transformer's last attention: the first norm of its last block.

    Past that attention only the class token may count, so this is the last place with all tokens.
    """
    blocks = [module for module in network.modules() if isinstance(module, nn.ModuleList | nn.Sequential)]
    for last in (block[-1] for block in reversed(blocks) if len(block)):
        inside = set(last.modules())
        if norm := next((norm for norm in norms if norm in inside), None):
            return norm
    return norms[0]
