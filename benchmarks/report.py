"""Measure checkpoints before they ship, in one table: `python -m benchmarks.report`, or `make report`.

On clips that no shipped checkpoint was trained on, whole, 16 frames at the bin centres, from an 8-bit PNG: the
restoration gain over the mean frame, the image's distance to the middle frame, and classifiers' results, for
checkpoints, the codec, and two still pictures. The figures are those of `avd_core.evidence`'s protocols, and the
image's distance to its frame.

Sets are below `$AVD_DATA`; a missing one is left out, and the table says so. Each set and size is stored in `rows.json`
when it is finished, so that a stopped report continues when called again.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from avd_core.atomic_io import write_json
from avd_core.data.clip_sets import Clips, EvidenceError, select_clips, select_official
from avd_core.evidence import runner
from avd_core.evidence.array_store import Disk
from avd_core.evidence.clip_reader import Skipped, default_workers, entries_of
from avd_core.evidence.feature_cache import FeatureCache
from avd_core.evidence.representations import codec_representation
from avd_core.examples import scenes
from avd_core.media.codec_image import CODEC
from avd_core.removal import claim_folder, remove
from benchmarks.report_figures import NEAR, STILL, measure, requirements

if TYPE_CHECKING:
    from avd_core.networks.avd import AVD

SPLITS = Path(__file__).parent / "splits"
TODAY = "today"


@dataclass(frozen=True)
class ReportSet:
    """A set to report on.

    Attributes:
        title: as printed.
        sizes: short sides in pixels to measure at.
        clips: (data folder, folder for rendered clips) -> its clips; raises ValueError if there are none.
        unseen: whether to report clips of groups without clips on the training side once more, separately.
    """

    title: str
    sizes: tuple[int, ...]
    clips: Callable[[Path, Path], list[Clips]]
    unseen: bool = False


def _of_split(name: str) -> Callable[[Path, Path], list[Clips]]:
    return lambda data, _: [select_clips(data / name, SPLITS / f"{name}.json", "test")]


SETS = {
    "ucf101": ReportSet(
        "UCF101 split 1, 14 classes, one clip a group", (224, 112),
        lambda data, _: select_official("ucf101", data / "ucf101" / "UCF-101", ["1"], fitting=False),
    ),
    "jhmdb": ReportSet(
        "JHMDB-21 on HMDB51's split 1", (224, 112),
        lambda data, _: select_official("hmdb51", data / "jhmdb" / "hmdb51", ["1"], fitting=True), unseen=True,
    ),
    "clips": ReportSet("single originals (clips)", (224, 112), _of_split("clips")),
    "examples": ReportSet(
        "the rendered examples", (224, 112),
        lambda _, rendered: [Clips(rendered, "test", tuple(scenes.write_examples(rendered)), None)],
    ),
    "gestures": ReportSet("gestures, people 09 and 10", (144, 112), _of_split("gestures")),
    "surveillance": ReportSet("surveillance, last 20 of each class", (144, 112), _of_split("surveillance")),
    "weizmann": ReportSet("weizmann", (112,), _of_split("weizmann")),
}  # fmt: skip


# From set to set ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """A set at one size: the clips to report on, and those of the training side if `ReportSet.unseen`."""

    key: str
    title: str
    size: int
    sets: list[Clips]


def sized(model: AVD, size: int) -> AVD:
    """Return the model with another short side in its config; the networks are convolutional."""
    other = copy.copy(model)
    other.config = replace(model.config, size=size)
    return other


def report_on(part: Part, models: Mapping[str, AVD], request: runner.Request, args: argparse.Namespace) -> list[dict]:
    """Measure one set at one size, and if `ReportSet.unseen` its unseen groups separately."""
    work = args.out / "work" / f"{part.key}-{part.size}"
    claim_folder(work)
    test = next(clips for clips in part.sets if clips.part == "test")
    cache = _cache_of(entries_of([test])[:: args.every], models, part.size, args.codec_bits, work)
    if args.limit:
        taken = np.linspace(0, len(cache.entries) - 1, min(args.limit, len(cache.entries))).round().astype(int)
        cache.entries = tuple(cache.entries[i] for i in taken)
    workers = default_workers(len(cache.entries)) if args.workers is None else args.workers
    for done, entry in enumerate(cache.stream(requirements(cache, request), workers=workers), 1):
        if isinstance(entry, Skipped):
            _log(f"{entry.clip} is left out: {entry.reason}")
        elif done % 10 == 0:
            _log(f"{part.title} at {part.size} px: {done} clips")
    if not cache.entries:
        raise EvidenceError("none of its clips can be read")
    named = {"set": part.key, "title": part.title, "size": part.size}
    rows = [named | row for row in measure(cache, request)]
    trained = {group for clips in part.sets if clips.part == "train" for group in clips.groups or ()}
    if SETS[part.key].unseen and trained:
        unseen = [entry for entry in cache.entries if entry.group not in trained]
        few = _cache_of(unseen, models, part.size, args.codec_bits, work)
        named |= {"set": f"{part.key}-unseen", "title": f"{part.title}, unseen films"}
        rows += [named | row for row in measure(few, request)] if unseen else []
    remove(work)
    return rows


def _cache_of(entries: Sequence, models: Mapping[str, AVD], size: int, bits: Sequence[int], work: Path) -> FeatureCache:
    at_size = {name: sized(model, size) for name, model in models.items()}
    codecs = {f"{CODEC}, {count} bits": count for count in bits}
    cache = FeatureCache(entries, at_size, "test", baselines=(CODEC, *codecs, *STILL), store=Disk(work))
    for name, count in codecs.items():
        cache.representations[name] = codec_representation(cache.sampling, count)
    return cache


def parts(args: argparse.Namespace, data: Path | None) -> Iterator[Part | str]:
    """Return the parts to measure, and a sentence for each missing set."""
    for key, one in SETS.items():
        if args.sets and key not in args.sets:
            continue
        try:
            if data is None and key != "examples":
                raise EvidenceError("AVD_DATA is not set")
            sets = one.clips(data or Path(), args.out / "examples")
        except (ValueError, OSError) as error:
            yield f"{one.title} is left out: {error}"
            continue
        for size in args.sizes or one.sizes:
            yield Part(key, one.title, size, sets)


# The table ----------------------------------------------------------------------------------------------------


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Format the rows as Markdown; figures that need more clips or a missing network are empty."""
    kids, agreements = ([*dict.fromkeys(name for row in rows for name in row[key])] for key in ("kid", "agreement"))
    today = {(row["set"], row["size"]): row["restored"] for row in rows if row["name"] == TODAY}
    head = [
        "set, px, clips",
        "",
        "restored, dB",
        "**over the mean frame**",
        "over the middle frame",
        "over today",
        "SSIM",
    ]
    head += ["image to middle frame, dB", "its 10th percentile", "largest change, 95th percentile"]
    head += [f"near motion, 99.9th percentile within {NEAR} px", *(f"KID {name} (floor)" for name in kids)]
    head += [f"agreement {name}, % (next frame)" for name in agreements]
    lines = [head, ["---"] * len(head)]
    last = None
    for row in rows:
        place = (row["set"], row["size"])
        first = f"{row['title']}, {row['size']} px, {row['clips']}" if place != last else ""
        over = row["restored"] - today[place] if place in today else None
        line = [first, row["name"], f"{row['restored']:.2f}", f"**{row['over_mean']:+.2f}**"]
        line += [f"{row['over_middle']:+.2f}", "" if over is None else f"{over:+.2f}", f"{row['ssim']:.3f}"]
        line += [f"{row['image']:.1f}", f"{row['image_p10']:.1f}", f"{row['largest_p95']:.0f}"]
        line.append("" if row["near_motion"] is None else f"{row['near_motion']:.1f}")
        line += [_beside(row["kid"].get(name), "floor", 1, 3) for name in kids]
        line += [_beside(row["agreement"].get(name), "next_frame", 100, 1) for name in agreements]
        lines.append(line)
        last = place
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _beside(figure: Mapping[str, Any] | None, other: str, scale: float, digits: int) -> str:
    return "" if figure is None else f"{scale * figure['value']:.{digits}f} ({scale * figure[other]:.{digits}f})"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure the requested parts that are not finished; print the table, and write `rows.json` and `report.md`."""
    args = _arguments(argv)
    from avd_core.networks.avd import AVD

    models = runner.load_models(args.checkpoints)
    if args.today:
        models[TODAY] = AVD.from_pretrained(args.today)
    scorers = runner.load_scorers(args.scorers)
    request = runner.Request(scorers, damages=(), damage="png")
    data = Path(os.environ["AVD_DATA"]) if os.environ.get("AVD_DATA") else None
    args.out.mkdir(parents=True, exist_ok=True)
    record = args.out / "rows.json"
    finished = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
    made_with = [f"{name} {model.fingerprint}" for name, model in models.items()]
    made_with += [scorer.name for scorer in scorers]
    made_with += [f"every {args.every}", f"limit {args.limit}", *(f"{count} bits" for count in args.codec_bits)]
    rows, left_out = [], []
    for part in parts(args, data):
        if isinstance(part, str):
            left_out.append(part)
            continue
        key = ", ".join([part.key, f"{part.size} px", *made_with])
        if key not in finished:
            begun = time.perf_counter()
            try:
                finished[key] = report_on(part, models, request, args)
            except EvidenceError as error:
                left_out.append(f"{part.title} is left out: {error}.")
                continue
            write_json(record, finished)
            _log(f"{part.title} at {part.size} px: done in {time.perf_counter() - begun:.0f} s")
        rows += finished[key]
    text = "\n".join([table(rows), *("" if not left_out else f"\n{sentence}" for sentence in left_out)]) if rows else ""
    print(text or "\n".join(left_out))
    return 0 if rows else 1


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__.split("\n")[0])
    parser.add_argument("--checkpoints", nargs="+", default=["base"], metavar="NAME", help="default: base")
    parser.add_argument(
        "--today", metavar="NAME", help="a checkpoint that the others are compared with, frame by frame"
    )
    parser.add_argument("--sets", nargs="+", choices=SETS, metavar="SET", help=f"of {', '.join(SETS)} (default: all)")
    parser.add_argument("--sizes", nargs="+", type=int, metavar="PX", help="short sides (default: those of each set)")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="every Nth clip of a set only")
    parser.add_argument("--limit", type=int, metavar="N", help="at most N clips of each set, evenly taken")
    parser.add_argument("--codec-bits", nargs="+", type=int, choices=(2, 3), default=[], metavar="2|3",
                        help="measure the codec with so many lowest bits too")  # fmt: skip
    parser.add_argument("--scorers", nargs="+", default=list(runner.SCORERS), metavar="NAME",
                        help="classifiers that look at the images (default: %(default)s)")  # fmt: skip
    parser.add_argument("--workers", type=int, metavar="N", help="processes that decode (default: one a core)")
    parser.add_argument("--out", type=Path, default=Path("runs/report"), metavar="DIR", help="default: %(default)s")
    return parser.parse_args(argv)


def _log(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
