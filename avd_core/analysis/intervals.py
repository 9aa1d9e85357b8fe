"""Bootstrap intervals, and the verdicts that follow from them.

A verdict follows from the interval of the *paired* difference, clip by clip, corrected for the number of comparisons
(Bonferroni). Intervals are bootstrap percentiles over groups (people, source videos), whose clips are not independent,
or over clips where there are fewer than five groups.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

LEVEL = 0.95
RESAMPLES = 10_000
UNSEEN = "The {clips} clips of people or source videos that stand on no other side of the split, by themselves"
FEWEST = 5  # units that an interval needs: fewer clips allow no verdict, fewer groups are shown one by one


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


def bootstrap(
    values: np.ndarray, groups: Sequence[str] | None = None, *, level: float = LEVEL, seed: int = 0
) -> Interval:
    """Return the mean with its bootstrap percentile interval.

    Args:
        values: (N,), one value a clip; paired differences for a comparison.
        groups: the group of each clip. From five groups on, groups are resampled, each with all its clips.
        level: coverage.
        seed: of the resampling.
    """
    return intervals(values, groups, levels=(level,), seed=seed)[0]


def intervals(
    values: np.ndarray, groups: Sequence[str] | None = None, *, levels: Sequence[float], seed: int = 0
) -> list[Interval]:
    """Return intervals of several levels from one resampling, otherwise as `bootstrap`."""
    units, over = np.arange(len(values)), "clips"
    if groups is not None and len(set(groups)) >= FEWEST:
        units, over = np.unique(groups, return_inverse=True)[1], "groups"
    sums, counts = np.bincount(units, weights=values), np.bincount(units)
    rng = np.random.default_rng(seed)
    means = np.empty(RESAMPLES)
    for begin in range(0, RESAMPLES, 500):  # in blocks: ten thousand clips at once would be a gigabyte
        drawn = rng.integers(len(sums), size=(500, len(sums)))
        means[begin : begin + 500] = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    ends = [np.quantile(means, [(1 - level) / 2, (1 + level) / 2]).tolist() for level in levels]
    return [
        Interval(float(np.mean(values)), low, high, level, over, len(sums))
        for level, (low, high) in zip(levels, ends, strict=True)
    ]


def verdict(difference: Interval) -> str:
    """Return the verdict on the first against the second that the interval of their paired difference allows."""
    if difference.units < FEWEST:
        return f"has too few {difference.over} to be judged against"
    if difference.low > 0:
        return "beats"
    return "loses to" if difference.high < 0 else "cannot be told from"


def scoreboard(
    columns: Mapping[str, Mapping[str, np.ndarray]],
    contenders: Sequence[str],
    groups: Sequence[str] | None = None,
    *,
    lower_is_better: bool = False,
    seed: int = 0,
    among: int = 1,
    unseen: np.ndarray | None = None,
) -> dict[str, Any]:
    """Compute every representation's mean, and a verdict on each contender against every other representation.

    Args:
        columns: ways of measuring -> representations -> (N,) one figure a clip, the clips in the same order.
        contenders: the representations that are judged; every column holds them.
        groups: the group of each clip.
        lower_is_better: whether a smaller figure wins.
        seed: of the bootstrap.
        among: how many boards of this size pass verdicts together.
        unseen: bool (N,), which clips are of no group that was fitted on, where not all are.

    Returns:
        Plain JSON values. `comparisons` is how many verdicts are passed; each follows from the interval at
        `corrected_level`, so that all of them together are wrong with 5 % probability at most. `unseen`, where not all
        clips are, holds the figures of those that are.
    """
    pairs = [
        (column, one, other)
        for column, rows in columns.items()
        for number, one in enumerate(contenders)
        for other in rows
        if other not in contenders[: number + 1]  # two contenders are compared once
    ]
    comparisons = among * len(pairs)
    corrected = 1 - (1 - LEVEL) / max(1, comparisons)
    differences = [
        {"measured": column} | _difference(columns[column], one, other, groups, corrected, lower_is_better, seed)
        for column, one, other in pairs
    ]
    return {
        "level": LEVEL,
        "comparisons": comparisons,
        "corrected_level": corrected,
        "seed": seed,
        "resamples": RESAMPLES,
        "figures": figures_of(columns, groups, seed=seed),
        "differences": differences,
        "groups": group_means(columns, groups),
        **({} if unseen is None else {"unseen": figures_of_unseen(columns, groups, unseen, seed=seed)}),
    }


def _difference(
    rows: Mapping[str, np.ndarray], one: str, other: str, groups: Sequence[str] | None, corrected: float,
    lower_is_better: bool, seed: int,
) -> dict[str, Any]:  # fmt: skip
    """Return the paired difference of two representations, its intervals, and the verdict at level `corrected`."""
    interval, judged = intervals(rows[one] - rows[other], groups, levels=(LEVEL, corrected), seed=seed)
    won = replace(judged, mean=-judged.mean, low=-judged.high, high=-judged.low) if lower_is_better else judged
    return {
        "of": one,
        "against": other,
        "interval": asdict(interval),
        "corrected": asdict(judged),
        "verdict": verdict(won),
    }


def figures_of(
    columns: Mapping[str, Mapping[str, np.ndarray]], groups: Sequence[str] | None, *, seed: int = 0
) -> dict[str, dict[str, Any]]:
    """Return the mean of every representation in every column, with its interval, as plain values."""
    return {
        column: {name: asdict(bootstrap(values, groups, seed=seed)) for name, values in rows.items()}
        for column, rows in columns.items()
    }


def figures_of_unseen(
    columns: Mapping[str, Mapping[str, np.ndarray]], groups: Sequence[str] | None, unseen: np.ndarray, *, seed: int = 0
) -> dict[str, Any]:
    """Return how many clips are of groups that were not fitted on, and their `figures_of`."""
    kept = {column: {name: values[unseen] for name, values in rows.items()} for column, rows in columns.items()}
    of = None if groups is None else [group for group, inside in zip(groups, unseen, strict=True) if inside]
    return {"clips": int(unseen.sum()), "figures": figures_of(kept, of, seed=seed)}


def group_means(
    columns: Mapping[str, Mapping[str, np.ndarray]], groups: Sequence[str] | None
) -> dict[str, dict[str, Any]]:
    """Return for each group its number of clips and every representation's mean in every column; {} without groups."""
    members = {group: np.array(groups) == group for group in sorted(set(groups or ()))}
    return {
        group: {
            "clips": int(inside.sum()),
            "figures": {
                column: {name: float(values[inside].mean()) for name, values in rows.items()}
                for column, rows in columns.items()
            },
        }
        for group, inside in members.items()
    }


def group_table(groups: Mapping[str, Any], column: str, *, scale: float = 100, digits: int = 1) -> str:
    """Format the means of `group_means` in one column as aligned text, one line a representation."""
    body = [[f"by group, {column}", *(f"{group} ({one['clips']} clips)" for group, one in groups.items())]]
    for name in next(iter(groups.values()))["figures"][column]:
        body.append([name, *(f"{one['figures'][column][name] * scale:.{digits}f}" for one in groups.values())])
    return "\n".join(aligned(body))


def scoreboard_table(board: Mapping[str, Any], *, scale: float = 100, digits: int = 1) -> str:
    """Format the figures as aligned text (per cent by default), one line a representation, ending in the verdicts."""
    any_row = next(iter(next(iter(board["figures"].values())).values()))
    lines = [
        *figures_table(board["figures"], scale=scale, digits=digits),
        "",
        f"In brackets {board['level']:.0%} bootstrap intervals over {any_row['units']} {any_row['over']}. Verdicts, "
        f"from intervals of the paired difference at {board['corrected_level']:.2%} ({board['level']:.0%} over "
        f"{board['comparisons']} comparisons):",
    ]
    found: dict[tuple[str, str], dict[str, list[str]]] = {}
    for entry in board["differences"]:
        difference = f"{entry['against']} ({entry['corrected']['mean'] * scale:+.{digits}f})"
        found.setdefault((entry["of"], entry["measured"]), {}).setdefault(entry["verdict"], []).append(difference)
    for (one, column), verdicts in found.items():
        sentence = "; ".join(f"{word} {', '.join(others)}" for word, others in verdicts.items())
        lines.append(f"  {column}: {one} {sentence}.")
    lines += [resolution(board, scale=scale, digits=digits)] if board["differences"] else []
    lines += unseen_lines(board, scale=scale, digits=digits)
    if 1 < len(board["groups"]) < FEWEST:  # too few to resample, so each is listed
        lines[-1] += "\n"
        lines.append(group_table(board["groups"], next(iter(board["figures"])), scale=scale, digits=digits))
    return "\n".join(lines)


def figures_table(figures: Mapping[str, Any], *, scale: float, digits: int) -> list[str]:
    """Format figures as aligned lines, one for each representation."""
    names = dict.fromkeys(name for rows in figures.values() for name in rows)
    body = [["", *figures]]
    for name in names:
        found = [rows.get(name) for rows in figures.values()]
        body.append([name, *("" if one is None else cell(one, digits, scale=scale) for one in found)])
    return aligned(body)


def unseen_lines(board: Mapping[str, Any], *, scale: float, digits: int) -> list[str]:
    """Format the figures of unseen groups' clips as aligned lines under a heading; [] if all groups are unseen."""
    if not board.get("unseen"):
        return []
    heading = UNSEEN.format(clips=board["unseen"]["clips"])
    return ["", f"{heading}:", "", *figures_table(board["unseen"]["figures"], scale=scale, digits=digits)]


def resolution(board: Mapping[str, Any], *, scale: float, digits: int) -> str:
    """Return a sentence with the smallest differences that could have given a verdict, by column.

    They are half the width of each difference's corrected interval: a mean nearer to 0 gives no verdict.
    """
    halves: dict[str, list[float]] = {}
    for one in board["differences"]:
        halves.setdefault(one["measured"], []).append((one["corrected"]["high"] - one["corrected"]["low"]) / 2 * scale)
    columns = []
    for column, found in halves.items():
        least, most = f"{min(found):.{digits}f}", f"{max(found):.{digits}f}"
        columns.append(f"{column} {least if least == most else f'{least} to {most}'}")
    return f"The smallest difference that these clips could have shown: {', '.join(columns)}."


def sentences(board: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each contender and column, as the corrected intervals of its differences allow."""
    scale, digits = board.get("scale", 1), board.get("digits", 1)
    found: dict[tuple[str, str], dict[str, list[str]]] = {}
    for one in board["differences"]:
        judged = one["corrected"]
        low, high = sorted((judged["low"] * scale, judged["high"] * scale))
        difference = f"{one['against']} ({judged['mean'] * scale:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}])"
        found.setdefault((one["of"], one["measured"]), {}).setdefault(one["verdict"], []).append(difference)
    return [
        f"{measured}: {of} {'; '.join(f'{verdict} {listed(others)}' for verdict, others in verdicts.items())}."
        for (of, measured), verdicts in found.items()
    ]


def listed(names: Sequence[str]) -> str:
    """Join names as 'a', 'a and b' or 'a, b and c'."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def cell(interval: Mapping[str, Any], digits: int, *, signed: bool = False, scale: float = 1) -> str:
    """Format an interval: its mean, and its ends in brackets."""
    sign = "+" if signed else ""
    mean, low, high = (f"{interval[key] * scale:{sign}.{digits}f}" for key in ("mean", "low", "high"))
    return f"{mean} [{low}, {high}]"


def aligned(body: Sequence[Sequence[str]]) -> list[str]:
    """Format rows of cells as lines of one width: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*body, strict=True)]
    return [
        "  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))])
        for line in body
    ]
