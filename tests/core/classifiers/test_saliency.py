"""Class activation maps: right, finite, placed where they belong, the same from many threads, and without a trace."""

from __future__ import annotations

import copy
import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import SwinTransformer, VisionTransformer

from avd_core.classifiers import saliency as saliency_module
from avd_core.classifiers.loading import Classifier, Preprocessing, load_classifier
from avd_core.classifiers.saliency import COSTS, METHODS, SLOW, SaliencyError, estimate, overlay, saliencies, saliency

LABELS = tuple(f"class {number}" for number in range(6))


class InPlaceNet(nn.Module):
    """What follows the target layer works in place, once as a module and once as a function."""

    def __init__(self, in_place: bool = True) -> None:
        super().__init__()
        self.in_place = in_place
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(inplace=in_place))
        self.deep = nn.Sequential(nn.Conv2d(8, 12, 3, 2, 1), nn.BatchNorm2d(12))
        self.head = nn.Linear(12, len(LABELS))

    def forward(self, image: Tensor) -> Tensor:
        features = F.relu(self.deep(self.stem(image)), inplace=self.in_place)
        return self.head(features.mean(dim=(2, 3)))


class Spotlight(nn.Module):
    """Class 1 is the brightness of the image, class 0 its darkness: where it looks is known."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 4, 8, stride=8)
        with torch.no_grad():
            self.features.weight[:2], self.features.weight[2:] = -0.01, 0.01
            self.features.bias.zero_()

    def forward(self, image: Tensor) -> Tensor:
        return F.relu(self.features(image)).mean(dim=(2, 3)).unflatten(1, (2, 2)).sum(dim=2)


def classifier_of(network: nn.Module, labels: tuple[str, ...] = LABELS, size: int = 64) -> Classifier:
    return Classifier("test", network, labels, Preprocessing(size))


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    """MobileNetV2 with its real weights, or a small random network where `TORCH_HOME` is unset."""
    if os.environ.get("TORCH_HOME"):
        loaded = load_classifier("mobilenet_v2")
        assert loaded.notice is None
        return loaded
    torch.manual_seed(0)
    return classifier_of(InPlaceNet())


@pytest.fixture
def small() -> Classifier:
    torch.manual_seed(1)
    return classifier_of(InPlaceNet())


@pytest.fixture(autouse=True)
def few_channels(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("avd_core.classifiers.cam_methods.SCORED_CHANNELS", 12)  # Score-CAM takes seconds with more
    yield


def picture(seed: int = 0, height: int = 96, width: int = 160) -> Tensor:
    coarse = torch.rand(1, 3, 6, 10, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return F.interpolate(coarse, (height, width), mode="bicubic").clamp(-1, 1)


def enlarged(cam: Tensor) -> np.ndarray:
    """A map (1,1,h,w) at the size of `picture`, from 0 to 1."""
    cam = F.interpolate(cam - cam.min(), (96, 160), mode="bicubic", antialias=True).clamp(min=0)[0, 0]
    return (cam / cam.max()).numpy()


def trace(network: nn.Module) -> list:
    """Everything a run could leave behind."""
    modules = list(network.modules())
    return [
        [(id(m), m.training, len(m._forward_hooks), len(m._backward_hooks)) for m in modules],
        [(p.requires_grad, p.grad is None) for p in network.parameters()],
        [getattr(m, "inplace", None) for m in modules],
    ]


@pytest.mark.parametrize("method", METHODS)
def test_a_map_has_the_images_shape_and_a_known_range(classifier: Classifier, method: str) -> None:
    heat = saliency(classifier, picture(), method=method)
    assert heat.shape == (96, 160)
    assert heat.dtype == np.float32
    assert heat.min() >= 0
    assert heat.max() == pytest.approx(1)
    assert heat.std() > 0.01


def test_every_method_has_a_title_and_a_cost() -> None:
    assert set(METHODS) == set(COSTS)
    assert len(set(METHODS.values())) == len(METHODS)


@pytest.mark.parametrize("target", [0, 3, None])
def test_grad_cam_is_what_its_paper_says(classifier: Classifier, target: int | None) -> None:
    kept: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        kept.append(output.detach().clone().requires_grad_(True))
        return kept[0].clone()

    handle = classifier.target_layer.register_forward_hook(keep)
    logits = classifier.logits(picture())[0]
    handle.remove()
    logits[int(logits.argmax()) if target is None else target].backward()
    weights = kept[0].grad.mean(dim=(2, 3), keepdim=True)
    cam = (weights * kept[0]).sum(dim=1, keepdim=True).detach().clamp(min=0)
    np.testing.assert_allclose(saliency(classifier, picture(), target=target), enlarged(cam), atol=2e-3)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("height", "width", "row", "column"), [(96, 160, 1, 6), (160, 96, 6, 1), (64, 64, 3, 3)])
def test_a_map_points_at_what_the_class_is_made_of(method: str, height: int, width: int, row: int, column: int) -> None:
    network = Spotlight()
    if method == "eigencam":  # it asks for no class: leave only one thing to be seen
        nn.init.zeros_(network.features.weight[:2])
    down, across = height // 8, width // 8  # a cell of the 8 x 8 map
    top, left = row * down, column * across
    image = torch.full((1, 3, height, width), -1.0)
    image[..., top : top + down, left : left + across] = 1.0
    heat = saliency(classifier_of(network, ("dark", "bright")), image, target=1, method=method)
    y, x = np.unravel_index(heat.argmax(), heat.shape)
    assert top <= y < top + down
    assert left <= x < left + across
    assert heat[top : top + down, left : left + across].mean() > 5 * heat.mean()


def test_ablation_is_what_its_paper_says(small: Classifier) -> None:
    image, target = picture(3), 2
    prepared = small.prepare(image)
    with torch.no_grad():
        features = small.network.deep(small.network.stem(prepared))

        def logit(changed: Tensor) -> float:
            return float(small.network.head(F.relu(changed).mean(dim=(2, 3)))[0, target])

        score = logit(features)
        weights = []
        for channel in range(features.shape[1]):
            without = features.clone()
            without[:, channel] = 0
            weights.append((score - logit(without)) / abs(score))
        cam = (torch.tensor(weights)[:, None, None] * features[0]).sum(dim=0).clamp(min=0)
    heat = saliency(small, image, target=target, method="ablationcam")
    np.testing.assert_allclose(heat, enlarged(cam[None, None]), atol=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_in_place_activations_change_nothing(small: Classifier, method: str) -> None:
    plain = InPlaceNet(in_place=False)
    plain.load_state_dict(small.network.state_dict())
    np.testing.assert_allclose(
        saliency(small, picture(), target=1, method=method),
        saliency(classifier_of(plain), picture(), target=1, method=method),
        atol=1e-5,
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "network",
    [
        lambda: VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=len(LABELS)),
        lambda: SwinTransformer([4, 4], 16, [1, 1], [2, 2], [2, 2], num_classes=len(LABELS)),
    ],
    ids=["vit", "swin"],
)
def test_transformers_have_maps_too(network, method: str) -> None:
    torch.manual_seed(0)
    net = network()
    for parameter in net.parameters():  # torchvision starts heads and biases at zero, which would say nothing
        nn.init.normal_(parameter, std=0.2)
    heats = [
        saliency(classifier_of(net, size=32), picture(), target=target, method=method) for target in range(len(LABELS))
    ]
    assert all(heat.shape == (96, 160) and np.isfinite(heat).all() for heat in heats)
    assert max(heat.std() for heat in heats) > 0.05


def spots(*levels: float) -> Tensor:
    """Images that are dark but for one cell, of these brightnesses."""
    images = torch.full((len(levels), 3, 64, 64), -1.0)
    for image, level in zip(images, levels, strict=True):
        image[:, 8:16, 8:16] = level
    return images


def test_frames_are_scaled_together() -> None:
    classifier = classifier_of(Spotlight(), ("dark", "bright"))
    maps = saliencies(classifier, spots(1.0, 0.5, -1.0), target=1)
    assert maps.shape == (3, 64, 64) and maps.dtype == np.float32
    assert maps.max() == pytest.approx(1)
    # The class is brightness itself, so half the evidence is half as hot, and no evidence is cold.
    np.testing.assert_allclose(maps.max(axis=(1, 2)), [1, 0.5, 0], atol=0.02)
    alone = [saliency(classifier, image[None], target=1) for image in spots(1.0, 0.5)]
    assert [heat.max() for heat in alone] == pytest.approx([1, 1])
    np.testing.assert_allclose(maps[0], alone[0], atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_frames_take_their_turn_and_tell_how_far_they_are(small: Classifier, method: str) -> None:
    shares: list[float] = []
    maps = saliencies(
        small, torch.cat([picture(seed) for seed in range(3)]), target=2, method=method, progress=shares.append
    )
    assert maps.shape == (3, 96, 160) and maps.min() >= 0 and maps.max() == pytest.approx(1)
    assert shares == sorted(shares) and shares[-1] == pytest.approx(1) and len(shares) >= 3


class Enough(Exception):
    pass


@pytest.mark.parametrize("method", [method for method, cost in COSTS.items() if cost >= SLOW])
def test_a_slow_method_stops_when_told_and_holds_nobody_up(small: Classifier, method: str) -> None:
    fast = saliency(small, picture())
    seen: list[np.ndarray] = []

    def meanwhile(share: float) -> None:
        seen.append(saliency(small, picture()))  # would wait for ever, were there one lock
        raise Enough

    with pytest.raises(Enough):
        saliency(small, picture(), method=method, progress=meanwhile)
    np.testing.assert_array_equal(seen[0], fast)
    assert saliency(small, picture(), method=method).max() == pytest.approx(1)


def test_the_private_copies_hold_the_same_weights(small: Classifier) -> None:
    for method in ("gradcam", "scorecam"):
        saliency(small, picture(), method=method)
    explainers = saliency_module.explainers[small].values()
    assert len(explainers) == 2
    for explainer in explainers:
        for own, theirs in zip(explainer.network.parameters(), small.network.parameters(), strict=True):
            assert own.data_ptr() == theirs.data_ptr()


def test_a_cost_is_what_the_last_run_took(small: Classifier) -> None:
    assert estimate(small, "gradcam") is None
    saliency(small, picture())
    measured = estimate(small, "gradcam")
    assert 0 < measured < 60
    assert estimate(small, "scorecam") == pytest.approx(measured * COSTS["scorecam"])
    saliency(small, picture(), method="scorecam")
    assert estimate(small, "scorecam") == saliency_module.explainer_for(small, "scorecam").seconds["scorecam"]


def test_four_threads_get_what_one_gets(classifier: Classifier) -> None:
    jobs = [(seed, target, method) for seed in range(4) for target in (0, 5) for method in ("gradcam", "layercam")]

    def heat(job: tuple[int, int, str]) -> np.ndarray:
        return saliency(classifier, picture(job[0]), target=job[1], method=job[2])

    alone = [heat(job) for job in jobs]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(heat, jobs))
    for expected, found in zip(alone, together, strict=True):
        np.testing.assert_array_equal(found, expected)
    assert len({heat.tobytes() for heat in alone}) > 4


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_it_works_where_gradients_are_off(small: Classifier, mode) -> None:
    expected = saliency(small, picture())
    with mode():
        np.testing.assert_array_equal(saliency(small, picture() + 0), expected)


@pytest.mark.parametrize("method", METHODS)
def test_the_classifier_is_left_as_it_was(method: str) -> None:
    classifier = classifier_of(InPlaceNet())
    classifier.network.train()  # somebody's own idea; it is theirs
    before, weights = trace(classifier.network), copy.deepcopy(classifier.network.state_dict())
    saliency(classifier, picture(), method=method)
    assert trace(classifier.network) == before
    for name, value in classifier.network.state_dict().items():
        torch.testing.assert_close(value, weights[name], rtol=0, atol=0)


@pytest.mark.parametrize("method", METHODS)
def test_a_failure_leaves_no_trace(small: Classifier, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = saliency(small, picture(), method=method)
    before = trace(small.network)
    explainer = saliency_module.explainer_for(small, method)
    network, calls = explainer.network, []
    forward = network.head.forward

    def fail_later(features: Tensor) -> Tensor:
        calls.append(1)
        if len(calls) >= (2 if COSTS[method] > 3 else 1):
            raise IndexError("out of luck")
        return forward(features)

    network.head.forward = fail_later
    with pytest.raises(IndexError, match="out of luck"):  # the package's `with` block would swallow this one
        saliency(small, picture(), method=method)
    assert trace(small.network) == before
    assert explainer.network is None  # what failed half-way is not used again
    np.testing.assert_array_equal(saliency(small, picture(), method=method), expected)
    assert all(not module._forward_hooks for module in explainer.network.modules())


def test_a_black_image_gives_a_finite_map_of_the_real_classifier_too(classifier: Classifier) -> None:
    assert np.isfinite(saliency(classifier, torch.full((1, 3, 112, 112), -1.0))).all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("level", [-1.0, 0.0, 1.0])
def test_a_blank_image_gives_a_finite_map(small: Classifier, method: str, level: float) -> None:
    heat = saliency(small, torch.full((1, 3, 64, 112), level), method=method)
    assert np.isfinite(heat).all()
    assert 0 <= heat.min() <= heat.max() <= 1


@pytest.mark.parametrize("method", METHODS)
def test_the_same_everywhere_is_no_evidence(method: str) -> None:
    network = Spotlight()
    nn.init.zeros_(network.features.weight)
    nn.init.ones_(network.features.bias)
    heat = saliency(classifier_of(network, ("dark", "bright")), picture(), target=1, method=method)
    np.testing.assert_array_equal(heat, np.zeros((96, 160), np.float32))


@pytest.mark.parametrize("target", [-1, 6, 1000, 1.5])
def test_a_class_that_is_not_there(small: Classifier, target: int) -> None:
    with pytest.raises(SaliencyError, match="from 0 to 5"):
        saliency(small, picture(), target=target)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite(small: Classifier, value: float) -> None:
    image = picture()
    image[0, 1, 2, 3] = value
    with pytest.raises(SaliencyError, match="not finite"):
        saliency(small, image)


@pytest.mark.parametrize("shape", [(2, 3, 64, 64), (1, 1, 64, 64), (3, 64, 64), (1, 3, 0, 64)])
def test_what_is_no_single_image(small: Classifier, shape: tuple[int, ...]) -> None:
    with pytest.raises(SaliencyError, match="one image"):
        saliency(small, torch.zeros(shape))


def test_an_unknown_method(small: Classifier) -> None:
    with pytest.raises(SaliencyError, match="gradcam, gradcam"):
        saliency(small, picture(), method="crystal ball")


def test_a_classifier_that_is_dropped_takes_its_copy_along() -> None:
    before = len(saliency_module.explainers)
    classifier = classifier_of(InPlaceNet())
    saliency(classifier, picture())
    assert len(saliency_module.explainers) == before + 1
    del classifier
    gc.collect()
    assert len(saliency_module.explainers) <= before


@pytest.mark.filterwarnings("error")
def test_the_overlay_of_a_black_image() -> None:
    black = np.zeros((8, 12, 3), np.uint8)
    heat = np.zeros((8, 12), np.float32)
    np.testing.assert_array_equal(overlay(black, heat), black)
    heat[2, 3] = 1
    painted = overlay(black, heat)
    assert painted[2, 3].max() > 60
    assert (painted.sum(axis=2) > 0).sum() == 1


def test_the_overlay_leaves_cold_places_and_obeys_its_strength() -> None:
    image = np.random.default_rng(0).integers(0, 256, (10, 10, 3), dtype=np.uint8)
    heat = np.zeros((10, 10), np.float32)
    heat[:, 5:] = 1
    painted = overlay(image, heat, 1.0)
    np.testing.assert_array_equal(painted[:, :5], image[:, :5])
    assert len(np.unique(painted[:, 5:].reshape(-1, 3), axis=0)) == 1  # all colour
    np.testing.assert_array_equal(overlay(image, heat, 0.0), image)
    assert painted.dtype == np.uint8


@pytest.mark.parametrize("heat", [np.zeros((4, 5)), np.full((8, 8), np.nan)])
def test_a_map_that_does_not_fit(heat: np.ndarray) -> None:
    with pytest.raises(SaliencyError):
        overlay(np.zeros((8, 8, 3), np.uint8), heat)


def test_the_package_is_imported_by_the_first_map_only() -> None:
    heavy = {"pytorch_grad_cam", "matplotlib", "gradio"}
    code = f"import sys, avd_core.classifiers.saliency; print({heavy} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
