"""Real images for the discriminator: frames of clips, photographs, or both.

Frames are augmented like training clips, and photographs are scaled to the size of stored frames first, so that the
discriminator cannot tell real images by their crop or scale.

Axes: B batch, H, W.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from avd_core.data.datasets import STORED_SIZE, ClipSource, DataError, find_photos
from avd_core.data.sampling import ClipPool, augment

_STREAM = 0x1A6E5  # for other random numbers than the training clips', which use the same seed, step and item


class RealImages:
    """Random real images.

    A photograph that cannot be read is skipped with a warning and added to `broken`; the next one is used instead.

    Args:
        clips: sources of the frames; see `ClipPool`.
        photos: folder of photographs.
        photo_share: share of photographs among the images, if there are both.

    Raises:
        DataError: there is neither.
    """

    def __init__(
        self, clips: Iterable[ClipSource] = (), photos: str | Path | None = None, *, photo_share: float = 0.5
    ) -> None:
        self.clips = ClipPool(clips)
        self.photos = find_photos(photos) if photos is not None else []
        self.broken: set[int] = set()
        if not len(self.clips) and not self.photos:
            raise DataError("Real images need clips, a folder of photographs, or both.")
        self.photo_share = (photo_share if len(self.clips) else 1.0) if self.photos else 0.0

    def batch(self, seed: int, step: int, count: int, crop: int, *, first: int = 0) -> Tensor:
        """Return images (count,3,crop,crop) in [-1, 1], at 8-bit levels.

        Each depends only on the seed, the step and its number in the global batch.

        Args:
            seed, step: of the training.
            count: number of images.
            crop: side in pixels.
            first: number of the first image in the global batch, which several processes may share.
        """
        return torch.stack([self._example(seed, step, item, crop) for item in range(first, first + count)])

    def _example(self, seed: int, step: int, item: int, crop: int) -> Tensor:
        rng = np.random.default_rng((seed, step, item, _STREAM))
        if rng.random() < self.photo_share:
            stored = self._photo(int(rng.integers(len(self.photos))), crop)[None]
        else:
            clip = self.clips.draw(rng)
            stored = clip[int(rng.integers(len(clip)))][None]
        return augment(stored, rng, frames=1, crop=crop).squeeze(1)

    def _photo(self, index: int, crop: int) -> np.ndarray:
        """Read photograph `index` (H,W,3); its short side is to the crop as that of stored frames is to 112 px."""
        for candidate in (*range(index, len(self.photos)), *range(index)):
            if candidate in self.broken:
                continue
            try:
                return _read_photo(self.photos[candidate], crop * STORED_SIZE // 112)
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
                self.broken.add(candidate)
                warnings.warn(f"Skipped {self.photos[candidate].name}: {error}", stacklevel=2)
        raise DataError(f"None of the {len(self.photos)} photographs can be read.")


def _read_photo(path: Path, side: int) -> np.ndarray:
    """Read a photograph (H,W,3), upright, reduced to a short side of `side` pixels if it is larger."""
    with Image.open(path) as file:
        file.draft("RGB", (2 * side, 2 * side))  # JPEG: decodes at a reduced size, many times faster
        photo = ImageOps.exif_transpose(file).convert("RGB")
        scale = side / min(photo.size)
        if scale < 1:
            width, height = (max(side, round(length * scale)) for length in photo.size)
            photo = photo.resize((width, height), Image.Resampling.BICUBIC)
        return np.asarray(photo)
