"""Synthetic training clips and the rendered examples: seeded, moving, well formed, written once."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
import torch

from avd_core import examples
from avd_core.data import synthetic
from avd_core.media import video, writer
from avd_core.networks.avd import AVD, to_frames, to_tensor

SMALL = {"frames": 6, "fps": 5.0}


def small(name: str, **options) -> np.ndarray:
    """A scene at a third of its size, a frame every fifth of a second."""
    height, width = examples.SCENES[name].size
    return examples.render(name, size=(height // 3, width // 3), **SMALL | options)


def motion(clip: np.ndarray) -> np.ndarray:
    """Mean absolute difference of neighbouring frames, in levels, per pair."""
    return np.abs(np.diff(clip.astype(np.int16), axis=0)).mean(axis=(1, 2, 3))


# --- random_scene ---


@pytest.mark.parametrize(
    "size, shape", [(112, (112, 112)), (64, (64, 64)), ((96, 160), (96, 160)), ((128, 72), (128, 72))]
)
def test_random_scene_has_the_shape_asked_for(size, shape):
    clip = synthetic.random_scene(3, frames=5, size=size)
    assert clip.dtype == np.uint8
    assert clip.shape == (5, *shape, 3)


def test_random_scene_repeats_with_its_seed_and_only_then():
    first, again, other = (synthetic.random_scene(seed, frames=4, size=64) for seed in (11, 11, 12))
    assert np.array_equal(first, again)
    assert np.abs(first.astype(int) - other).mean() > 5


def test_random_scene_does_not_depend_on_what_was_made_before():
    alone = synthetic.random_scene(21, frames=3, size=64)
    for seed in range(5):
        synthetic.random_scene(seed, frames=2, size=48)
    assert np.array_equal(alone, synthetic.random_scene(21, frames=3, size=64))


@pytest.fixture(scope="module")
def many() -> list[np.ndarray]:
    return [synthetic.random_scene(seed, frames=6, size=48) for seed in range(60)]


def test_random_scenes_move_are_lit_and_vary(many):
    clips = many
    moved = np.array([motion(clip).mean() for clip in clips])
    assert (moved > 0.3).mean() > 0.85, "nearly every scene moves; a few have a still camera and nobody in them"
    assert np.quantile(moved, 0.9) > 5 * np.quantile(moved, 0.2), "slow ones and fast ones"
    light = np.array([clip.mean() for clip in clips])
    assert 60 < light.mean() < 180 and light.std() > 15
    detail = np.array([clip[0].std() for clip in clips])
    assert np.median(detail) > 20, "worlds have structure"


def test_about_two_cameras_of_five_stand_still(many):
    corner = [clip[:, :6, :6].astype(int) for clip in many]
    still = np.mean([np.abs(c[-1] - c[0]).mean() < 4 for c in corner])
    assert 0.25 < still < 0.75


def test_random_scene_uses_the_photographs_given():
    red = np.zeros((90, 140, 3), np.uint8) + np.array([250, 5, 5], np.uint8)
    clips = [synthetic.random_scene(seed, frames=1, size=64, photos=[red]) for seed in range(12)]
    reddish = [(clip[..., 0].astype(int) - clip[..., 1] > 90).mean() for clip in clips]
    assert np.median(reddish) > 0.4
    assert np.array_equal(red[0, 0], [250, 5, 5]) and red.std(axis=(0, 1)).max() == 0, (
        "the caller's picture is untouched"
    )


def test_random_scene_is_quick():
    synthetic.random_scene(0)
    begun = time.process_time()
    for seed in range(10):
        synthetic.random_scene(seed)
    assert (time.process_time() - begun) / 10 < 0.4  # about 0.07 s on one free core


@pytest.mark.parametrize("frames, size", [(0, 64), (4, 8), (4, (64, 4))])
def test_random_scene_refuses_the_impossible(frames, size):
    with pytest.raises(ValueError, match="at least 1 frame of 16x16"):
        synthetic.random_scene(0, frames=frames, size=size)


# --- scenes ---


def test_scenes_differ_in_shape_and_say_what_moves():
    aspects = [scene.aspect for scene in examples.SCENES.values()]
    assert len(aspects) >= 5
    assert min(aspects) < 0.8 and 1.0 in aspects and any(abs(aspect - 16 / 9) < 0.01 for aspect in aspects)
    for scene in examples.SCENES.values():
        assert scene.title and scene.description.endswith(".") and "\n" not in scene.description
        assert 3 <= scene.seconds <= 4 and 20 <= scene.fps <= 25
        assert 240 <= min(scene.size) <= 360 and not any(side % 2 for side in scene.size)
    assert len({scene.title for scene in examples.SCENES.values()}) == len(examples.SCENES)


@pytest.mark.parametrize("name", examples.SCENES)
def test_scene_is_well_formed_moves_and_repeats(name):
    height, width = examples.SCENES[name].size
    clip = small(name)
    assert clip.dtype == np.uint8 and clip.shape == (6, height // 3, width // 3, 3)
    # Newton's cradle moves one ball of five before a still room; the grain alone would give about 1.1.
    assert motion(clip).mean() > 1.8
    assert 40 < clip.mean() < 200
    assert clip.std() > 30 and clip.min() < 40 and clip.max() > 200, "from shadow to highlight"
    assert np.array_equal(clip, small(name))
    assert not np.array_equal(clip, small(name, seed=1))


@pytest.mark.parametrize("name", [name for name, scene in examples.SCENES.items() if scene.loop])
def test_looping_scene_closes(name):
    scene = examples.SCENES[name]
    assert scene.seconds / scene.loop == pytest.approx(round(scene.seconds / scene.loop))
    rate = 8 / scene.loop
    first, last = (small(name, frames=n, fps=rate).astype(int) for n in (1, 9))
    assert np.abs(last[8] - first[0]).mean() < 2.5, "only the grain differs after a whole loop"
    assert np.abs(last[8] - first[0]).mean() < motion(last).max()


def test_the_first_example_is_one_that_the_bundled_checkpoint_restores():
    """A first visitor sees the method at work: no still picture comes near the restored clip."""
    model = AVD.from_pretrained("base")
    frames, side = model.config.frames, model.config.size
    first = next(iter(examples.SCENES))
    clip = examples.render(first, frames=frames, size=(side, side), fps=frames / examples.SCENES[first].seconds)
    with torch.no_grad():
        restored = to_frames(model.decode(model.encode(to_tensor(clip))))
    psnr, mean, middle = (
        10 * np.log10(255**2 / np.mean((clip.astype(float) - still) ** 2))
        for still in (restored, clip.mean(axis=0), clip[frames // 2])
    )
    assert psnr > 30 and psnr > mean + 5
    assert middle < 25, "it moves"


def test_frames_follow_the_clock():
    """Twice the rate shows the same moments in between: every second frame is as before."""
    slow, fast = small("basketball", frames=3, fps=5.0), small("basketball", frames=5, fps=10.0)
    assert np.abs(slow.astype(int) - fast[::2]).mean() < np.abs(slow[1:].astype(int) - fast[1:4:2]).mean()


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("volcano", {}, "no scene called 'volcano'; choose one of"),
        ("cradle", {"frames": 0}, "at least 1 frame"),
        ("cradle", {"size": (20, 100)}, "48x48"),
        ("cradle", {"fps": 0}, "rate must be positive"),
        ("cradle", {"fps": float("nan")}, "rate must be positive"),
    ],
)
def test_render_refuses_the_impossible(name, options, message):
    with pytest.raises(ValueError, match=message):
        examples.render(name, **options)


# --- write_examples ---


@pytest.fixture
def rendered(monkeypatch) -> list[str]:
    """The scenes rendered so far, with stand-ins for the real clips, so that these tests are quick."""
    calls: list[str] = []

    def quick(name: str) -> np.ndarray:
        calls.append(name)
        height, width = examples.SCENES[name].size
        return synthetic.random_scene(len(calls), frames=4, size=(height // 4, width // 4))

    monkeypatch.setattr(examples, "render", quick)
    return calls


def test_examples_are_written_once_and_play(tmp_path, rendered):
    folder = tmp_path / "new" / "examples"
    paths = examples.write_examples(folder)
    assert [path.stem for path in paths] == list(examples.SCENES) == rendered
    for path in paths:
        info = video.probe(path)
        height, width = examples.SCENES[path.stem].size
        assert abs(info.width / info.height - width / height) < 0.05
    stamps = [path.stat().st_mtime_ns for path in paths]
    assert examples.write_examples(folder) == paths
    assert len(rendered) == len(paths), "nothing is rendered twice"
    assert [path.stat().st_mtime_ns for path in paths] == stamps
    assert sorted(file.name for file in folder.iterdir()) == sorted([*(path.name for path in paths), "examples.json"])


def test_examples_of_another_renderer_or_missing_are_rendered_anew(tmp_path, rendered, monkeypatch):
    names = ["cradle", "pinwheel"]
    _, second = examples.write_examples(tmp_path, names)
    rendered.clear()

    second.unlink()
    examples.write_examples(tmp_path, names)
    assert rendered == ["pinwheel"]
    rendered.clear()

    monkeypatch.setattr(examples, "renderer_version", lambda: "another")
    examples.write_examples(tmp_path, names)
    assert rendered == names
    assert json.loads((tmp_path / "examples.json").read_text()) == dict.fromkeys(names, "another")


@pytest.mark.parametrize("text", ["", "[1, 2]", "{", "null"])
def test_a_damaged_note_only_costs_time(tmp_path, rendered, text):
    (tmp_path / "examples.json").write_text(text)
    (path,) = examples.write_examples(tmp_path, ["cradle"])
    assert rendered == ["cradle"] and path.is_file()
    examples.write_examples(tmp_path, ["cradle"])
    assert rendered == ["cradle"]


def test_a_failed_write_leaves_nothing_that_looks_finished(tmp_path, rendered, monkeypatch):
    def full_disk(path, frames, fps):
        raise OSError("No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(writer, "write_mp4", full_disk)
        with pytest.raises(OSError, match="No space"):
            examples.write_examples(tmp_path, ["cradle"])
    (path,) = examples.write_examples(tmp_path, ["cradle"])
    assert rendered == ["cradle", "cradle"] and video.probe(path).width
