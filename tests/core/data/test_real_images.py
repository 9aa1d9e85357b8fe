"""Real images for the discriminator: where they come from and what they depend on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from avd_core.data.datasets import DataError
from avd_core.data.real_images import RealImages
from avd_core.data.sampling import ClipSampler


class Memory:
    """Stored frames in memory, all of one colour a frame: blue counts the frames."""

    def __init__(self, names, frames):
        self.names, self._frames = names, frames

    def __len__(self):
        return len(self.names)

    def __getitem__(self, index):
        return self._frames


@pytest.fixture(scope="module")
def frames():
    stored = np.random.default_rng(0).integers(0, 120, (20, 72, 96, 3), dtype=np.uint8)
    stored[..., 2] = 255
    return Memory(["a/0", "a/1"], stored)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Two red photographs (one large, one smaller than the crop) and one that is none."""
    folder = tmp_path_factory.mktemp("photos")
    Image.new("RGB", (900, 700), (255, 0, 0)).save(folder / "large.jpg")
    Image.new("RGB", (40, 30), (255, 0, 0)).save(folder / "small.png")
    (folder / "broken.jpg").write_bytes(b"not a photograph")
    return folder


def is_photo(images):
    """Smooth, where the frames are noise; colours say nothing, since they are changed."""
    return images.flatten(2).std(dim=2).amax(dim=1) < 0.02


def test_a_batch_depends_on_seed_step_and_global_number_alone(frames, photos):
    images = RealImages([frames], photos)
    with pytest.warns(UserWarning, match=r"Skipped broken\.jpg"):
        whole = images.batch(0, 5, 16, 64)
    assert whole.shape == (16, 3, 64, 64) and whole.abs().max() <= 1
    assert images.broken == {0}
    again = RealImages([frames], photos)
    with pytest.warns(UserWarning, match="Skipped"):
        shares = [again.batch(0, 5, 8, 64, first=first) for first in (8, 0)]
    assert torch.equal(torch.cat(shares[::-1]), whole)
    for other in (images.batch(1, 5, 16, 64), images.batch(0, 6, 16, 64)):
        assert not torch.equal(other, whole)


@pytest.mark.filterwarnings("ignore:Skipped")
@pytest.mark.parametrize("share", [0.25, 0.75])
def test_frames_and_photographs_are_mixed_as_asked(frames, photos, share):
    images = RealImages([frames], photos, photo_share=share)
    drawn = is_photo(images.batch(0, 0, 200, 32)).float().mean().item()
    assert abs(drawn - share) < 0.12  # four standard errors


@pytest.mark.filterwarnings("ignore:Skipped")
def test_either_alone_and_not_neither(frames, photos):
    assert not is_photo(RealImages([frames]).batch(0, 0, 8, 64)).any()
    assert is_photo(RealImages(photos=photos, photo_share=0.1).batch(0, 0, 8, 64)).all()
    with pytest.raises(DataError, match="clips, a folder of photographs, or both"):
        RealImages()


def test_frames_are_not_those_of_the_clips_they_are_shown_beside():
    """The discriminator must not be able to pair an image with a frame of its own clip."""
    many = [Memory([f"a/{n}"], np.full((4, 64, 64, 3), n, np.uint8)) for n in range(200)]
    clips = ClipSampler(many, frames=4, crop=64, batch_size=64).batch(0)
    real = RealImages(many).batch(0, 0, 64, 64)
    same = (clips.mean(dim=(1, 2, 3, 4)) - real.mean(dim=(1, 2, 3))).abs() < 1e-3
    assert same.float().mean() < 0.1


def test_a_folder_of_nothing_but_broken_photographs(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    images = RealImages(photos=tmp_path)
    with pytest.warns(UserWarning, match="Skipped"), pytest.raises(DataError, match="None of the 1 photographs"):
        images.batch(0, 0, 1, 32)
