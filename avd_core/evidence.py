"""What the numbers allow to be said: protocols over a folder of clips, with intervals and verdicts.

`python -m avd_core evidence FOLDER --out DIR --split FILE`. One protocol so far, *restoration*: whole clips
through the 8-bit PNG file and back, beside copying the middle frame and the mean frame. A verdict follows from
the interval of the *paired* difference, clip by clip, corrected for the number of comparisons (Bonferroni).

Intervals are bootstrap percentiles over clips; over groups (people, source videos), whose clips are no independent
witnesses, where there are at least five of them.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from avd_core import __version__
from avd_core.datasets import find_clips, read_split
from avd_core.distillers import distil, restore
from avd_core.metrics import quality
from avd_core.outputs import check_folder, staged_folder, write_json
from avd_core.video import VideoError, read_clip

if TYPE_CHECKING:
    from avd_core.model import AVD

PARTS = ("train", "choose", "test")
COPIES = {"middle_copy": "copying the middle frame", "mean_copy": "the mean frame"}
FIGURES = ("psnr", "psnr_middle_copy", "psnr_mean_copy", "ssim", "ssim_middle_copy", "ssim_mean_copy")
METRICS = {"psnr": ("PSNR", " dB", 2), "ssim": ("SSIM", "", 4)}  # what it is called, its unit, digits worth printing
LEVEL = 0.95
RESAMPLES = 10_000
FEWEST = 5  # units that an interval needs: fewer clips allow no verdict, fewer groups are shown one by one
SHOWN_GROUPS = 12  # in the printed table; evidence.json has all


class EvidenceError(ValueError):
    """Evidence that cannot be had, with a sentence saying why."""


@dataclass(frozen=True)
class Clips:
    """The clips of one part of a split.

    Attributes:
        folder: where they lie.
        part: which part they are.
        paths: the files, sorted.
        groups: the group of each, or None where the split names none.
    """

    folder: Path
    part: str
    paths: tuple[Path, ...]
    groups: tuple[str, ...] | None

    def name(self, index: int) -> str:
        """The path of a clip relative to the folder."""
        return self.paths[index].relative_to(self.folder).as_posix()


@dataclass(frozen=True)
class Row:
    """One clip through one checkpoint."""

    clip: str
    group: str | None
    checkpoint: str
    height: int
    width: int
    psnr: float
    psnr_middle_copy: float
    psnr_mean_copy: float
    ssim: float
    ssim_middle_copy: float
    ssim_mean_copy: float


@dataclass(frozen=True)
class Skipped:
    """A clip that cannot be read, and why."""

    clip: str
    reason: str


@dataclass(frozen=True)
class Interval:
    """A mean with its bootstrap interval.

    Attributes:
        mean: over clips.
        low, high: ends of the interval.
        level: its coverage, such as 0.95.
        over: what was resampled, "clips" or "groups".
        units: how many of those there are.
    """

    mean: float
    low: float
    high: float
    level: float
    over: str
    units: int


def select_clips(folder: str | Path, split: str | Path | None, part: str) -> Clips:
    """Takes one part of a split; all clips without one.

    A split is a JSON file with lists of globs `train`, `choose` and `test` and, optionally, `group`: a regular
    expression whose first group (or whole match) in a clip's relative path is the clip's group.

    Raises:
        ValueError: no such clips or split; a clip in two parts; a clip without a group.
    """
    folder = Path(folder)
    if split is None:
        return Clips(folder, "all", tuple(find_clips(folder)), None)
    patterns = {name: read_split(split, [name]) for name in PARTS}
    if not patterns[part]:
        raise EvidenceError(f"{Path(split).name} names no clips to {part} on.")
    members = {name: find_clips(folder, globs) if globs else [] for name, globs in patterns.items()}
    for other in PARTS:
        shared = set(members[part]) & set(members[other])
        if other != part and shared:
            raise EvidenceError(f"{min(shared).name} is both in {part} and in {other} of {Path(split).name}.")
    clips = Clips(folder, part, tuple(members[part]), None)
    regex = json.loads(Path(split).read_text(encoding="utf-8")).get("group")
    if regex is None:
        return clips
    try:
        matches = [re.search(regex, clips.name(index)) for index in range(len(clips.paths))]
    except (re.error, TypeError) as error:
        raise EvidenceError(f"The group of {Path(split).name} is no regular expression: {error}.") from error
    if None in matches:
        raise EvidenceError(f"The group {regex!r} finds nothing in {clips.name(matches.index(None))}.")
    return replace(clips, groups=tuple(match[match.re.groups and 1] for match in matches))


# The protocol -------------------------------------------------------------------------------------------------


def restoration(clips: Clips, models: Mapping[str, AVD]) -> Iterator[list[Row] | Skipped]:
    """Runs every clip, whole, through every model; yields one row per model, or why the clip cannot be read.

    The restored frames come from the bytes of the PNG file, and are measured before any video encoding.
    """
    for index, path in enumerate(clips.paths):
        rows, frames = [], {}
        try:
            for name, model in models.items():
                sampling = (model.config.frames, model.config.size)
                if sampling not in frames:
                    frames[sampling] = read_clip(path, frames=sampling[0], size=sampling[1], whole=True).frames
                original = frames[sampling]
                figures = quality(original, restore(model, through_png(distil(model, original))))
                rows.append(
                    Row(
                        clip=clips.name(index),
                        group=clips.groups[index] if clips.groups else None,
                        checkpoint=name,
                        height=original.shape[1],
                        width=original.shape[2],
                        **{figure: getattr(figures, figure) for figure in FIGURES},
                    )
                )
        except VideoError as error:
            yield Skipped(clips.name(index), str(error))
        else:
            yield rows


def through_png(image: np.ndarray) -> np.ndarray:
    """The image after a round trip through the bytes of an 8-bit PNG file."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, format="PNG")
    with Image.open(io.BytesIO(file.getvalue())) as picture:
        return np.array(picture)


# Intervals and verdicts ---------------------------------------------------------------------------------------


def bootstrap(
    values: np.ndarray, groups: Sequence[str] | None = None, *, level: float = LEVEL, seed: int = 0
) -> Interval:
    """The mean with its bootstrap percentile interval.

    Args:
        values: (N,), one value a clip; paired differences for a comparison.
        groups: the group of each clip. From five groups on, groups are resampled, each with all its clips.
        level: coverage.
        seed: of the resampling.
    """
    units, over = np.arange(len(values)), "clips"
    if groups is not None and len(set(groups)) >= FEWEST:
        units, over = np.unique(groups, return_inverse=True)[1], "groups"
    sums, counts = np.bincount(units, weights=values), np.bincount(units)
    rng = np.random.default_rng(seed)
    means = np.empty(RESAMPLES)
    for begin in range(0, RESAMPLES, 500):  # in blocks: ten thousand clips at once would be a gigabyte
        drawn = rng.integers(len(sums), size=(500, len(sums)))
        means[begin : begin + 500] = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(np.mean(values)), float(low), float(high), level, over, len(sums))


def verdict(difference: Interval) -> str:
    """What the interval of a paired difference allows to be said of the first against the second."""
    if difference.units < FEWEST:
        return f"has too few {difference.over} to be judged against"
    if difference.low > 0:
        return "beats"
    return "loses to" if difference.high < 0 else "cannot be told from"


def summarise(rows: Sequence[Row], seed: int = 0) -> dict[str, Any]:
    """The table: for each checkpoint its means, its paired differences to the two copies, its groups.

    Returns:
        Plain JSON values. `comparisons` is how many verdicts are passed; each follows from the interval at
        `corrected_level`, so that all of them together are wrong with 5 % probability at most.
    """
    by_checkpoint: dict[str, list[Row]] = {}
    for row in rows:
        by_checkpoint.setdefault(row.checkpoint, []).append(row)
    comparisons = len(by_checkpoint) * len(METRICS) * len(COPIES)
    corrected = 1 - (1 - LEVEL) / comparisons

    def one(name: str, members: list[Row]) -> dict[str, Any]:
        groups = [row.group for row in members] if members[0].group is not None else None
        values = {figure: np.array([getattr(row, figure) for row in members]) for figure in FIGURES}
        differences = []
        for metric, (called, unit, digits) in METRICS.items():
            for copy, meaning in COPIES.items():
                paired = values[metric] - values[f"{metric}_{copy}"]
                judged = bootstrap(paired, groups, level=corrected, seed=seed)
                sentence = (
                    f"{name} {verdict(judged)} {meaning} in {called}: {judged.mean:+.{digits}f}{unit} "
                    f"[{judged.low:+.{digits}f}, {judged.high:+.{digits}f}]."
                )
                differences.append(
                    {
                        "metric": metric,
                        "against": copy,
                        "interval": asdict(bootstrap(paired, groups, seed=seed)),
                        "corrected": asdict(judged),
                        "verdict": verdict(judged),
                        "sentence": sentence,
                    }
                )
        return {
            "clips": len(members),
            "figures": {figure: asdict(bootstrap(values[figure], groups, seed=seed)) for figure in FIGURES},
            "differences": differences,
            "groups": {
                group: {
                    "clips": groups.count(group),
                    **{figure: float(values[figure][np.array(groups) == group].mean()) for figure in FIGURES},
                }
                for group in sorted(set(groups or ()))
            },
        }

    return {
        "level": LEVEL,
        "comparisons": comparisons,
        "corrected_level": corrected,
        "seed": seed,
        "resamples": RESAMPLES,
        "checkpoints": {name: one(name, members) for name, members in by_checkpoint.items()},
    }


def table(summary: Mapping[str, Any]) -> str:
    """The summary as aligned text that ends in the verdicts."""
    lines = []
    for name, result in summary["checkpoints"].items():
        ways = {"": name, "_mean_copy": COPIES["mean_copy"], "_middle_copy": COPIES["middle_copy"]}
        header = ["", *(f"{called}{',' if unit else ''}{unit}" for called, unit, _ in METRICS.values())]
        body = [header]
        for suffix, way in ways.items():
            cells = [_cell(result["figures"][metric + suffix], METRICS[metric][2]) for metric in METRICS]
            body.append([way, *cells])
        for difference in result["differences"]:
            digits = METRICS[difference["metric"]][2]
            column = list(METRICS).index(difference["metric"]) + 1
            label = f"{name} - {COPIES[difference['against']]}"
            line = next((line for line in body if line[0] == label), None)
            if line is None:
                body.append(line := [label, *[""] * len(METRICS)])
            line[column] = _cell(difference["interval"], digits, signed=True)
        lines += [*_aligned(body), ""]
        if 0 < len(result["groups"]) <= SHOWN_GROUPS:
            columns = ["group", "clips", *(f"{metric}{suffix}" for metric in METRICS for suffix in ways)]
            body = [columns]
            for group, means in result["groups"].items():
                digits = [METRICS[column.split("_")[0]][2] for column in columns[2:]]
                cells = [f"{means[c]:.{d}f}" for c, d in zip(columns[2:], digits, strict=True)]
                body.append([group, str(means["clips"]), *cells])
            lines += [*_aligned(body), ""]
    over = next(iter(summary["checkpoints"].values()))["differences"][0]["corrected"]
    lines.append(
        f"In brackets {summary['level']:.0%} bootstrap intervals over {over['units']} {over['over']}. Verdicts, from "
        f"intervals of the paired difference at {summary['corrected_level']:.2%} "
        f"({summary['level']:.0%} over {summary['comparisons']} comparisons):"
    )
    for result in summary["checkpoints"].values():
        lines += [f"  {difference['sentence']}" for difference in result["differences"]]
    return "\n".join(lines)


def _cell(interval: Mapping[str, Any], digits: int, signed: bool = False) -> str:
    sign = "+" if signed else ""
    mean, low, high = (f"{interval[key]:{sign}.{digits}f}" for key in ("mean", "low", "high"))
    return f"{mean} [{low}, {high}]"


def _aligned(body: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*body, strict=True)]
    return [
        "  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))])
        for line in body
    ]


# The command --------------------------------------------------------------------------------------------------


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `python -m avd_core evidence`."""
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder of clips")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="for evidence.json, restoration.csv")
    parser.add_argument("--split", type=Path, metavar="FILE", help="JSON with the globs train, choose, test")
    parser.add_argument("--part", choices=PARTS, default="test", help="of the split (default: test)")
    parser.add_argument("--checkpoints", nargs="+", default=["base"], metavar="NAME", help="default: base")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap")


def run(args: argparse.Namespace) -> int:
    """Carries out `python -m avd_core evidence`."""
    import torch
    from tqdm import tqdm

    from avd_core.model import AVD

    check_folder(args.out)
    clips = select_clips(args.folder, args.split, args.part)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    models = {name: AVD.from_pretrained(name, device=device) for name in dict.fromkeys(args.checkpoints)}
    names = [model.name for model in models.values()]
    if len(set(names)) == len(names):
        models = dict(zip(names, models.values(), strict=True))

    rows: list[Row] = []
    skipped: list[Skipped] = []
    pause = 0.1 if sys.stderr.isatty() else 10.0  # seconds between updates: a log file wants few
    with tqdm(total=len(clips.paths), unit="clip", desc="restoration", mininterval=pause) as bar:
        for result in restoration(clips, models):
            if isinstance(result, Skipped):
                skipped.append(result)
                bar.write(f"skipped {result.clip}: {result.reason}", file=sys.stderr)
            else:
                rows += result
            bar.update()
    if not rows:
        raise EvidenceError(f"None of the {len(skipped)} clips can be read; the first: {skipped[0].reason}")

    summary = summarise(rows, args.seed)
    evidence = {
        "version": __version__,
        "folder": args.folder.resolve().name,
        "split": args.split.name if args.split else None,
        "part": clips.part,
        "clips": len(clips.paths) - len(skipped),
        "skipped": [asdict(clip) for clip in skipped],
        "checkpoints": {
            name: {"fingerprint": model.fingerprint, "frames": model.config.frames, "size": model.config.size}
            for name, model in models.items()
        },
        "protocols": {"restoration": summary},
    }
    with staged_folder(args.out) as staging:
        write_json(staging / "evidence.json", evidence)
        with open(staging / "restoration.csv", "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, [field.name for field in fields(Row)])
            writer.writeheader()
            writer.writerows(map(asdict, rows))

    print(
        f"Restoration of {evidence['clips']} whole clips of {evidence['folder']} ({clips.part}), through an 8-bit PNG"
        + (f"; {len(skipped)} could not be read" if skipped else ""),
        "",
        table(summary),
        "",
        f"-> {args.out}",
        sep="\n",
    )
    return 0
