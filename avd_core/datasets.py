"""Clips to train on: files in a folder, a packed cache of them, and synthetic scenes without end.

Every source answers `source[i]` with stored 8-bit frames (T',H,W,3), evenly spaced in time; `ClipSampler` cuts training
batches from them. A batch depends on the seed and the step alone, so that a resumed run sees what an uninterrupted one
would have seen.

Axes: B batch, C channels, T frames, H, W.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import warnings
import zipfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from avd_core.config import MIN_SIZE, SIDE_MULTIPLE

STORED_FRAMES = 32
STORED_SIZE = 128
SUFFIXES = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".gif")
_INDEX = "index.json"


class DataError(ValueError):
    """Clips that cannot be had, with a sentence saying why."""


class ClipSource(Protocol):
    """Clips by number. `names` are paths relative to the parent of their set's folder, such as `gestures/eat/a.mp4`."""

    names: Sequence[str]

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> np.ndarray: ...


class ReadableClips(ClipSource, Protocol):
    """Clips that can be read one by one, a broken one raising ValueError."""

    def read(self, index: int) -> np.ndarray: ...


def find_clips(folder: str | Path, patterns: Sequence[str] | None = None) -> list[Path]:
    """Video files below `folder`, sorted; with `patterns`, those whose relative path one of the globs matches.

    Raises:
        DataError: when there are none.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"There is no folder {str(folder)!r} to take clips from.")
    found = {path for pattern in (("**/*",) if patterns is None else patterns) for path in folder.glob(pattern)}
    clips = sorted(path for path in found if path.suffix.lower() in SUFFIXES and path.is_file())
    if not clips:
        raise DataError(f"The folder {folder.name!r} holds no matching clips ({', '.join(SUFFIXES)}).")
    return clips


class FolderClips:
    """Clips of a folder, decoded when asked for. A file that cannot be read is skipped with a warning and counted."""

    def __init__(
        self, folder: str | Path, patterns: Sequence[str] | None = None, *, frames: int = STORED_FRAMES,
        size: int = STORED_SIZE,
    ) -> None:  # fmt: skip
        self.folder = Path(folder)
        self.paths = find_clips(folder, patterns)
        self.names = [f"{self.folder.name}/{path.relative_to(self.folder).as_posix()}" for path in self.paths]
        self.frames, self.size = frames, size
        self.broken: set[int] = set()

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, index: int) -> np.ndarray:
        """Frames of clip `index`, whole clip; raises `VideoError` for one that cannot be read."""
        from avd_core.video import read_clip

        return read_clip(self.paths[index], frames=self.frames, size=self.size, whole=True).frames

    def __getitem__(self, index: int) -> np.ndarray:
        """As `read`, but a broken file gives way to the next one.

        Raises:
            DataError: when no file of the folder can be read.
        """
        for attempt in range(len(self.paths)):
            candidate = (index + attempt) % len(self.paths)
            if candidate in self.broken:
                continue
            try:
                return self.read(candidate)
            except ValueError as error:
                self.broken.add(candidate)
                warnings.warn(f"Skipped {self.names[candidate]}: {error}", stacklevel=2)
        raise DataError(f"None of the {len(self.paths)} clips of {self.folder.name!r} can be read.")


class SyntheticClips:
    """Seeded synthetic scenes, as many as there are numbers.

    Args:
        count: how many.
        frames, size: T and the side in pixels of each.
        photos: folder of photographs that become worlds and materials; at most 200 are kept, 256 px on the short side.
    """

    def __init__(
        self, count: int = 1_000_000, *, frames: int = STORED_FRAMES, size: int = STORED_SIZE,
        photos: str | Path | None = None,
    ) -> None:  # fmt: skip
        self.count = count
        self.frames, self.size = frames, size
        self.photos = _photographs(Path(photos)) if photos else None

    def __len__(self) -> int:
        return self.count

    @property
    def names(self) -> list[str]:
        """`synthetic/000000` and on."""
        return [f"synthetic/{number:06d}" for number in range(self.count)]

    def read(self, index: int) -> np.ndarray:
        """Scene number `index`: 8-bit frames (T,H,W,3)."""
        from avd_core.synthetic import random_scene

        return random_scene(index, frames=self.frames, size=self.size, photos=self.photos)

    __getitem__ = read


def _photographs(folder: Path, limit: int = 200) -> list[np.ndarray]:
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp"))
    if not paths:
        raise DataError(f"The folder {folder.name!r} holds no photographs.")
    photos = []
    for index in np.linspace(0, len(paths) - 1, min(limit, len(paths))).astype(int):
        with Image.open(paths[index]) as photo:
            photo.draft("RGB", (512, 512))
            photo.thumbnail((512, 512))
            photos.append(np.asarray(photo.convert("RGB")))
    return photos


class PackedClips:
    """Clips of a pack: one file of compressed frame sheets, readable without a video decoder.

    A pack is a zip archive with `index.json` (name, frames, height and width of each clip) and one WebP image a clip
    that holds its frames in rows.

    Raises:
        DataError: when the file is no pack.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            # Kept open: a thousand entries take longer to list than one takes to read. Reading is thread-safe.
            self._archive = zipfile.ZipFile(self.path)
            self._index = json.loads(self._archive.read(_INDEX))
            self.names = [str(entry["name"]) for entry in self._index]
        except (OSError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
            raise DataError(f"{self.path.name} is not a pack of clips: {error}.") from error

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> np.ndarray:
        entry = self._index[index]
        sheet = np.asarray(Image.open(io.BytesIO(self._archive.read(entry["file"]))).convert("RGB"))
        return _cut_sheet(sheet, entry["frames"], entry["height"], entry["width"])


def _lay_sheet(frames: np.ndarray) -> np.ndarray:
    count, height, width, _ = frames.shape
    columns = next(c for c in range(int(count**0.5), 0, -1) if count % c == 0)
    rows = frames.reshape(count // columns, columns, height, width, 3)
    return rows.transpose(0, 2, 1, 3, 4).reshape(count // columns * height, columns * width, 3)


def _cut_sheet(sheet: np.ndarray, count: int, height: int, width: int) -> np.ndarray:
    rows, columns = sheet.shape[0] // height, sheet.shape[1] // width
    cut = sheet.reshape(rows, height, columns, width, 3).transpose(0, 2, 1, 3, 4)
    return cut.reshape(rows * columns, height, width, 3)[:count]


def pack(clips: ReadableClips, archive: zipfile.ZipFile, index: list[dict], *, quality: int = 88) -> int:
    """Adds every readable clip of a source to an open pack; returns how many were skipped."""
    skipped = 0
    for number, name in enumerate(clips.names):
        try:
            frames = clips.read(number)
        except ValueError as error:
            skipped += 1
            warnings.warn(f"Skipped {name}: {error}", stacklevel=2)
            continue
        buffer = io.BytesIO()
        Image.fromarray(_lay_sheet(frames)).save(buffer, "WEBP", quality=quality, method=4)
        file = f"{len(index):06d}.webp"
        archive.writestr(file, buffer.getvalue())
        count, height, width, _ = frames.shape
        index.append({"name": name, "file": file, "frames": count, "height": height, "width": width})
        if sys.stderr.isatty() or number % 100 == 99:
            print(f"\rpacked {len(index)} clips", end="", file=sys.stderr, flush=True)
    return skipped


class ClipSampler:
    """Cuts training batches from clip sources.

    Sets (the first part of a clip's name) are drawn in proportion to the square root of their size, so that a large
    one does not drown the others.

    Args:
        sources: where real clips come from.
        frames: T of a training clip.
        crop: side in pixels of its square frames.
        batch_size: clips in the global batch.
        seed: of everything random.
        synthetic_share: share of clips drawn from synthetic scenes (all of them when there are no sources).
        rank, world: of `world` processes this one, from 0, which cuts the samples `rank * batch_size / world` and on.

    Raises:
        DataError: when the batch cannot be shared equally, as averaged gradients need it.
    """

    def __init__(
        self, sources: Iterable[ClipSource], *, frames: int, crop: int, batch_size: int, seed: int = 0,
        synthetic_share: float = 0.0, rank: int = 0, world: int = 1,
    ) -> None:  # fmt: skip
        if batch_size % world:
            raise DataError(f"A batch of {batch_size} clips cannot be shared equally by {world} processes.")
        self.items = range(rank * batch_size // world, (rank + 1) * batch_size // world)
        self.sets: dict[str, list[tuple[ClipSource, int]]] = {}
        for source in sources:
            for index, name in enumerate(source.names):
                self.sets.setdefault(str(name).split("/")[0], []).append((source, index))
        self.frames, self.crop, self.batch_size, self.seed = frames, crop, batch_size, seed
        self.synthetic_share = synthetic_share if self.sets else 1.0
        self.synthetic = SyntheticClips()
        sizes = np.array([len(members) for members in self.sets.values()], dtype=float)
        self._shares = np.sqrt(sizes) / np.sqrt(sizes).sum() if len(sizes) else sizes

    def __len__(self) -> int:
        return sum(len(members) for members in self.sets.values())

    def batch(self, step: int) -> Tensor:
        """Training clips (B/world,3,T,crop,crop) in [-1, 1] for one step."""
        return torch.stack([self._example(step, item) for item in self.items])

    def batches(self, start: int, stop: int, *, ahead: int = 2) -> Iterable[Tensor]:
        """Batches of steps `start` to `stop - 1`, prepared `ahead` of time on other threads."""
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
            members = list(self.sets.values())[rng.choice(len(self._shares), p=self._shares)]
            source, index = members[rng.integers(len(members))]
            stored = source[index]
        return augment(stored, rng, frames=self.frames, crop=self.crop)


def augment(stored: np.ndarray, rng: np.random.Generator, *, frames: int, crop: int) -> Tensor:
    """One training clip (3,T,crop,crop) in [-1, 1] from stored frames (T',H,W,3).

    The window is the whole clip in half of the cases, else a random part of at least `frames` stored frames. The square
    is cut at a random place and scale, never enlarged where the stored frames are large enough. Mirrored and played
    backwards at times; brightness and contrast move a little.
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
        contrast, brightness = rng.uniform(0.8, 1.2), rng.uniform(-16, 16)
        clip = (clip - 127.5) * contrast + 127.5 + brightness
    return clip.clamp(0, 255).round().div(127.5).sub(1).transpose(0, 1)


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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `python -m avd_core pack`."""
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER", help="folders of clips")
    parser.add_argument("--out", required=True, type=Path, metavar="PACK", help="the pack to write")
    parser.add_argument("--splits", type=Path, metavar="DIR", help="folder with a split file <folder name>.json each")
    parser.add_argument("--parts", nargs="+", default=["train"], help="parts of the splits to pack (default: train)")
    parser.add_argument("--synthetic", type=int, default=0, metavar="N", help="add N synthetic scenes")
    parser.add_argument("--photos", type=Path, metavar="FOLDER", help="photographs to build synthetic scenes of")
    parser.add_argument("--frames", type=int, default=STORED_FRAMES, help="frames kept of each clip")
    parser.add_argument("--size", type=int, default=STORED_SIZE, help="short side in pixels")
    parser.add_argument("--quality", type=int, default=88, help="WebP quality")


def run(args: argparse.Namespace) -> int:
    """Carries out `python -m avd_core pack`."""
    if args.size < MIN_SIZE or args.size % SIDE_MULTIPLE:
        raise DataError(f"--size must be a multiple of {SIDE_MULTIPLE} from {MIN_SIZE} up.")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    staging = args.out.with_name(f".{args.out.name}")
    index: list[dict] = []
    skipped = 0
    try:
        with zipfile.ZipFile(staging, "w", zipfile.ZIP_STORED) as archive:
            for folder in args.folders:
                file = args.splits / f"{folder.name}.json" if args.splits else None
                patterns = read_split(file, args.parts) if file is not None and file.exists() else None
                if patterns == []:
                    continue
                clips = FolderClips(folder, patterns, frames=args.frames, size=args.size)
                skipped += pack(clips, archive, index, quality=args.quality)
            if args.synthetic:
                scenes = SyntheticClips(args.synthetic, frames=args.frames, size=args.size, photos=args.photos)
                skipped += pack(scenes, archive, index, quality=args.quality)
            archive.writestr(_INDEX, json.dumps(index))
        staging.replace(args.out)
    finally:
        staging.unlink(missing_ok=True)
    size = args.out.stat().st_size / 1e6
    print(f"\rpacked {len(index)} clips in {size:.1f} MB, skipped {skipped}", file=sys.stderr)
    return 0
