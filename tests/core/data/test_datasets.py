"""Clips of folders: their names and labels, what is skipped, what a worker process sees."""

from __future__ import annotations

import shutil
import warnings

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from avd_core.data import datasets
from avd_core.data.datasets import UNLABELLED, ClipDataset, DataError, FolderClips, SyntheticClips


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


@pytest.mark.parametrize("text", ["", "[]", '{"train": "x"}', '{"train": [1]}', "{}"])
def test_a_file_that_is_no_split_is_refused(tmp_path, text):
    (tmp_path / "split.json").write_text(text)
    if text == '{"train": "x"}':
        assert datasets.read_split(tmp_path / "split.json", ["train"]) == ["x"]
        return
    with pytest.raises(DataError, match="is no split"):
        datasets.read_split(tmp_path / "split.json", ["train"])


def test_an_item_is_frames_with_label_and_name(clips):
    dataset = ClipDataset.from_folder(clips, frames=4, size=64)
    assert dataset.classes == ("jump", "wave") and dataset.labels == [0, 0, 1, 1]
    clip, label, name = dataset[2]
    assert clip.dtype == torch.uint8 and clip.shape == (4, 64, 88, 3)
    assert (label, name) == (1, "moves/wave/a.mp4")
    square = ClipDataset.from_folder(clips, frames=4, size=64, as_clip=True)[-1]
    assert square.clip.shape == (3, 4, 64, 64) and square.name == "moves/wave/b.mp4"
    middle = clip[:, :, 12:76].permute(3, 0, 1, 2).float()
    assert torch.allclose(square.clip, middle / 127.5 - 1, atol=1e-6)
    with pytest.raises(IndexError):
        dataset[4]


def test_labels_mean_the_same_in_every_part_of_a_folder(clips, rendered_clip, tmp_path):
    part = ClipDataset.from_folder(clips, ["wave/*.mp4"])
    assert part.classes == ("jump", "wave") and part.labels == [1, 1]
    shutil.copytree(clips, tmp_path / "moves")
    shutil.copy(rendered_clip, tmp_path / "moves" / "loose.mp4")
    assert dict(zip(*_named(ClipDataset.from_folder(tmp_path / "moves")), strict=True))["moves/loose.mp4"] == UNLABELLED


def _named(dataset):
    return dataset.names, dataset.labels


def test_the_place_of_a_broken_clip_is_taken_by_the_next_one_with_its_own_label(clips):
    dataset = ClipDataset.from_folder(clips, ["jump/broken.mp4", "wave/*.mp4"], frames=2, size=64)
    with pytest.warns(UserWarning, match="Skipped moves/jump/broken"):
        _, label, name = dataset[0]
    assert (label, name, dataset.broken) == (1, "moves/wave/a.mp4", {0})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert dataset[0].name == name, "one warning is enough"


def test_a_set_without_clips_is_refused(tmp_path):
    with pytest.raises(DataError, match="no clips"):
        ClipDataset(tmp_path, [], ["a"])


def test_spawned_workers_read_and_count_together(clips):
    """Spawn is what macOS, Windows and a process that holds a CUDA context need."""
    dataset = ClipDataset.from_folder(clips, frames=2, size=64, as_clip=True)
    loader = DataLoader(dataset, batch_size=2, num_workers=1, multiprocessing_context="spawn")
    batches = list(loader)
    assert [tuple(batch.clip.shape) for batch in batches] == [(2, 3, 2, 64, 64)] * 2
    assert torch.cat([batch.label for batch in batches]).tolist() == [0, 0, 1, 1]
    assert batches[0].name[0] == "moves/jump/c.mp4"
    assert dataset.broken == {0}, "the parent knows what its worker skipped"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        alone = dataset[2]
    assert torch.equal(alone.clip, batches[1].clip[0])


def test_frames_without_labels_are_a_source_to_train_on(clips):
    source = FolderClips(clips, ["wave/*.mp4"], frames=3, size=64)
    assert isinstance(source[0], np.ndarray) and len(source) == 2
    assert np.array_equal(source[1], source.read(1))


def test_synthetic_scenes_are_as_many_as_asked_for_and_can_be_made_of_photographs(tmp_path):
    from PIL import Image

    Image.new("RGB", (80, 60), (250, 5, 5)).save(tmp_path / "red.png")
    scenes = SyntheticClips(3, frames=1, size=64, photos=tmp_path)
    assert len(scenes) == 3 and scenes.names[-1] == "synthetic/000002"
    assert scenes[1].shape == (1, 64, 64, 3) and np.array_equal(scenes[1], scenes.read(1))
    assert not np.array_equal(scenes[1], SyntheticClips(3, frames=1, size=64)[1])
    with pytest.raises(DataError, match="no photographs"):
        SyntheticClips(3, photos=_folder(tmp_path / "none"))


def _folder(path):
    path.mkdir()
    return path
