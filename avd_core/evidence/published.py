"""The reports that are bundled with the checkpoints, and the clips that they name.

A report holds figures and names of clips, never pictures: the footage belongs to others. Where the data sets are
installed (below `AVD_DATA`, each in a folder of its name), `footage` finds the clip of a name.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

REPORTS = Path(__file__).resolve().parents[2] / "checkpoints" / "reports"
_NEEDED = {"about": str, "checkpoints": dict, "folders": list, "protocols": dict, "skipped": list, "clips": int}


class ReportError(ValueError):
    """A report cannot be shown; the message says why."""


def published() -> dict[str, Path]:
    """Return the path of each bundled report's evidence.json by the report's name."""
    return {path.parent.name: path for path in sorted(REPORTS.glob("*/evidence.json"))}


def names() -> dict[str, str]:
    """Return what people read for each of the `published` reports: the name of its clips, or else of its folder."""
    return {folder: _name(path, path.stat().st_mtime_ns) for folder, path in published().items()}


@lru_cache(maxsize=64)
def _name(path: Path, changed: int) -> str:
    """Return a report's name; `changed` is the time of its last change in ns, so that a new report is read anew."""
    try:
        name = read_report(path).get("name")
    except ReportError:
        name = None
    return str(name or path.parent.name.replace("-", " "))


def read_report(path: str | Path) -> dict[str, Any]:
    """Read an evidence.json.

    Raises:
        ReportError: it cannot be read, or lacks entries.
    """
    path = Path(path)
    try:
        evidence = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ReportError(f"The report {path.parent.name} cannot be read: {error}.") from error
    content = evidence if isinstance(evidence, dict) else {}
    lacking = [key for key, kind in _NEEDED.items() if not isinstance(content.get(key), kind)]
    if not lacking and not (evidence["folders"] and all(isinstance(name, str) for name in evidence["folders"])):
        lacking = ["folders"]
    if lacking:
        raise ReportError(f"The report {path.parent.name} says nothing about {lacking[0]}: make it anew.")
    return evidence


def footage(evidence: Mapping[str, Any], clip: str, root: str | Path | None = None) -> Path | None:
    """Return the file of a clip that a report names, or None if it is not here.

    Args:
        evidence: the report.
        clip: its name in the report; with several sets, below its set's name.
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
    try:
        return path if path.is_file() else None
    except OSError:  # a name that no file system takes
        return None
