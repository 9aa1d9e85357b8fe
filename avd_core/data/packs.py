"""Packs: a thousand clips in some 40 MB, read without a video decoder.

A pack is a zip archive with `index.json` (name, file, frames, height and width of each clip) and one image file a clip,
which Pillow reads. New packs hold animated AVIF, whose frames are compressed one from the other as in a video; older
ones hold WebP sheets, the frames in rows, and are read all the same.

Measured with `python -m benchmarks.packs` on 32 frames of 128 px: quality 88 takes 38 kB a clip of a fixed camera (40
gesture clips, 43.9 dB against what the video decoder gave) and 64 kB of a busy one (20 surveillance clips, 41.6 dB). A
slower encoder (speed 6, quality 75) took 15 kB at 42.0 dB and 44 kB at 41.5 dB, and seven to eight times as long.
All figures: benchmarks/README.md.
"""

from __future__ import annotations

import io
import json
import os
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, features

from avd_core.atomic_io import atomic_file
from avd_core.data.datasets import DataError, ReadableClips
from avd_core.media.zip_names import ZIP_DAMAGE

QUALITY = 88
SPEED = 9  # of the encoder, 0 to 10; 6 takes five to nine times as long and, for the same PSNR, less space
_INDEX = "index.json"
# What a damaged archive and Pillow's decoders are known to raise.
_UNREADABLE = (*ZIP_DAMAGE, OSError, SyntaxError, Image.DecompressionBombError)


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
        except (*ZIP_DAMAGE, OSError, TypeError) as error:
            raise DataError(f"{self.path.name} is not a pack of clips: {error}.") from error

    def _open(self) -> None:
        # Kept open: a thousand entries take longer to list than one takes to read. Reading is thread-safe.
        self._archive, self._process = zipfile.ZipFile(self.path), os.getpid()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_archive": None, "_process": None}

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> np.ndarray:
        """Return the frames (T,H,W,3) of clip `index`, uint8.

        Raises:
            DataError: its image is damaged, or of a format that this Pillow cannot read.
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
    """Encode frames (T,H,W,3), uint8, as an animated AVIF, 4:2:0, of quality 0 to 100.

    Raises:
        DataError: this Pillow cannot write AVIF.
    """
    if not features.check("avif"):
        raise DataError("Packing needs a Pillow that writes AVIF: version 11.3 or newer as published.")
    first, *rest = (Image.fromarray(frame) for frame in frames)
    buffer = io.BytesIO()
    # One thread an image: a pack is made of as many images at once as there are cores.
    first.save(buffer, "AVIF", save_all=True, append_images=rest, quality=quality, speed=speed, max_threads=1)
    return buffer.getvalue()


def decode_frames(encoded: bytes, count: int, height: int, width: int) -> np.ndarray:
    """Decode the frames (T,H,W,3) of an animated image, or of a sheet that holds them in rows.

    Raises:
        DataError: it holds other frames than the index says.
        OSError, SyntaxError, RuntimeError: it is damaged; Pillow's decoders raise any of these.
    """
    with Image.open(io.BytesIO(encoded)) as image:
        if getattr(image, "n_frames", 1) == 1:
            return _cut_sheet(np.asarray(image.convert("RGB")), count, height, width)
        if (getattr(image, "n_frames", 1), *image.size) != (count, width, height):
            raise DataError("it holds other frames than the index says")
        frames = np.empty((count, height, width, 3), np.uint8)
        for number in range(count):
            image.seek(number)
            frames[number] = np.asarray(image.convert("RGB"))
    return frames


def _cut_sheet(sheet: np.ndarray, count: int, height: int, width: int) -> np.ndarray:
    rows, columns = sheet.shape[0] // height, sheet.shape[1] // width
    cut = sheet.reshape(rows, height, columns, width, 3).transpose(0, 2, 1, 3, 4)
    return cut.reshape(rows * columns, height, width, 3)[:count]


class PackWriter:
    """A pack that is being written; see `new_pack`.

    Attributes:
        count: number of clips added.
        skipped: number of clips that could not be read.
    """

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._index: list[dict[str, Any]] = []
        self.skipped = 0

    @property
    def count(self) -> int:
        return len(self._index)

    def add(self, name: str, encoded: bytes, shape: Sequence[int]) -> None:
        """Add one clip, `encoded` by `encode_frames` from frames of this shape, (T,H,W) or (T,H,W,3)."""
        file, (frames, height, width) = f"{self.count:06d}.avif", shape[:3]
        self._archive.writestr(file, encoded)
        self._index.append({"name": name, "file": file, "frames": frames, "height": height, "width": width})

    def add_all(
        self, clips: ReadableClips, *, quality: int = QUALITY, progress: Callable[[int], None] | None = None
    ) -> None:
        """Add every clip of a source, in its order; warn of those that cannot be read, and count them.

        Args:
            clips: read and encoded on as many threads as there are cores.
            quality: of AVIF, 0 to 100.
            progress: called after each clip with `count`.
        """

        def encoded(number: int) -> tuple[bytes, tuple[int, ...]] | ValueError:
            try:
                frames = clips.read(number)
            except ValueError as error:
                return error  # warned of below: warnings are not for threads
            return encode_frames(frames, quality), frames.shape

        pool = ThreadPoolExecutor(os.cpu_count())
        try:
            for name, result in zip(clips.names, pool.map(encoded, range(len(clips.names))), strict=True):
                if isinstance(result, ValueError):
                    self.skipped += 1
                    warnings.warn(f"Skipped {name}: {result}", stacklevel=2)
                    continue
                self.add(name, *result)
                if progress is not None:
                    progress(self.count)
        finally:
            pool.shutdown(cancel_futures=True)  # or Ctrl-C would wait for every clip

    def write_index(self) -> None:
        """Write the index, which completes the pack.

        Raises:
            DataError: it holds no clip.
        """
        if not self._index:
            raise DataError(f"There is nothing to pack: {self.skipped} clips were skipped, and none could be read.")
        self._archive.writestr(_INDEX, json.dumps(self._index))


@contextmanager
def new_pack(path: Path) -> Iterator[PackWriter]:
    """Yield an empty pack to add clips to; it appears at `path`, in a folder that exists, whole or not at all.

    Raises:
        DataError: no clip was added.
    """
    with atomic_file(path) as staging, zipfile.ZipFile(staging, "w", zipfile.ZIP_STORED) as archive:
        writer = PackWriter(archive)
        yield writer
        writer.write_index()
