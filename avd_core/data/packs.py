"""Packs: a thousand clips in some 20 MB, read without a video decoder, and `python -m avd_core pack`.

A pack is a zip archive with `index.json` (name, file, frames, height and width of each clip) and one image file a clip,
which Pillow reads. New packs hold animated AVIF, whose frames are compressed one from the other as in a video; older
ones hold WebP sheets, the frames in rows, and are read all the same.

Measured with `python -m benchmarks.packs` on 32 frames of 128 px: quality 75 takes 15 kB a clip of a fixed camera (40
gesture clips, 42.0 dB against what the video decoder gave) and 44 kB of a busy one (20 surveillance clips, 41.5 dB).
The sheets, of WebP quality 88, took 62 kB at 41.3 dB and 182 kB at 39.9 dB. All figures: benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import warnings
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, features

from avd_core.config import MIN_SIZE, SIDE_MULTIPLE
from avd_core.data.clip_sets import DATASETS, official_videos
from avd_core.data.datasets import (
    STORED_FRAMES,
    STORED_SIZE,
    DataError,
    FolderClips,
    ReadableClips,
    SyntheticClips,
    read_split,
)

QUALITY = 75
SPEED = 6  # of the encoder, 0 to 10; 8 takes a fifth of the time and, for the same PSNR, half as much space again
_INDEX = "index.json"
# What a damaged archive and Pillow's decoders are known to raise.
_UNREADABLE = (
    *(OSError, KeyError, ValueError, SyntaxError, RuntimeError),
    *(zipfile.BadZipFile, Image.DecompressionBombError),
)


class PackedClips:
    """Clips of a pack: a `ClipSource`.

    Raises:
        DataError: when the file is no pack.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self._open()
            self._index = json.loads(self._archive.read(_INDEX))
            self.names = [str(entry["name"]) for entry in self._index]
            numbers = [entry[key] for entry in self._index for key in ("frames", "height", "width")]
            if not all(isinstance(number, int) and number > 0 for number in numbers):
                raise ValueError("its index gives impossible sizes")
        except (OSError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
            raise DataError(f"{self.path.name} is not a pack of clips: {error}.") from error

    def _open(self) -> None:
        # Kept open: a thousand entries take longer to list than one takes to read. Reading is thread-safe.
        self._archive, self._process = zipfile.ZipFile(self.path), os.getpid()

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_archive": None, "_process": None}

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> np.ndarray:
        """Frames (T,H,W,3) of clip `index`.

        Raises:
            DataError: when its image is damaged, or of a format that this Pillow cannot read.
        """
        entry = self._index[index]
        try:
            if self._process != os.getpid():  # forked workers would share one place in the file
                self._open()
            encoded = self._archive.read(entry["file"])
            return decode_frames(encoded, entry["frames"], entry["height"], entry["width"])
        except _UNREADABLE as error:
            raise DataError(f"Clip {self.names[index]} of {self.path.name} cannot be read: {error}.") from error


def encode_frames(frames: np.ndarray, quality: int = QUALITY, *, speed: int = SPEED) -> bytes:
    """Frames (T,H,W,3) as an animated AVIF, 4:2:0, of quality 0 to 100.

    Raises:
        DataError: when this Pillow cannot write AVIF.
    """
    if not features.check("avif"):
        raise DataError("Packing needs a Pillow that writes AVIF: version 11.3 or newer as published.")
    first, *rest = (Image.fromarray(frame) for frame in frames)
    buffer = io.BytesIO()
    # One thread an image: a pack is made of as many images at once as there are cores.
    first.save(buffer, "AVIF", save_all=True, append_images=rest, quality=quality, speed=speed, max_threads=1)
    return buffer.getvalue()


def decode_frames(encoded: bytes, count: int, height: int, width: int) -> np.ndarray:
    """Frames (T,H,W,3) of an animated image, or of a sheet that holds them in rows.

    Raises:
        DataError: when it holds other frames than the index says.
        OSError, SyntaxError, RuntimeError: when it is damaged, as Pillow's decoders have it.
    """
    with Image.open(io.BytesIO(encoded)) as image:
        if getattr(image, "n_frames", 1) == 1:
            return _cut_sheet(np.asarray(image.convert("RGB")), count, height, width)
        if (image.n_frames, *image.size) != (count, width, height):
            raise DataError("it holds other frames than the index says")
        frames = np.empty((count, height, width, 3), np.uint8)
        for number in range(count):
            image.seek(number)
            frames[number] = image.convert("RGB")
    return frames


def _cut_sheet(sheet: np.ndarray, count: int, height: int, width: int) -> np.ndarray:
    rows, columns = sheet.shape[0] // height, sheet.shape[1] // width
    cut = sheet.reshape(rows, height, columns, width, 3).transpose(0, 2, 1, 3, 4)
    return cut.reshape(rows * columns, height, width, 3)[:count]


def pack(clips: ReadableClips, archive: zipfile.ZipFile, index: list[dict], *, quality: int = QUALITY) -> int:
    """Adds every readable clip of a source to an open pack; returns how many were skipped."""

    def encoded(number: int) -> tuple[bytes, tuple[int, ...]] | ValueError:
        try:
            frames = clips.read(number)
        except ValueError as error:
            return error  # warned of below: warnings are not for threads
        return encode_frames(frames, quality), frames.shape

    skipped, pool = 0, ThreadPoolExecutor(os.cpu_count())
    try:
        for name, result in zip(clips.names, pool.map(encoded, range(len(clips.names))), strict=True):
            if isinstance(result, ValueError):
                skipped += 1
                warnings.warn(f"Skipped {name}: {result}", stacklevel=2)
                continue
            image, (count, height, width, _) = result
            file = f"{len(index):06d}.avif"
            archive.writestr(file, image)
            index.append({"name": name, "file": file, "frames": count, "height": height, "width": width})
            if sys.stderr.isatty() or len(index) % 100 == 0:
                print(f"\rpacked {len(index)} clips", end="", file=sys.stderr, flush=True)
    finally:
        pool.shutdown(cancel_futures=True)  # or Ctrl-C would wait for every clip
    return skipped


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `python -m avd_core pack`."""
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER", help="folders of clips")
    parser.add_argument("--out", required=True, type=Path, metavar="PACK", help="the pack to write")
    parser.add_argument("--dataset", choices=DATASETS, default="folder", help="how the clips lie (default: folder)")
    parser.add_argument(
        "--split", nargs="+", metavar="1|2|3|FILE", help="official split of UCF101 or HMDB51, or the CSV of Kinetics"
    )
    parser.add_argument("--lists", type=Path, metavar="DIR", help="the official lists, if not in or beside the videos")
    parser.add_argument("--splits", type=Path, metavar="DIR", help="folder with a split file <folder name>.json each")
    parser.add_argument("--parts", nargs="+", default=["train"], help="parts of the splits to pack (default: train)")
    parser.add_argument("--synthetic", type=int, default=0, metavar="N", help="add N synthetic scenes")
    parser.add_argument("--photos", type=Path, metavar="FOLDER", help="photographs to build synthetic scenes of")
    parser.add_argument("--frames", type=int, default=STORED_FRAMES, help="frames kept of each clip")
    parser.add_argument("--size", type=int, default=STORED_SIZE, help="short side in pixels")
    parser.add_argument("--quality", type=int, default=QUALITY, help="AVIF quality, 0 to 100")


def run(args: argparse.Namespace) -> int:
    """Carries out `python -m avd_core pack`."""
    if args.size < MIN_SIZE or args.size % SIDE_MULTIPLE:
        raise DataError(f"--size must be a multiple of {SIDE_MULTIPLE} from {MIN_SIZE} up.")
    if not 0 <= args.quality <= 100:
        raise DataError("--quality must be from 0 to 100.")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    staging = args.out.with_name(f".{args.out.name}")
    index: list[dict] = []
    skipped = 0
    try:
        with zipfile.ZipFile(staging, "w", zipfile.ZIP_STORED) as archive:
            for folder in args.folders if args.dataset != "folder" else ():
                videos = official_videos(args.dataset, folder, args.split or (), args.parts, lists=args.lists)
                for dataset in videos.values():
                    dataset.frames, dataset.size = args.frames, args.size
                    skipped += pack(dataset, archive, index, quality=args.quality)
            for folder in args.folders if args.dataset == "folder" else ():
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
        if not index:
            raise DataError(f"There is nothing to pack: {skipped} clips were skipped, and none could be read.")
        staging.replace(args.out)
    finally:
        staging.unlink(missing_ok=True)
    size = args.out.stat().st_size / 1e6
    print(f"\rpacked {len(index)} clips in {size:.1f} MB, skipped {skipped}", file=sys.stderr)
    return 0
