"""avd push: a checkpoint, with its card, to the Hugging Face Hub."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="CHECKPOINT", help="a run directory, a checkpoint folder or a bundled name")
    parser.add_argument("repo", metavar="OWNER/NAME", help="the repository, made where there is none")
    parser.add_argument("--private", action="store_true", help="hide a new repository from others")
    parser.add_argument("--revision", metavar="BRANCH", help="the branch, made where there is none (default: main)")
    parser.add_argument(
        "--about", default="", metavar="WORDS", help="what the clips are, whose, and under which licence"
    )


def run(args: argparse.Namespace) -> int:
    from avd_core.hub import push
    from avd_core.networks.avd import AVD

    AVD.from_pretrained(args.source)  # raises if the checkpoint does not load
    options = {"private": args.private, "revision": args.revision, "about": args.about}
    print(f"{args.source} -> {push.push(args.source, args.repo, **options)}")
    return 0
