"""avd train: train a checkpoint, in a run directory."""

from __future__ import annotations

import argparse
import dataclasses
import signal
import sys
import textwrap
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from avd_core.cli.common import complain
from avd_core.config import PRESETS, ConfigError, TrainConfig, preset_overrides
from avd_core.data.clip_sets import DATASETS
from avd_core.data.clip_spec import ClipSpec
from avd_core.data.datasets import STORED_SIZE, read_split
from avd_core.networks.avd import AVD
from avd_core.runs.run import Run, RunError
from avd_core.training import distributed
from avd_core.training.run_config import RunConfig, resolved_init
from avd_core.training.run_trainer import RunningTrainer, in_plain_words


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `avd train`."""
    parser.formatter_class, parser.epilog = argparse.RawDescriptionHelpFormatter, _fields()
    parser.add_argument(
        "--run", dest="folder", required=True, type=Path, metavar="DIR", help="the run directory to write"
    )
    parser.add_argument("--data", type=Path, nargs="+", metavar="CLIPS", help="folders of clips, or packs of them")
    parser.add_argument("--dataset", choices=DATASETS, default="folder", help="how the clips lie (default: folder)")
    parser.add_argument(
        "--split", type=Path, metavar="1|2|3|FILE",
        help="split of that folder: trains on `train`; of UCF101 and HMDB51 its number, of Kinetics its CSV",
    )  # fmt: skip
    parser.add_argument("--lists", type=Path, metavar="DIR", help="the official lists, if not in or beside the videos")
    parser.add_argument(
        "--held-out", type=Path, nargs="+", metavar="CLIPS", help="clips to preview, choose and calibrate on"
    )
    parser.add_argument(
        "--classifier", action="store_true",
        help="also train a small classifier of the clips' folders on the distilled images, at the end",
    )  # fmt: skip
    parser.add_argument(
        "--photos", type=Path, metavar="FOLDER",
        help="photographs: real images for the discriminator beside frames (--set photo_share=...), and what synthetic "
        "scenes are made of",
    )  # fmt: skip
    parser.add_argument(
        "--stored-size", type=int, metavar="N",
        help=f"short side in pixels that clips of folders are read at, a multiple of 8 (default: {STORED_SIZE})",
    )  # fmt: skip
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--preset", choices=sorted(PRESETS), help="train from nothing (default: base)")
    start.add_argument("--init", metavar="CHECKPOINT", help="start from a checkpoint")
    parser.add_argument("--steps", type=int, help="steps in all")
    parser.add_argument("--seconds", type=float, help="stop and save after so many seconds")
    parser.add_argument("--resume", action="store_true", help="go on with the run in DIR")
    parser.add_argument("--prepare", action="store_true", help="write DIR and train nothing: something else will")
    parser.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE", help="any field below, such as batch_size=4"
    )
    parser.add_argument("--device", help="cpu or cuda (default: cuda where there is one)")
    parser.add_argument("--quiet", action="store_true", help="no progress bar; the run directory tells how far it is")


def _fields() -> str:
    """Return the help of --set: a line or more for each field."""
    lines = ["fields of --set, with their defaults (a preset may have its own, and --init keeps its checkpoint's):"]
    for field in dataclasses.fields(TrainConfig):
        about = f"{field.name}={field.default}: {field.metadata['help'].replace('`', '')}"
        lines += textwrap.wrap(about, 78, initial_indent="  ", subsequent_indent="      ", break_on_hyphens=False)
    return "\n".join(lines)


def run_config(args: argparse.Namespace) -> RunConfig:
    """Build the config that the arguments describe; `RunConfig.to_argv` goes the other way.

    Raises:
        ValueError: a checkpoint or a split cannot be loaded, or a field is unknown or out of range.
    """
    model = AVD.from_pretrained(args.init).config if args.init else PRESETS[args.preset or "base"]
    kept = model.kept_fields() if args.init else {}
    overrides = preset_overrides(model.preset, from_nothing=not args.init) | kept | _overrides(args.set)
    if args.steps is not None:
        overrides["steps"] = args.steps
    in_folders = args.dataset == "folder"
    held_out = _specs(args.held_out, None, "")
    if not held_out and args.split and in_folders and read_split(args.split, ["choose"]):
        held_out = _specs(args.data, args.split, "choose")
    return RunConfig(
        model=model,
        train=TrainConfig.from_dict(overrides),
        init=resolved_init(args.init),
        clips=_specs(args.data, args.split, "train") if in_folders else _official_specs(args),
        held_out=held_out,
        photos=str(args.photos.resolve()) if args.photos else None,
        classifier=args.classifier,
        stored_size=STORED_SIZE if args.stored_size is None else args.stored_size,
    )


def _overrides(pairs: Sequence[str]) -> dict[str, Any]:
    """Read `FIELD=VALUE` words."""
    types: dict[str, type[Any]] = {name: type(value) for name, value in TrainConfig().to_dict().items()}
    values = {}
    for pair in pairs:
        name, _, text = pair.partition("=")
        if name not in types:
            raise ConfigError(f"TrainConfig has no field {name!r}; it has {', '.join(types)}.")
        try:
            values[name] = types[name](text)
        except ValueError:
            raise ConfigError(f"--set {pair}: {text!r} is no {types[name].__name__}.") from None
    return values


def _specs(paths: Sequence[Path] | None, split: Path | None, part: str) -> tuple[ClipSpec, ...]:
    patterns = tuple(read_split(split, [part])) if split is not None else None
    return tuple(ClipSpec(str(path.resolve()), patterns) for path in paths or ())


def _official_specs(args: argparse.Namespace) -> tuple[ClipSpec, ...]:
    """The training part of UCF101, HMDB51 or Kinetics."""
    tables = args.dataset == "kinetics"
    splits = (str(Path(args.split).resolve() if tables else args.split),) if args.split else ()
    lists = str(args.lists.resolve()) if args.lists else None
    return tuple(
        ClipSpec(str(path.resolve()), dataset=args.dataset, splits=splits, lists=lists) for path in args.data or ()
    )


def _create(args: argparse.Namespace) -> None:
    """Create the run that the arguments describe, unless they resume one; check its inputs before its folder is made.

    Raises:
        RunError: there is a run but the arguments describe another, or there is none to resume.
        ValueError: the clips or photographs do not exist.
    """
    run = Run(args.folder)
    exists = (run.folder / "config.json").exists()
    begun = exists and not run.never_began()
    named = (
        *(args.data, args.split, args.held_out, args.photos, args.preset, args.init),
        *(args.steps, args.stored_size),
    )
    described = bool(args.set) or args.classifier or any(value is not None for value in named)
    if args.resume and not exists:
        raise RunError(f"{run.folder.name} holds no run to resume.")
    if begun and args.resume and described:
        config = RunConfig.of(run)
        if run_config(args) != config:
            raise RunError(
                f"--resume goes on to step {config.train.steps} with the config of {run.folder.name}, and the "
                "other arguments describe another run: leave them out, or start a new one with --init."
            )
    elif described:
        config = run_config(args)
        for sentence in config.check_inputs():
            complain("train", sentence)
        run.create(config.to_dict())
    elif not exists:
        raise RunError(f"{run.folder.name} holds no config.json: name --data, --preset or --init for a new run.")


def run(args: argparse.Namespace) -> int:
    """Carry out `avd train`; Ctrl-C and SIGTERM stop it after the current step, saved."""
    with distributed.joined(args.device) as device:
        distributed.on_first_rank(lambda: _create(args))
        if args.prepare:
            return 0
        leads = distributed.rank() == 0
        with Run(args.folder).held() if leads else nullcontext():
            try:
                running = RunningTrainer(Run(args.folder), device=device)
                running.resume()
            except Exception as error:  # standard error may be closed
                if leads:
                    before = Run(args.folder).state()["step"]
                    Run(args.folder).write_state("failed", step=before, error=in_plain_words(error))
                raise
            return _train(running, args.seconds, quiet=args.quiet)


def _train(running: RunningTrainer, seconds: float | None, *, quiet: bool) -> int:
    from tqdm import tqdm

    if running.trainer.step and running.leads:
        print(f"resumed at step {running.trainer.step}", file=sys.stderr)

    def ask_to_stop(*_: object) -> None:
        running.stop_requested = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, ask_to_stop)
    total, done = running.trainer.config.steps, running.trainer.step
    with tqdm(
        total=total,
        initial=done,
        unit="step",
        file=sys.stderr,
        mininterval=2.0,
        disable=quiet or not running.leads,
    ) as bar:
        for event in running.go(seconds=seconds):
            bar.update()
            bar.set_postfix({name: f"{value:.4g}" for name, value in event.losses.items()}, refresh=False)
    if running.leads and not quiet:
        state = running.run.state()
        print(f"{state['status']} at step {state['step']}: {running.run.checkpoint}")
    return 0
