"""avd distill: one image of a clip."""

from __future__ import annotations

import argparse
from pathlib import Path

from avd_core.cli.common import add_checkpoint_and_window, add_size, check_suffix, each, output_names, path, window_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("clips", nargs="+", type=path, metavar="CLIP", help="video files")
    parser.add_argument(
        "--out", required=True, type=path, metavar="IMAGE.png", help="for several clips a folder: DIR/<stem>.png"
    )
    add_checkpoint_and_window(parser)
    add_size(parser)
    parser.add_argument(
        "--refine", type=int, default=0, metavar="N", help="gradient steps on the image: slower, and more comes back"
    )


def run(args: argparse.Namespace) -> int:
    from avd_core.atomic_io import check_folder, staged_file
    from avd_core.explore.explorer import Explorer

    into_folder = len(args.clips) > 1 or args.out.is_dir()
    if into_folder:
        check_folder(args.out)
        names = output_names(args.clips, ".png")
    else:
        check_suffix(args.out, ".png")
        names = [""]
    explorer = Explorer()
    explorer.warm_up(args.checkpoint)

    def work(clip: Path, name: str) -> None:
        distilled = explorer.distill(
            clip, checkpoint=args.checkpoint, window=window_of(args), size=args.size, refine=args.refine
        )
        target = args.out / name if name else args.out
        with staged_file(target) as staging:
            distilled.save(staging)
        print(f"{clip.name} -> {target}", *(f"  note      {note}" for note in distilled.clip.notes), sep="\n")

    return each(args, work, args.clips, names)
