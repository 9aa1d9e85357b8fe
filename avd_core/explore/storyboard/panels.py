"""Distill a long video to a strip of images: the request, and the panels, one for each window.

Time is in seconds from the first picture. Axes: T frames, H, W; the last axis is RGB. Frames and images are uint8.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from avd_core.analysis.baselines import mean_frame
from avd_core.analysis.metrics import psnr
from avd_core.explore.models import distill_with, restore_with, sizes_of
from avd_core.explore.requests import DEFAULT_CHECKPOINT, check_size
from avd_core.explore.storyboard.windows import SourceVideo, StoryboardError, Windows
from avd_core.media.distilled_png import DistilledInfo

if TYPE_CHECKING:
    from avd_core.explore.explorer import Explorer

LENGTHS = (2.0, 4.0, 8.0)  # choices of the longest window, in seconds


@dataclass(frozen=True)
class StoryboardRequest:
    """A video, and the options of its strip.

    Attributes:
        video: the file.
        checkpoint: a bundled name, a folder, or a Hub repo id.
        seconds: longest window, one of `LENGTHS`.
        size: short side in pixels; None is the smallest that the checkpoint is made for, since images may be many.
    """

    video: Path
    checkpoint: str = DEFAULT_CHECKPOINT
    seconds: float = 2.0
    size: int | None = None

    def __post_init__(self) -> None:
        check_size(self.size)
        object.__setattr__(self, "video", Path(self.video))
        if self.seconds not in LENGTHS:
            choices = ", ".join(f"{length:g}" for length in LENGTHS)
            raise StoryboardError(
                f"A window lasts at most {choices} s, and not {self.seconds:g} s: choose one of these."
            )


@dataclass(frozen=True)
class Panel:
    """A window of a strip, with its image and restored frames.

    Attributes:
        number: from 1.
        start, seconds: the window.
        cut: whether a shot begins with it; False if it continues one.
        image: (H, W, 3), the distilled image.
        info: metadata for its PNG.
        restored: (T, H, W, 3).
        frames: (T, H, W, 3), the video's own; None if the panel is read from a strip.
        psnr, psnr_mean_copy: PSNR in dB of the restored frames and of the mean frame repeated; read from the strip, or
            None, without `frames`.
        through_jpeg: `ModelConfig.trained_through_jpeg` of the model that made it; None if that model is not here.
    """

    number: int
    start: float
    seconds: float
    cut: bool
    image: np.ndarray
    info: DistilledInfo
    restored: np.ndarray
    frames: np.ndarray | None
    psnr: float | None
    psnr_mean_copy: float | None
    through_jpeg: bool | None

    @property
    def end(self) -> float:
        return self.start + self.seconds


@dataclass(frozen=True)
class TableEntry:
    """A window's row in the table: `file` is its PNG, `bytes` the PNG's size, the rest as in `Panel`."""

    file: str
    start: float
    seconds: float
    cut: bool
    bytes: int
    psnr: float | None
    psnr_mean_copy: float | None

    @property
    def end(self) -> float:
        return self.start + self.seconds


class StoryboardMaker:
    """Iterate over the panels of a video's strip, each made on demand.

    The checkpoint is the explorer's; its lock is not held between two panels.

    Attributes:
        checkpoint, fingerprint: of the model.

    Raises:
        ValueError: the checkpoint cannot be loaded, or the video cannot be read (also while iterating).
    """

    def __init__(self, explorer: Explorer, request: StoryboardRequest) -> None:
        self._loaded = explorer.models.checkpoint(request.checkpoint)
        model = self._loaded.model
        self._windows = Windows(
            request.video,
            frames=model.config.frames,
            size=request.size or min(sizes_of(model)),
            longest=request.seconds,
        )
        self.checkpoint, self.fingerprint = model.name, model.fingerprint

    @property
    def source(self) -> SourceVideo:
        """The video; complete after the last panel."""
        return self._windows.source

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the user; complete after the last panel."""
        return self._windows.notes

    def __iter__(self) -> Iterator[Panel]:
        for number, window in enumerate(self._windows, 1):
            frames = window.frames
            image = distill_with(self._loaded, frames)
            restored = restore_with(self._loaded, image)
            count, height, width, _ = frames.shape
            yield Panel(
                number=number,
                start=window.start,
                seconds=window.seconds,
                cut=window.cut,
                image=image,
                info=DistilledInfo(self.checkpoint, self.fingerprint, count, count / window.seconds, (height, width)),
                restored=restored,
                frames=frames,
                psnr=psnr(frames, restored),
                psnr_mean_copy=psnr(frames, mean_frame(frames)),
                through_jpeg=self._loaded.model.config.trained_through_jpeg,
            )
