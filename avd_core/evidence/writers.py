"""Write the results: evidence.json, an HTML report, tables as CSV and plots as PNG."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from avd_core.atomic_io import plain_json, staged_folder, write_json
from avd_core.evidence.html_report import evidence_page
from avd_core.evidence.plots import plots, png
from avd_core.evidence.report import Report
from avd_core.evidence.runner import Outcome

TABLE = ("protocol", "measured", "representation", "mean", "low", "high", "unit", "over", "units")


def write(out: str | Path, outcome: Outcome) -> None:
    """Write all results into a folder, atomically.

    `report.html` and `evidence.json` hold everything; `tables.csv` all figures with their intervals; `verdicts.csv` all
    differences; `<protocol>.csv` one line for each clip and representation; `plots/` the page's plots.
    """
    evidence = plain_json(outcome.evidence)
    with staged_folder(out) as staging:
        write_json(staging / "evidence.json", evidence)
        (staging / "report.html").write_text(evidence_page(evidence), encoding="utf-8", errors="replace")
        _write_csv(staging / "tables.csv", table_rows(evidence))
        _write_csv(staging / "verdicts.csv", verdict_rows(evidence))
        for name, report in outcome.reports.items():
            if isinstance(report, Report):
                _write_csv(staging / f"{name}.csv", report.rows)
        pictures = staging / "plots"
        pictures.mkdir()
        for name, protocol in evidence["protocols"].items():
            for key, _, draw in plots(name, protocol, list(evidence["checkpoints"])):
                (pictures / f"{_safe(key)}.png").write_bytes(png(draw))


def table_rows(evidence: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return every figure, points of curves included, with its interval, in the printed unit."""
    rows = []
    for name, protocol in evidence["protocols"].items():
        found = [
            (measured, representation, interval, protocol.get("scale", 1))
            for measured, figures in protocol.get("figures", {}).items()
            for representation, interval in figures.items()
        ]
        found += [
            (f"{measured}, {damage}", representation, interval, 1)
            for measured, lines in protocol.get("curves", {}).items()
            for representation, line in lines.items()
            for damage, interval in line.items()
        ]
        rows += [
            {
                "protocol": name,
                "measured": measured,
                "representation": representation,
                **{key: interval[key] * scale for key in ("mean", "low", "high")},
                "unit": protocol.get("unit", ""),
                "over": interval["over"],
                "units": interval["units"],
            }
            for measured, representation, interval, scale in found
        ]
    return rows or [dict.fromkeys(TABLE)]


def verdict_rows(evidence: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return every paired difference with its corrected interval and verdict."""
    rows = [
        {
            "protocol": name,
            "measured": one["measured"],
            "of": one["of"],
            "verdict": one["verdict"],
            "against": one["against"],
            **{key: one["corrected"][key] * protocol.get("scale", 1) for key in ("mean", "low", "high", "level")},
            "level": one["corrected"]["level"],
        }
        for name, protocol in evidence["protocols"].items()
        for one in protocol.get("differences", ())
    ]
    empty = ("protocol", "measured", "of", "verdict", "against", "mean", "low", "high", "level")
    return rows or [dict.fromkeys(empty)]


def _write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    with open(path, "w", newline="", encoding="utf-8", errors="replace") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _safe(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name)
