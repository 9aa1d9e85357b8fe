"""Every picture of a video once, in order, with the time that it is on display: for what looks at all of a long file.

Nothing is kept but the picture on display, so memory does not grow with the length. Time is in seconds from the first
picture on display.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

import av

from avd_core.media.container import Limits, opened
from avd_core.media.decoder import STALE, Decoder
from avd_core.media.index import Index


class Display(NamedTuple):
    """A picture and when it is seen: from `since` until `until`."""

    since: float
    until: float
    frame: av.VideoFrame


def displays(index: Index, limits: Limits) -> Iterator[Display]:
    """Decodes a whole file once.

    Where a fault hides pictures there is a hole: the next one's `since` lies behind the last one's `until`. What
    follows a fault before the next keyframe would be blemished, and is part of the hole.
    """
    with opened(index.path, limits) as (container, stream):
        since, frame = 0.0, None
        for time, following in chain(Decoder(container, stream, index), [(math.inf, None)]):
            if frame is not None:
                until = index.next_time(since)
                # What stays for long was meant to, unless a picture was due and failed to come.
                yield Display(since, min(time, index.seconds) if time <= until + STALE else until, frame)
            since, frame = time, following
