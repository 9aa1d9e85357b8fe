"""Training of the action classifier: honest parts, the window a person gets, learning."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from avd_core.classifiers.action_data import SETS, Example, distill, gather
from avd_core.classifiers.action_net import ActionClassifier, ActionConfig
from avd_core.classifiers.action_training import Recipe, augment, class_logits, epochs, fit_temperature, score
from avd_core.data.datasets import DataError
from avd_core.networks.avd import AVD

SPLITS = Path(__file__).resolve().parents[3] / "benchmarks" / "splits"


def discs(count: int, rng: np.random.Generator, size: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Images (N,1,S,S,3) of a disc or a ring, anywhere, in any colour."""
    y, x = np.mgrid[:size, :size]
    images = np.empty((count, 1, size, size, 3), np.uint8)
    targets = rng.integers(2, size=count)
    for image, target in zip(images, targets, strict=True):
        distance = np.hypot(y - rng.uniform(12, 20), x - rng.uniform(12, 20))
        inside = (distance < 9) & ((distance > 5) | (target == 0))
        image[0] = np.where(inside[..., None], rng.integers(150, 256, 3), rng.integers(0, 100, 3))
    return images, targets


def test_it_learns_what_can_be_learnt() -> None:
    rng = np.random.default_rng(0)
    images, targets = discs(128, rng)
    torch.manual_seed(0)
    network = ActionClassifier(ActionConfig(("disc", "ring"), size=32, widths=(8, 16, 32)))
    seen = list(epochs(network, images, targets, Recipe(epochs=9)))
    assert [epoch.number for epoch in seen] == list(range(1, 10))
    assert seen[-1].loss < 0.8 * seen[0].loss
    unseen, truth = discs(100, rng)
    right = class_logits(seen[-1].network, unseen[:, 0]).argmax(dim=1).numpy() == truth
    assert right.mean() > 0.9


def test_a_seed_decides_everything() -> None:
    images, targets = discs(24, np.random.default_rng(0))
    losses = []
    for _ in range(2):
        torch.manual_seed(0)
        network = ActionClassifier(ActionConfig(("disc", "ring"), size=32, widths=(4, 8)))
        losses.append([epoch.loss for epoch in epochs(network, images, targets, Recipe(epochs=2))])
    assert losses[0] == losses[1]


def test_augmented_images_differ_and_stay_images() -> None:
    image = (torch.rand(1, 3, 16, 16) * 2 - 1).repeat(6, 1, 1, 1)
    changed = augment(image, torch.Generator().manual_seed(0))
    assert changed.shape == image.shape
    assert changed.abs().max() <= 1
    assert len({row.numpy().tobytes() for row in changed}) == 6


def test_the_temperature_takes_back_what_is_too_sure() -> None:
    rng = np.random.default_rng(0)
    honest = torch.from_numpy(rng.normal(size=(4000, 3))).float()
    targets = torch.distributions.Categorical(logits=honest).sample().numpy()
    assert fit_temperature(honest * 3, targets) == pytest.approx(3, rel=0.15)
    assert fit_temperature(honest / 2, targets) == pytest.approx(0.5, rel=0.15)


def test_scores_are_told_set_by_set() -> None:
    examples = [Example(Path("a"), name, "", "report") for name in ("yoga", "yoga", "falls")]
    logits = torch.eye(3)
    lines = score(logits, np.array([0, 0, 2]), examples)
    assert [(line.set_name, line.correct, line.count) for line in lines] == [("yoga", 1, 2), ("falls", 1, 1)]
    assert str(lines[0]) == "yoga: 50.0 % of 2 clips (17 % by guessing in the set)"


def test_labels_are_different_and_name_their_folder_once() -> None:
    labels = [label for action_set in SETS for label in action_set.labels.values()]
    assert len(set(labels)) == len(labels)
    ActionConfig(tuple(labels))  # short enough, and so on


def test_parts_of_the_real_sets_go_by_person_and_scene(data_dir: Path | None) -> None:
    if data_dir is None:
        pytest.skip("AVD_DATA is unset")
    examples = gather(data_dir, SPLITS)
    assert {example.set_name for example in examples} == {action_set.name for action_set in SETS}
    assert len({example.path for example in examples}) == len(examples)
    people = {
        part: {e.path.name[:6] for e in examples if e.set_name == "gestures" and e.part == part}
        for part in ("train", "choose", "report")
    }
    assert people["train"] == {f"user0{n}" for n in range(1, 7)}
    assert people["choose"] == {"user07", "user08"}
    assert people["report"] == {"user09", "user10"}
    fallen = {part: {e.path.name[:9] for e in examples if e.set_name == "falls" and e.part == part} for part in people}
    assert not fallen["train"] & fallen["report"]
    last = {e.path.name for e in examples if e.set_name == "surveillance" and e.part == "report"}
    assert len(last) == 40
    assert "fi120.mp4" in last
    times = {part: {e.path.stem[-6:] for e in examples if e.set_name == "yoga" and e.part == part} for part in people}
    assert max(times["train"]) < min(times["choose"]) < max(times["choose"]) < min(times["report"])


def test_a_set_without_one_of_its_classes_is_told(falls: Path, tmp_path: Path) -> None:
    (tmp_path / "falls" / "fall").mkdir(parents=True)
    for person in (1, 2, 3):
        (tmp_path / "falls" / "fall" / f"Subject_{person}__x.mp4").write_bytes(b"")
    with pytest.raises(DataError, match="falls/adl has no clips"):
        gather(tmp_path, SPLITS)
    with pytest.raises(DataError, match="None of the sets"):
        gather(falls / "falls", SPLITS)


def test_the_first_view_is_what_a_person_gets(falls: Path, tiny_checkpoint: Path) -> None:
    from avd_core.classifiers.loading import squash
    from avd_core.media.video import read_clip
    from avd_core.networks.avd import image_to_tensor, tensor_to_image, to_tensor

    model = AVD.from_pretrained(tiny_checkpoint)
    examples = [example for example in gather(falls, SPLITS) if example.part == "report"]
    images = distill(examples, model, views=2, cache=None)
    assert images.shape == (2, 2, 112, 112, 3)
    clip = read_clip(examples[0].path, frames=model.config.frames, size=model.config.size)
    distilled = tensor_to_image(model.encode(to_tensor(clip.frames)))
    expected = tensor_to_image(squash(image_to_tensor(distilled), 112))
    assert np.abs(images[0, 0].astype(int) - expected).max() <= 1
    assert (images[0, 0] != images[0, 1]).any()
