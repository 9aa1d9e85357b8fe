"""The requested part of a clip, validated before the file is read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real

from avd_core.media.container import VideoError


@dataclass(frozen=True)
class Window:
    """A part of a clip, in seconds from its first picture.

    Attributes:
        start: its start; None is the start of the part with the most motion.
        seconds: its length; None is 2 s, or less in a shorter clip.
        whole: the whole clip; not together with `start` or `seconds`.

    Raises:
        VideoError: the three contradict each other, or one is out of range.
    """

    start: float | None = None
    seconds: float | None = None
    whole: bool = False

    def __post_init__(self) -> None:
        for name, value in (("start", self.start), ("length", self.seconds)):
            number = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
            if value is not None and not number:
                raise VideoError(f"The {name} of the window must be a number of seconds, not {value!r}.")
        if self.whole and (self.start is not None or self.seconds is not None):
            raise VideoError("The whole clip leaves no window to choose: give either whole or start and seconds.")
        if self.start is not None and self.start < 0:
            raise VideoError(f"The window starts at {self.start:g} s; it must start at 0 s or later.")
        if self.seconds is not None and self.seconds <= 0:
            raise VideoError(f"The window is {self.seconds:g} s long; it must be longer than 0 s.")


MOST_MOTION = Window()
"""The default window: of a clip longer than 2 s, the part with the most motion."""
