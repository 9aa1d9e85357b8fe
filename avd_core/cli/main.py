"""The `avd` command, also `python -m avd_core`: all functions of the page, from a shell.

Each subcommand is a module with two functions, `add_arguments(parser)` and `run(args) -> exit status`.

Exit status: 0 success; 2 an error, with one line on standard error; 130 interrupted; 141 standard output was closed.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from types import ModuleType
from typing import NamedTuple, NoReturn

from avd_core import __version__
from avd_core.cli.common import complain
from avd_core.media.containment.contained import start_as_set


class Command(NamedTuple):
    """A subcommand: one line of help, and the module that carries it out."""

    about: str
    module: str

    def load(self) -> ModuleType:
        """Import the module; only on use, so that help is fast and training needs no video decoder."""
        return importlib.import_module(self.module)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line (by default that of this process); return the exit status."""
    argv = sys.argv[1:] if argv is None else list(argv)
    for stream in (sys.stdout, sys.stderr):  # names of files may not be UTF-8
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    parser = _Parser(prog="avd", description="One realistic image that carries a video clip, and back.")
    parser.add_argument("--version", action="version", version=f"avd {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    verb = next((word for word in argv if word in COMMANDS), "")
    try:
        for name, command in COMMANDS.items():
            subparser = subparsers.add_parser(name, help=command.about, description=f"{command.about}.")
            if name == verb:
                module = command.load()
                module.add_arguments(subparser)
                subparser.set_defaults(run=module.run)
        try:
            args = parser.parse_args(argv)
        except SystemExit as leaving:  # help, version, or wrong arguments
            return int(leaving.code or 0)
        start_as_set(0, at_once=False)
        status = args.run(args)
        sys.stdout.flush()
        return status
    except ValueError as error:
        return complain(verb, str(error))
    except BrokenPipeError:  # the reader of standard output has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python prints an error at exit
        return 141
    except OSError as error:  # a full disk, a folder that may not be read
        return complain(verb, f"{error.filename or 'system'}: {error.strerror or error}")
    except KeyboardInterrupt:
        print(f"avd {verb}: interrupted", file=sys.stderr)
        return 130


class _Parser(argparse.ArgumentParser):
    """Print errors in one line, without the usage that argparse prints before."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


COMMANDS = {
    "explore": Command("make an image of a clip, restore it, and look", "avd_core.cli.explore"),
    "distill": Command("make one image of a clip", "avd_core.cli.distill"),
    "restore": Command("get the clip back from an image", "avd_core.cli.restore"),
    "probe": Command("see what the image knows of time", "avd_core.cli.probe"),
    "compare": Command("show a clip as one image in every way there is, side by side", "avd_core.cli.compare"),
    "inspect": Command("make images of many clips, and a table of them", "avd_core.cli.batch"),
    "storyboard": Command("make a strip of images of a long video, and back", "avd_core.cli.storyboard"),
    "evidence": Command("measure what one image of a clip is worth", "avd_core.cli.evidence"),
    "sounds": Command("try sounds, as slices of their spectrograms", "avd_core.cli.sounds"),
    "train": Command("train a checkpoint", "avd_core.cli.train"),
    "pack": Command("pack clips into one file to train on", "avd_core.cli.pack"),
    "calibrate": Command("make a trained checkpoint ready to ship", "avd_core.cli.calibrate"),
    "push": Command("put a checkpoint on the Hugging Face Hub", "avd_core.cli.push"),
    "job": Command("train a run on Hugging Face Jobs", "avd_core.cli.job"),
    "train-action": Command("train the bundled action classifier", "avd_core.cli.train_action"),
}
