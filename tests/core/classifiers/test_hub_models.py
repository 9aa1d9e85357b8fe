"""Classifiers of other libraries: the wiring, against small stand-ins with the interfaces of timm and transformers."""

from __future__ import annotations

import math
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from avd_core.classifiers import hub_models
from avd_core.classifiers.loading import ClassifierError, check_offered, classifier_names, load_classifier
from avd_core.classifiers.names import ClassifierNameError, listed, parsed, titled, with_labels
from avd_core.classifiers.saliency import saliency
from avd_core.explore.explorer import Explorer

CLIP = "clip:somebody/small-clip"


class Block(nn.Module):
    """A transformer's block with its norms under their own names, as in CLIP."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(width, 2, batch_first=True)
        self.layer_norm1, self.layer_norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.GELU())

    def forward(self, tokens: Tensor) -> Tensor:
        normed = self.layer_norm1(tokens)
        tokens = tokens + self.self_attn(normed, normed, normed)[0]
        return tokens + self.mlp(self.layer_norm2(tokens))


class Vision(nn.Module):
    """Patches, a class token, blocks; the pooled class token comes out."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 8, stride=8)
        self.token = nn.Parameter(torch.randn(1, 1, width))
        self.pre_layrnorm = nn.LayerNorm(width)
        self.encoder = nn.Module()
        self.encoder.layers = nn.ModuleList([Block(width), Block(width)])
        self.post_layernorm = nn.LayerNorm(width)

    def forward(self, pixel_values: Tensor) -> SimpleNamespace:
        tokens = self.patches(pixel_values).flatten(2).transpose(1, 2)
        tokens = self.pre_layrnorm(torch.cat([self.token.expand(len(tokens), -1, -1), tokens], dim=1))
        for block in self.encoder.layers:
            tokens = block(tokens)
        return SimpleNamespace(pooler_output=self.post_layernorm(tokens[:, 0]))


class SmallClip(nn.Module):
    """CLIPModel's parts and outputs; a text's embedding is drawn by its letters."""

    def __init__(self) -> None:
        super().__init__()
        self.vision_model, self.visual_projection = Vision(), nn.Linear(16, 12, bias=False)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(20.0)))
        self.texts = nn.EmbeddingBag(256, 12)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, pixel_values: Tensor) -> SimpleNamespace:
        assert pixel_values.shape == (1, 3, 32, 32) and attention_mask.shape == input_ids.shape
        text = self.texts(input_ids)
        text = text / text.norm(dim=1, keepdim=True)
        image = self.visual_projection(self.vision_model(pixel_values=pixel_values).pooler_output)
        logits = self.logit_scale.exp() * text @ (image / image.norm(dim=1, keepdim=True)).T
        return SimpleNamespace(text_embeds=text, logits_per_image=logits.T)


class SmallClassifier(nn.Module):
    """As AutoModelForImageClassification gives: pixel values in, an output with logits out, labels in the config."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Conv2d(3, 6, 8, stride=8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(6, 3)
        self.config = SimpleNamespace(num_labels=3, id2label={0: "tench, Tinca tinca", 1: "cock", 2: "hen"})

    def forward(self, pixel_values: Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=self.head(self.network(pixel_values)))


def module(name: str, **contents: object) -> ModuleType:
    made = ModuleType(name)
    made.__spec__ = ModuleSpec(name, None)
    vars(made).update(contents)
    return made


def pretrained(make) -> SimpleNamespace:
    def from_pretrained(name: str, **options: object):
        if name == "somebody/not-there":
            raise OSError("somebody/not-there is not a model identifier\non the Hub")
        torch.manual_seed(0)
        return make()

    return SimpleNamespace(from_pretrained=from_pretrained)


def letters(texts: list[str], padding: bool, return_tensors: str) -> dict[str, Tensor]:
    longest = max(map(len, texts))
    ids = torch.tensor([[ord(letter) for letter in text.ljust(longest)] for text in texts])
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


@pytest.fixture
def libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    """timm and transformers, as far as they are used."""
    processor = SimpleNamespace(
        crop_size={"height": 32, "width": 32}, size={"shortest_edge": 32}, do_normalize=True, resample=3,
        image_mean=[0.4, 0.5, 0.6], image_std=[0.2, 0.2, 0.3],
    )  # fmt: skip

    transformers = module(
        "transformers",
        AutoModelForImageClassification=pretrained(SmallClassifier),
        AutoImageProcessor=pretrained(lambda: processor),
        CLIPModel=pretrained(SmallClip),
        CLIPProcessor=pretrained(lambda: SimpleNamespace(image_processor=processor, tokenizer=letters)),
    )

    def create_model(name: str, pretrained: bool) -> nn.Module:
        assert pretrained
        model = nn.Sequential(nn.Conv2d(3, 6, 8, stride=8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        model.append(nn.Linear(6, 1000))
        model.num_classes, model.pretrained_cfg = 1000, {"num_classes": 1000}
        return model

    data = module(
        "timm.data",
        resolve_model_data_config=lambda model: {
            "input_size": (3, 48, 48), "interpolation": "bicubic", "mean": (0.5,) * 3, "std": (0.25,) * 3,
            "crop_pct": 0.9, "crop_mode": "center",
        },
        infer_imagenet_subset=lambda model: "imagenet-1k" if model.num_classes == 1000 else None,
        ImageNetInfo=lambda subset: SimpleNamespace(
            label_descriptions=lambda: [f"thing {number}, something" for number in range(1000)]
        ),
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "transformers", transformers)
    monkeypatch.setitem(sys.modules, "timm", module("timm", create_model=create_model, data=data))
    monkeypatch.setitem(sys.modules, "timm.data", data)
    hub_models.clip_backbone.cache_clear()
    yield
    hub_models.clip_backbone.cache_clear()


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)


def test_timm_models_come_with_their_preprocessing_and_the_names_of_imagenet(libraries, picture) -> None:
    classifier = load_classifier("timm:anything.in1k")
    assert classifier.labels[:2] == ("thing 0", "thing 1") and len(classifier.labels) == 1000
    prepared = classifier.prepare(torch.ones(1, 3, 40, 56))
    torch.testing.assert_close(prepared, torch.full((1, 3, 48, 48), 2.0))  # (1 - 0.5) / 0.25
    assert classifier.preprocessing.mode == "bicubic" and classifier.notice is None
    heat = Explorer("cpu").saliency(picture, "timm:anything.in1k").map
    assert heat.shape == (40, 56)


def test_transformers_models_come_with_theirs(libraries) -> None:
    classifier = load_classifier("hf:somebody/model")
    assert classifier.labels == ("tench", "cock", "hen")
    assert classifier.preprocessing.mean == (0.4, 0.5, 0.6) and classifier.preprocessing.size == 32
    assert saliency(classifier, torch.rand(1, 3, 40, 56), target=1).shape == (40, 56)


def test_zero_shot_knows_what_it_is_told(libraries, picture) -> None:
    name = with_labels(CLIP, ["juggling", " yoga ", "juggling", "a dog"])
    assert name == f"{CLIP}=juggling|yoga|a dog" and titled(name) == "small-clip: juggling, yoga, a dog"
    classifier = load_classifier(name)
    assert classifier.labels == ("juggling", "yoga", "a dog")
    # The same as CLIP's own way from both networks to a logit.
    model, processor = hub_models.clip_backbone("somebody/small-clip", "cpu")
    image = torch.rand(1, 3, 40, 56) * 2 - 1
    texts = processor.tokenizer([f"a photo of {label}" for label in classifier.labels], True, "pt")
    with torch.no_grad():
        expected = model(**texts, pixel_values=classifier.prepare(image)).logits_per_image
        torch.testing.assert_close(classifier.logits(image), expected)
    # The map is of the last block's tokens, before its attention; other labels share the networks.
    assert classifier.target_layer is classifier.network.vision.encoder.layers[-1].layer_norm1
    assert saliency(classifier, image, target=1).shape == (40, 56)
    other = load_classifier(with_labels(CLIP, ["cat", "mouse"]))
    assert other.network.vision is classifier.network.vision
    assert Explorer("cpu").recognise(picture, name).topk[0].label in classifier.labels


@pytest.mark.parametrize("labels", [[], ["one"], ["same", "same"], ["a" * 99, "b"], [f"l{i}" for i in range(65)]])
def test_labels_that_are_none(labels: list[str]) -> None:
    with pytest.raises(ClassifierNameError):
        with_labels(CLIP, labels)


def test_labels_cannot_change_the_model() -> None:
    assert parsed(with_labels(CLIP, ["a=b|c", "x"])) == ("clip", "somebody/small-clip", ("a b c", "x"))
    with pytest.raises(ClassifierNameError, match="its own labels"):
        with_labels("timm:resnet18", ["a", "b"])


@pytest.mark.parametrize("name", ["hf:../../secret", "hf:/etc/passwd", "timm:http://x.y/z", "hf:a/b/c", "clip:=a|b"])
def test_a_path_or_an_address_is_no_name(libraries, name: str) -> None:
    with pytest.raises(ClassifierNameError, match="no name of a model"):
        load_classifier(name)


def test_what_cannot_be_had_is_told_in_a_sentence(libraries, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ClassifierError, match=r"hf:somebody/not-there cannot be had now: .*not a model") as caught:
        load_classifier("hf:somebody/not-there")
    assert "\n" not in str(caught.value)
    with pytest.raises(ClassifierError, match="knows no labels"):
        load_classifier(CLIP)
    monkeypatch.setattr(hub_models, "find_spec", lambda name: None)
    with pytest.raises(ClassifierError, match=r"timm, which is not installed: pip install .\[models\]"):
        load_classifier("timm:resnet18")


def test_visitors_get_what_the_operator_lists(libraries, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("AVD_MODELS", "AVD_ALLOW_MODELS"):
        monkeypatch.delenv(variable, raising=False)
    check_offered("mobilenet_v2")
    for name in ("timm:resnet18", CLIP, "resnet152"):
        with pytest.raises(ClassifierError, match="none of the classifiers offered"):
            check_offered(name)
    monkeypatch.setenv("AVD_MODELS", f"timm:resnet18 nonsense:x {CLIP}")
    assert listed() == ["timm:resnet18", CLIP] and classifier_names()[-2:] == listed()
    check_offered("timm:resnet18")
    check_offered(with_labels(CLIP, ["a", "b"]))
    with pytest.raises(ClassifierError, match="none of"):
        check_offered("timm:resnet50")
    monkeypatch.setenv("AVD_ALLOW_MODELS", "1")
    check_offered("timm:resnet50")
    check_offered("resnet152")
    with pytest.raises(ClassifierError, match="listed here"):  # own labels need one that the operator chose
        check_offered("clip:somebody/else=a|b")


def test_what_is_listed_and_not_installed_is_not_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    monkeypatch.setattr("avd_core.classifiers.names.find_spec", lambda name: None)
    monkeypatch.setenv("AVD_MODELS", "timm:resnet18")
    assert listed() == []
