"""Decode clips from their files in several processes, a few at a time, so that memory stays bounded.

Axes: T frames, H, W.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from avd_core.data.clip_sets import Clips, EvidenceError
from avd_core.evidence.array_store import clip_key
from avd_core.media.containment import contained
from avd_core.media.video import VideoError, read_clip

Sampling = tuple[int, int]  # frames, short side in pixels
FEWEST_FOR_WORKERS = 24  # starting processes takes as long as decoding so many clips
MOST_WORKERS = 8


@dataclass(frozen=True)
class Skipped:
    """A clip that cannot be read, and why."""

    clip: str
    reason: str


@dataclass(frozen=True)
class Entry:
    """A clip to measure on.

    Attributes:
        name: relative path; below its set's name where there are several sets.
        set_name: the folder it was found in.
        part: of its split.
        label: its class.
        group: the person or source video of the clip; None if unknown.
        frames: sampling -> uint8 (T, H, W, 3).
        path: its file; None if only frames exist.
        key: its name in a store.
    """

    name: str
    set_name: str
    part: str
    label: str
    group: str | None
    frames: dict[Sampling, np.ndarray]
    path: Path | None = None
    key: str = ""


class Decoded(dict[Sampling, np.ndarray]):
    """Frames of one file by sampling, decoded on access; only frames that were assigned are held."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = str(path)

    def __missing__(self, sampling: Sampling) -> np.ndarray:
        return _decoded(self._path, sampling)


@lru_cache(maxsize=4)
def _decoded(path: str, sampling: Sampling) -> np.ndarray:
    return read_clip(path, frames=sampling[0], size=sampling[1], whole=True).frames


def entries_of(sets: Sequence[Clips]) -> list[Entry]:
    """Return an entry for each clip, without decoding any."""
    several = len({clips.folder for clips in sets}) > 1
    entries = []
    for clips in sets:
        set_name = clips.folder.resolve().name
        prefix = f"{set_name}/" if several else ""
        for index, path in enumerate(clips.paths):
            name = f"{prefix}{clips.name(index)}"
            group = clips.groups[index] if clips.groups else None
            label = f"{prefix}{clips.label(index)}"
            entries.append(
                Entry(
                    name, set_name, clips.part, label, group, Decoded(path), path, clip_key(path, f"{set_name}/{name}")
                )
            )
    return entries


def read_entries(
    entries: Iterable[Entry], wanted: Sequence[Sampling], *, workers: int = 0
) -> Iterator[tuple[Entry, dict[Sampling, np.ndarray] | Skipped]]:
    """Decode whole clips one after the other; yield each entry with its frames, or with the reason it cannot be read.

    Args:
        entries: the clips.
        wanted: the samplings to read of each.
        workers: decoding processes; 0 decodes in this one. Each holds at most two clips, so memory does not grow.
    """
    wanted = tuple(wanted)
    if not workers:
        for entry in entries:
            found = _read(str(entry.path), wanted)
            yield entry, Skipped(entry.name, found) if isinstance(found, str) else found
        return
    spawn = multiprocessing.get_context("spawn")  # FFmpeg's threads do not fork
    contain = partial(contained.start, 1) if contained.is_on() else None
    pool = ProcessPoolExecutor(workers, spawn, initializer=contain)
    waiting: list[tuple[Entry, Future[dict[Sampling, np.ndarray] | str]]] = []
    rest = iter(entries)
    try:
        for entry in itertools.islice(rest, 2 * workers):
            waiting.append((entry, pool.submit(_read, str(entry.path), wanted)))
        while waiting:
            entry, future = waiting.pop(0)
            try:
                found = future.result()
            except BrokenProcessPool as error:
                raise EvidenceError("A process that decodes was killed: try again with --workers 0.") from error
            waiting += [(later, pool.submit(_read, str(later.path), wanted)) for later in itertools.islice(rest, 1)]
            yield entry, Skipped(entry.name, found) if isinstance(found, str) else found
    finally:
        pool.shutdown(cancel_futures=True)


def default_workers(clips: int) -> int:
    """Return the number of decoding processes: one a core, at most `MOST_WORKERS`; 0 for few clips."""
    return 0 if clips < FEWEST_FOR_WORKERS else min(MOST_WORKERS, os.cpu_count() or 1)


def _read(path: str, wanted: Sequence[Sampling]) -> dict[Sampling, np.ndarray] | str:
    try:
        return {one: read_clip(path, frames=one[0], size=one[1], whole=True).frames for one in wanted}
    except VideoError as error:
        return str(error)
