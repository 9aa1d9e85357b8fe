"""avd pack: clips in one small file to train on."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

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
from avd_core.data.packs import QUALITY, new_pack


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `avd pack`."""
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
    """Carry out `avd pack`."""
    if args.size < MIN_SIZE or args.size % SIDE_MULTIPLE:
        raise DataError(f"--size must be a multiple of {SIDE_MULTIPLE} from {MIN_SIZE} up.")
    if not 0 <= args.quality <= 100:
        raise DataError("--quality must be from 0 to 100.")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with new_pack(args.out) as pack:
        for clips in _sources(args):
            pack.add_all(clips, quality=args.quality, progress=_show)
    size = args.out.stat().st_size / 1e6
    print(f"\rpacked {pack.count} clips in {size:.1f} MB, skipped {pack.skipped}", file=sys.stderr)
    return 0


def _sources(args: argparse.Namespace) -> Iterator[ReadableClips]:
    stored = {"frames": args.frames, "size": args.size}
    for folder in args.folders:
        if args.dataset != "folder":
            videos = official_videos(args.dataset, folder, args.split or (), args.parts, lists=args.lists)
            for dataset in videos.values():
                dataset.frames, dataset.size = args.frames, args.size
                yield dataset
            continue
        file = args.splits / f"{folder.name}.json" if args.splits else None
        patterns = read_split(file, args.parts) if file is not None and file.exists() else None
        if patterns != []:
            yield FolderClips(folder, patterns, **stored)
    if args.synthetic:
        yield SyntheticClips(args.synthetic, photos=args.photos, **stored)


def _show(count: int) -> None:
    if sys.stderr.isatty() or count % 100 == 0:
        print(f"\rpacked {count} clips", end="", file=sys.stderr, flush=True)
