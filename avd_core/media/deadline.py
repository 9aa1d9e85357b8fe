"""Limit the time for one video: a small file can hold pictures that take hours to decode."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from avd_core.media.container import VideoError


class Deadline:
    """A time limit, without the time spent in `paused`.

    Args:
        name: of the video, for the message.
        seconds: of wall-clock time from now on.
    """

    def __init__(self, name: str, seconds: float) -> None:
        self._name, self._seconds = name, seconds
        self._end = time.monotonic() + seconds

    def check(self) -> None:
        """Raise `VideoError` if the time is over."""
        if time.monotonic() > self._end:
            raise VideoError(
                f"Decoding {self._name} takes longer than {self._seconds:g} s, the most that is spent on it; cut out "
                "the part you need, or scale it down first."
            )

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Do not count the time that the block takes."""
        begun = time.monotonic()
        try:
            yield
        finally:
            self._end += time.monotonic() - begun
