"""Cuts training batches from clips: which clip, which window, which square of it.

A sample depends on the seed, the step and its number in the global batch alone. So a resumed run sees what an
uninterrupted one would have seen, and so do several processes that share a batch.

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
    """Clips of several sources, drawn at random.

    Sets (the first part of a clip's name) are drawn in proportion to the square root of their size, so that a large
    one does not drown the others.
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
        """The classes of all clips, sorted."""
        found = {class_of(source.names[index]) for members in self.sets.values() for source, index in members}
        return sorted(found - {""})

    def pick(self, rng: np.random.Generator) -> tuple[ClipSource, int]:
        """One clip: its source, and its number there."""
        members = list(self.sets.values())[rng.choice(len(self._shares), p=self._shares)]
        return members[rng.integers(len(members))]

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """Stored frames (T',H,W,3) of one clip."""
        source, index = self.pick(rng)
        return source[index]


class ClipSampler:
    """Cuts training batches from clip sources.

    Args:
        sources: where real clips come from; see `ClipPool`.
        frames: T of a training clip.
        crop: side in pixels of its square frames.
        batch_size: clips in the global batch.
        seed: of everything random.
        synthetic_share: share of clips drawn from synthetic scenes (all of them when there are no sources).
        photos: folder of photographs that those scenes are made of; see `SyntheticClips`.
        workers: processes that cut batches; without any, threads do, which is enough for packed clips but not for
            many synthetic ones.
        rank, world: of `world` processes this one, from 0, which cuts the samples `rank * batch_size / world` and on.

    Raises:
        DataError: when the batch cannot be shared equally, as averaged gradients need it.
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
        # Rendered as it is trained on: a scene without end needs no frames and no margin to choose from.
        self.synthetic = SyntheticClips(frames=frames, size=crop, photos=photos)
        self.workers = workers
        self.items = range(rank * batch_size // world, (rank + 1) * batch_size // world)

    def __len__(self) -> int:
        return len(self.pool)

    def batch(self, step: int) -> Tensor:
        """Training clips (B/world,3,T,crop,crop) in [-1, 1] for one step."""
        return torch.stack([self._example(step, item) for item in self.items])

    def batches(self, start: int, stop: int, *, ahead: int = 2) -> Iterator[Tensor]:
        """Batches of steps `start` to `stop - 1`, prepared ahead of time by the workers or on `ahead` threads."""
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
        """The class of each clip of `batch(step)`; "" of one that has none."""
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
    """The batches of a sampler by step, for workers."""

    def __init__(self, sampler: ClipSampler) -> None:
        self._sampler = sampler

    def __getitem__(self, step: int) -> Tensor:
        return self._sampler.batch(step)


def _ignore_interrupts(_: int) -> None:
    """Leaves Ctrl-C to the trainer, which still wants a batch or two before it has stopped cleanly."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def augment(stored: np.ndarray, rng: np.random.Generator, *, frames: int, crop: int) -> Tensor:
    """One training clip (3,T,crop,crop) in [-1, 1] from stored frames (T',H,W,3).

    The window is the whole clip in half of the cases, else a random part of at least `frames` stored frames. The square
    is cut at a random place and scale, never enlarged where the stored frames are large enough. Mirrored and played
    backwards at times; brightness, contrast and colours change, further than one set of clips has them.
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
