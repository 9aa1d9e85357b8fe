"""Calibrated realism: the percentile of a discriminator's score among reference scores.

A relativistic critic's logits have no absolute zero, so a raw score means nothing to users. A checkpoint therefore
holds the scores of real frames and of distilled images that it was not trained on, and a score is shown as a
percentile. Scores depend on the size of the image, and so do the references.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

MAX_SCORES = 4096
MAX_SIDE = 4096


@dataclass(frozen=True)
class Calibration:
    """Reference scores of one checkpoint's discriminator.

    Attributes:
        real: logits of real frames, sorted.
        distilled: logits of this checkpoint's distilled images, sorted.
        sizes: the same by short side in pixels, for sizes other than the checkpoint's own.
    """

    real: tuple[float, ...]
    distilled: tuple[float, ...]
    sizes: Mapping[int, Calibration] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("real", "distilled"):
            scores = getattr(self, name)
            if not 1 <= len(scores) <= MAX_SCORES or not all(math.isfinite(score) for score in scores):
                raise ValueError(f"Calibration.{name} needs 1 to {MAX_SCORES} finite scores.")
            object.__setattr__(self, name, tuple(sorted(scores)))

    def at(self, size: int) -> Calibration:
        """Return the reference scores of the short side in `sizes` nearest to `size` by ratio; without any, `self`."""
        if not self.sizes:
            return self
        return self.sizes[min(self.sizes, key=lambda measured: abs(math.log(measured / size)))]

    def percentile_among_real(self, logit: float) -> float:
        """Return the share of real reference frames that score below `logit`, 0 to 100; ties count half."""
        return _percentile(self.real, logit)

    def percentile_among_distilled(self, logit: float) -> float:
        """Return the share of reference distilled images that score below `logit`, 0 to 100; ties count half."""
        return _percentile(self.distilled, logit)

    @classmethod
    def from_scores(cls, real: Iterable[float], distilled: Iterable[float]) -> Self:
        """Build it from logits, rounded to four decimals, which suffices for percentiles."""
        return cls(tuple(round(float(x), 4) for x in real), tuple(round(float(x), 4) for x in distilled))

    @classmethod
    def from_json(cls, path: str | Path) -> Self:
        """Read a `calibration.json`; raise ValueError if it is not valid."""
        try:
            values = json.loads(Path(path).read_text(encoding="utf-8"))
            sizes = {int(size): cls._parse(scores) for size, scores in values.get("sizes", {}).items()}
            if not all(1 <= size <= MAX_SIDE for size in sizes):
                raise ValueError(f"it names sizes beyond 1 to {MAX_SIDE} pixels")
            return cls._parse(values, sizes)
        except (OSError, KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise ValueError(f"{Path(path).name} is not a calibration: {error}.") from error

    @classmethod
    def _parse(cls, values: Mapping[str, Iterable[float]], sizes: Mapping[int, Calibration] | None = None) -> Self:
        return cls(tuple(map(float, values["real"])), tuple(map(float, values["distilled"])), sizes or {})

    def to_json(self) -> str:
        """Return the text of `calibration.json`."""
        own = {"real": self.real, "distilled": self.distilled}
        sizes = {str(size): {"real": c.real, "distilled": c.distilled} for size, c in sorted(self.sizes.items())}
        return json.dumps(own | ({"sizes": sizes} if sizes else {}))


def _percentile(scores: tuple[float, ...], logit: float) -> float:
    below, upto = bisect_left(scores, logit), bisect_right(scores, logit)
    return 50.0 * (below + upto) / len(scores)
