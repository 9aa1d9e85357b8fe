"""The rendered example scenes: well formed, moving, written once."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from avd_core.data import synthetic
from avd_core.examples import scenes
from avd_core.media import video, writer
from avd_core.networks.avd import AVD, to_frames, to_tensor

SMALL = {"frames": 6, "fps": 5.0}


def small(name: str, **options) -> np.ndarray:
    """A scene at a third of its size, a frame every fifth of a second."""
    height, width = scenes.SCENES[name].size
    return scenes.render(name, size=(height // 3, width // 3), **SMALL | options)


def motion(clip: np.ndarray) -> np.ndarray:
    """Mean absolute difference of neighbouring frames, in levels, per pair."""
    return np.abs(np.diff(clip.astype(np.int16), axis=0)).mean(axis=(1, 2, 3))


def test_scenes_differ_in_shape_and_say_what_moves():
    aspects = [scene.aspect for scene in scenes.SCENES.values()]
    assert len(aspects) >= 5
    assert min(aspects) < 0.8 and 1.0 in aspects and any(abs(aspect - 16 / 9) < 0.01 for aspect in aspects)
    for scene in scenes.SCENES.values():
        assert scene.title and scene.description.endswith(".") and "\n" not in scene.description
        assert 3 <= scene.seconds <= 4 and 20 <= scene.fps <= 25
        assert 240 <= min(scene.size) <= 360 and not any(side % 2 for side in scene.size)
    assert len({scene.title for scene in scenes.SCENES.values()}) == len(scenes.SCENES)


@pytest.mark.parametrize("name", scenes.SCENES)
def test_scene_is_well_formed_moves_and_repeats(name):
    height, width = scenes.SCENES[name].size
    clip = small(name)
    assert clip.dtype == np.uint8 and clip.shape == (6, height // 3, width // 3, 3)
    # Newton's cradle moves one ball of five before a still room; the grain alone would give about 1.1.
    assert motion(clip).mean() > 1.8
    assert 40 < clip.mean() < 200
    assert clip.std() > 30 and clip.min() < 40 and clip.max() > 200, "from shadow to highlight"
    assert np.array_equal(clip, small(name))
    assert not np.array_equal(clip, small(name, seed=1))


@pytest.mark.parametrize("name", [name for name, scene in scenes.SCENES.items() if scene.loop])
def test_looping_scene_closes(name):
    scene = scenes.SCENES[name]
    assert scene.seconds / scene.loop == pytest.approx(round(scene.seconds / scene.loop))
    rate = 8 / scene.loop
    first, last = (small(name, frames=n, fps=rate).astype(int) for n in (1, 9))
    assert np.abs(last[8] - first[0]).mean() < 2.5, "only the grain differs after a whole loop"
    assert np.abs(last[8] - first[0]).mean() < motion(last).max()


def test_the_first_example_is_one_that_the_bundled_checkpoint_restores():
    """A first visitor sees the method at work: no still picture comes near the restored clip."""
    model = AVD.from_pretrained("base")
    frames, side = model.config.frames, model.config.size
    first = next(iter(scenes.SCENES))
    clip = scenes.render(first, frames=frames, size=(side, side), fps=frames / scenes.SCENES[first].seconds)
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
        scenes.render(name, **options)


@pytest.fixture
def rendered(monkeypatch) -> list[str]:
    """The scenes rendered so far, with stand-ins for the real clips, so that these tests are quick."""
    calls: list[str] = []

    def quick(name: str) -> np.ndarray:
        calls.append(name)
        height, width = scenes.SCENES[name].size
        return synthetic.random_scene(len(calls), frames=4, size=(height // 4, width // 4))

    monkeypatch.setattr(scenes, "render", quick)
    return calls


def test_examples_are_written_once_and_play(tmp_path, rendered):
    folder = tmp_path / "new" / "examples"
    paths = scenes.write_examples(folder)
    assert [path.stem for path in paths] == list(scenes.SCENES) == rendered
    for path in paths:
        info = video.probe(path)
        height, width = scenes.SCENES[path.stem].size
        assert abs(info.width / info.height - width / height) < 0.05
    stamps = [path.stat().st_mtime_ns for path in paths]
    assert scenes.write_examples(folder) == paths
    assert len(rendered) == len(paths), "nothing is rendered twice"
    assert [path.stat().st_mtime_ns for path in paths] == stamps
    assert sorted(file.name for file in folder.iterdir()) == sorted([*(path.name for path in paths), "examples.json"])


def test_examples_of_another_renderer_or_missing_are_rendered_anew(tmp_path, rendered, monkeypatch):
    names = ["cradle", "pinwheel"]
    _, second = scenes.write_examples(tmp_path, names)
    rendered.clear()

    second.unlink()
    scenes.write_examples(tmp_path, names)
    assert rendered == ["pinwheel"]
    rendered.clear()

    monkeypatch.setattr(scenes, "renderer_version", lambda: "another")
    scenes.write_examples(tmp_path, names)
    assert rendered == names
    assert json.loads((tmp_path / "examples.json").read_text()) == dict.fromkeys(names, "another")


@pytest.mark.parametrize("text", ["", "[1, 2]", "{", "null"])
def test_a_damaged_note_only_costs_time(tmp_path, rendered, text):
    (tmp_path / "examples.json").write_text(text)
    (path,) = scenes.write_examples(tmp_path, ["cradle"])
    assert rendered == ["cradle"] and path.is_file()
    scenes.write_examples(tmp_path, ["cradle"])
    assert rendered == ["cradle"]


def test_a_failed_write_leaves_nothing_that_looks_finished(tmp_path, rendered, monkeypatch):
    def full_disk(path, frames, fps):
        raise OSError("No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(writer, "write_mp4", full_disk)
        with pytest.raises(OSError, match="No space"):
            scenes.write_examples(tmp_path, ["cradle"])
    (path,) = scenes.write_examples(tmp_path, ["cradle"])
    assert rendered == ["cradle", "cradle"] and video.probe(path).width
