"""Refinement: it gains, within its bounds, changes no network, and keeps the best image when it is stopped."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from avd_core.data.synthetic import random_scene
from avd_core.networks.avd import AVD, tensor_to_image, to_tensor
from avd_core.networks.refinement import ALLOWED_DB, MAX_STEPS, Refinement, RefinementError, refine


@pytest.fixture(scope="module")
def model() -> AVD:
    return AVD.from_pretrained("tiny")


@pytest.fixture(scope="module")
def clip() -> np.ndarray:
    return random_scene(3, frames=8, size=64)


def encoded(model: AVD, clip: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return tensor_to_image(model.encode(to_tensor(clip)))


@pytest.fixture(scope="module")
def steps(model: AVD, clip: np.ndarray) -> list[Refinement]:
    return list(refine(model, clip, encoded(model, clip), 12))


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)))


def test_it_gains_and_never_loses_what_it_had(steps: list[Refinement]):
    assert [one.step for one in steps] == list(range(13)) and all(one.steps == 12 for one in steps)
    assert steps[0].gain == 0
    gains = [one.gain for one in steps]
    assert gains == sorted(gains) and gains[-1] > 0.3


def test_its_figures_are_those_of_the_8_bit_image(steps, model, clip):
    image = steps[-1].image
    assert image.dtype == np.uint8 and image.shape == clip.shape[1:]
    assert psnr(image, clip[len(clip) // 2]) == pytest.approx(steps[-1].image_psnr, abs=0.02)
    with torch.inference_mode():
        restored = (model.decode(to_tensor(image[None])[:, :, 0])[0].movedim(0, -1) + 1) * 127.5
    assert psnr(restored.numpy(), clip) == pytest.approx(steps[-1].psnr, abs=0.02)


def test_the_image_stays_near_its_frame(steps):
    assert steps[-1].image_psnr >= steps[0].image_psnr - ALLOWED_DB - 0.1


def test_an_image_drawn_to_another_picture_stays_near_that(model, clip):
    target = clip[0]
    *_, last = refine(model, clip, encoded(model, clip), 4, target)
    assert psnr(last.image, target) == pytest.approx(last.image_psnr, abs=0.02)
    assert last.start[1] == pytest.approx(psnr(encoded(model, clip), target), abs=0.02)


def test_no_network_changes_and_no_gradient_is_left(model, clip):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    running = refine(model, clip, encoded(model, clip), 5)
    next(running), next(running)
    running.close()
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not any(weight.requires_grad or weight.grad is not None for weight in model.parameters())
    assert not model.training


def test_a_still_clip_is_refined_without_harm(model):
    still = np.full((8, 64, 64, 3), 128, np.uint8)
    *_, last = refine(model, still, still[0], 2)
    assert np.isfinite(last.psnr) and last.gain >= 0


@pytest.mark.parametrize("steps", [0, -1, MAX_STEPS + 1])
def test_impossible_numbers_of_steps_are_refused(model, clip, steps):
    with pytest.raises(RefinementError, match=f"1 to {MAX_STEPS}"):
        next(refine(model, clip, clip[4], steps))
