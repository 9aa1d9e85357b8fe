"""Measure size and fidelity of packs: `python -m benchmarks.packs [FOLDER ...]`.

Clips taken evenly from each folder (by default 40 of `$AVD_DATA/gestures` and 20 of `$AVD_DATA/surveillance`) are
decoded at the stored size, encoded as a pack would and in other ways, and decoded again. Fidelity is PSNR against what
the video decoder gave, MSE pooled over a clip, averaged over clips, and the worst clip's; milliseconds are CPU time on
one core.
"""

from __future__ import annotations

import argparse
import io
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from avd_core.analysis.metrics import psnr
from avd_core.data.datasets import STORED_FRAMES, STORED_SIZE, FolderClips
from avd_core.data.packs import QUALITY, SPEED, decode_frames, encode_frames

Codec = tuple[Callable[[np.ndarray], bytes], Callable[[bytes, np.ndarray], np.ndarray]]


def read_back(encoded: bytes, frames: np.ndarray) -> np.ndarray:
    """Decode a pack's entry of the shape of `frames`."""
    return decode_frames(encoded, *frames.shape[:3])


def avif(quality: int, speed: int) -> Codec:
    """Return an encoder to animated AVIF, the format of packs."""
    return lambda frames: encode_frames(frames, quality, speed=speed), read_back


def webp_sheet(quality: int) -> Codec:
    """Return an encoder to one WebP picture of all frames in rows, the old format of packs."""

    def encode(frames: np.ndarray) -> bytes:
        count, height, width, _ = frames.shape
        columns = next(c for c in range(int(count**0.5), 0, -1) if count % c == 0)
        rows = frames.reshape(-1, columns, height, width, 3).transpose(0, 2, 1, 3, 4)
        sheet, buffer = rows.reshape(-1, columns * width, 3), io.BytesIO()
        Image.fromarray(sheet).save(buffer, "WEBP", quality=quality, method=4)
        return buffer.getvalue()

    return encode, read_back


CODECS: dict[str, Codec] = {
    "WebP sheet, quality 75": webp_sheet(75),
    "WebP sheet, quality 88": webp_sheet(88),
    "AVIF, quality 75, speed 6": avif(75, 6),
    "AVIF, quality 75": avif(75, SPEED),
    "AVIF, quality 80": avif(80, SPEED),
    "AVIF, quality 85": avif(85, SPEED),
    "AVIF, quality 88": avif(88, SPEED),
    "AVIF, quality 90": avif(90, SPEED),
}


def some_clips(folder: Path, count: int, frames: int, size: int) -> list[np.ndarray]:
    """Return the frames of `count` clips, taken at even distances from a folder."""
    clips = FolderClips(folder, frames=frames, size=size)
    return [clips[int(index)] for index in np.linspace(0, len(clips) - 1, min(count, len(clips)))]


def row(codec: Codec, clips: list[np.ndarray]) -> str:
    """Return kB a clip, mean and worst PSNR in dB, and milliseconds to encode and to decode."""
    encode, decode = codec
    begun = time.process_time()
    encoded = [encode(frames) for frames in clips]
    between = time.process_time()
    decoded = [decode(image, frames) for image, frames in zip(encoded, clips, strict=True)]
    milliseconds = [1000 * seconds / len(clips) for seconds in (between - begun, time.process_time() - between)]
    quality = [psnr(frames, again) for frames, again in zip(clips, decoded, strict=True)]
    kilobytes = sum(map(len, encoded)) / len(clips) / 1000
    return "{:6.1f} {:6.1f} {:6.1f} {:6.0f} {:6.0f}".format(kilobytes, np.mean(quality), min(quality), *milliseconds)


def main() -> None:
    """Print the table of each folder."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.packs", description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER", help="folders of clips")
    parser.add_argument("--clips", type=int, default=40, help="clips taken of each FOLDER")
    parser.add_argument("--frames", type=int, default=STORED_FRAMES, help="frames of each clip")
    parser.add_argument("--size", type=int, default=STORED_SIZE, help="short side in pixels")
    args = parser.parse_args()
    folders = [(folder, args.clips) for folder in args.folders]
    if not folders:
        if "AVD_DATA" not in os.environ:
            parser.error("name folders of clips, or set AVD_DATA")
        root = Path(os.environ["AVD_DATA"])
        folders = [(root / "gestures", 40), (root / "surveillance", 20)]
    for folder, count in folders:
        clips = some_clips(folder, count, args.frames, args.size)
        print(f"\n{folder.name}: {len(clips)} clips, {args.frames} frames, short side {args.size}")
        print(f"{'':28s}{'kB':>6s} {'PSNR':>6s} {'worst':>6s} {'enc ms':>6s} {'dec ms':>6s}")
        for name, codec in CODECS.items():
            default = "  <- packs" if name == f"AVIF, quality {QUALITY}" else ""
            print(f"{name:28s}{row(codec, clips)}{default}", flush=True)


if __name__ == "__main__":
    main()
