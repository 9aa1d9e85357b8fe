"""What the numbers allow to be said: protocols over folders of clips, with intervals and verdicts.

`python -m avd_core evidence FOLDER --out DIR --split FILE`. The protocols lie in `avd_core/protocols`, one file each;
here they are called one after the other on one gallery of clips, and their tables printed and written.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from avd_core import __version__
from avd_core.damages import DAMAGES
from avd_core.outputs import check_folder, staged_folder, write_json
from avd_core.protocols.gallery import (
    PARTS,
    Clips,
    EvidenceError,
    Gallery,
    Skipped,
    read_entries,
    samplings,
    select_clips,
)
from avd_core.protocols.report import NotMeasurable, Report

if TYPE_CHECKING:
    from avd_core.classifiers import Classifier
    from avd_core.model import AVD

SCORERS = ("mobilenet_v2", "squeezenet1_0")  # the second has no part in any training of ours
DAMAGE = "jpeg-75+shift"  # what classifiers look through the second time


@dataclass(frozen=True)
class Request:
    """What all protocols may be told."""

    scorers: Sequence[Classifier]
    through: Sequence[str]
    seed: int


def _restoration(gallery: Gallery, request: Request) -> Report:
    from avd_core.protocols import restoration

    return restoration.measure(gallery, damages=request.through, seed=request.seed)


def _realism(gallery: Gallery, request: Request) -> Report:
    from avd_core.protocols import realism

    return realism.measure(gallery, seed=request.seed)


def _kernel_distance(gallery: Gallery, request: Request) -> Report:
    from avd_core.protocols import kernel_distance

    return kernel_distance.measure(gallery, request.scorers, seed=request.seed)


def _agreement(gallery: Gallery, request: Request) -> Report:
    from avd_core.protocols import agreement

    return agreement.measure(gallery, request.scorers, damage=DAMAGE, seed=request.seed)


def _order(gallery: Gallery, request: Request) -> Report:
    from avd_core.protocols import order

    return order.measure(gallery, request.scorers, damage=DAMAGE, seed=request.seed)


def _recognition(gallery: Gallery, request: Request) -> Report:
    from avd_core.protocols import recognition

    return recognition.measure(gallery, request.scorers, damage=DAMAGE, seed=request.seed)


PROTOCOLS: dict[str, Callable[[Gallery, Request], Report]] = {
    "restoration": _restoration,
    "realism": _realism,
    "kernel-distance": _kernel_distance,
    "agreement": _agreement,
    "order": _order,
    "recognition": _recognition,
}
PROBING = {"order", "recognition"}  # they fit on the clips that the split keeps for that
SCORING = {"kernel-distance", "agreement", *PROBING}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `python -m avd_core evidence`."""
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="folders of clips, pooled")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="for evidence.json and a CSV a protocol")
    parser.add_argument(
        "--split", nargs="+", type=Path, metavar="FILE", help="JSON with the globs train, choose, test; one a folder"
    )
    parser.add_argument("--part", choices=PARTS, default="test", help="of the split (default: test)")
    parser.add_argument("--checkpoints", nargs="+", default=["base"], metavar="NAME", help="default: base")
    parser.add_argument(
        "--protocols", nargs="+", choices=PROTOCOLS, default=["restoration"], metavar="NAME",
        help=f"of {', '.join(PROTOCOLS)} (default: restoration, the quickest; the others take many minutes)",
    )  # fmt: skip
    parser.add_argument(
        "--scorers", nargs="+", default=SCORERS, metavar="NAME", help=f"classifiers (default: {' '.join(SCORERS)})"
    )
    parser.add_argument(
        "--through", nargs="*", choices=DAMAGES, default=["jpeg-90"], metavar="DAMAGE",
        help=f"what else to restore through, of {', '.join(DAMAGES)} (default: jpeg-90)",
    )  # fmt: skip
    parser.add_argument("--limit", type=int, metavar="N", help="at most N clips of each class and part, evenly taken")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap, the critic and all that is drawn")


def run(args: argparse.Namespace) -> int:
    """Carries out `python -m avd_core evidence`."""
    if args.limit is not None and args.limit < 1:
        raise EvidenceError("--limit must be at least 1.")
    check_folder(args.out)
    sets = select_sets(args.folders, args.split, args.part, fitting=bool(PROBING & set(args.protocols)))
    available = sum(len(clips.paths) for clips in sets if clips.part in (args.part, "all"))
    if args.limit:
        sets = [clips.limited(args.limit) for clips in sets]
    models = load_models(args.checkpoints)
    scorers = load_scorers(args.scorers) if SCORING & set(args.protocols) else []

    reported = "all" if args.split is None else args.part
    skipped: list[Skipped] = []
    entries = []
    for result in _watched(read_entries(sets, samplings(models)), sum(len(clips.paths) for clips in sets), "reading"):
        if isinstance(result, Skipped):
            skipped.append(result)
            print(f"skipped {result.clip}: {result.reason}", file=sys.stderr)
        else:
            entries.append(result)
    gallery = Gallery(entries, models, reported)
    if not len(gallery.members()):
        raise EvidenceError(f"None of the {len(skipped)} clips can be read; the first: {skipped[0].reason}")

    clips = len(gallery.members())
    limited = f", at most {args.limit} of each class of the {available} there are" if args.limit else ""
    unread = f"; {len(skipped)} could not be read" if skipped else ""
    names = [folder.resolve().name for folder in args.folders]
    print(f"{clips} clips of {', '.join(names)} ({reported}{limited}){unread}", flush=True)

    reports: dict[str, Report | NotMeasurable] = {}
    request = Request(scorers, args.through, args.seed)
    for name in dict.fromkeys(args.protocols):
        print(f"measuring {name}", file=sys.stderr, flush=True)
        try:
            reports[name] = report = PROTOCOLS[name](gallery, request)
            print("", f"== {report.title}", "", report.text, sep="\n", flush=True)
        except NotMeasurable as why:
            reports[name] = why
            print("", f"== {name}: not measured, because {why}.", sep="\n", flush=True)
    evidence = {
        "version": __version__,
        "folders": names,
        "splits": [split.name for split in args.split] if args.split else None,
        "part": reported,
        "clips": clips,
        "clips_available": available,
        "limit": args.limit,
        "skipped": [asdict(clip) for clip in skipped],
        "checkpoints": {
            name: {"fingerprint": model.fingerprint, "frames": model.config.frames, "size": model.config.size}
            for name, model in models.items()
        },
        "scorers": [scorer.name for scorer in scorers],
        "protocols": {
            name: report.summary if isinstance(report, Report) else {"not_measured": str(report)}
            for name, report in reports.items()
        },
    }
    write(args.out, evidence, reports)
    print("", f"-> {args.out}", sep="\n")
    return 0


def select_sets(folders: Sequence[Path], splits: Sequence[Path] | None, part: str, *, fitting: bool) -> list[Clips]:
    """The reported part of every folder, and where `fitting` the parts before it that are not empty.

    Raises:
        ValueError: as `select_clips`; not one split a folder.
    """
    if splits is not None and len(splits) != len(folders):
        raise EvidenceError(f"There are {len(folders)} folders and {len(splits)} splits; each folder needs its own.")
    sets = []
    for folder, split in zip(folders, splits or [None] * len(folders), strict=True):
        sets.append(select_clips(folder, split, part))
        for earlier in PARTS[: PARTS.index(part)] if fitting and split is not None else ():
            try:
                sets.append(select_clips(folder, split, earlier))
            except EvidenceError:  # the split keeps nothing for that
                continue
    return sets


def load_models(names: Sequence[str]) -> dict[str, AVD]:
    """The checkpoints by their own names, or by those that were asked for where two call themselves the same."""
    import torch

    from avd_core.model import AVD

    device = "cuda" if torch.cuda.is_available() else "cpu"
    models = {name: AVD.from_pretrained(name, device=device) for name in dict.fromkeys(names)}
    own = [model.name for model in models.values()]
    return dict(zip(own, models.values(), strict=True)) if len(set(own)) == len(own) else models


def load_scorers(names: Sequence[str]) -> list[Classifier]:
    """The classifiers, each once; what stands in for one that cannot be had is told."""
    import torch

    from avd_core.classifiers import load_classifier

    device = "cuda" if torch.cuda.is_available() else "cpu"
    scorers: dict[str, Classifier] = {}
    for name in names:
        scorer = load_classifier(name, device)
        if scorer.notice:
            print(scorer.notice, file=sys.stderr)
        scorer.network.to(memory_format=torch.channels_last)  # up to twice as fast on a CPU
        scorers.setdefault(scorer.name, scorer)
    return list(scorers.values())


def write(out: Path, evidence: Mapping[str, object], reports: Mapping[str, Report | NotMeasurable]) -> None:
    """Writes evidence.json and, for each protocol that was measured, its CSV file."""
    with staged_folder(out) as staging:
        write_json(staging / "evidence.json", evidence)
        for name, report in reports.items():
            if isinstance(report, Report):
                with open(staging / f"{name}.csv", "w", newline="", encoding="utf-8") as file:
                    writer = csv.DictWriter(file, list(report.rows[0]))
                    writer.writeheader()
                    writer.writerows(report.rows)


def _watched(items, total: int, doing: str) -> Iterator:
    from tqdm import tqdm

    pause = 0.1 if sys.stderr.isatty() else 10.0  # seconds between updates: a log file wants few
    yield from tqdm(items, total=total, desc=doing, mininterval=pause)
