"""Image classifiers of other libraries, where they are installed (`pip install .[models]`): timm, transformers, CLIP.

`classifier_names` says what a name means. Weights come from the Hugging Face Hub, as safetensors (of timm, whatever its
loader takes) and without any code of the model's own. Of CLIP a text becomes the class "a photo of ..." and its logit
the scaled cosine of the two embeddings (Radford et al., ICML 2021, arXiv 2103.00020, section 3.1.2).

The loaders return plain parts, of which `avd_core.classifiers.loading` makes a `Classifier`.

Axes: B batch, K classes, D features, S side.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avd_core.classifiers.action_net import ClassifierError
from avd_core.classifiers.names import LIBRARIES, parsed, takes_labels, without_labels


class Parts(NamedTuple):
    """What a classifier is made of.

    Attributes:
        network: (B,3,S,S) -> logits (B,K).
        labels: K class names.
        size: S.
        mean: per channel, of values in [0, 1].
        std: per channel, of values in [0, 1].
        mode: interpolation of the resize, "bilinear" or "bicubic".
    """

    network: nn.Module
    labels: tuple[str, ...]
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    mode: str


def load(name: str, device: str | torch.device) -> Parts:
    """Load the parts of a classifier by its name.

    Raises:
        ClassifierError: its library is not installed, there is no such model, or it cannot be downloaded now.
    """
    kind, model, labels = parsed(name)
    library = LIBRARIES[kind]
    if not find_spec(library):
        raise ClassifierError(f"{name} needs the library {library}, which is not installed: pip install .[models].")
    if takes_labels(name) and not labels:
        raise ClassifierError(f"{name} knows no labels by itself; say which it shall choose among.")
    try:
        if kind == "timm":
            return _timm(model, device)
        return _clip(model, labels, device) if takes_labels(name) else _transformers(model, device)
    except Exception as error:  # no network, no such model, another layout: one message serves all
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ClassifierError(f"{without_labels(name)} cannot be had now: {reason}") from error


def _timm(name: str, device: str | torch.device) -> Parts:
    import timm
    from timm.data import ImageNetInfo, infer_imagenet_subset, resolve_model_data_config

    network = timm.create_model(name, pretrained=True).to(device)
    config = resolve_model_data_config(network)
    subset = infer_imagenet_subset(network)
    labels = network.pretrained_cfg.get("label_names")
    if not labels and subset:
        labels = [_short(text) for text in ImageNetInfo(subset).label_descriptions()]
    labels = labels or [f"class {number}" for number in range(network.num_classes)]
    mode = "bicubic" if config["interpolation"] == "bicubic" else "bilinear"
    return Parts(network, tuple(labels), config["input_size"][-1], tuple(config["mean"]), tuple(config["std"]), mode)


def _transformers(name: str, device: str | torch.device) -> Parts:
    from transformers import AutoImageProcessor, AutoModelForImageClassification

    model = AutoModelForImageClassification.from_pretrained(name, use_safetensors=True).to(device)
    labels = tuple(_short(model.config.id2label[number]) for number in range(model.config.num_labels))
    return Parts(_Logits(model), labels, *_preprocessing(AutoImageProcessor.from_pretrained(name)))


def _clip(name: str, labels: Sequence[str], device: str | torch.device) -> Parts:
    model, processor = clip_backbone(name, str(device))
    preprocessing = _preprocessing(processor.image_processor)
    texts = processor.tokenizer([f"a photo of {label}" for label in labels], padding=True, return_tensors="pt")
    with torch.no_grad():
        nothing = torch.zeros(1, 3, preprocessing[0], preprocessing[0], device=device)
        embedded = model(**{key: value.to(device) for key, value in texts.items()}, pixel_values=nothing).text_embeds
        embedded = F.normalize(embedded, dim=1) * model.logit_scale.exp()
    return Parts(_ZeroShot(model, embedded), tuple(labels), *preprocessing)


@functools.lru_cache(maxsize=1)
def clip_backbone(name: str, device: str) -> tuple[Any, Any]:
    """Load CLIP's networks and its processor, which all sets of labels share."""
    from transformers import CLIPModel, CLIPProcessor

    model = CLIPModel.from_pretrained(name, use_safetensors=True).to(device).eval().requires_grad_(False)
    return model, CLIPProcessor.from_pretrained(name)


def _preprocessing(processor: Any) -> tuple[int, tuple[float, ...], tuple[float, ...], str]:
    """Return size, mean, deviation and mode of a transformers image processor."""
    size = getattr(processor, "crop_size", None) or processor.size
    side = size if isinstance(size, int) else size.get("height") or size["shortest_edge"]
    normalised = getattr(processor, "do_normalize", True)
    mean, std = (processor.image_mean, processor.image_std) if normalised else ((0.0,) * 3, (1.0,) * 3)
    mode = "bicubic" if getattr(processor, "resample", 2) == 3 else "bilinear"  # Pillow's numbers
    return int(side), tuple(mean), tuple(std), mode


def _short(label: str) -> str:
    """Return the first of several names, as in torchvision: 'tench, Tinca tinca' is 'tench'."""
    return label.partition(",")[0].strip()


class _Logits(nn.Module):
    """A transformers classifier as a plain function of images."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> Tensor:
        return self.model(pixel_values=image).logits


class _ZeroShot(nn.Module):
    """CLIP's image network, and a last layer made of texts: embeddings (K,D) of length `logit_scale`."""

    def __init__(self, model: nn.Module, embedded: Tensor) -> None:
        super().__init__()
        self.vision = model.get_submodule("vision_model")
        self.projection = model.get_submodule("visual_projection")
        self.head = nn.Linear(embedded.shape[1], len(embedded), bias=False, device=embedded.device)
        self.head.weight.data = embedded

    def forward(self, image: Tensor) -> Tensor:
        return self.head(F.normalize(self.projection(self.vision(pixel_values=image).pooler_output), dim=1))
