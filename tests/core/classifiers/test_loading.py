"""Classifiers by name: torchvision's own preprocessing on the whole image, local weights, and the honest fallback."""

from __future__ import annotations

import os
import pickle
import re
import socket
import threading
import time
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlparse

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision import models

from avd_core.classifiers import weights as weight_files
from avd_core.classifiers.action_net import ActionClassifier, ActionConfig
from avd_core.classifiers.loading import (
    Classifier,
    ClassifierError,
    Preprocessing,
    classifier_names,
    imagenet_weights,
    known_names,
    load_classifier,
)
from avd_core.networks import checkpoint


@pytest.fixture(autouse=True)
def fresh_network_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weight_files, "hosts", {})
    monkeypatch.setattr(weight_files, "downloads", {})


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for weight files, in place of the real one; nothing is downloaded."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def bundled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundled action classifier, small and untrained."""
    monkeypatch.setattr(checkpoint, "BUNDLED_FOLDER", tmp_path / "checkpoints")
    network = ActionClassifier(ActionConfig(("wave", "bow", "jump"), size=32, widths=(4, 8)))
    return network.save_pretrained(tmp_path / "checkpoints" / "action")


@pytest.fixture
def nothing_bundled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "BUNDLED_FOLDER", tmp_path / "no checkpoints")


@pytest.fixture(scope="module")
def mobilenet() -> Classifier:
    if not os.environ.get("TORCH_HOME"):
        pytest.skip("TORCH_HOME is unset")
    return load_classifier()


def put(hub: Path, name: str, state: object = None) -> Path:
    """A weight file where torchvision would look for it; it does not match the checksum in its name."""
    torch.manual_seed(0)
    if state is None:
        state = models.get_model(name, weights=None).state_dict()
    path = hub / Path(urlparse(models.get_model_weights(name)["IMAGENET1K_V1"].url).path).name
    torch.save(state, path)
    return path


def image(height: int = 96, width: int = 160, seed: int = 0) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed)) * 2 - 1


# The real one


def test_the_default_is_mobilenet_with_its_first_weights(mobilenet: Classifier) -> None:
    assert mobilenet.name == "mobilenet_v2"
    assert mobilenet.notice is None
    assert len(mobilenet.labels) == 1000
    assert isinstance(mobilenet.network, models.MobileNetV2)
    assert classifier_names()[0] == "mobilenet_v2"


def test_it_sees_what_is_in_photographs(mobilenet: Classifier, data_dir: Path | None) -> None:
    if data_dir is None:
        pytest.skip("AVD_DATA is unset")
    from PIL import Image
    from torchvision.transforms.functional import pil_to_tensor

    right = 0
    photos = sorted((data_dir / "photos" / "objects").glob("*.jpg"))[::40]
    for path in photos:
        photo = pil_to_tensor(Image.open(path).convert("RGB"))[None].float() / 127.5 - 1
        shown = re.sub("[^a-z]", "", path.stem.split("_", 1)[1].lower())
        small = F.interpolate(photo, (112, 144), mode="bilinear", antialias=True)
        right += shown in {re.sub("[^a-z]", "", p.label.lower()) for p in mobilenet.topk(small)}
    assert len(photos) == 20
    assert right >= 13  # 84 % of all of them at this size


def test_topk_is_sorted_and_adds_up(mobilenet: Classifier) -> None:
    five, everything = mobilenet.topk(image()), mobilenet.topk(image(), k=5000)
    assert everything[:5] == five
    probabilities = [prediction.probability for prediction in everything]
    assert len(probabilities) == 1000
    assert probabilities == sorted(probabilities, reverse=True)
    assert sum(probabilities) == pytest.approx(1, abs=1e-4)


def test_index_forgives_case_and_names_what_is_near(mobilenet: Classifier) -> None:
    assert mobilenet.labels[mobilenet.index("goldfish")] == "goldfish"
    assert mobilenet.index(" GoldFish ") == mobilenet.index("goldfish")
    assert mobilenet.index("Cardigan") != mobilenet.index("cardigan")  # a dog and a jacket
    with pytest.raises(ClassifierError, match=r"near it: .*goldfish"):
        mobilenet.index("goldfisch")
    with pytest.raises(ClassifierError, match=r"near it: .*great white shark"):
        mobilenet.index("shark")
    with pytest.raises(ClassifierError, match="it knows 1000 others"):
        mobilenet.index("zzzzzzzzzz")


# Preprocessing


@pytest.mark.parametrize("name", ["mobilenet_v2", "efficientnet_v2_l", "swin_t"])
def test_a_square_image_is_normalised_as_torchvision_does(name: str) -> None:
    weights = models.get_model_weights(name)["IMAGENET1K_V1"]
    preset = weights.transforms()
    size = preset.crop_size[0]
    square = image(size, size)
    preset.resize_size = [size]  # no crop: the whole image
    ours = Preprocessing(size, tuple(preset.mean), tuple(preset.std), preset.interpolation.value)
    torch.testing.assert_close(ours(square), preset((square + 1) / 2), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_the_whole_image_counts_and_gradients_flow(mode: str) -> None:
    wide = image(112, 224).requires_grad_(True)
    prepared = Preprocessing(64, mode=mode)(wide)
    assert prepared.shape == (1, 3, 64, 64)
    assert prepared.abs().max() <= 1  # bicubic does not overshoot what an image can hold
    prepared.square().sum().backward()
    assert (wide.grad[0].abs().sum(dim=0) > 0).float().mean() > 0.95  # antialiased: no pixel is skipped


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 1, 8, 8), (1, 3, 0, 8)])
def test_what_is_no_image_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ClassifierError, match="Expected an image"):
        Preprocessing(8)(torch.zeros(shape))


def test_a_broken_image_is_refused(bundled: Path) -> None:
    with pytest.raises(ClassifierError, match="not finite"):
        load_classifier("action").topk(torch.full((1, 3, 32, 32), float("nan")))


# By name


@pytest.mark.parametrize("name", ["squeezenet1_1", "mobilenet_v3_small", "shufflenet_v2_x0_5", "googlenet"])
def test_any_torchvision_classifier_from_a_local_file(hub: Path, nothing_bundled: None, name: str) -> None:
    state = models.get_model(
        name, weights=None, **({"init_weights": False} if name == "googlenet" else {})
    ).state_dict()
    if name == "googlenet":
        state |= models.googlenet(aux_logits=True, init_weights=False).state_dict()  # as its real file has them
    put(hub, name, state)
    classifier = load_classifier(name.upper())
    assert classifier.name == name
    assert classifier.notice is None
    assert classifier.logits(image()).shape == (1, 1000)
    assert not classifier.network.training
    assert not any(parameter.requires_grad for parameter in classifier.network.parameters())
    for key, value in classifier.network.state_dict().items():
        torch.testing.assert_close(value, state[key])
    assert name in classifier_names()
    with torch.no_grad():
        features: list[Tensor] = []
        handle = classifier.target_layer.register_forward_hook(lambda _m, _i, output: features.append(output))
        classifier.logits(image())
        handle.remove()
    assert features[0].ndim == 4
    assert 4 <= features[0].shape[-1] <= 14
    assert features[0].shape[1] != 1000
    if name == "googlenet":
        assert classifier.network.transform_input  # its weights come from another framework and expect this


def test_old_key_names_are_understood(hub: Path, nothing_bundled: None) -> None:
    state = models.densenet121(weights=None).state_dict()
    old = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", key): value
        for key, value in state.items()
        if not key.endswith("num_batches_tracked")  # younger than those files
    }
    assert old.keys() != state.keys()
    put(hub, "densenet121", old)
    classifier = load_classifier("densenet121")
    torch.testing.assert_close(classifier.network.state_dict()["features.conv0.weight"], old["features.conv0.weight"])


def test_a_gradient_reaches_the_image(bundled: Path) -> None:
    picture = image().requires_grad_(True)
    load_classifier("action").logits(picture)[0, 1].backward()
    assert picture.grad.abs().sum() > 0


def test_every_name_has_imagenet_weights() -> None:
    assert {"mobilenet_v2", "squeezenet1_0", "vit_b_16", "vit_h_14", "regnet_y_128gf", "action"} <= set(known_names())
    for name in known_names()[:-1]:
        weights = imagenet_weights(name)
        assert len(weights.meta["categories"]) == 1000
        assert weights.name.endswith("V1")


def test_an_unknown_name_brings_near_ones() -> None:
    with pytest.raises(ClassifierError, match="did you mean mobilenet_v2"):
        load_classifier("mobilnet_v2")
    with pytest.raises(ClassifierError, match="try mobilenet_v2 or action"):
        load_classifier("../../etc/passwd")
    with pytest.raises(ClassifierError):
        load_classifier("fasterrcnn_resnet50_fpn")  # a torchvision model, but no image classifier


# When weights cannot be had


def test_without_weights_the_bundled_one_answers_and_says_so(hub: Path, bundled: Path) -> None:
    classifier = load_classifier()
    assert classifier.name == "action"
    assert classifier.labels == ("wave", "bow", "jump")
    assert classifier.notice is not None
    assert classifier.notice.startswith(
        "The bundled action classifier is in use, because the ImageNet weights of mobil"
    )
    assert classifier.notice.endswith("downloads are switched off (HF_HUB_OFFLINE).")
    assert len(classifier.topk(image())) == 3
    assert classifier_names() == ["mobilenet_v2", "action"]


def test_asked_for_by_name_the_bundled_one_has_nothing_to_explain(hub: Path, bundled: Path) -> None:
    assert load_classifier("action").notice is None


def test_below_its_threshold_it_names_nothing(bundled: Path) -> None:
    network = ActionClassifier.from_pretrained(bundled)
    for threshold, refusal in ((0.99, "none of the 3 actions it knows"), (0.0, None)):
        network.config = replace(network.config, threshold=threshold)
        network.save_pretrained(bundled)
        seen = load_classifier("action").topk(image())
        assert [prediction.refusal for prediction in seen] == [refusal] * 3
        assert str(seen[0]) == (refusal or f"{seen[0].label} {seen[0].probability:.0%}")


def test_when_nothing_can_be_had_the_reasons_are_told(hub: Path, nothing_bundled: None) -> None:
    with pytest.raises(ClassifierError, match=r"mobilenet_v2 cannot be had now: downloads .* No action classifier"):
        load_classifier()
    with pytest.raises(ClassifierError, match="No action classifier is bundled"):
        load_classifier("action")
    assert classifier_names() == ["mobilenet_v2"]


class Trap:
    """What a hostile file would run when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize(
    "fault", ["empty", "text", "truncated", "hostile", "a key is missing", "another network", "nan"]
)
def test_a_damaged_local_file_is_told_and_kept(hub: Path, bundled: Path, tmp_path: Path, fault: str) -> None:
    path = put(hub, "squeezenet1_1")
    state = torch.load(path, weights_only=True)
    if fault == "empty":
        path.write_bytes(b"")
    elif fault == "text":
        path.write_text("no weights")
    elif fault == "truncated":
        path.write_bytes(path.read_bytes()[:100_000])
    elif fault == "hostile":
        path.write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    elif fault == "a key is missing":
        del state["features.0.weight"]
        torch.save(state, path)
    elif fault == "another network":
        torch.save(nn.Linear(2, 2).state_dict(), path)
    elif fault == "nan":
        state["features.0.weight"].fill_(float("nan"))
        torch.save(state, path)
    classifier = load_classifier("squeezenet1_1")
    assert classifier.name == "action"
    assert f"its file {path.name} is here but does not load" in classifier.notice
    assert path.exists()
    assert not (tmp_path / "sprung").exists()


def test_a_network_that_hangs_delays_the_start_by_five_seconds_at_most_and_only_once(
    hub: Path, bundled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("no_proxy", "*")
    load_classifier("action")  # imports are not the network's fault
    with socket.create_server(("127.0.0.1", 0)) as silent:  # connects, and never answers
        weights = models.get_model_weights("mobilenet_v2")["IMAGENET1K_V1"]
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/mobilenet_v2-b0353104.pth"
        monkeypatch.setattr(weights.value, "url", url)
        began = time.monotonic()
        classifier = load_classifier()
        waited = time.monotonic() - began
        assert classifier.name == "action"
        assert "has not answered" in classifier.notice
        assert weight_files.PATIENCE <= 5
        assert 4 < waited < 3 * weight_files.PATIENCE  # loading the bundled one is in it, on a busy machine
        began = time.monotonic()
        assert load_classifier().name == "action"
        assert time.monotonic() - began < 4


def test_a_finished_download_is_picked_up_by_a_later_load(
    hub: Path, bundled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = put(hub, "squeezenet1_1")
    content = here.read_bytes()
    here.unlink()
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr(weight_files, "PATIENCE", 0.2)
    arrive, done = threading.Event(), threading.Event()

    def slow(download, _url: str, file) -> str:
        arrive.wait(30)
        file.write(content)
        done.set()
        return here.stem.split("-")[1]

    monkeypatch.setattr(weight_files, "receive", slow)
    assert load_classifier("squeezenet1_1").name == "action"
    arrive.set()
    assert done.wait(10)
    deadline = time.monotonic() + 10
    while not here.is_file() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert load_classifier("squeezenet1_1").name == "squeezenet1_1"


@pytest.mark.parametrize("name", ["mobilenet_v2", "squeezenet1_0"])
def test_features_are_what_the_last_layer_makes_classes_of(name, hub):
    put(hub, name)
    classifier = load_classifier(name)
    assert classifier.notice is None
    image = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        features, logits = classifier.embed(image)
        assert torch.equal(logits, classifier.logits(image))
        maps = classifier.network.features(classifier.prepare(image))
    assert torch.allclose(features, maps.mean(dim=(2, 3)), atol=1e-5)
    assert not any(module._forward_pre_hooks for module in classifier.network.modules())
