"""Sources of clips by number: video files in a folder, with or without labels, and endless synthetic scenes.

For every source, `source[i]` is the stored frames (T,H,W,3) of a clip, uint8, evenly spaced in time. `ClipDataset`
reads video files; `avd_core.data.official_splits` builds it from the lists of UCF101, HMDB51 and Kinetics,
`avd_core.data.packs` stores its clips in one file, `avd_core.data.sampling` draws training batches.

Axes: B batch, C channels, T frames, H, W.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from avd_core.media.clip_names import CLIP_SUFFIXES, ClipFilter, classes_of, is_leftover, set_folder

STORED_FRAMES = 32
STORED_SIZE = 128
PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
UNLABELLED = -1


class DataError(ValueError):
    """Clips cannot be read; the message says why, in one sentence."""


class ClipSource(Protocol):
    """Clips by number. `names` are paths relative to the parent of their set's folder, such as `gestures/eat/a.mp4`."""

    @property
    def names(self) -> Sequence[str]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> np.ndarray: ...


def class_of(name: str) -> str:
    """Return the class of a clip by its name, `set/class/...`; "" if the name holds none."""
    parts = str(name).split("/")
    return parts[1] if len(parts) > 2 and parts[1] != "-" else ""


class ReadableClips(Protocol):
    """Clips that are read one by one; `read` raises ValueError for a broken one."""

    @property
    def names(self) -> Sequence[str]: ...

    def read(self, index: int) -> np.ndarray: ...


def find_clips(folder: str | Path, patterns: Sequence[str] | None = None) -> list[Path]:
    """Find the clips below `folder` (`media.clip_names`), sorted; with `patterns`, those whose path a glob matches.

    Raises:
        DataError: there are none.
    """
    return look_through(folder, patterns)[0]


def look_through(folder: str | Path, patterns: Sequence[str] | None = None) -> tuple[list[Path], str]:
    """Find clips like `find_clips`; also return a sentence about matching files that are passed over, or ""."""
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"There is no folder {str(folder)!r} to take clips from.")
    found = {path for pattern in (("**/*",) if patterns is None else patterns) for path in folder.glob(pattern)}
    taken = ClipFilter()
    clips = sorted(path for path in found if path.is_file() and taken.takes(path.relative_to(folder).parts))
    passed_over = taken.sentence(folder.absolute().name)
    if not clips:
        kinds = ", ".join(sorted(CLIP_SUFFIXES))
        raise DataError(f"The folder {folder.name!r} holds no matching clips ({kinds}). {passed_over}".strip())
    return clips, passed_over


def find_photos(folder: str | Path) -> list[Path]:
    """Find the photographs below `folder`, sorted.

    Raises:
        DataError: there are none.
    """
    folder = Path(folder)
    photos = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in PHOTO_SUFFIXES and path.is_file() and not is_leftover(path.relative_to(folder).parts)
    )
    if not photos:
        raise DataError(f"The folder {folder.name!r} holds no photographs ({', '.join(PHOTO_SUFFIXES)}).")
    return photos


class ClipItem(NamedTuple):
    """One item of a `ClipDataset`.

    Attributes:
        clip: uint8 (T,H,W,3); or, from a dataset made with `as_clip`, float32 (3,T,size,size) in [-1, 1].
        label: number of its class, or `UNLABELLED`.
        name: path relative to the parent of the set's folder, see `ClipDataset.names`.
    """

    clip: Tensor
    label: int
    name: str


class ClipDataset(Dataset[ClipItem]):
    """Labelled video files, decoded on access; only the sampled frames are held in memory.

    A file that cannot be read is skipped with a warning and counted, and the next one is returned instead. Worker
    processes of a `DataLoader`, spawned ones too, share the count.

    Args:
        folder: of the set.
        clips: (path relative to `folder`, label) of each file.
        classes: names of the labels.
        frames: T, evenly spaced over the whole clip.
        size: short side in pixels, a multiple of 8.
        as_clip: return the centre square as float32 in [-1, 1], which a `DataLoader` can stack, instead of the whole
            picture as uint8.
        missing: number of files that a list names but the folder lacks.

    Attributes:
        files: their paths relative to `folder`; `labels` and `names` are in the same order.
        names: the set's folder and the path; between them the class, or `-`, if the first folder is not the class.

    Raises:
        DataError: there are no clips.
    """

    def __init__(
        self, folder: str | Path, clips: Iterable[tuple[str, int]], classes: Sequence[str], *,
        frames: int = STORED_FRAMES, size: int = STORED_SIZE, as_clip: bool = False, missing: int = 0,
    ) -> None:  # fmt: skip
        self.folder = Path(folder)
        clips = list(clips)
        if not clips:
            raise DataError(f"There are no clips of {self.folder.name!r} to read.")
        self.files = [file for file, _ in clips]
        self.labels = [label for _, label in clips]
        self.names = [f"{self.folder.absolute().name}/{file}" for file in self.files]
        self.classes = tuple(classes)
        self.frames, self.size, self.as_clip, self.missing = frames, size, as_clip, missing
        # In shared memory, so that all workers skip, and the parent counts, what one finds broken.
        self._broken = torch.zeros(len(self.files), dtype=torch.bool).share_memory_()

    @classmethod
    def from_folder(
        cls, folder: str | Path, patterns: Sequence[str] | None = None, *, frames: int = STORED_FRAMES,
        size: int = STORED_SIZE, as_clip: bool = False,
    ) -> ClipDataset:  # fmt: skip
        """Read a folder of classes, `<class>/**/*.mp4`; a clip directly in the folder is `UNLABELLED`.

        Classes are numbered over the whole folder, also if `patterns` select a part of it, so that a training part and
        a test part have the same labels. If one folder in it holds the whole set, that is the set's folder.

        Raises:
            DataError: nothing matches.
        """
        folder = Path(folder)
        every = [path.relative_to(folder) for path in find_clips(folder)]
        chosen = every if patterns is None else [path.relative_to(folder) for path in find_clips(folder, patterns)]
        inner = Path(*set_folder([path.parts for path in every]))
        folder = folder / inner
        every, chosen = ([path.relative_to(inner) for path in paths] for paths in (every, chosen))
        labels = dict(zip(every, classes_of([path.parts for path in every]), strict=True))
        classes = sorted(set(labels.values()) - {""})
        number = {"": UNLABELLED} | {name: label for label, name in enumerate(classes)}
        clips = [(path.as_posix(), number[labels[path]]) for path in chosen]
        dataset = cls(folder, clips, classes, frames=frames, size=size, as_clip=as_clip)
        for place, path in enumerate(chosen):
            label = labels[path]
            if (path.parts[0] if len(path.parts) > 1 else "") != label:  # for example in the folder of a session
                dataset.names[place] = f"{folder.absolute().name}/{label or '-'}/{path.as_posix()}"
        return dataset

    def __len__(self) -> int:
        return len(self.files)

    @property
    def broken(self) -> set[int]:
        """Numbers of the files found broken so far, by any process."""
        return set(self._broken.nonzero().flatten().tolist())

    def read(self, index: int) -> np.ndarray:
        """Return the frames (T,H,W,3) of file `index`; raise `VideoError` if it cannot be read."""
        from avd_core.media.video import read_clip

        return read_clip(self.folder / self.files[index], frames=self.frames, size=self.size, whole=True).frames

    def read_next(self, index: int) -> tuple[int, np.ndarray]:
        """Return the frames of file `index`, or of the next file that can be read, and that file's number.

        Raises:
            DataError: no file of the set can be read.
            IndexError: `index` is out of range.
        """
        index = range(len(self))[index]
        for candidate in (*range(index, len(self)), *range(index)):
            if self._broken[candidate]:
                continue
            try:
                return candidate, self.read(candidate)
            except ValueError as error:
                self._broken[candidate] = True
                warnings.warn(f"Skipped {self.names[candidate]}: {error}", stacklevel=3)
        raise DataError(f"None of the {len(self)} clips of {self.folder.name!r} can be read.")

    def __getitem__(self, index: int) -> ClipItem:
        index, frames = self.read_next(index)
        clip = _centre_square(frames) if self.as_clip else torch.from_numpy(frames)
        return ClipItem(clip, self.labels[index], self.names[index])


def _centre_square(frames: np.ndarray) -> Tensor:
    height, width = frames.shape[1:3]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = torch.from_numpy(frames[:, top : top + side, left : left + side])
    return square.permute(3, 0, 1, 2).float().div(127.5).sub(1)  # (3,T,side,side)


class UnlabelledClips:
    """The frames of a dataset without labels: a `ClipSource` to train on."""

    def __init__(self, dataset: ClipDataset) -> None:
        self.dataset = dataset
        self.names = dataset.names
        self.read = dataset.read

    def __len__(self) -> int:
        return len(self.dataset)

    @property
    def broken(self) -> set[int]:
        """Numbers of the files found broken so far."""
        return self.dataset.broken

    def __getitem__(self, index: int) -> np.ndarray:
        """Return frames (T,H,W,3), of the next file if this one is broken.

        Raises:
            DataError: no file can be read.
        """
        return self.dataset.read_next(index)[1]


class FolderClips(UnlabelledClips):
    """Clips of a folder, without labels. A file that cannot be read is skipped with a warning and counted."""

    def __init__(
        self, folder: str | Path, patterns: Sequence[str] | None = None, *, frames: int = STORED_FRAMES,
        size: int = STORED_SIZE,
    ) -> None:  # fmt: skip
        super().__init__(ClipDataset.from_folder(folder, patterns, frames=frames, size=size))


class SyntheticClips:
    """Seeded synthetic scenes, as many as there are numbers.

    Args:
        count: how many.
        frames, size: T and the side in pixels of each.
        photos: folder of photographs that become worlds and materials; at most 200 are kept, 512 px on the long side.
    """

    def __init__(
        self, count: int = 1_000_000, *, frames: int = STORED_FRAMES, size: int = STORED_SIZE,
        photos: str | Path | None = None,
    ) -> None:  # fmt: skip
        self.count = count
        self.frames, self.size = frames, size
        paths = find_photos(photos) if photos is not None else []
        self._photo_paths = [paths[index] for index in np.linspace(0, len(paths) - 1, min(200, len(paths))).astype(int)]

    def __len__(self) -> int:
        return self.count

    @property
    def names(self) -> list[str]:
        """`synthetic/000000` and on."""
        return [f"synthetic/{number:06d}" for number in range(self.count)]

    def read(self, index: int) -> np.ndarray:
        """Scene number `index`: 8-bit frames (T,H,W,3)."""
        from avd_core.data.synthetic import random_scene

        return random_scene(index, frames=self.frames, size=self.size, photos=self.photos)

    __getitem__ = read

    @cached_property
    def photos(self) -> list[np.ndarray]:
        """The photographs kept, read when the first scene needs them: a worker process is handed paths alone."""
        photos = []
        for path in self._photo_paths:
            with Image.open(path) as photo:
                photo.draft("RGB", (512, 512))
                photo.thumbnail((512, 512))
                photos.append(np.asarray(photo.convert("RGB")))
        return photos


def read_split(path: str | Path, parts: Sequence[str]) -> list[str]:
    """Globs of the named parts of a split file (JSON with lists `train`, `choose`, `test`).

    Raises:
        DataError: when the file is no split.
    """
    try:
        split = json.loads(Path(path).read_text(encoding="utf-8"))
        patterns = [pattern for part in parts for pattern in split[part]]
        assert all(isinstance(pattern, str) for pattern in patterns)
    except (OSError, ValueError, TypeError, KeyError, AssertionError) as error:
        raise DataError(f"{Path(path).name} is no split with the lists {', '.join(parts)}: {error!r}.") from error
    return patterns
