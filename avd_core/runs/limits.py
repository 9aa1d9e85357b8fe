"""What fine-tuning may cost, as the operator of a server says it: frozen limits, read from the environment."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self


class LimitError(ValueError):
    """A request beyond the limits, or limits that make no sense, with a sentence saying which."""


@dataclass(frozen=True)
class TuneLimits:
    """Limits of fine-tuning from the page; `AVD_TUNE_<NAME>` sets each, such as `AVD_TUNE_CLIPS=20`.

    Attributes:
        on: 0 turns fine-tuning off.
        clips: in one run.
        steps: of one run.
        seconds: of training in one run, its resumes included.
        runs: that one person may have in all, finished ones too.
        active: of those waiting or running at once.
        waiting: runs in the queue of one device, everybody's together.
        disk: gigabytes that everybody's runs may take together.
        hours: after which a run that is over is deleted.
    """

    on: int = 1
    clips: int = 200
    steps: int = 100_000
    seconds: int = 24 * 3600
    runs: int = 20
    active: int = 4
    waiting: int = 16
    disk: int = 20
    hours: int = 30 * 24

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            lowest = 0 if field.name == "on" else 1
            if getattr(self, field.name) < lowest:
                raise LimitError(f"{variable(field.name)} must be {lowest} or more.")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Read the limits that the environment sets; the others keep their defaults.

        Raises:
            LimitError: for a value that is no whole number in range: better no server than one without its limits.
        """
        values = {}
        for field in dataclasses.fields(cls):
            text = environment.get(variable(field.name), "").strip()
            if not text:
                continue
            if not text.isdecimal():
                raise LimitError(f"{variable(field.name)} is {text!r}; it must be a whole number.")
            values[field.name] = int(text)
        return cls(**values)


def variable(name: str) -> str:
    """Return the name of a limit's environment variable."""
    return "AVD_TUNE" if name == "on" else f"AVD_TUNE_{name.upper()}"
