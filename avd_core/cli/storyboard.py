"""avd storyboard: a strip of images of a long video, and the video back from it."""

from __future__ import annotations

import argparse
import sys

from avd_core.cli.common import CommandError, path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("video", type=path, metavar="VIDEO", help="a video, or the storyboard.zip of one")
    parser.add_argument("--out", required=True, type=path, metavar="DIR")
    parser.add_argument("--seconds", type=float, metavar="S", help="a window's length at most: 2, 4 or 8 (default: 2)")
    parser.add_argument("--size", type=int, metavar="PX", help="short side (default: the checkpoint's smallest)")
    parser.add_argument("--checkpoint", metavar="NAME", help="bundled name, folder or Hub repo id (default: base)")


def run(args: argparse.Namespace) -> int:
    from avd_core.atomic_io import check_folder, staged_folder
    from avd_core.explore.explorer import Explorer
    from avd_core.explore.storyboard.files import drop_stale, save
    from avd_core.explore.storyboard.panels import StoryboardMaker, StoryboardRequest
    from avd_core.explore.storyboard.reader import Playback, is_zip, read_strip
    from avd_core.media.container import regular_file

    check_folder(args.out)
    explorer, chosen = Explorer(), args.checkpoint
    if is_zip(regular_file(args.video)):
        if args.seconds is not None or args.size is not None:
            raise CommandError("--seconds and --size are for a video: what is in a storyboard.zip is what it is.")
        if chosen is not None:
            explorer.warm_up(chosen)  # loaded, so that it is found by its weights
        panels: Playback | StoryboardMaker = Playback(read_strip(args.video), explorer.restore_image)
    else:
        panels = StoryboardMaker(
            explorer, StoryboardRequest(args.video, chosen or "base", args.seconds or 2.0, args.size)
        )
    with staged_folder(args.out) as staging:
        for board in save(panels, staging):
            if sys.stderr.isatty():
                print(f"\r{len(board.entries)} images, {board.share:.0%} ", end="", file=sys.stderr, flush=True)
        drop_stale(args.out)
    print(f"{args.video.name} -> {args.out}", *board.summary(), sep="\n")
    return 0
