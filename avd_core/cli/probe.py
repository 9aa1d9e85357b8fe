"""avd probe: distill a clip with its frames in other orders and tempos."""

from __future__ import annotations

import argparse

from avd_core.cli.common import CommandError, add_checkpoint_and_window, add_classifier, add_size, path, window_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("clip", type=path, metavar="CLIP", help="a video file")
    parser.add_argument("--out", required=True, type=path, metavar="DIR", help="images, restored clips and probe.json")
    add_checkpoint_and_window(parser)
    add_size(parser)
    add_classifier(parser)
    parser.add_argument("--seed", type=int, default=0, help="of the shuffle (default: 0)")


def run(args: argparse.Namespace) -> int:
    from avd_core.atomic_io import check_folder
    from avd_core.explore.explorer import Explorer
    from avd_core.explore.models import read_for
    from avd_core.explore.time_probe import probe_time

    if args.seed < 0:
        raise CommandError(f"--seed is {args.seed}; it must be 0 or more.")
    window = window_of(args)
    check_folder(args.out)
    explorer = Explorer()
    explorer.warm_up(args.checkpoint, args.classifier)
    clip = read_for(explorer.models.checkpoint(args.checkpoint).model, args.clip, window, args.size)
    *_, probe = probe_time(explorer, clip, args.checkpoint, args.classifier, args.seed)
    probe.save(args.out)
    print(f"{args.clip.name} -> {args.out}", *(f"  note      {note}" for note in clip.notes), probe.table(), sep="\n")
    return 0
