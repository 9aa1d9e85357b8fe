"""avd evidence: run the evaluation protocols on a folder of classes or on UCF101, HMDB51 or Kinetics."""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from avd_core.analysis.degradations import DEGRADATIONS
from avd_core.atomic_io import check_folder
from avd_core.data.clip_sets import DATASETS, PARTS, Clips, EvidenceError, select_official, select_sets, shared_groups
from avd_core.evidence import runner
from avd_core.evidence.clip_reader import Skipped
from avd_core.evidence.protocols.ablation import ablation_table
from avd_core.evidence.report import NotMeasurable, Report
from avd_core.evidence.representations import BASELINES
from avd_core.evidence.runner import FITTING, PROTOCOLS, SCORERS, SCORING, Plan, Request
from avd_core.removal import claim_folder, remove

if TYPE_CHECKING:
    from tqdm import tqdm

WORK = "work"  # in the output folder: arrays computed of the clips, so that a stopped run can continue


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `avd evidence`."""
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="folders of clips, pooled")
    parser.add_argument(
        "--out", required=True, type=Path, metavar="DIR", help="for report.html, evidence.json, CSV, plots"
    )
    parser.add_argument(
        "--dataset", choices=DATASETS, default="folder", help="how the clips lie (default: folder, one for each class)"
    )
    parser.add_argument(
        "--split", nargs="+", metavar="1|2|3|FILE",
        help="of UCF101 and HMDB51 the number of the official split; of Kinetics its CSV files; of a folder a JSON "
        "file with the globs train, choose, test (one a folder)",
    )  # fmt: skip
    parser.add_argument("--lists", type=Path, metavar="DIR", help="the official lists, if not in or beside the videos")
    parser.add_argument(
        "--group", metavar="REGEX",
        help="finds in a clip's path the person or source video it is of; no group is on two sides",
    )  # fmt: skip
    parser.add_argument("--part", choices=PARTS, default="test", help="of a JSON split (default: test)")
    parser.add_argument("--checkpoints", nargs="+", default=["base"], metavar="NAME", help="default: base")
    parser.add_argument("--size", type=int, metavar="PX", help="short side to measure at (default: 112, or less)")
    parser.add_argument(
        "--representations", nargs="+", choices=BASELINES, default=list(BASELINES), metavar="NAME",
        help=f"what checkpoints are compared with, of {', '.join(BASELINES)} (default: all)",
    )  # fmt: skip
    parser.add_argument(
        "--protocols", nargs="+", choices=[*PROTOCOLS, "all"], default=["restoration"], metavar="NAME",
        help=f"of {', '.join(PROTOCOLS)}, or all (default: restoration, the quickest; others take many minutes)",
    )  # fmt: skip
    parser.add_argument(
        "--classifier", "--scorers", dest="scorers", nargs="+", default=SCORERS, metavar="NAME",
        help=f"classifiers that look at the images, the first one in every protocol (default: {' '.join(SCORERS)})",
    )  # fmt: skip
    parser.add_argument(
        "--through", nargs="*", choices=DEGRADATIONS, default=["jpeg-90"], metavar="DAMAGE",
        help=f"what else to restore through, of {', '.join(DEGRADATIONS)} (default: jpeg-90)",
    )  # fmt: skip
    parser.add_argument(
        "--windows", type=int, default=1, metavar="N",
        help="recognition from N images of a clip, one for each part of it, averaged (default: 1)",
    )  # fmt: skip
    parser.add_argument(
        "--name", default="", metavar="TEXT",
        help="what the clips are called in the report (default: the names of their folders)",
    )  # fmt: skip
    parser.add_argument("--limit", type=int, metavar="N", help="at most N clips of each class and part, evenly taken")
    parser.add_argument(
        "--workers", type=int, metavar="N", help="processes that decode (default: one a core, at most 8)"
    )
    parser.add_argument("--keep-work", action="store_true", help=f"keep DIR/{WORK}, so that a further run is quicker")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap, the critic and all that is drawn")


def run(args: argparse.Namespace) -> int:
    """Carry out `avd evidence`; a stopped command continues when it is called again."""
    for name, least in (("limit", 1), ("windows", 1), ("workers", 0)):
        value = getattr(args, name)
        if value is not None and value < least:
            raise EvidenceError(f"--{name} must be at least {least}.")
    check_folder(args.out)
    protocols = list(PROTOCOLS) if "all" in args.protocols else args.protocols
    sets = _sets(args, fitting=bool(FITTING & set(protocols)))
    reported = "all" if args.dataset == "folder" and args.split is None else args.part
    available = sum(len(clips.paths) for clips in sets if clips.part == reported)
    if args.limit:
        sets = [clips.limited(args.limit) for clips in sets]
    models = runner.load_models(args.checkpoints, args.size)
    scorers = runner.load_scorers(args.scorers) if SCORING & set(protocols) else []
    for scorer in scorers:
        if scorer.notice:
            print(scorer.notice, file=sys.stderr)
    plan = Plan(
        sets, models, Request(scorers, args.through, seed=args.seed), protocols, reported,
        representations=args.representations, windows=args.windows, dataset=args.dataset,
        split=[Path(split).name for split in args.split] if args.split else None,
        available=available, limit=args.limit, workers=args.workers, name=args.name,
    )  # fmt: skip
    print(_opening(sets, reported, available, args), flush=True)
    work = args.out / WORK
    made = [folder for folder in (args.out, *args.out.parents) if not folder.exists()]
    claim_folder(work)
    watch = _Watch()
    try:
        outcome = runner.collect(plan, work, watch.progress, watch.skipped, show)
    except EvidenceError:
        if not any(work.rglob("*.safetensors")):  # it holds no results
            remove(work)
            with suppress(OSError):  # another process put a file there meanwhile
                for folder in made:
                    folder.rmdir()
        raise
    finally:
        watch.close()
    if outcome.evidence["skipped"]:
        print("", f"{len(outcome.evidence['skipped'])} could not be read.", sep="\n")
    if outcome.evidence["ablation"]:
        print("", "== Ablation", "", ablation_table(outcome.evidence["ablation"]), sep="\n")
    from avd_core.evidence.writers import write

    write(args.out, outcome)
    if not args.keep_work and not remove(work):
        print(f"{work} is kept: it holds what this command did not make.", file=sys.stderr)
    print("", outcome.evidence["about"], f"-> {args.out / 'report.html'}", sep="\n")
    return 0


def _sets(args: argparse.Namespace, *, fitting: bool) -> list[Clips]:
    if args.dataset == "folder":
        if args.lists:
            raise EvidenceError("--lists belongs to --dataset ucf101 and hmdb51.")
        if args.split and any(split in ("1", "2", "3") for split in args.split):
            raise EvidenceError("A folder of classes has no official splits: name a JSON file, or --dataset.")
        splits = [Path(split) for split in args.split] if args.split else None
        return select_sets(args.folders, splits, args.part, fitting=fitting, group=args.group)
    if len(args.folders) > 1 or args.part != "test":
        raise EvidenceError(f"{DATASETS[args.dataset]} is one folder, and its test part reports.")
    return select_official(
        args.dataset, args.folders[0], args.split or [], fitting=fitting, group=args.group, lists=args.lists
    )


def _opening(sets: list[Clips], reported: str, available: int, args: argparse.Namespace) -> str:
    clips = sum(len(one.paths) for one in sets if one.part == reported)
    names = dict.fromkeys(one.folder.resolve().name for one in sets)
    limited = f", at most {args.limit} of each class of the {available} there are" if args.limit else ""
    missing = sum(one.missing for one in sets)
    absent = f"; {missing} more of the lists are not in the folder" if missing else ""
    shared = shared_groups(sets, reported)
    both = (
        f"; {shared.groups} people or source videos stand on both sides of the split, with {shared.clips} of these "
        f"clips and {shared.clips_to_fit_on} of those to fit on"
        if shared
        else ""
    )
    return f"{clips} clips of {', '.join(names)} ({reported}{limited}){absent}{both}"


def show(name: str, report: Report | NotMeasurable) -> None:
    """Print a protocol's table and verdicts, or why there are none."""
    if isinstance(report, Report):
        print("", f"== {report.title}", "", report.text, sep="\n", flush=True)
    else:
        print("", f"== {name}: not measured, because {report}.", sep="\n", flush=True)


class _Watch:
    """Progress on standard error, with the time left while the clips stream by."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None
        self._doing = ""

    def progress(self, doing: str, done: int, total: int) -> None:
        from tqdm import tqdm

        if doing == "reading":
            if self._bar is None:
                pause = 0.1 if sys.stderr.isatty() else 10.0  # seconds between updates: a log file wants few
                self._bar = tqdm(total=total, desc=doing, unit="clip", mininterval=pause)
            self._bar.update(done - self._bar.n)
        elif doing != self._doing:
            self.close()
            print(f"{doing} ({done + 1} of {total})" if done < total else doing, file=sys.stderr, flush=True)
        self._doing = doing

    def skipped(self, clip: Skipped) -> None:
        print(f"skipped {clip.clip}: {clip.reason}", file=sys.stderr)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
