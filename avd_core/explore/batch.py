"""Distill many clips: one image of each, with figures that show which to inspect.

Clips are given as files, folders and zips; a clip's folder names its class. A clip that cannot be read is reported, and
the next one follows.

Axes: H, W; the last axis is RGB. Images are uint8.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from avd_core.data.clip_files import Source
from avd_core.explore.requests import DEFAULT_CHECKPOINT, DEFAULT_CLASSIFIER, ExploreRequest
from avd_core.explore.results import RecognisedStage
from avd_core.media.distilled_png import DistilledInfo
from avd_core.media.window import MOST_MOTION, Window

if TYPE_CHECKING:
    from avd_core.classifiers.loading import Prediction
    from avd_core.explore.explorer import Explorer


@dataclass(frozen=True)
class BatchRequest:
    """Clips, and options for each of them, which are those of `ExploreRequest`."""

    sources: tuple[Source, ...]
    checkpoint: str = DEFAULT_CHECKPOINT
    classifier: str = DEFAULT_CLASSIFIER
    window: Window = MOST_MOTION
    size: int | None = None


@dataclass(frozen=True)
class Inspected:
    """The result for one clip.

    Attributes:
        source: the clip.
        problem: why there is no result, in a sentence; None if there is one.
        image: (H, W, 3), the distilled image.
        info: metadata for a PNG of it.
        start, seconds: the window.
        psnr: of the restored clip, in dB; `psnr_mean_copy` of the mean frame repeated.
        realism: share of real reference frames that look less real to the checkpoint's critic, 0 to 100, or None.
        topk: the classifier's predictions for the image, likeliest first.
        classifier: its name.
        notice: a sentence if it replaces the requested classifier, else empty.
    """

    source: Source
    problem: str | None = None
    image: np.ndarray | None = None
    info: DistilledInfo | None = None
    start: float = 0.0
    seconds: float = 0.0
    psnr: float = 0.0
    psnr_mean_copy: float = 0.0
    realism: float | None = None
    topk: tuple[Prediction, ...] = ()
    classifier: str = ""
    notice: str | None = None

    @property
    def gain(self) -> float:
        """Restoration gain in dB: how much closer the restored clip is than the mean frame repeated."""
        return self.psnr - self.psnr_mean_copy


# Keys to sort rows by; of figures the largest comes first.
ORDERS: dict[str, Callable[[Inspected], Any]] = {
    "class": lambda row: (row.source.label.casefold(), row.source.title.casefold()),
    "gain": lambda row: -row.gain,
    "realism": lambda row: np.inf if row.realism is None else -row.realism,
    "confidence": lambda row: -row.topk[0].probability,
}


def ordered(rows: Iterable[Inspected], by: str | None) -> list[Inspected]:
    """Return the rows with an image, sorted by a key of `ORDERS`; None keeps their order."""
    distilled = [row for row in rows if row.problem is None]
    return sorted(distilled, key=ORDERS[by]) if by else distilled


def inspect(explorer: Explorer, request: BatchRequest) -> Iterator[Inspected]:
    """Distill, restore and classify one clip after the other; yield each result in their order.

    Raises:
        ValueError: the checkpoint or the classifier cannot be loaded. A clip that fails has `problem` set instead.
    """
    explorer.warm_up(request.checkpoint, request.classifier)
    for source in request.sources:
        try:
            yield _inspect_one(explorer, request, source)
        except ValueError as error:
            yield Inspected(source, problem=str(error))


def _inspect_one(explorer: Explorer, request: BatchRequest, source: Source) -> Inspected:
    one = ExploreRequest(source.clip, request.checkpoint, request.window, request.classifier, size=request.size)
    # Saliency is computed when a clip is opened.
    result = next(stage for stage in explorer.explore_steps(one) if isinstance(stage, RecognisedStage))
    return Inspected(
        source,
        image=result.distilled,
        info=result.info,
        start=result.clip.start,
        seconds=result.clip.seconds,
        psnr=result.quality.psnr,
        psnr_mean_copy=result.quality.psnr_mean_copy,
        realism=result.realism.percentile_among_real,
        topk=result.recognition.topk,
        classifier=result.recognition.classifier,
        notice=result.recognition.notice,
    )


def write_csv(path: Path, rows: Iterable[Inspected]) -> Path:
    """Write the figures of all rows as CSV; clips that could not be read have the reason."""
    # With a byte order mark spreadsheets read UTF-8; names on old disks may not be UTF-8.
    with path.open("w", newline="", encoding="utf-8-sig", errors="replace") as file:
        table = csv.writer(file)
        table.writerow(
            ["clip", "class", "start_s", "seconds", "psnr_db", "psnr_mean_frame_db", "gain_db", "realism_percentile",
             "first_class", "confidence", "problem"]
        )  # fmt: skip
        for row in rows:
            names = [_cell(row.source.title), _cell(row.source.label)]
            if row.problem is not None:
                table.writerow([*names, *[""] * 8, _cell(row.problem)])
                continue
            first = row.topk[0]
            figures = (row.start, row.seconds, row.psnr, row.psnr_mean_copy, row.gain)
            realism = "" if row.realism is None else f"{row.realism:.2f}"
            table.writerow(
                [*names, *(f"{value:.3f}" for value in figures), realism, _cell(first.refusal or first.label),
                 f"{first.probability:.4f}", ""]
            )  # fmt: skip
    return path


def _cell(text: str) -> str:
    # Spreadsheets execute cells that begin like this as formulas, and names are not trusted.
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
