"""Calibrated realism: where a discriminator's score stands among reference scores.

A relativistic critic's logits have no absolute zero, so a raw number tells a person nothing. A checkpoint therefore
carries the scores of real frames and of distilled images that it never trained on, and a score is told as a percentile.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

MAX_SCORES = 4096


@dataclass(frozen=True)
class Calibration:
    """Reference scores of one checkpoint's discriminator.

    Attributes:
        real: logits of real frames, sorted.
        distilled: logits of this checkpoint's distilled images, sorted.
    """

    real: tuple[float, ...]
    distilled: tuple[float, ...]

    def __post_init__(self) -> None:
        for name in ("real", "distilled"):
            scores = getattr(self, name)
            if not 1 <= len(scores) <= MAX_SCORES or not all(math.isfinite(score) for score in scores):
                raise ValueError(f"Calibration.{name} needs 1 to {MAX_SCORES} finite scores.")
            object.__setattr__(self, name, tuple(sorted(scores)))

    def percentile_among_real(self, logit: float) -> float:
        """Share of real reference frames that score below `logit`, 0 to 100; ties count half."""
        below, upto = bisect_left(self.real, logit), bisect_right(self.real, logit)
        return 50.0 * (below + upto) / len(self.real)

    @classmethod
    def from_scores(cls, real: Iterable[float], distilled: Iterable[float]) -> Self:
        """Keeps four decimals: enough for a percentile, small on disk."""
        return cls(tuple(round(float(x), 4) for x in real), tuple(round(float(x), 4) for x in distilled))

    @classmethod
    def from_json(cls, path: str | Path) -> Self:
        """Reads `calibration.json`; raises ValueError when it is not one."""
        try:
            values = json.loads(Path(path).read_text(encoding="utf-8"))
            return cls(tuple(map(float, values["real"])), tuple(map(float, values["distilled"])))
        except (OSError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"{Path(path).name} is not a calibration: {error}.") from error

    def to_json(self) -> str:
        """The text of `calibration.json`."""
        return json.dumps({"real": self.real, "distilled": self.distilled})
