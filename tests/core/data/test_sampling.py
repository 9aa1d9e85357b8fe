"""Training batches: what they depend on, how sets and processes share them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from avd_core.data.datasets import DataError
from avd_core.data.packs import PackedClips
from avd_core.data.sampling import ClipSampler, augment
from tests import squares


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


def test_classes_are_those_of_the_batch():
    frames = np.zeros((8, 64, 64, 3), np.uint8)
    levels = {"set/dark/1": 0, "set/bright/1": 255, "set/-/1": 128, "none": 128}
    sources = [Memory([name], frames + level) for name, level in levels.items()]
    sampler = ClipSampler(sources, frames=8, crop=64, batch_size=6, synthetic_share=0.2)
    assert sampler.pool.classes == ["bright", "dark"]
    seen = set()
    for step in range(6):
        means = sampler.batch(step).mean(dim=(1, 2, 3, 4)).tolist()
        for mean, name in zip(means, sampler.classes(step), strict=True):
            assert name == ("dark" if mean < -0.7 else "bright" if mean > 0.7 else "")
            seen.add(name)
    assert seen == {"dark", "bright", ""}


def test_without_sources_scenes_are_synthetic():
    batch = ClipSampler([], frames=8, crop=64, batch_size=1).batch(0)
    assert batch.shape == (1, 3, 8, 64, 64)
    assert batch.std() > 0.05


def test_synthetic_scenes_are_made_of_the_photographs_given(tmp_path):
    Image.new("RGB", (90, 70), (250, 5, 5)).save(tmp_path / "red.png")
    options = {"frames": 2, "crop": 64, "batch_size": 12}
    red = [
        (ClipSampler([], **options, photos=photos).batch(0).diff(dim=1)[:, 0] < -0.6).float().mean()
        for photos in (tmp_path, None)
    ]
    assert red[0] > 0.3 > 3 * red[1]


@pytest.mark.parametrize("world", [2, 3])
def test_processes_share_a_batch_as_one_would_have_cut_it(world):
    frames = np.random.default_rng(0).integers(0, 256, (20, 72, 96, 3), dtype=np.uint8)
    source = Memory([f"a/{n}" for n in range(5)], frames)

    def batch(**share):
        options = {"frames": 8, "crop": 64, "batch_size": 6, "seed": 3, "synthetic_share": 0.3}
        return ClipSampler([source], **options, **share).batch(11)

    shares = [batch(rank=rank, world=world) for rank in range(world)]
    assert all(len(share) == 6 // world for share in shares)
    assert torch.equal(torch.cat(shares), batch())


def test_spawned_workers_cut_the_same_batches(tmp_path):
    packed = [PackedClips(squares.write_pack(tmp_path / "squares.pack"))]
    options = {"frames": 8, "crop": 64, "batch_size": 2, "synthetic_share": 0.5}
    before = torch.random.get_rng_state()
    batches = list(ClipSampler(packed, **options, workers=1).batches(4, 7))
    assert torch.equal(torch.random.get_rng_state(), before), "the trainer's random numbers are its own"
    alone = ClipSampler(packed, **options)
    assert len(batches) == 3
    assert all(torch.equal(batch, alone.batch(step)) for step, batch in zip((4, 5, 6), batches, strict=True))


@pytest.mark.parametrize(
    "share, message",
    [({"rank": 2, "world": 2}, "no number 2"), ({"rank": -1, "world": 2}, "no number -1"), ({"world": 4}, "equally")],
)
def test_shares_that_do_not_come_out_are_refused(share, message):
    with pytest.raises(DataError, match=message):
        ClipSampler([], frames=8, crop=64, batch_size=6, **share)


@pytest.mark.parametrize("shape", [(3, 40, 56), (40, 200, 130), (8, 64, 64)])
def test_any_stored_clip_gives_the_size_asked_for_on_the_8_bit_grid(shape):
    stored = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    for seed in range(6):
        clip = augment(stored, np.random.default_rng(seed), frames=8, crop=64)
        assert clip.shape == (3, 8, 64, 64)
        levels = (clip + 1) * 127.5
        assert torch.allclose(levels, levels.round(), atol=1e-3) and levels.min() >= 0 and levels.max() <= 255
