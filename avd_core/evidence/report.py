"""The result of a protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


class NotMeasurable(ValueError):
    """A protocol cannot run on these clips or this machine; the message says why."""


@dataclass(frozen=True)
class Report:
    """The result of one protocol.

    Attributes:
        title: one line that names the measurement and its unit.
        summary: plain JSON values, for evidence.json.
        text: the table and its verdicts as aligned text.
        rows: one dictionary for each clip and representation, all with the same keys, for the protocol's CSV file.
    """

    title: str
    summary: Mapping[str, Any]
    text: str
    rows: Sequence[Mapping[str, Any]] = field(repr=False)


MOST_FAILURES = 12  # clips listed of a contender's worst


def describe(
    question: str, how: str, *, unit: str = "%", scale: float = 100, digits: int = 1, lower_is_better: bool = False
) -> dict[str, Any]:
    """Describe a protocol's figures in its summary, for readers of evidence.json.

    Args:
        question: the question it answers, one sentence.
        how: the method, a few sentences.
        unit: of a figure multiplied by `scale`.
        scale: factor from the stored to the printed figures.
        digits: decimals to print.
        lower_is_better: whether the smaller figure wins.
    """
    return {
        "question": question,
        "how": how,
        "unit": unit,
        "scale": scale,
        "digits": digits,
        "lower_is_better": lower_is_better,
    }
