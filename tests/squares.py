"""Four quick clips of a moving square, in memory or packed, for tests that train."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np

from avd_core import packs


class Squares:
    """A moving square on noise, in memory."""

    names = tuple(f"squares/{n}" for n in range(4))

    def __len__(self):
        return len(self.names)

    def read(self, index):
        frames = np.random.default_rng(index).integers(0, 60, (12, 72, 72, 3), dtype=np.uint8)
        for t in range(12):
            frames[t, 4 * t : 4 * t + 20, 20:40] = (250, 40 * index, 90)
        return frames

    __getitem__ = read


def write_pack(path: Path) -> Path:
    """Packs them into `path`."""
    index: list[dict] = []
    with zipfile.ZipFile(path, "w") as archive:
        assert packs.pack(Squares(), archive, index) == 0
        archive.writestr("index.json", json.dumps(index))
    return path
