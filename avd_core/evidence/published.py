"""Published evidence: the reports that lie beside the checkpoints, and where the footage they speak of may lie.

A report holds figures and the names of clips, never their pictures: the footage belongs to others. Where somebody has
it (below `AVD_DATA`, each set in a folder of its name), a name leads to its clip.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

REPORTS = Path(__file__).resolve().parents[2] / "checkpoints" / "reports"
_NEEDED = ("about", "checkpoints", "folders", "protocols", "skipped", "clips")


class ReportError(ValueError):
    """A report that cannot be shown, with a sentence saying why."""


def published() -> dict[str, Path]:
    """The bundled reports by name: `<name>/evidence.json` of each."""
    return {path.parent.name: path for path in sorted(REPORTS.glob("*/evidence.json"))}


def read_report(path: str | Path) -> dict[str, Any]:
    """What an evidence.json holds.

    Raises:
        ReportError: it cannot be read, or is none.
    """
    path = Path(path)
    try:
        evidence = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ReportError(f"The report {path.parent.name} cannot be read: {error}.") from error
    lacking = [key for key in _NEEDED if not isinstance(evidence, dict) or key not in evidence]
    if lacking:
        raise ReportError(f"The report {path.parent.name} says nothing about {lacking[0]}: make it anew.")
    return evidence


def footage(evidence: Mapping[str, Any], clip: str, root: str | Path | None = None) -> Path | None:
    """The file of a clip that a report names, where the set is at hand.

    Args:
        evidence: the report.
        clip: a name out of it; below its set's name where there are several sets.
        root: the folder of all sets; by default what `AVD_DATA` names.
    """
    root = root or os.environ.get("AVD_DATA")
    if not root:
        return None
    folders = evidence["folders"]
    named = PurePosixPath(clip if len(folders) > 1 else f"{folders[0]}/{clip}")
    if named.is_absolute() or ".." in named.parts:  # a set itself may be a link to where there is room for it
        return None
    path = Path(root) / named
    return path if path.is_file() else None
