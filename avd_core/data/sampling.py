"""Sample training batches: draw a clip, a window of it, and a square crop.

A sample depends only on the seed, the step and its number in the global batch. So a resumed run gets the same samples
as an uninterrupted one, and several processes that share a batch get the same as one.

Axes: B batch, C channels, T frames, H, W.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from avd_core.data.datasets import ClipSource, DataError, SyntheticClips, class_of


class ClipPool:
    """Random clips of several sources.

    Sets (the first part of a clip's name) are drawn in proportion to the square root of their size, so that a large
    set does not outweigh the others.
    """

    def __init__(self, sources: Iterable[ClipSource]) -> None:
        self.sets: dict[str, list[tuple[ClipSource, int]]] = {}
        for source in sources:
            for index, name in enumerate(source.names):
                self.sets.setdefault(str(name).split("/")[0], []).append((source, index))
        sizes = np.array([len(members) for members in self.sets.values()], dtype=float)
        self._shares = np.sqrt(sizes) / np.sqrt(sizes).sum() if len(sizes) else sizes

    def __len__(self) -> int:
        return sum(len(members) for members in self.sets.values())

    @property
    def classes(self) -> list[str]:
        """Return the classes of all clips, sorted."""
        found = {class_of(source.names[index]) for members in self.sets.values() for source, index in members}
        return sorted(found - {""})

    def pick(self, rng: np.random.Generator) -> tuple[ClipSource, int]:
        """Draw a clip: its source, and its number there."""
        members = list(self.sets.values())[rng.choice(len(self._shares), p=self._shares)]
        return members[rng.integers(len(members))]

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """Draw a clip and return its stored frames (T',H,W,3), uint8."""
        source, index = self.pick(rng)
        return source[index]


class ClipSampler:
    """Training batches from clip sources.

    Args:
        sources: of real clips; see `ClipPool`.
        frames: T of a training clip.
        crop: side in pixels of its square frames.
        batch_size: clips in the global batch.
        seed: of all random numbers.
        synthetic_share: share of clips that are synthetic scenes (all, if there are no sources).
        photos: folder of photographs that those scenes are made of; see `SyntheticClips`.
        workers: processes that prepare batches; 0 uses threads, which suffice for packed clips but not for many
            synthetic ones.
        rank, world: number of this process, from 0, and of all processes. This one makes `batch_size / world` samples,
            from number `rank * batch_size / world` on.

    Raises:
        DataError: the batch cannot be shared equally, which averaging the gradients requires.
    """

    def __init__(
        self, sources: Iterable[ClipSource], *, frames: int, crop: int, batch_size: int, seed: int = 0,
        synthetic_share: float = 0.0, photos: str | Path | None = None, workers: int = 0, rank: int = 0,
        world: int = 1,
    ) -> None:  # fmt: skip
        if not 0 <= rank < world:
            raise DataError(f"Of {world} processes there is no number {rank}: they count from 0.")
        if batch_size % world:
            raise DataError(f"A batch of {batch_size} clips cannot be shared equally by {world} processes.")
        self.pool = ClipPool(sources)
        self.frames, self.crop, self.batch_size, self.seed = frames, crop, batch_size, seed
        self.synthetic_share = synthetic_share if len(self.pool) else 1.0
        # Rendered at the training size: there is no need to crop scenes, since every one is new.
        self.synthetic = SyntheticClips(frames=frames, size=crop, photos=photos)
        self.workers = workers
        self.items = range(rank * batch_size // world, (rank + 1) * batch_size // world)

    def __len__(self) -> int:
        return len(self.pool)

    def batch(self, step: int) -> Tensor:
        """Return the training clips (B/world,3,T,crop,crop) of one step, in [-1, 1]."""
        return torch.stack([self._example(step, item) for item in self.items])

    def batches(self, start: int, stop: int, *, ahead: int = 2) -> Iterator[Tensor]:
        """Yield the batches of steps `start` to `stop - 1`, prepared in advance by workers or on `ahead` threads."""
        if self.workers:
            yield from DataLoader(
                _Steps(self), batch_size=None, sampler=range(start, stop), num_workers=self.workers, prefetch_factor=1,
                multiprocessing_context="spawn", worker_init_fn=_ignore_interrupts, generator=torch.Generator(),
            )  # fmt: skip
            return
        with ThreadPoolExecutor(max_workers=ahead) as pool:
            pending = [pool.submit(self.batch, step) for step in range(start, min(start + ahead, stop))]
            for step in range(start, stop):
                ready = pending.pop(0).result()
                if step + ahead < stop:
                    pending.append(pool.submit(self.batch, step + ahead))
                yield ready

    def _example(self, step: int, item: int) -> Tensor:
        rng = np.random.default_rng((self.seed, step, item))
        if rng.random() < self.synthetic_share:
            stored = self.synthetic[int(rng.integers(len(self.synthetic)))]
        else:
            stored = self.pool.draw(rng)
        return augment(stored, rng, frames=self.frames, crop=self.crop)

    def classes(self, step: int) -> list[str]:
        """Return the class of each clip of `batch(step)`; "" for a clip without one."""
        found = []
        for item in self.items:
            rng = np.random.default_rng((self.seed, step, item))
            if rng.random() < self.synthetic_share:
                found.append("")
                continue
            source, index = self.pool.pick(rng)
            found.append(class_of(source.names[index]))
        return found


class _Steps(Dataset[Tensor]):
    """A sampler's batches by step, for the workers of a `DataLoader`."""

    def __init__(self, sampler: ClipSampler) -> None:
        self._sampler = sampler

    def __getitem__(self, step: int) -> Tensor:
        return self._sampler.batch(step)


def _ignore_interrupts(_: int) -> None:
    """Make a worker ignore Ctrl-C: the trainer needs a batch or two more until it has stopped."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def augment(stored: np.ndarray, rng: np.random.Generator, *, frames: int, crop: int) -> Tensor:
    """Return a training clip (3,T,crop,crop) in [-1, 1] from stored frames (T',H,W,3), uint8.

    The window is the whole clip with probability 1/2, else a random part of at least `frames` stored frames. The square
    has a random place and scale, and is enlarged only if the stored frames are too small. The clip is mirrored and
    reversed at random, and its brightness, contrast and colours are changed.
    """
    count, height, width, _ = stored.shape
    length = count if rng.random() < 0.5 else int(rng.integers(min(frames, count), count + 1))
    first = int(rng.integers(count - length + 1))
    picks = first + np.minimum(((np.arange(frames) + 0.5) * length / frames).astype(int), length - 1)
    if rng.random() < 0.3:
        picks = picks[::-1]
    short = min(height, width)
    side = int(rng.integers(min(crop, short), short + 1))
    top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
    cut = torch.from_numpy(np.ascontiguousarray(stored[picks, top : top + side, left : left + side]))
    clip = cut.permute(0, 3, 1, 2).float()  # (T,3,side,side)
    if side != crop:
        clip = F.interpolate(clip, size=(crop, crop), mode="bilinear", antialias=True, align_corners=False)
    if rng.random() < 0.5:
        clip = clip.flip(-1)
    if rng.random() < 0.5:
        contrast, brightness = rng.uniform(0.7, 1.4), rng.uniform(-16, 16)
        clip = (clip - 127.5) * contrast + 127.5 + brightness
    if rng.random() < 0.5:
        grey = clip.mean(dim=1, keepdim=True)
        clip = grey + (clip - grey) * 2.0 ** rng.uniform(-1, 1)
    if rng.random() < 0.3:
        clip = clip[:, rng.permutation(3)]
    return clip.clamp(0, 255).round().div(127.5).sub(1).transpose(0, 1)
