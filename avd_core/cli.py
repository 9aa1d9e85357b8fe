"""The `avd` command, also `python -m avd_core`: everything the page does, from a shell.

Each subcommand is a pair of functions, `add_arguments(parser)` and `run(args) -> exit status`.

Exit status: 0 all done; 2 something given was bad, told in one line on standard error; 130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from avd_core import __version__

if TYPE_CHECKING:
    from avd_core.exploration import Exploration, Faithfulness, SavedExploration

AddArguments = Callable[[argparse.ArgumentParser], None]
Run = Callable[[argparse.Namespace], int]


class Command(NamedTuple):
    """A subcommand: one line of help, and a function that imports its `add_arguments` and `run`."""

    about: str
    functions: Callable[[], tuple[AddArguments, Run]]


class CommandError(ValueError):
    """Arguments that contradict each other, with a sentence saying how."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command line (`sys.argv` by default); returns the exit status."""
    argv = sys.argv[1:] if argv is None else list(argv)
    parser = _Parser(prog="avd", description="One realistic image that carries a video clip, and back.")
    parser.add_argument("--version", action="version", version=f"avd {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    asked = next((word for word in argv if word in COMMANDS), "")
    try:
        for name, command in COMMANDS.items():
            subparser = subparsers.add_parser(name, help=command.about, description=f"{command.about}.")
            if name == asked:
                add_arguments, run = command.functions()
                add_arguments(subparser)
                subparser.set_defaults(run=run)
        try:
            args = parser.parse_args(argv)
        except SystemExit as leaving:  # help, version, or arguments that make no sense
            return int(leaving.code or 0)
        return args.run(args)
    except ValueError as error:
        return _complain(asked, str(error))
    except OSError as error:  # a full disk, a folder that may not be read
        return _complain(asked, f"{error.filename or 'system'}: {error.strerror or error}")
    except KeyboardInterrupt:
        print(f"avd {asked}: interrupted", file=sys.stderr)
        return 130


class _Parser(argparse.ArgumentParser):
    """Complains in one line, where argparse would print the usage before it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def _complain(command: str, sentence: str) -> int:
    print(f"avd {command}:", " ".join(sentence.split()), file=sys.stderr)
    return 2


# explore ------------------------------------------------------------------------------------------------------


def _explore_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("clips", nargs="+", type=Path, metavar="CLIP", help="video files")
    parser.add_argument(
        "--out", required=True, type=Path, metavar="DIR", help="for one clip DIR/..., for several DIR/<stem>/..."
    )
    _add_checkpoint_and_window(parser)
    parser.add_argument("--classifier", default="mobilenet_v2", metavar="NAME", help="default: mobilenet_v2")
    parser.add_argument("--labels", nargs="+", metavar="LABEL", help="what a clip: classifier shall choose among")
    parser.add_argument("--cam", default="gradcam", metavar="METHOD", help="saliency method (default: gradcam)")
    parser.add_argument("--cam-video", action="store_true", help="also cam.mp4: where it looks in every restored frame")
    parser.add_argument("--road", action="store_true", help="also how faithful the map is (ROAD), in report.json")
    parser.add_argument("--save-frames", action="store_true", help="also the frames before and after, lossless")
    parser.add_argument("--zip", action="store_true", help="also everything as one file, with a page to read it on")


def _explore(args: argparse.Namespace) -> int:
    from avd_core.bundle import write_bundle
    from avd_core.classifier_names import with_labels
    from avd_core.explorer import Explorer, ExploreRequest
    from avd_core.outputs import check_folder
    from avd_core.saliency import METHODS

    if args.cam not in METHODS:
        raise CommandError(f"There is no saliency method {args.cam!r}; there are {', '.join(METHODS)}.")
    names = output_names(args.clips) if len(args.clips) > 1 else [""]
    classifier = with_labels(args.classifier, args.labels) if args.labels else args.classifier
    requests = [
        ExploreRequest(
            clip=clip,
            checkpoint=args.checkpoint,
            start=args.start,
            seconds=args.seconds,
            whole=args.whole,
            classifier=classifier,
            cam=args.cam,
        )
        for clip in args.clips
    ]
    check_folder(args.out)
    explorer = Explorer()
    explorer.warm_up(args.checkpoint, classifier)

    def work(request: ExploreRequest, name: str) -> None:
        exploration = explorer.look_closer(explorer.explore(request), frames=args.cam_video, road=args.road)
        saved = exploration.save(args.out / name, args.save_frames)
        if args.zip:
            write_bundle(exploration, saved.folder / "everything.zip")
        print(_summary(exploration, saved))

    return _each(args, work, requests, names)


def _summary(exploration: Exploration, saved: SavedExploration) -> str:
    clip, figures, realism = exploration.clip, exploration.quality, exploration.realism
    frame, rank, told = exploration.recognition.frame[0], exploration.recognition.rank_of_frame, exploration.saliency
    count, height, width, _ = clip.frames.shape
    standing = (
        f"above {realism.percentile_among_real:.0f} % of real frames"
        if realism.percentile_among_real is not None
        else "no reference scores in this checkpoint"
    )
    lines = [
        f"{exploration.request.clip.name} -> {saved.folder}",
        f"  window    {clip.start:.2f} to {clip.start + clip.seconds:.2f} s of {clip.source.seconds:.2f} s, "
        f"{count} frames of {width} x {height}, by {exploration.checkpoint}",
        f"  restored  {figures.psnr:.2f} dB (middle frame {figures.psnr_middle_copy:.2f}, mean frame "
        f"{figures.psnr_mean_copy:.2f}), SSIM {figures.ssim:.3f} ({figures.ssim_middle_copy:.3f}, "
        f"{figures.ssim_mean_copy:.3f})",
        f"  realism   {standing}",
        "  seen      "
        + ", ".join(f"{p.label} {p.probability:.0%}" for p in exploration.recognition.topk)
        + f" ({exploration.recognition.classifier})",
        f"  frame     {frame.label} {frame.probability:.0%} in the middle frame by itself, "
        + (f"number {rank} in the image" if rank else "not among the image's five"),
        *([f"  faithful  {_faithfulness(told.faithfulness, told.label)}"] if told.faithfulness else []),
        *(f"  note      {note}" for note in exploration.notes),
    ]
    return "\n".join(lines)


def _faithfulness(told: Faithfulness, label: str) -> str:
    return (
        f"ROAD {told.score:+.3f} (copies of the map moved elsewhere {min(told.moved):+.3f} to {max(told.moved):+.3f}): "
        f"of {told.untouched:.0%} {label} keeps {told.most_first:.0%} with the hottest pixels taken away first, "
        f"{told.least_first:.0%} with the coldest"
    )


# distill ------------------------------------------------------------------------------------------------------


def _distill_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("clips", nargs="+", type=Path, metavar="CLIP", help="video files")
    parser.add_argument(
        "--out", required=True, type=Path, metavar="IMAGE.png", help="for several clips a folder: DIR/<stem>.png"
    )
    _add_checkpoint_and_window(parser)


def _distill(args: argparse.Namespace) -> int:
    from avd_core.explorer import Explorer
    from avd_core.outputs import check_folder, staged_file

    into_folder = len(args.clips) > 1 or args.out.is_dir()
    if into_folder:
        check_folder(args.out)
        names = output_names(args.clips, ".png")
    else:
        _check_suffix(args.out, ".png")
        names = [""]
    explorer = Explorer()
    explorer.warm_up(args.checkpoint)

    def work(clip: Path, name: str) -> None:
        distilled = explorer.distill(
            clip, checkpoint=args.checkpoint, start=args.start, seconds=args.seconds, whole=args.whole
        )
        target = args.out / name if name else args.out
        with staged_file(target) as staging:
            distilled.save(staging)
        print(f"{clip.name} -> {target}", *(f"  note      {note}" for note in distilled.clip.notes), sep="\n")

    return _each(args, work, args.clips, names)


# restore ------------------------------------------------------------------------------------------------------


def _restore_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("image", type=Path, metavar="IMAGE.png", help="a distilled image, or any picture")
    parser.add_argument("--out", required=True, type=Path, metavar="CLIP.mp4")
    parser.add_argument("--checkpoint", metavar="NAME", help="whatever the image says")
    parser.add_argument("--fps", type=float, help="frames a second, whatever the image says")


def _restore(args: argparse.Namespace) -> int:
    from avd_core.explorer import Explorer
    from avd_core.outputs import staged_file
    from avd_core.video import write_mp4

    _check_suffix(args.out, ".mp4")
    restoration = Explorer().restore(args.image, checkpoint=args.checkpoint, fps=args.fps)
    with staged_file(args.out) as staging:
        write_mp4(staging, restoration.frames, restoration.fps)
    print(
        f"{args.image.name} -> {args.out}",
        f"  {len(restoration.frames)} frames at {restoration.fps:g} a second, by {restoration.checkpoint}",
        *(f"  note      {note}" for note in restoration.notes),
        sep="\n",
    )
    return 0


# probe --------------------------------------------------------------------------------------------------------


def _probe_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("clip", type=Path, metavar="CLIP", help="a video file")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="images, restored clips and probe.json")
    _add_checkpoint_and_window(parser)
    parser.add_argument("--classifier", default="mobilenet_v2", metavar="NAME", help="default: mobilenet_v2")
    parser.add_argument("--seed", type=int, default=0, help="of the shuffle (default: 0)")


def _probe(args: argparse.Namespace) -> int:
    from avd_core.explorer import Explorer, ExploreRequest
    from avd_core.outputs import check_folder

    if args.seed < 0:
        raise CommandError(f"--seed is {args.seed}; it must be 0 or more.")
    request = ExploreRequest(args.clip, args.checkpoint, args.start, args.seconds, args.whole)
    check_folder(args.out)
    explorer = Explorer()
    explorer.warm_up(args.checkpoint, args.classifier)
    clip = next(explorer.explore_steps(request)).clip
    *_, probe = explorer.probe_steps(clip, args.checkpoint, args.classifier, args.seed)
    probe.save(args.out)
    print(f"{args.clip.name} -> {args.out}", *(f"  note      {note}" for note in clip.notes), probe.table(), sep="\n")
    return 0


# compare ------------------------------------------------------------------------------------------------------


def _compare_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("clip", type=Path, metavar="CLIP", help="a video file")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR")
    parser.add_argument(
        "--checkpoints", nargs="+", metavar="NAME", help="bundled names, folders or Hub repo ids (default: all bundled)"
    )
    _add_window(parser)
    parser.add_argument("--classifier", default="mobilenet_v2", metavar="NAME", help="default: mobilenet_v2")


def _compare(args: argparse.Namespace) -> int:
    from avd_core.comparison import CompareRequest, compare
    from avd_core.explorer import Explorer
    from avd_core.outputs import check_folder

    check_folder(args.out)
    explorer = Explorer()
    checkpoints = args.checkpoints or explorer.checkpoints()
    for checkpoint in checkpoints:  # one that was named and cannot be had is an error, before any work
        explorer.warm_up(checkpoint)
    window = {"start": args.start, "seconds": args.seconds, "whole": args.whole}
    request = CompareRequest(args.clip, tuple(checkpoints), **window, classifier=args.classifier)
    *_, comparison = compare(explorer, request)
    comparison.save(args.out)
    notes = [*comparison.notes, *([comparison.notice] if comparison.notice else [])]
    print(
        f"{args.clip.name} -> {args.out}",
        comparison.table(),
        *(f"  note      {note}" for note in notes),
        sep="\n",
    )
    return 0


# inspect ------------------------------------------------------------------------------------------------------


def _inspect_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("clips", nargs="+", type=Path, metavar="CLIP", help="video files, folders of them, or zips")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR")
    _add_checkpoint(parser)
    parser.add_argument("--whole", action="store_true", help="whole clips, not only where most moves")
    parser.add_argument("--classifier", default="mobilenet_v2", metavar="NAME", help="default: mobilenet_v2")


def _inspect(args: argparse.Namespace) -> int:
    from avd_core.archives import ArchiveLimits
    from avd_core.explorer import Explorer
    from avd_core.inspection import InspectRequest, gather, inspect, write_csv
    from avd_core.outputs import check_folder, staged_folder
    from avd_core.png import save_distilled

    check_folder(args.out)
    status, rows = 0, []
    with tempfile.TemporaryDirectory() as unpacked, staged_folder(args.out) as staging:
        found = gather(args.clips, unpacked, ArchiveLimits(max_files=100_000, max_entries=200_000))
        for sentence in found.skipped:
            status = _complain(args.command, sentence)
        request = InspectRequest(found.sources, args.checkpoint, args.classifier, args.whole)
        names = output_names([Path(source.title) for source in found.sources], ".png")
        for row, name in zip(inspect(Explorer(), request), names, strict=True):
            rows.append(replace(row, image=None))
            place = f"{len(rows)} of {len(names)}"
            if row.problem is not None:
                status = _complain(args.command, f"{row.source.title}: {row.problem}")
                continue
            save_distilled(staging / name, row.image, row.info)
            first = row.topk[0]
            print(f"{place}  {row.source.title}  {row.gain:+.1f} dB  {first.label} {first.probability:.0%}", flush=True)
        write_csv(staging / "inspection.csv", rows)
    print(f"{len(rows)} clips -> {args.out}")
    return status


# storyboard ---------------------------------------------------------------------------------------------------


def _storyboard_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("video", type=Path, metavar="VIDEO", help="a video, or the storyboard.zip of one")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR")
    parser.add_argument("--seconds", type=float, metavar="S", help="a window's length at most: 2, 4 or 8 (default: 4)")
    parser.add_argument("--checkpoint", metavar="NAME", help="bundled name, folder or Hub repo id (default: base)")


def _storyboard(args: argparse.Namespace) -> int:
    from avd_core.explorer import Explorer
    from avd_core.outputs import check_folder, staged_folder
    from avd_core.storyboard import Playback, StoryboardRequest
    from avd_core.storyboard_file import drop_stale, is_zip, read_strip, save
    from avd_core.video_file import regular_file

    check_folder(args.out)
    explorer, chosen = Explorer(), args.checkpoint
    if is_zip(regular_file(args.video)):
        if args.seconds is not None:
            raise CommandError("--seconds is for a video: the windows of a storyboard.zip are what they are.")
        if chosen is not None:
            explorer.warm_up(chosen)  # loaded, so that it is found by its weights
        panels = Playback(read_strip(args.video), explorer.restore_image)
    else:
        panels = explorer.storyboard(StoryboardRequest(args.video, chosen or "base", args.seconds or 4.0))
    with staged_folder(args.out) as staging:
        for board in save(panels, staging):
            if sys.stderr.isatty():
                print(f"\r{len(board.entries)} images, {board.share:.0%} ", end="", file=sys.stderr, flush=True)
        drop_stale(args.out)
    print(f"{args.video.name} -> {args.out}", *board.summary(), sep="\n")
    return 0


# What they share ----------------------------------------------------------------------------------------------


def _add_checkpoint_and_window(parser: argparse.ArgumentParser) -> None:
    _add_checkpoint(parser)
    _add_window(parser)


def _add_checkpoint(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--checkpoint", default="base", metavar="NAME", help="bundled name, folder or Hub repo id (default: base)"
    )


def _add_window(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--start", type=float, metavar="S", help="where the window begins, in seconds")
    parser.add_argument("--seconds", type=float, metavar="S", help="its length (default: the 4 s that move most)")
    parser.add_argument("--whole", action="store_true", help="the whole clip as the window")


def _each(args: argparse.Namespace, work: Callable[..., None], *inputs: Sequence) -> int:
    """Works through the clips, past those that fail; each failure is told in a line."""
    status = 0
    for clip, *values in zip(args.clips, *inputs, strict=True):
        try:
            work(*values)
        except ValueError as error:
            status = _complain(args.command, f"{clip}: {error}")
    return status


def _check_suffix(path: Path, suffix: str) -> None:
    if path.suffix.lower() != suffix:
        raise CommandError(f"--out is {path}; it must end in {suffix}.")


def output_names(clips: Sequence[Path], suffix: str = "") -> list[str]:
    """One name for each clip's output: its stem; stems that collide keep their extension; then a number.

    Names that differ only in case count as equal: on some file systems they are.
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


def _of(module: str) -> Callable[[], tuple[AddArguments, Run]]:
    def functions() -> tuple[AddArguments, Run]:
        found = importlib.import_module(module)
        return found.add_arguments, found.run

    return functions


# Only the module of the subcommand that was asked for is imported: help is quick, training needs no video decoder.
COMMANDS = {
    "explore": Command("make an image of a clip, restore it, and look", lambda: (_explore_arguments, _explore)),
    "distill": Command("make one image of a clip", lambda: (_distill_arguments, _distill)),
    "restore": Command("get the clip back from an image", lambda: (_restore_arguments, _restore)),
    "probe": Command("see what the image knows of time", lambda: (_probe_arguments, _probe)),
    "compare": Command(
        "show a clip as one image in every way there is, side by side", lambda: (_compare_arguments, _compare)
    ),
    "inspect": Command("make images of many clips, and a table of them", lambda: (_inspect_arguments, _inspect)),
    "storyboard": Command(
        "make a strip of images of a long video, and back", lambda: (_storyboard_arguments, _storyboard)
    ),
    "evidence": Command("measure how much of a folder of clips comes back", _of("avd_core.evidence")),
    "train": Command("train a checkpoint", _of("avd_core.training")),
    "pack": Command("pack clips into one file to train on", _of("avd_core.packs")),
    "train-action": Command("train the bundled action classifier", _of("avd_core.action_training")),
}
