"""Ablations: figures of the other protocols, one row for each training variant, seeds together.

Checkpoints that were trained alike but for their seed are named alike but for `seed<n>` (or `s<n>`) at the end, such as
`runs/no-adversary-seed0` to `-seed2`. Of several seeds the mean stands with their range: an interval over clips says
nothing of how much a training depends on its seed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from avd_core.analysis.intervals import aligned

_SEED = re.compile(r"[-_. ]s(?:eed)?[-_]?(\d+)$", re.IGNORECASE)


def variants(names: Sequence[str]) -> dict[str, list[str]]:
    """Group checkpoints by variant, in their order."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(_SEED.sub("", name), []).append(name)
    return found


def ablation(names: Sequence[str], protocols: Mapping[str, Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return the ablation table, or None unless at least two variants were each trained with several seeds.

    Checkpoints that are merely measured beside each other, such as `base` and `exposure`, leave no part of one training
    out, and one training each says nothing of chance.

    Args:
        names: of the checkpoints.
        protocols: the summaries of protocols that have `figures`; of each column every checkpoint is a row.

    Returns:
        Plain JSON values: `variants` with their checkpoints, and `rows` with `protocol`, `measured`, `variant`, `mean`,
        `low` and `high` over its seeds, `seeds`, `unit`.
    """
    grouped = variants(names)
    if sum(len(members) > 1 for members in grouped.values()) < 2:
        return None
    rows = []
    for protocol, summary in protocols.items():
        scale = summary.get("scale", 1)
        for measured, figures in summary.get("figures", {}).items():
            for variant, members in grouped.items():
                values = [scale * figures[name]["mean"] for name in members if name in figures]
                if values:
                    rows.append(
                        {
                            "protocol": protocol,
                            "measured": measured,
                            "variant": variant,
                            "mean": sum(values) / len(values),
                            "low": min(values),
                            "high": max(values),
                            "seeds": len(values),
                            "unit": summary.get("unit", ""),
                            "digits": summary.get("digits", 1),
                        }
                    )
    return {"variants": grouped, "rows": rows}


def ablation_table(found: Mapping[str, Any]) -> str:
    """Format the table as aligned text: one line a variant, one column a figure."""
    columns = list(dict.fromkeys((row["protocol"], row["measured"]) for row in found["rows"]))
    body = [["", *(f"{protocol}: {measured}" for protocol, measured in columns)]]
    for variant, members in found["variants"].items():
        cells = []
        for column in columns:
            row = next(
                (r for r in found["rows"] if (r["protocol"], r["measured"]) == column and r["variant"] == variant), None
            )
            cells.append("" if row is None else range_cell(row))
        seeds = f" ({len(members)} seeds)" if len(members) > 1 else ""
        body.append([f"{variant}{seeds}", *cells])
    return "\n".join([*aligned(body), "", "In brackets the range over seeds, where there are several."])


def range_cell(row: Mapping[str, Any]) -> str:
    """Format a mean, followed by the range over seeds if there are several."""
    digits = row["digits"]
    mean = f"{row['mean']:.{digits}f}"
    return mean if row["seeds"] == 1 else f"{mean} [{row['low']:.{digits}f}, {row['high']:.{digits}f}]"
