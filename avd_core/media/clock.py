"""Compute the display times of a video's pictures from its packets, whatever times the container states.

| the packets | their times |
|---|---|
| have times of their own | these, counted from the first picture on display |
| jump back (recordings joined end to end, a counter that wraps) | the rest follows what came before |
| jump ahead in a transport stream, by over 10 s or to another count | the rest follows too; elsewhere the gap is kept |
| know only an order (AVI, also with packed B-frames; durations all zero, or one tick) | the n-th takes the n-th time |
| share a time with others | they are spread evenly up to the next time |
| are a GIF's, with a delay of at most 10 ms | 100 ms, as in every browser |
| are the run-up of an edit list | their pictures are not on display |
| hold the second field of a picture (H.264 of camcorders), without a time | none of its own: it belongs to the first |

Times are in seconds. Axis legend: `N` packets of the picture track, in file (that is decoding) order.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple, TypeVar

import numpy as np

Ticks = TypeVar("Ticks", float, np.ndarray)

EPSILON = 1e-6  # seconds: far below any frame, far above float error
SHORTEST = 0.0003  # seconds that a clip lasts at least: 256 frames of it play at a rate that can be written
_STEP_BACK = 0.5  # seconds; a smaller step back of the decoding times is one of a careless writer
_STEP_AHEAD = 10.0  # seconds, in a transport stream: FFmpeg's own threshold
FASTEST = 2000  # pictures a second that are believed of a container alone
_TELL_FAULTS = frozenset({"h264", "mpeg1video", "mpeg2video"})  # decoders that say if a picture is incomplete
_GIF_DELAY, _GIF_DELAY_SHOWN = 0.01, 0.1  # seconds


class Stamp(NamedTuple):
    """Data of a packet; `shown`, `decoded` and `length` are in ticks.

    Attributes:
        shown, decoded: when its picture is displayed and decoded; None if the file does not say.
        length: how long its picture stays; 0 if the file does not say.
        size: bytes.
        key: whether decoding may start there.
        hidden: whether its picture is never shown: the run-up of an edit list.
        torn: whether the container lost some of it.
    """

    shown: int | None
    decoded: int | None
    length: int
    size: int
    key: bool
    hidden: bool
    torn: bool


class Clock(NamedTuple):
    """Display times of a picture track.

    Attributes:
        times: (N,) when the packet's picture appears, from the first one on display; if `by_rank`, that of decoding.
        by_rank: whether the n-th picture to be displayed takes the n-th of the times.
        torn: (N,) whether the container lost some of the packet, as far as that is believed.
        visible: (N,) whether the packet shows a picture: neither hidden nor torn.
        seconds: from the first picture's appearance to the last one's end; at least 1 for a single picture.
        gap: median time between pictures.
        joints: when recordings begin that were joined to the first.
    """

    times: np.ndarray
    by_rank: bool
    torn: np.ndarray
    visible: np.ndarray
    seconds: float
    gap: float
    joints: tuple[float, ...]


def fields_joined(stamps: list[Stamp], tick: Fraction, rate: Fraction) -> list[Stamp]:
    """Give second fields that lie in packets of their own, without times, the times of their first fields; hide them.

    A second field is recognised by its length, half of a picture's; `read_clock` treats whole pictures without times.
    """
    joined = list(stamps)
    for i in range(1, len(joined)):
        first, stamp = joined[i - 1], joined[i]
        timeless = stamp.shown is None and stamp.decoded is None and first.shown is not None
        if timeless and not first.hidden and abs(stamp.length * tick * rate - Fraction(1, 2)) < 0.01:
            joined[i - 1] = first._replace(length=2 * stamp.length)
            joined[i] = stamp._replace(shown=first.shown, decoded=first.decoded, key=False, hidden=True)
    return joined


def read_clock(
    stamps: list[Stamp], container: str, codec: str, tick: Fraction, rate: Fraction, announced: float
) -> Clock:
    """Make the clock of a picture track.

    Args:
        stamps: of all its packets, at least one of them neither hidden nor torn.
        container, codec: FFmpeg's names of them.
        tick: seconds in a tick.
        rate: pictures per second as the codec states, used without times and lengths.
        announced: the length in seconds that the file states, 0 if none; used if all times are equal.
    """
    # As floats of whole ticks, which are exact; sums of a hostile file may not fit into 64 bits.
    lengths = np.array([max(0, stamp.length) for stamp in stamps], dtype=float)
    decoded = np.array([np.nan if stamp.decoded is None else stamp.decoded for stamp in stamps], dtype=float)
    shown = np.array([np.nan if stamp.shown is None else stamp.shown for stamp in stamps], dtype=float)
    known = [stamp.decoded for stamp in stamps if stamp.decoded is not None and not stamp.hidden]
    # Durations of zero, in each fragment of an MP4 say; two joined recordings with the same times do not stand still.
    stalled = 2 < len(known) >= 2 * (1 + sum(one != other for one, other in pairwise(known)))
    by_rank = container == "avi" or stalled or bool(np.isnan(shown).any())
    times = _filled(decoded if by_rank else shown, lengths)
    torn = np.array([stamp.torn for stamp in stamps])
    keys = np.array([stamp.key for stamp in stamps])
    trusted = container == "mpegts" and codec in _TELL_FAULTS
    recounted = _recounted(keys, torn) if trusted else np.zeros(len(stamps), bool)
    starts = _restarts(decoded * float(tick), keys, recounted, container == "mpegts")
    for start in (*starts, *np.flatnonzero(recounted)):
        torn[max(0, start - 2) : start] = False
    visible = ~(torn | np.array([stamp.hidden for stamp in stamps]))
    if container == "gif":
        lengths = np.where(lengths * float(tick) <= _GIF_DELAY + EPSILON, _GIF_DELAY_SHOWN / float(tick), lengths)
        times = np.concatenate([[0.0], np.cumsum(lengths[:-1])])

    times = _continued(times, lengths, visible, starts)
    total = announced / float(tick)
    rushed = rate < FASTEST / 2 and 0 < _typical(np.diff(np.unique(times[visible]))) * tick * FASTEST < 1
    endless = len(times) > 2 and abs(lengths - total).max() < 1  # each picture is said to stay as long as all of them
    if len(np.unique(times[visible])) * 2 <= visible.sum() or rushed or endless:  # not a clock at all
        by_rank = True
        length = 0.0 if rushed else total / len(times) if endless else _typical(lengths[lengths > 0])
        length = length or (0.0 if rushed else total / len(times)) or float(1 / tick / rate)
        times, lengths = np.arange(len(times)) * length, np.full(len(times), length)
    else:
        times = _spread(times, visible)

    times -= times[visible].min()
    gap = _typical(np.diff(np.unique(times[visible]))) or float(1 / tick / rate)
    lengths = np.where(lengths > 0, lengths, gap)
    # The last one's own length: an MP4's lead from decoding to decoding, and an earlier one's may reach beyond it.
    last = np.flatnonzero(visible)[np.argmax(times[visible])]
    seconds = float(in_seconds(times[last] + lengths[last], tick))
    single = len(np.unique(times[visible])) == 1  # on display for a 25th of a second it would not be seen
    seconds = max(seconds, 1.0 if single else SHORTEST)
    joints = tuple(float(in_seconds(times[start], tick)) for start in starts)
    return Clock(in_seconds(times, tick), by_rank, torn, visible, seconds, in_seconds(gap, tick), joints)


def in_seconds(ticks: Ticks, tick: Fraction) -> Ticks:
    """Convert ticks to seconds with one rounding, so that 200 pictures at 20 a second last exactly 10 s."""
    return ticks * tick.numerator / tick.denominator


def _typical(values: np.ndarray) -> float:
    return float(np.median(values)) if len(values) else 0.0


def _filled(times: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Fill missing times: each follows the one before by its length."""
    times = times.copy()
    for i in np.flatnonzero(np.isnan(times)):
        times[i] = times[i - 1] + max(1.0, lengths[i]) if i else 0.0
    return times


def _recounted(keys: np.ndarray, torn: np.ndarray) -> np.ndarray:
    """Return at which keyframes a transport stream's packet count restarts, bool (N,): recordings were joined there.

    FFmpeg takes a restart for a loss, and marks the last picture before it, or the last but one, as torn.
    """
    recounted = np.zeros(len(keys), bool)
    for packet in np.flatnonzero(torn):
        behind = [start for start in (packet + 2, packet + 1) if start < len(keys) and keys[start]]
        recounted[behind[:1]] = True
    return recounted


def _restarts(decoded: np.ndarray, keys: np.ndarray, recounted: np.ndarray, jumps_ahead: bool) -> list[int]:
    """Return the packets at which the clock restarts, by their times of decoding in seconds; NaN is unknown.

    Unknown times give no restart; times of display cannot be used, since they are out of order with B-frames.
    """
    known = np.flatnonzero(~np.isnan(decoded))
    step = np.diff(decoded[known])
    again = (step < -_STEP_BACK) | (keys[known][1:] & (step < -EPSILON))
    if jumps_ahead:
        again |= (step > _STEP_AHEAD) | (recounted[known][1:] & (step > _STEP_BACK))
    return known[1:][again].tolist()


def _continued(times: np.ndarray, lengths: np.ndarray, visible: np.ndarray, starts: list[int]) -> np.ndarray:
    """Return times in which the packets from each of `starts` on follow the end of those before."""
    times, end = times.copy(), -np.inf
    for start, stop in zip([0, *starts], [*starts, len(times)], strict=True):
        part = np.arange(start, stop)
        seen = part[visible[part]] if visible[part].any() else part
        if start:
            times[part] += end - times[seen].min()
        gap = _typical(np.diff(np.unique(times[seen])))
        end = max(end, (times[seen] + np.where(lengths[seen] > 0, lengths[seen], gap)).max())
    return times


def _spread(times: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Return times in which visible packets of the same time are spread evenly up to the next time."""
    values, first, counts = np.unique(times[visible], return_index=True, return_counts=True)
    if not len(first) or counts.max() == 1:
        return times
    gaps = np.diff(values, append=values[-1] + (_typical(np.diff(values)) or 1.0))
    order = np.flatnonzero(visible)
    order = order[np.argsort(times[order], kind="stable")]
    within = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    times = times.copy()
    times[order] += within * np.repeat(gaps / counts, counts)
    return times
