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


MOST_FAILURES = 12  # clips named where a contender fails most


def account(
    question: str, how: str, *, unit: str = "%", scale: float = 100, digits: int = 1, lower_is_better: bool = False
) -> dict[str, Any]:
    """What a summary says beside its figures, for whoever reads it without this code.

    Args:
        question: what is asked, one sentence.
        how: what was done, a few sentences.
        unit: of the figures once they are multiplied by `scale`.
        scale: likewise.
        digits: worth printing.
        lower_is_better: whether a smaller figure wins.
    """
    return {
        "question": question,
        "how": how,
        "unit": unit,
        "scale": scale,
        "digits": digits,
        "lower_is_better": lower_is_better,
    }
