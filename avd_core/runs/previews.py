"""Write and read the previews of a run: PNG pictures whose text holds their figures, so that these travel with them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from avd_core.atomic_io import atomic_file

_DEVICE = re.compile(r"[\w .,:()+/-]{1,80}")  # a preview may come from a job on another machine


@dataclass(frozen=True)
class PreviewFigures:
    """What a preview measured.

    Attributes:
        step: of the training.
        psnr: mean over the clips, in dB.
        clips: how many were restored.
        device: what the training runs on.
    """

    step: int
    psnr: float
    clips: int
    device: str


def write_preview(folder: Path, sheet: np.ndarray, row: tuple[int, int], figures: PreviewFigures) -> None:
    """Write `NNNNNN.png`, named by its step; readers see no half-written picture.

    Args:
        folder: the run's `previews/`.
        sheet: uint8 (H,W,3), one clip a row.
        row: height and width of the first row in pixels, for showing it alone.
        figures: what was measured.
    """
    notes = PngInfo()
    notes.add_text("first", f"{row[0]}x{row[1]}")
    for name in ("psnr", "clips", "device"):
        notes.add_text(name, str(getattr(figures, name)))
    with atomic_file(folder / f"{figures.step:06d}.png") as staging:
        Image.fromarray(sheet).save(staging, "PNG", pnginfo=notes)


def read_figures(folder: Path) -> list[PreviewFigures]:
    """Return the figures of all previews by rising step; skip those that have none or are damaged."""
    found = []
    for path in sorted(folder.glob("[0-9]*.png")):
        try:
            with Image.open(path, formats=["PNG"]) as picture:
                text = dict(picture.info)
            device = _DEVICE.fullmatch(str(text["device"]))
            psnr, clips = float(text["psnr"]), int(text["clips"])
            if device and np.isfinite(psnr):
                found.append(PreviewFigures(int(path.stem), psnr, clips, device.group()))
        except (OSError, KeyError, ValueError, SyntaxError, Image.DecompressionBombError):
            continue
    return found
