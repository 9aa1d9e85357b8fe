"""Check distilled images for visible dots: `python -m benchmarks.looks` makes a sheet of fifty, and figures.

Each tile is the square of a distilled image, enlarged four times, where it differs most from the middle frame: if it
has no dots, the rest has none. The clips are synthetic scenes that no checkpoint was trained on; with `--clips` they
are files, whose sheet must not be committed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from avd_core.analysis.baselines import middle_frame
from avd_core.data.datasets import find_clips
from avd_core.data.synthetic import random_scene
from avd_core.media.video import read_clip
from avd_core.networks import inference
from avd_core.networks.avd import AVD
from benchmarks.report_figures import NEAR, nearness

FIRST_SEED = 10_000_000  # far from what `avd pack --synthetic` draws, which begins at 0
TILE, ZOOM, COLUMNS = 56, 4, 10  # pixels of the image, times, tiles


def scenes(count: int, frames: int, size: int) -> Iterator[np.ndarray]:
    """Draw clips, uint8 (frames, size, size, 3)."""
    for number in range(count):
        yield random_scene(FIRST_SEED + number, frames, size)


def files(folder: Path, count: int, frames: int, size: int) -> Iterator[np.ndarray]:
    """Read clips evenly taken from a folder, whole, uint8 (frames, H, W, 3) with a short side of `size`."""
    found = find_clips(folder)
    for index in np.linspace(0, len(found) - 1, min(count, len(found))).round().astype(int):
        yield read_clip(found[index], frames=frames, size=size, whole=True).frames


def worst_place(middle: np.ndarray, image: np.ndarray) -> tuple[int, int]:
    """Return the top and the left of the tile in which an image differs most from the middle frame, on average."""
    change = np.abs(image.astype(np.int16) - middle).max(axis=-1)
    blurred = Image.fromarray(np.minimum(change * 4, 255).astype(np.uint8)).filter(ImageFilter.BoxBlur(TILE // 4))
    top, left = np.unravel_index(np.asarray(blurred).argmax(), change.shape)
    height, width = change.shape
    return int(np.clip(top - TILE // 2, 0, height - TILE)), int(np.clip(left - TILE // 2, 0, width - TILE))


def sheet(tiles: Sequence[np.ndarray]) -> Image.Image:
    """Lay square tiles (TILE, TILE, 3) out in rows, enlarged without smoothing."""
    side = TILE * ZOOM
    page = Image.new("RGB", (min(COLUMNS, len(tiles)) * side, -(-len(tiles) // COLUMNS) * side), "white")
    for number, tile in enumerate(tiles):
        enlarged = Image.fromarray(tile).resize((side, side), Image.Resampling.NEAREST)
        page.paste(enlarged, (number % COLUMNS * side, number // COLUMNS * side))
    return page


def main(argv: Sequence[str] | None = None) -> int:
    """Distill the clips, write the sheet, and print how far the images are from their middle frames."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.looks", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--checkpoint", default="base", help="a bundled name or a folder (default: %(default)s)")
    parser.add_argument("--size", type=int, default=224, help="short side in pixels (default: %(default)s)")
    parser.add_argument("--count", type=int, default=50, help="how many images (default: %(default)s)")
    parser.add_argument("--clips", type=Path, metavar="DIR", help="a folder of clips instead of drawn scenes")
    parser.add_argument("--out", type=Path, default=Path("runs/looks.jpg"), metavar="FILE", help="default: %(default)s")
    args = parser.parse_args(argv)
    model = AVD.from_pretrained(args.checkpoint)
    wanted = (args.count, model.config.frames, args.size)
    clips = files(args.clips, *wanted) if args.clips else scenes(*wanted)
    tiles, figures = [], []
    for frames in clips:
        middle, image = middle_frame(frames), inference.distill(model, frames)
        top, left = worst_place(middle, image)
        tiles.append(image[top : top + TILE, left : left + TILE])
        figures.append(nearness(frames, image))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    sheet(tiles).save(args.out, quality=90)
    distance, largest, near = (np.array(column) for column in zip(*figures, strict=True))
    print(f"{len(tiles)} images of {args.checkpoint} {model.fingerprint} at {args.size} px: {args.out}")
    print(f"to the middle frame: {distance.mean():.1f} dB, 10th percentile {np.percentile(distance, 10):.1f}")
    print(f"largest change of a value: 95th percentile {np.percentile(largest, 95):.0f} levels of 255")
    print(f"within {NEAR} px of what moves, the 99.9th percentile of change: {np.nanmean(near):.1f} levels on average,"
          f" {np.nanpercentile(near, 95):.1f} or less on 95 % of the images")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
