"""Restoration: how much of a clip is restored from its image, compared with still pictures and a codec.

Whole clips, before any video encoding. Degradations are applied to the image and to the codec's image, never to the
clip's middle and mean frame, which contenders are compared with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from avd_core.analysis.degradations import DEGRADATIONS
from avd_core.analysis.intervals import LEVEL, RESAMPLES, aligned, bootstrap, cell, unseen_lines, verdict
from avd_core.analysis.metrics import quality
from avd_core.evidence.report import MOST_FAILURES, Report, describe
from avd_core.media.codec_image import CODEC

if TYPE_CHECKING:
    from avd_core.evidence.feature_cache import FeatureCache

COPIES = {"middle_copy": "copying the middle frame", "mean_copy": "the mean frame"}
AGAINST = {**COPIES, CODEC: "the codec"}
FIGURES = ("psnr", "psnr_middle_copy", "psnr_mean_copy", "ssim", "ssim_middle_copy", "ssim_mean_copy")
METRICS = {"psnr": ("PSNR", " dB", 2), "ssim": ("SSIM", "", 4)}  # what it is called, its unit, digits worth printing
QUESTION = "How much of the clip comes back from one image of it?"
HOW = (
    "Whole clips at the checkpoint's size, from the bytes of an 8-bit image file and before any video encoding; PSNR "
    "over all pixels of a clip's frames, SSIM frame by frame. Beside it what two still pictures give back without any "
    "motion: the clip's middle frame and its mean frame, copied. The codec is H.264 of the same frames, as much as "
    "fits, in the lowest bits of the middle frame."
)
SHOWN_GROUPS = 12  # in the printed table; evidence.json has all


@dataclass(frozen=True)
class Row:
    """One clip through one checkpoint and one file."""

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
    through: str = "png"

    @property
    def contender(self) -> str:
        """Its name in the table."""
        return self.checkpoint if self.through == "png" else f"{self.checkpoint} through {self.through}"


@dataclass(frozen=True)
class RestorationFigures:
    """Restoration figures of each clip, from its image under a degradation; a `Requirement`."""

    name: str
    through: str
    fits: ClassVar[bool] = False

    def keys(self, cache: FeatureCache) -> tuple[str, ...]:
        return (f"restored|{cache.cache_key(self.name)}|{self.through}",)

    def make(self, cache: FeatureCache, index: int) -> dict[str, np.ndarray]:
        original = cache.frames(index, cache.representations[self.name].sampling)
        image, restore = (
            DEGRADATIONS[self.through](cache.image(self.name, index)),
            cache.representations[self.name].restore,
        )
        assert restore is not None, f"clips cannot be restored from {self.name}"
        figures = quality(original, restore(image))
        values = [*original.shape[1:3], *(getattr(figures, figure) for figure in FIGURES)]
        return {self.keys(cache)[0]: np.array(values, np.float64)}


def requirements(cache: FeatureCache, *, damages: Sequence[str]) -> list[RestorationFigures]:
    """List the restoration figures to compute."""
    names = [*cache.models, *rivals(cache)]
    return [RestorationFigures(name, through) for through in dict.fromkeys(["png", *damages]) for name in names]


def rivals(cache: FeatureCache) -> list[str]:
    """Return the baselines from whose images a clip can be restored."""
    return [name for name in cache.baselines if cache.representations[name].restore]


def measure(cache: FeatureCache, *, damages: Sequence[str] = ("jpeg-90",), seed: int = 0) -> Report:
    """Restore every reported clip with every checkpoint, from a PNG file and through each of the `damages`."""
    members = cache.members()
    rows = []
    for requirement in requirements(cache, damages=damages):
        for i in members:
            height, width, *figures = cache.get(requirement, i)[0].tolist()
            entry = cache.entries[i]
            rows.append(
                Row(
                    clip=entry.name,
                    group=entry.group,
                    checkpoint=requirement.name,
                    height=int(height),
                    width=int(width),
                    **dict(zip(FIGURES, figures, strict=True)),
                    through=requirement.through,
                )
            )
    unseen = cache.unseen(members)
    summary = {
        **summarise(rows, seed),
        **({} if unseen is None else {"unseen": _of_unseen(rows, [cache.entries[i].name for i in members[unseen]])}),
        **describe(QUESTION, HOW, unit="", scale=1, digits=2),
        "failures": {name: _worst([row for row in rows if row.contender == name]) for name in cache.models},
    }
    return Report("Restoration, whole clips, from an 8-bit PNG", summary, table(summary), [asdict(row) for row in rows])


def _of_unseen(rows: Sequence[Row], clips: Sequence[str]) -> dict[str, Any]:
    kept = set(clips)
    return {"clips": len(clips), "figures": summarise([row for row in rows if row.clip in kept])["figures"]}


def _worst(rows: Sequence[Row]) -> list[dict[str, str]]:
    """List the clips with the smallest gain over their mean frame."""
    worst = sorted(rows, key=lambda row: row.psnr - row.psnr_mean_copy)[:MOST_FAILURES]
    return [{"clip": row.clip, "why": f"{row.psnr - row.psnr_mean_copy:+.2f} dB over its mean frame"} for row in worst]


def summarise(rows: Sequence[Row], seed: int = 0) -> dict[str, Any]:
    """Summarise rows: for each checkpoint and degradation its means, paired differences to its references, and groups.

    Returns:
        Plain JSON values. `comparisons` is the number of verdicts; each follows from the interval at
        `corrected_level`, so that all of them together are wrong with 5 % probability at most.
    """
    by_checkpoint: dict[str, list[Row]] = {}
    for row in rows:
        by_checkpoint.setdefault(row.contender, []).append(row)
    beside = {name: _compared_with(members, rows) for name, members in by_checkpoint.items()}
    comparisons = len(METRICS) * sum(map(len, beside.values()))
    corrected = 1 - (1 - LEVEL) / comparisons

    def one(name: str, members: list[Row]) -> dict[str, Any]:
        known = [row.group or row.clip for row in members] if any(row.group for row in members) else []
        groups = known or None
        values = {figure: np.array([getattr(row, figure) for row in members]) for figure in FIGURES}
        differences = []
        for metric, (called, unit, digits) in METRICS.items():
            for other, reference in beside[name].items():
                paired = values[metric] - reference[metric]
                judged = bootstrap(paired, groups, level=corrected, seed=seed)
                sentence = (
                    f"{name} {verdict(judged)} {AGAINST[other]} in {called}: {judged.mean:+.{digits}f}{unit} "
                    f"[{judged.low:+.{digits}f}, {judged.high:+.{digits}f}]."
                )
                differences.append(
                    {
                        "metric": metric,
                        "against": other,
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
                    "clips": known.count(group),
                    **{figure: float(values[figure][np.array(known) == group].mean()) for figure in FIGURES},
                }
                for group in sorted(set(known))
            },
        }

    checkpoints = {name: one(name, members) for name, members in by_checkpoint.items()}
    return {
        "level": LEVEL,
        "comparisons": comparisons,
        "corrected_level": corrected,
        "seed": seed,
        "resamples": RESAMPLES,
        "checkpoints": checkpoints,
        **_as_board(checkpoints),
    }


def _compared_with(members: Sequence[Row], rows: Sequence[Row]) -> dict[str, dict[str, np.ndarray]]:
    """Return the references of a contender (copies, codec) with their figures by metric, each (N,).

    The codec is included only if it was measured on the same frames, through the same degradation.
    """
    found = {
        copy: {metric: np.array([getattr(row, f"{metric}_{copy}") for row in members]) for metric in METRICS}
        for copy in COPIES
    }
    same = {_place(row): row for row in rows if row.checkpoint == CODEC}
    rival = [same.get(_place(row)) for row in members if row.checkpoint != CODEC]
    if rival and all(rival):
        found[CODEC] = {metric: np.array([getattr(row, metric) for row in rival]) for metric in METRICS}
    return found


def _place(row: Row) -> tuple[str, str, float, float]:
    # Two checkpoints of one size may take different numbers of frames: then their middle frames' copies differ.
    return row.clip, row.through, row.psnr_middle_copy, row.psnr_mean_copy


def _as_board(checkpoints: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures in the layout of the other protocols: columns, rows, differences."""
    figures: dict[str, dict[str, Any]] = {}
    differences = []
    for metric, (called, unit, _) in METRICS.items():
        column = f"{called},{unit}" if unit else called
        first = next(iter(checkpoints.values()))["figures"]
        figures[column] = {name: one["figures"][metric] for name, one in checkpoints.items()}
        figures[column] |= {words: first[f"{metric}_{copy}"] for copy, words in COPIES.items()}
        differences += [
            {
                "measured": column,
                "of": name,
                "against": AGAINST[one["against"]],
                "interval": one["interval"],
                "corrected": one["corrected"],
                "verdict": one["verdict"],
            }
            for name, result in checkpoints.items()
            for one in result["differences"]
            if one["metric"] == metric
        ]
    return {"figures": figures, "differences": differences}


def table(summary: Mapping[str, Any]) -> str:
    """Format the summary as aligned text that ends in the verdicts."""
    lines = []
    for name, result in summary["checkpoints"].items():
        ways = {"": name, "_mean_copy": COPIES["mean_copy"], "_middle_copy": COPIES["middle_copy"]}
        header = ["", *(f"{called}{',' if unit else ''}{unit}" for called, unit, _ in METRICS.values())]
        body = [header]
        for suffix, way in ways.items():
            cells = [cell(result["figures"][metric + suffix], METRICS[metric][2]) for metric in METRICS]
            body.append([way, *cells])
        for difference in result["differences"]:
            digits = METRICS[difference["metric"]][2]
            column = list(METRICS).index(difference["metric"]) + 1
            label = f"{name} - {AGAINST[difference['against']]}"
            line = next((line for line in body if line[0] == label), None)
            if line is None:
                body.append(line := [label, *[""] * len(METRICS)])
            line[column] = cell(difference["interval"], digits, signed=True)
        lines += [*aligned(body), ""]
        if 0 < len(result["groups"]) <= SHOWN_GROUPS:
            columns = ["group", "clips", *(f"{metric}{suffix}" for metric in METRICS for suffix in ways)]
            body = [columns]
            for group, means in result["groups"].items():
                cells = [f"{means[name]:.{METRICS[name.split('_')[0]][2]}f}" for name in columns[2:]]
                body.append([group, str(means["clips"]), *cells])
            lines += [*aligned(body), ""]
    over = next(iter(summary["checkpoints"].values()))["differences"][0]["corrected"]
    lines.append(
        f"In brackets {summary['level']:.0%} bootstrap intervals over {over['units']} {over['over']}. Verdicts, from "
        f"intervals of the paired difference at {summary['corrected_level']:.2%} "
        f"({summary['level']:.0%} over {summary['comparisons']} comparisons):"
    )
    for result in summary["checkpoints"].values():
        lines += [f"  {difference['sentence']}" for difference in result["differences"]]
    lines += unseen_lines(summary, scale=1, digits=3)
    return "\n".join(lines)
