"""Training of the action classifier: honest parts, the window a person gets, learning, what is refused."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
import torch

from avd_core.classifiers import action_data
from avd_core.classifiers.action_data import LEFT_OUT, PARTS, SETS, distill, film_of, gather
from avd_core.classifiers.action_net import ActionClassifier, ActionConfig
from avd_core.classifiers.action_training import (
    Recipe,
    augment,
    calibration_error,
    class_logits,
    epochs,
    fit_temperature,
    fit_threshold,
    score,
)
from avd_core.data.datasets import DataError
from avd_core.networks.avd import AVD


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


def test_refusals_are_counted_right_and_wrong() -> None:
    logits = torch.tensor([[4.0, 0, 0], [0.5, 0, 0], [0, 4.0, 0], [0, 0.5, 0]])
    known = score("set, frames", logits, np.array([0, 0, 0, 1]), 0.6, 2)
    assert (known.correct, known.refused, known.refused_right, known.count) == (3, 2, 2, 4)
    assert str(known) == "set, frames: 75.0 % of 4 (50 % by guessing in the set); 2 refused, 2 of them although right"
    assert str(score("left out", logits, np.full(4, -1), 0.6, 0)) == "left out: 2 refused of 4, rightly"


def test_the_threshold_parts_what_is_known_from_what_is_not() -> None:
    known, unknown = torch.eye(4) * 5, torch.eye(4) * 1.5
    threshold = fit_threshold(known, np.arange(4), unknown)
    confidence = [float(logits.softmax(dim=1).max()) for logits in (unknown, known)]
    assert confidence[0] < threshold <= confidence[1]
    assert fit_threshold(known, np.arange(4), known) == 0.0, "where nothing is told apart, everything is named"


def test_the_calibration_error_is_the_gap_of_confidence_and_accuracy() -> None:
    logits = torch.log(torch.tensor([[0.8, 0.2]])).repeat(10, 1)
    assert calibration_error(logits, np.array([0] * 8 + [1] * 2)) == pytest.approx(0, abs=1e-6)
    assert calibration_error(logits, np.array([0] * 3 + [1] * 7)) == pytest.approx(0.5, abs=1e-6)


def test_labels_are_plain_words_and_none_is_of_the_small_sets() -> None:
    labels = {label for action_set in SETS for label in action_set.labels.values()}
    ActionConfig(tuple(labels))  # short enough, and so on
    assert labels >= {label for group in LEFT_OUT.values() for label in group}
    assert not [label for label in labels if any(word in label for word in ("sign", "fight", "fall", "_"))]
    ucf101, jhmdb = (set(action_set.labels.values()) for action_set in SETS)
    assert ucf101 & jhmdb == {"archery", "playing basketball"}, "one action is one class"


def test_parts_of_the_real_sets_go_by_group_and_film(data_dir: Path | None) -> None:
    if data_dir is None:
        pytest.skip("AVD_DATA is unset")
    examples = gather(data_dir)
    assert len({example.path for example in examples}) == len(examples)
    count = Counter((example.set_name, example.part) for example in examples)
    assert count == {
        ("ucf101", "train"): 196, ("ucf101", "choose"): 56, ("ucf101", "report"): 98,
        ("jhmdb", "train"): 495, ("jhmdb", "choose"): 91, ("jhmdb", "report"): 256,
    }  # fmt: skip
    sources: dict[tuple[str, str], set[str]] = {}
    for example in examples:
        of = example.path.stem[:-4] if example.set_name == "ucf101" else film_of(example.path)
        sources.setdefault((example.set_name, "seen" if example.shared else example.part), set()).add(of)
    for name in ("ucf101", "jhmdb"):
        train, choose, report = (sources[name, part] for part in PARTS)
        assert not train & choose and not train & report and not choose & report
    assert sum(example.shared for example in examples) == 56
    assert all(example.part == "report" for example in examples if example.shared)


def test_a_set_without_its_parts_is_told(actions: Path, tmp_path: Path) -> None:
    (tmp_path / "few").mkdir()
    (tmp_path / "few" / "few.json").write_text(json.dumps({"train": ["run/*"], "choose": ["*/*"], "test": ["*/*"]}))
    with pytest.raises(DataError, match="few/walk has no clips to train on"):
        gather(actions, tmp_path / "few")
    with pytest.raises(DataError, match="None of the sets"):
        gather(actions / "few")


def test_the_first_image_and_frame_are_what_a_person_gets(actions: Path, tiny_checkpoint: Path) -> None:
    from avd_core.classifiers.loading import squash
    from avd_core.media.video import read_clip
    from avd_core.networks.avd import image_to_tensor, tensor_to_image, to_tensor

    model = AVD.from_pretrained(tiny_checkpoint)
    example = next(example for example in gather(actions) if example.part == "report")
    images, frames = distill([example], model, None)
    assert (images.shape, frames.shape) == ((1, 2, 112, 112, 3), (1, 3, 112, 112, 3))
    clip = read_clip(example.path, frames=model.config.frames, size=112)
    seen = tensor_to_image(model.encode(to_tensor(clip.frames))), clip.frames[len(clip.frames) // 2]
    for made, picture in zip((images[0, 0], frames[0, 0]), seen, strict=True):
        expected = tensor_to_image(squash(image_to_tensor(picture), 112))
        assert np.abs(made.astype(int) - expected).max() <= 1
    assert (images[0, 0] != images[0, 1]).any(), "the clip is longer than its window"


def test_a_stopped_run_goes_on_class_by_class(
    actions: Path, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, examples = AVD.from_pretrained(tiny_checkpoint), gather(actions)
    read, look = [], action_data.look

    def stopped(path: Path, model: AVD) -> tuple[np.ndarray, np.ndarray]:
        if path.parent.name == "walk":
            raise KeyboardInterrupt
        read.append(path)
        return look(path, model)

    monkeypatch.setattr(action_data, "look", stopped)
    with pytest.raises(KeyboardInterrupt), pytest.warns(UserWarning, match="Skipped E_run_5"):
        distill(examples, model, tmp_path)
    monkeypatch.setattr(action_data, "look", lambda path, model: read.append(path) or look(path, model))
    made = distill(examples, model, tmp_path)
    assert sorted(read) == sorted(example.path for example in examples), "each once"
    monkeypatch.setattr(action_data, "look", lambda *_args: pytest.fail("read again"))
    few = distill(examples[::-1][:3], model, tmp_path)  # in whatever order and number they are asked for
    assert (few.images == made.images[::-1][:3]).all() and (few.frames == made.frames[::-1][:3]).all()


def test_a_full_disk_leaves_no_half_a_class(
    actions: Path, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: BinaryIO, **_arrays: np.ndarray) -> None:
        file.write(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(action_data, "look", lambda *_args: (np.zeros((2, 8, 8, 3)), np.zeros((3, 8, 8, 3))))
    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space"):
        distill(gather(actions), AVD.from_pretrained(tiny_checkpoint), tmp_path)
    assert not list(tmp_path.iterdir())
