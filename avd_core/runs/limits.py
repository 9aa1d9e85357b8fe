"""Limits of fine-tuning from the page, which the operator of a server sets in the environment."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self


class LimitError(ValueError):
    """A request exceeds the limits, or a limit is invalid; the message says which, in one sentence."""


@dataclass(frozen=True)
class TuneLimits:
    """Limits of fine-tuning from the page; `AVD_TUNE_<NAME>` sets each, such as `AVD_TUNE_CLIPS=20`.

    Attributes:
        on: 0 turns fine-tuning off.
        clips: in a run.
        steps: of a run.
        seconds: of training in a run, resumes included.
        runs: of a person, finished ones included.
        active: runs of a person that wait or train.
        waiting: runs in the queue of a device, of all persons.
        disk: gigabytes of all runs together.
        hours: after which a finished run is deleted.
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
        """Read the limits that the environment sets; the others have their defaults.

        Raises:
            LimitError: a value is no whole number in range; the server must not start without its limits.
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
