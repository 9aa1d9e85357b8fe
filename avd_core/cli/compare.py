"""avd compare: all ways to make one image of a clip, side by side."""

from __future__ import annotations

import argparse

from avd_core.cli.common import add_classifier, add_size, add_window, path, window_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("clip", type=path, metavar="CLIP", help="a video file")
    parser.add_argument("--out", required=True, type=path, metavar="DIR")
    parser.add_argument(
        "--checkpoints", nargs="+", metavar="NAME", help="bundled names, folders or Hub repo ids (default: all bundled)"
    )
    add_window(parser)
    add_size(parser)
    add_classifier(parser)


def run(args: argparse.Namespace) -> int:
    from avd_core.atomic_io import check_folder
    from avd_core.explore.comparison import CompareRequest, compare
    from avd_core.explore.comparison_files import save_comparison
    from avd_core.explore.explorer import Explorer

    check_folder(args.out)
    explorer = Explorer()
    checkpoints = args.checkpoints or explorer.checkpoints()
    for checkpoint in checkpoints:  # one that was named but cannot be loaded is an error, before any work
        explorer.warm_up(checkpoint)
    request = CompareRequest(args.clip, tuple(checkpoints), window_of(args), args.classifier, size=args.size)
    *_, comparison = compare(explorer, request)
    save_comparison(comparison, args.out)
    notes = [*comparison.notes, *([comparison.notice] if comparison.notice else [])]
    print(
        f"{args.clip.name} -> {args.out}",
        comparison.table(),
        *filter(None, [comparison.rival()]),
        *(f"  note      {note}" for note in notes),
        sep="\n",
    )
    return 0
