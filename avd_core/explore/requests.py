"""The frozen, validated request for an exploration."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avd_core.config import MAX_SIZE, MIN_SIZE, SIDE_MULTIPLE
from avd_core.media.window import Window

DEFAULT_CHECKPOINT = "base"
DEFAULT_CLASSIFIER = "mobilenet_v2"
DEFAULT_METHOD = "gradcam"
DEFAULT_REFINE, MAX_REFINE = 40, 400  # gradient steps on one image


class RequestError(ValueError):
    """A request is invalid; the message says why, in one sentence."""


def check_size(size: int | None) -> None:
    """Raise RequestError unless `size` is None or a short side that networks take: a multiple of 8, 64 to 224."""
    if size is not None and not (MIN_SIZE <= size <= MAX_SIZE and size % SIDE_MULTIPLE == 0):
        raise RequestError(
            f"The size is {size} px; it must be a multiple of {SIDE_MULTIPLE}, {MIN_SIZE} to {MAX_SIZE}."
        )


@dataclass(frozen=True, init=False)
class ExploreRequest:
    """A clip, and the options of its exploration.

    The window can be given as such, or by `start`, `seconds` and `whole`.

    Attributes:
        clip: the video file.
        checkpoint: a bundled name, a folder, or a Hub repo id.
        window: the part of the clip.
        classifier: name of the image classifier.
        cam: the saliency method, a key of `saliency.METHODS`.
        target: the class that saliency explains; None is the classifier's first class.
        size: short side in pixels, a multiple of 8; None is the largest of `SIZES` that is not above the checkpoint's
            own size or the file's.
        refine: gradient steps on the distilled image, see `networks.refinement`; 0 does not refine it.

    Raises:
        VideoError: the window is invalid.
        RequestError: `size` or `refine` is out of range.
    """

    clip: Path
    checkpoint: str
    window: Window
    classifier: str
    cam: str
    target: str | None
    size: int | None
    refine: int

    def __init__(
        self,
        clip: str | Path,
        checkpoint: str = DEFAULT_CHECKPOINT,
        window: Window | None = None,
        classifier: str = DEFAULT_CLASSIFIER,
        cam: str = DEFAULT_METHOD,
        target: str | None = None,
        size: int | None = None,
        refine: int = 0,
        **bounds: Any,
    ) -> None:
        check_size(size)
        if not 0 <= refine <= MAX_REFINE:
            raise RequestError(f"{refine} refinement steps cannot be made; 0 to {MAX_REFINE} can.")
        if window is not None and bounds:
            raise TypeError(f"give either window or {', '.join(bounds)}")
        values = (Path(clip), checkpoint, window or Window(**bounds), classifier, cam, target, size, refine)
        for field, value in zip(dataclasses.fields(self), values, strict=True):
            object.__setattr__(self, field.name, value)
