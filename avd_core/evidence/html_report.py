"""Render evidence.json as one self-contained HTML file: question, method, table and verdicts of each protocol.

Plots are inline SVG. The page has no script and loads nothing from the network (its own policy forbids it). Every
sentence is derived from the intervals of evidence.json, the only input.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from avd_core.analysis.intervals import UNSEEN, resolution, sentences
from avd_core.evidence.plots import plots, svg
from avd_core.evidence.protocols.ablation import range_cell
from avd_core.templates import TEMPLATES

_HTML: Any = TEMPLATES.get_template("evidence/html_report.html").module  # its macros
_STYLE = Markup(Path(__file__).with_suffix(".css").read_text(encoding="utf-8"))
_VERDICT = re.compile(" (beats|loses to|cannot be told from|has too few) ")

Clip = Callable[[str], str]  # a clip's name as text, or as Markup


def evidence_page(evidence: Mapping[str, Any]) -> str:
    """Render the whole page of the content of an evidence.json."""
    contenders = list(evidence["checkpoints"])
    title = f"Evidence: {title_of(evidence)}"
    pieces = [
        head(evidence, title),
        *(section(name, protocol, contenders) for name, protocol in evidence["protocols"].items()),
        ablation_section(evidence.get("ablation")),
        skipped_section(evidence["skipped"]),
    ]
    return str(_HTML.page(title, _STYLE, pieces)).lstrip()


def title_of(evidence: Mapping[str, Any]) -> str:
    """Say which checkpoints were measured on which clips."""
    return f"{', '.join(evidence['checkpoints'])} on {evidence.get('name') or ', '.join(evidence['folders'])}"


def head(evidence: Mapping[str, Any], title: str, tag: str = "h1") -> Markup:
    """Render the header: clips, split, checkpoints and classifiers, and what the result is not."""
    return _HTML.head(evidence, title, tag)


def section(name: str, protocol: Mapping[str, Any], contenders: Sequence[str], clip: Clip = str) -> Markup:
    """Render one protocol: question, method, tables, verdicts, plots and the worst clips."""
    if "not_measured" in protocol:
        return _HTML.not_run(name, protocol["not_measured"])
    found, scale, digits = protocol.get("unseen"), protocol.get("scale", 1), protocol.get("digits", 2)
    shown = {
        "question": protocol["question"],
        "how": protocol["how"],
        "figures": _figures(protocol, contenders) if protocol.get("figures") else None,
        "unseen": _figures({**protocol, "figures": found["figures"]}, contenders) if found else None,
        "unseen_heading": UNSEEN.format(clips=found["clips"]) if found else "",
        "curves": _curves(protocol) if protocol.get("curves") else (),
        "verdicts": [],
        "doubts": [] if protocol.get("valid", True) else protocol["doubts"],
        "plots": [(words, svg(draw, words, f"{name}-{key}")) for key, words, draw in plots(name, protocol, contenders)],
        "failures": [
            (contender, [(clip(one["clip"]), one["why"]) for one in clips])
            for contender, clips in protocol.get("failures", {}).items()
            if clips
        ],
    }
    if protocol.get("differences"):
        shown |= {
            "verdicts": [_VERDICT.split(sentence) for sentence in sentences(protocol)],  # every other one a verdict
            "level": f"{protocol['corrected_level']:.2%}",
            "comparisons": protocol["comparisons"],
            "resolution": resolution(protocol, scale=scale, digits=digits),
        }
    return _HTML.section(name, shown)


def ablation_section(found: Mapping[str, Any] | None) -> Markup:
    """Render the ablation table: a row for each variant of the training, seeds together; empty without one."""
    if not found:
        return Markup()
    columns = list(dict.fromkeys((row["protocol"], row["measured"]) for row in found["rows"]))
    cells = {(row["protocol"], row["measured"], row["variant"]): range_cell(row) for row in found["rows"]}
    rows = [
        (variant, len(members), [cells.get((*column, variant), "") for column in columns])
        for variant, members in found["variants"].items()
    ]
    return _HTML.ablation(columns, rows)


def skipped_section(skipped: Sequence[Mapping[str, str]]) -> Markup:
    """List the clips that cannot be read, each with its reason; empty if there are none."""
    return _HTML.skipped(skipped) if skipped else Markup()


def _figures(protocol: Mapping[str, Any], contenders: Sequence[str]) -> dict[str, Any]:
    """Return a table of figures: a row for each representation, a column for each measurement, and its notes."""
    columns, scale, digits = protocol["figures"], protocol.get("scale", 1), protocol.get("digits", 2)
    unit, chance = protocol.get("unit", ""), protocol.get("chance")
    names = dict.fromkeys(name for rows in columns.values() for name in rows)
    notes = [f"Guessing: {chance * scale:.{digits}f}{unit}."] if chance is not None else []
    notes += [f"In brackets: {protocol['spread']}."] if protocol.get("spread") else []
    return {
        "columns": [f"{column}, {unit}" if unit else column for column in columns],
        "rows": [
            (
                name,
                any(name == one or name.startswith(f"{one} ") for one in contenders),
                [_cell(rows.get(name), scale, digits) for rows in columns.values()],
            )
            for name in names
        ],
        "notes": notes,
    }


def _curves(protocol: Mapping[str, Any]) -> list[tuple[str, list[str], list[Any]]]:
    """Return figures by degradation, a table for each measurement: (what is measured, columns, rows)."""
    words = protocol["words"]
    return [
        (
            measured,
            list(words.values()),
            [(name, False, [_cell(line[damage], 1, 1) for damage in words]) for name, line in lines.items()],
        )
        for measured, lines in protocol["curves"].items()
    ]


def _cell(interval: Mapping[str, Any] | None, scale: float, digits: int) -> list[str]:
    """Write an interval's mean, low and high; empty without one."""
    if interval is None:
        return []
    return [f"{interval[key] * scale:.{digits}f}".replace("-", "−") for key in ("mean", "low", "high")]
