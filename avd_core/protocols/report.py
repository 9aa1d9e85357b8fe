"""What a protocol hands back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


class NotMeasurable(ValueError):
    """A protocol that these clips or this machine do not allow, with a sentence saying why."""


@dataclass(frozen=True)
class Report:
    """The outcome of one protocol.

    Attributes:
        title: what was done, one line.
        summary: plain JSON values, for evidence.json.
        text: the table and its verdicts, for people.
        rows: one dictionary of the same keys a clip and representation, for the protocol's CSV file.
    """

    title: str
    summary: Mapping[str, Any]
    text: str
    rows: Sequence[Mapping[str, Any]] = field(repr=False)
