"""avd restore: the clip back from an image."""

from __future__ import annotations

import argparse

from avd_core.cli.common import check_suffix, path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("image", type=path, metavar="IMAGE.png", help="a distilled image, or any picture")
    parser.add_argument("--out", required=True, type=path, metavar="CLIP.mp4")
    parser.add_argument("--checkpoint", metavar="NAME", help="whatever the image says")
    parser.add_argument("--fps", type=float, help="frames a second, whatever the image says")


def run(args: argparse.Namespace) -> int:
    from avd_core.atomic_io import staged_file
    from avd_core.explore.explorer import Explorer
    from avd_core.explore.parts import keeping
    from avd_core.media.writer import write_mp4

    check_suffix(args.out, ".mp4")
    restoration = Explorer().restore(args.image, checkpoint=args.checkpoint, fps=args.fps)
    with staged_file(args.out) as staging:
        write_mp4(staging, restoration.frames, restoration.fps)
    print(
        f"{args.image.name} -> {args.out}",
        f"  {len(restoration.frames)} frames at {restoration.fps:g} a second, by {restoration.checkpoint}: "
        + keeping(restoration.through_jpeg),
        *(f"  note      {note}" for note in restoration.notes),
        sep="\n",
    )
    return 0
