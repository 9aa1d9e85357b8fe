"""Clips to train on: folders, packs, synthetic scenes, and batches that depend on seed and step alone."""

from __future__ import annotations

import argparse
import json
import shutil
import warnings

import numpy as np
import pytest
import torch

from avd_core import datasets
from avd_core.datasets import ClipSampler, DataError, FolderClips, PackedClips, SyntheticClips


@pytest.fixture(scope="module")
def clips(tmp_path_factory, rendered_clip):
    """A folder of two classes with three good clips, one broken one and a file that is no clip."""
    folder = tmp_path_factory.mktemp("sets") / "moves"
    for name in ("wave/a.mp4", "wave/b.mp4", "jump/c.mp4"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(rendered_clip, folder / name)
    (folder / "jump" / "broken.mp4").write_bytes(b"not a video")
    (folder / "jump" / "notes.txt").write_text("no clip")
    return folder


def pack(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    datasets.add_arguments(parser)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return datasets.run(parser.parse_args(list(arguments)))


def test_a_folder_names_its_clips_and_skips_a_broken_one_with_a_warning(clips):
    source = FolderClips(clips, frames=8, size=64)
    assert source.names == ["moves/jump/broken.mp4", "moves/jump/c.mp4", "moves/wave/a.mp4", "moves/wave/b.mp4"]
    with pytest.warns(UserWarning, match="Skipped moves/jump/broken"):
        frames = source[0]
    assert frames.shape[0] == 8
    assert min(frames.shape[1:3]) == 64
    assert source.broken == {0}


def test_a_folder_of_nothing_but_broken_clips_says_so(tmp_path):
    (tmp_path / "x.mp4").write_bytes(b"")
    with pytest.warns(UserWarning, match="Skipped"), pytest.raises(DataError, match="None of the 1 clips"):
        FolderClips(tmp_path)[0]


@pytest.mark.parametrize("folder", ["missing", "."])
def test_a_folder_without_clips_says_so(tmp_path, folder):
    with pytest.raises(DataError, match=r"no folder|no matching clips"):
        FolderClips(tmp_path / folder)


def test_a_pack_holds_what_the_folder_holds(clips, tmp_path):
    split = {"train": ["wave/*.mp4", "jump/*.mp4"], "choose": [], "test": []}
    (tmp_path / "moves.json").write_text(json.dumps(split))
    out = tmp_path / "clips.pack"
    assert pack(str(clips), "--splits", str(tmp_path), "--out", str(out), "--frames", "12", "--size", "64",
                "--synthetic", "2", "--quality", "95") == 0  # fmt: skip
    packed, source = PackedClips(out), FolderClips(clips, ["jump/c.mp4"], frames=12, size=64)
    assert packed.names == [*["moves/jump/c.mp4", "moves/wave/a.mp4", "moves/wave/b.mp4"], *SyntheticClips(2).names]
    assert packed[0].shape == source[0].shape
    assert np.abs(packed[0].astype(int) - source[0]).mean() < 4
    assert packed[3].shape == (12, 64, 64, 3)


def test_sheets_are_cut_as_they_were_laid():
    frames = np.random.default_rng(0).integers(0, 256, (10, 8, 16, 3), dtype=np.uint8)
    assert np.array_equal(datasets._cut_sheet(datasets._lay_sheet(frames), 10, 8, 16), frames)


def test_a_file_that_is_no_pack_is_refused(tmp_path):
    (tmp_path / "x.pack").write_bytes(b"PK no")
    with pytest.raises(DataError, match="not a pack"):
        PackedClips(tmp_path / "x.pack")


@pytest.mark.parametrize("text", ["", "[]", '{"train": "x"}', '{"train": [1]}', "{}"])
def test_a_file_that_is_no_split_is_refused(tmp_path, text):
    (tmp_path / "split.json").write_text(text)
    if text == '{"train": "x"}':
        assert datasets.read_split(tmp_path / "split.json", ["train"]) == ["x"]
        return
    with pytest.raises(DataError, match="is no split"):
        datasets.read_split(tmp_path / "split.json", ["train"])


class Memory:
    """Stored frames in memory."""

    def __init__(self, names, frames):
        self.names, self._frames = names, frames

    def __len__(self):
        return len(self.names)

    def __getitem__(self, index):
        return self._frames


def test_a_batch_depends_on_seed_and_step_alone():
    frames = np.random.default_rng(0).integers(0, 256, (20, 72, 96, 3), dtype=np.uint8)
    source = Memory([f"a/{n}" for n in range(5)], frames)

    def sampler(seed):
        return ClipSampler([source], frames=8, crop=64, batch_size=3, seed=seed)

    first = sampler(0).batch(7)
    assert first.shape == (3, 3, 8, 64, 64)
    assert first.abs().max() <= 1
    assert torch.equal(first, sampler(0).batch(7))
    assert torch.equal(first, list(sampler(0).batches(5, 9))[2])
    assert not torch.equal(first, sampler(0).batch(8))
    assert not torch.equal(first, sampler(1).batch(7))


def test_small_sets_are_not_drowned():
    frames = np.zeros((8, 64, 64, 3), np.uint8)
    many, few = Memory([f"many/{n}" for n in range(90)], frames), Memory([f"few/{n}" for n in range(10)], frames + 255)
    sampler = ClipSampler([many, few], frames=8, crop=64, batch_size=8)
    share = torch.stack([sampler.batch(step).amax(dim=(1, 2, 3, 4)) for step in range(40)]).gt(0).float().mean()
    assert 0.18 < share < 0.32  # sqrt(10) / (sqrt(90) + sqrt(10)) = 0.25; a proportional draw gives 0.1


def test_without_sources_scenes_are_synthetic():
    batch = ClipSampler([], frames=8, crop=64, batch_size=1).batch(0)
    assert batch.shape == (1, 3, 8, 64, 64)
    assert batch.std() > 0.05
