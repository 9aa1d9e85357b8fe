"""Shared by the subcommands: arguments, names of outputs, messages on standard error."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from avd_core.media.window import Window


class CommandError(ValueError):
    """Arguments are wrong together; the message says how, in one sentence."""


def complain(command: str, sentence: str) -> int:
    """Print one line to standard error; return the exit status 2."""
    print(f"avd {command}:", " ".join(sentence.split()), file=sys.stderr)
    return 2


def path(text: str) -> Path:
    """Parse a path argument; an empty one is an error, since it would mean the current folder."""
    if not text.strip():
        raise argparse.ArgumentTypeError("an empty path was given")
    return Path(text)


def add_checkpoint_and_window(parser: argparse.ArgumentParser) -> None:
    add_checkpoint(parser)
    add_window(parser)


def add_checkpoint(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--checkpoint", default="base", metavar="NAME", help="bundled name, folder or Hub repo id (default: base)"
    )


def add_window(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--start", type=float, metavar="S", help="where the window begins, in seconds")
    parser.add_argument("--seconds", type=float, metavar="S", help="its length (default: the 2 s that move most)")
    parser.add_argument("--whole", action="store_true", help="the whole clip as the window")


def add_classifier(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--classifier", default="mobilenet_v2", metavar="NAME", help="default: mobilenet_v2")


def add_size(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--size", type=int, metavar="PX",
        help="short side, a multiple of 8 from 64 to 224 (default: the largest of 112, 160 and 224 that neither the "
        "checkpoint's size nor the file's is below)",
    )  # fmt: skip


def window_of(args: argparse.Namespace) -> Window:
    """Return the window that the arguments choose; raise VideoError if they do not fit together."""
    from avd_core.media.window import Window

    return Window(args.start, args.seconds, args.whole)


def each(args: argparse.Namespace, work: Callable[..., None], *inputs: Sequence[Any]) -> int:
    """Call `work` for each clip with its values of `inputs`; print a line for each that fails, and go on.

    Returns:
        The exit status: 2 if a clip failed, else 0.
    """
    status = 0
    for clip, *values in zip(args.clips, *inputs, strict=True):
        try:
            work(*values)
        except ValueError as error:
            status = complain(args.command, f"{clip}: {error}")
    return status


def check_suffix(path: Path, suffix: str) -> None:
    if path.suffix.lower() != suffix:
        raise CommandError(f"--out is {path}; it must end in {suffix}.")


def output_names(clips: Sequence[Path], suffix: str = "") -> list[str]:
    """Return a different name for each clip's output: its stem; if stems collide, with its extension, then a number.

    Names that differ only in case collide, as on some file systems.
    """
    stems = [path.stem.strip(".") or "clip" for path in clips]  # a file "...mp4" has the stem ".."
    count = Counter(stem.casefold() for stem in stems)
    taken: set[str] = set()
    names = []
    for path, stem in zip(clips, stems, strict=True):
        base = stem if count[stem.casefold()] == 1 else stem + path.suffix
        name, number = base, 1
        while name.casefold() in taken:
            number += 1
            name = f"{base}-{number}"
        taken.add(name.casefold())
        names.append(name + suffix)
    return names
