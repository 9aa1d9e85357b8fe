"""Index a video by demuxing alone: its true length, where decoding may start, where most moves.

Headers are often wrong about these, and decoding a long file is expensive. Demuxing costs about as much as reading the
file. Time is in seconds from the first picture on display.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import av
import numpy as np

from avd_core.media.boxes import count_boxes
from avd_core.media.clock import EPSILON, FASTEST, Stamp, fields_joined, read_clock
from avd_core.media.container import Limits, VideoError, copy_protected, opened, packets, regular_file, shown_name
from avd_core.media.frames.cropping import read_crop
from avd_core.media.frames.frame_filter import Crop
from avd_core.media.refusal import beginning


@dataclass(frozen=True)
class Index:
    """One entry per packet of the picture track, in file (that is decoding) order, and facts about the whole.

    Attributes:
        edits: whether the file's edit list is to be followed.
        pixels: of one coded picture.
        aspect: width over height of one coded pixel.
        crop: the part of the coded picture that is meant to be seen; None is all of it.
        times: (N,) when the packet's picture appears, see `clock`.
        sizes: (N,) bytes.
        keys: (N,) whether decoding may start there.
        visible: (N,) whether it shows a picture: neither the run-up of an edit list, nor torn.
        torn: (N,) whether some of it is lost, so that it is not decoded.
        by_rank: whether pictures come without times of their own, so that `times` are those of decoding, and the n-th
            picture to be displayed takes the n-th of them.
        delay: if `by_rank`, how many pictures later than it is decoded one is displayed.
        seconds: from the first picture's appearance to the last one's end; at least 1 for a single picture.
        gap: median time between pictures.
        joints: when recordings begin that were joined to the first.
        notes: what is wrong with the file as a whole, in sentences for the user.
    """

    path: Path
    edits: bool
    container: str
    codec: str
    has_audio: bool
    pixels: int
    aspect: float
    crop: Crop | None
    times: np.ndarray
    sizes: np.ndarray
    keys: np.ndarray
    visible: np.ndarray
    torn: np.ndarray
    by_rank: bool
    delay: int
    seconds: float
    gap: float
    joints: tuple[float, ...]
    notes: tuple[str, ...]

    @cached_property
    def shown(self) -> np.ndarray:
        """Times at which a new picture appears, ascending."""
        return np.unique(self.times[self.visible])

    @cached_property
    def ranks(self) -> np.ndarray:
        """Number of visible packets before each, (N,)."""
        return np.cumsum(self.visible) - self.visible

    @property
    def frames(self) -> int:
        return len(self.shown)

    def next_time(self, time: float) -> float:
        """Return when the picture that appears at `time` is replaced by the next one, or ends."""
        i = int(np.searchsorted(self.shown, time + EPSILON, side="right"))
        return float(self.shown[i]) if i < self.frames else self.seconds

    def key_before(self, time: float) -> int:
        """Return the number of the last packet from which decoding reaches the picture on display at `time`."""
        before = np.flatnonzero(self.keys & (self.times <= time - self.delay * self.gap + EPSILON))
        return int(before[-1]) if len(before) else 0

    def key_after(self, packet: int) -> int:
        """Return the number of the next packet at which decoding may start, or one beyond the end."""
        after = np.flatnonzero(self.keys[packet + 1 :])
        return packet + 1 + int(after[0]) if len(after) else len(self.keys) + 1

    def work(self, targets: Sequence[float]) -> int:
        """Return how many pixels must be decoded for the pictures on display at the ascending `targets`."""
        latest = np.maximum.accumulate(self.times)
        done = count = 0
        for target in targets:
            end = int(np.searchsorted(latest, target + EPSILON, side="right"))
            count += max(0, end - max(self.key_before(target), done))
            done = max(done, end)
        return count * self.pixels

    def check_work(self, targets: Sequence[float], limits: Limits) -> None:
        """Raise `VideoError` where reaching the pictures on display at `targets` is too much work."""
        work = self.work(targets)
        if work > limits.max_work:
            raise VideoError(
                f"{shown_name(self.path)} is too much to decode: {work / self.pixels:.0f} pictures of "
                f"{self.pixels / 1e6:.1f} megapixels for this part alone; cut out the part you need, or scale it down "
                "first."
            )

    def distrust(self, packet: int) -> None:
        """Record that decoding cannot start at a packet."""
        self.keys[packet] = False

    def liveliest(self, seconds: float) -> float:
        """Return the start of the `seconds` with the most motion, on a grid of tenths of a second.

        Motion is estimated by the sizes of packets. Keyframes are large without motion too, so they count as much as
        the pictures around them; if all are keyframes, changes of their size count. The square root keeps one scene cut
        from outweighing a second of motion.
        """
        order = np.flatnonzero(self.visible)
        order = order[np.argsort(self.times[order], kind="stable")]
        times, sizes, keys = self.times[order], self.sizes[order].astype(float), self.keys[order]
        if keys.mean() > 0.5:
            change = np.abs(np.diff(sizes, prepend=sizes[0]))
        else:
            change = np.interp(times, times[~keys], sizes[~keys])
        total = np.concatenate([[0.0], np.cumsum(np.sqrt(change))])
        starts = np.arange(0, self.seconds - seconds + EPSILON, 0.1)
        inside = total[np.searchsorted(times, starts + seconds)] - total[np.searchsorted(times, starts)]
        return round(float(starts[np.argmax(inside)]), 1)


def read_index(path: str | os.PathLike[str], limits: Limits) -> Index:
    """Demux a video once.

    Raises:
        VideoError: the file is no accepted video, is beyond `limits`, or holds no whole picture.
    """
    path = regular_file(path)
    # An edit list says which times are seen. FFmpeg does not always take its word: see `_edits_are_misread`.
    index = _read_index(path, limits, edits=True) or _read_index(path, limits, edits=False)
    assert index is not None, "without edits there is an index, or an error"
    return index


def _read_index(path: Path, limits: Limits, *, edits: bool) -> Index | None:
    """Do the work of `read_index`; return None if FFmpeg hides pictures that the edit list does not."""
    with opened(path, limits, edits=edits) as (container, stream):
        stamps, furthest, torn = _read_stamps(container, stream, path, limits)
        name = shown_name(path)
        joined = container.format.name.startswith("mov") and count_boxes(path, b"moov") > 1
        if joined:
            stamps = _of_the_first(stamps)
        if edits and _edits_are_misread(stamps, stream, path, limits):
            return None
        if (
            not stamps
            and container.format.name.startswith("mov")
            and not (count_boxes(path, b"moof") or count_boxes(path, b"mdat"))
        ):
            raise VideoError(beginning(name))
        if all(stamp.hidden or stamp.torn for stamp in stamps):
            raise VideoError(f"{name} announces a video but holds no whole picture; export or copy it again.")

        announced = (container.duration or 0) / av.time_base
        assert stream.time_base is not None, "FFmpeg gives every stream a time base"
        rate = Fraction(stream.guessed_rate or 25)
        stamps = fields_joined(stamps, Fraction(stream.time_base), rate)
        coded_rate = Fraction(stream.codec_context.framerate or rate)
        codec = stream.codec_context.name
        clock = read_clock(stamps, container.format.name, codec, Fraction(stream.time_base), coded_rate, announced)
        seconds = clock.seconds
        if seconds > limits.max_seconds:
            raise VideoError(
                f"{name} is {seconds / 60:.0f} minutes long, and at most {limits.max_seconds / 60:.0f} are read; "
                "cut out the part you need."
            )
        keys = np.array([stamp.key for stamp in stamps])
        keys[0] |= not keys.any()
        return Index(
            path=path,
            edits=edits,
            container=container.format.name,
            codec=codec,
            has_audio=bool(container.streams.audio),
            pixels=stream.codec_context.width * stream.codec_context.height,
            aspect=float(stream.sample_aspect_ratio or 1),
            crop=read_crop(path, container.format.name, stream),
            times=clock.times,
            sizes=np.array([stamp.size for stamp in stamps]),
            keys=keys,
            visible=clock.visible,
            torn=clock.torn,
            by_rank=clock.by_rank,
            delay=stream.codec_context.reorder_depth if clock.by_rank else 0,
            seconds=seconds,
            gap=clock.gap,
            joints=clock.joints,
            notes=_cut_short(container, path, seconds, furthest, torn) + (_unread(seconds) if joined else ()),
        )


def _edits_are_misread(stamps: list[Stamp], stream: av.VideoStream, path: Path, limits: Limits) -> bool:
    """Return whether FFmpeg hides wrong pictures: without true times, or at the end of an edit that shows all.

    It drops what is stored behind the second keyframe that would last beyond the edit, were it displayed for as long as
    its decoding takes. With B-frames and uneven times pictures that are to be seen are stored there.
    """
    if any(stamp.hidden for stamp in stamps):
        known = [stamp.decoded for stamp in stamps if stamp.decoded is not None]
        rate = Fraction(stream.codec_context.framerate or 25)
        tick = Fraction(stream.time_base or 1)
        return bool(known) and (max(known) - min(known)) * tick * FASTEST < len(known) and rate < FASTEST / 2
    if stream.frames <= len(stamps) or stream.duration is None:
        return False
    with opened(path, limits, edits=False) as (container, unedited):
        every, _, _ = _read_stamps(container, unedited, path, limits)
    times = [stamp.shown for stamp in every if stamp.shown is not None]
    from_the_first = [stamp.size for stamp in stamps] == [stamp.size for stamp in every[: len(stamps)]]
    return from_the_first and bool(times) and max(times) - min(times) < stream.duration


def _read_stamps(
    container: av.container.InputContainer, stream: av.VideoStream, path: Path, limits: Limits
) -> tuple[list[Stamp], float, bool]:
    """Return the picture track's packets, when the last packet of any track ends, and whether the file breaks off."""
    stamps: list[Stamp] = []
    furthest, torn = -math.inf, False
    try:
        for packet in packets(container):
            at = packet.dts if packet.pts is None else packet.pts
            if at is not None:
                furthest = max(furthest, float((at + (packet.duration or 0)) * packet.time_base))
            if packet.stream_index != stream.index:
                continue
            if packet.has_sidedata("encryption_info"):
                raise copy_protected(path)
            torn = packet.is_corrupt
            length = packet.duration or 0
            stamps.append(
                Stamp(packet.pts, packet.dts, length, packet.size, packet.is_keyframe, packet.is_discard, torn)
            )
            if len(stamps) > limits.max_frames:
                raise VideoError(
                    f"{shown_name(path)} has more than {limits.max_frames} pictures, the most that are read; cut out "
                    "the part you need."
                )
    except av.FFmpegError:
        torn = True  # what came before is still good
    if container.format.name == "gif":
        torn = torn or not _gif_is_whole(path)
    return stamps, furthest, torn


def _cut_short(
    container: av.container.InputContainer, path: Path, seconds: float, furthest: float, torn: bool
) -> tuple[str, ...]:
    announced = (container.duration or 0) / av.time_base
    # Matroska announces when it ends, counted from zero; the others how long it lasts.
    begins = 0 if "matroska" in container.format.name else (container.start_time or 0) / av.time_base
    missing = announced - max(furthest - begins, seconds)
    if announced and missing > max(0.5, 0.05 * announced):
        return (f"The file is cut short: it announces {announced:.1f} s but ends after {seconds:.1f} s.",)
    return (f"The file is cut short: it breaks off after {seconds:.1f} s.",) if torn else ()


def _of_the_first(stamps: list[Stamp]) -> list[Stamp]:
    """Mark the packets of the second of two MP4s joined end to end as torn.

    FFmpeg reads a second one in fragments, but with edits, places and decoder settings of the first.
    """
    jumps = (i for i in range(1, len(stamps)) if (stamps[i].decoded or 0) < (stamps[i - 1].decoded or 0))
    end = next(jumps, len(stamps))
    return stamps[:end] + [stamp._replace(hidden=False, torn=True) for stamp in stamps[end:]]


def _unread(seconds: float) -> tuple[str, ...]:
    """Return a note about a second MP4 after the first in the file."""
    return (
        f"Another recording was joined to the file's end, which is not read: only the first {seconds:.1f} s are. "
        "Join recordings with a video editor.",
    )


def _gif_is_whole(path: Path) -> bool:
    """Return whether all blocks of a GIF are there; FFmpeg reads all data after a fault as one picture."""
    with path.open("rb") as file:

        def skip_colours(flags: int) -> None:
            file.seek(3 << (flags & 7) + 1 if flags & 0x80 else 0, os.SEEK_CUR)

        skip_colours(file.read(13)[10])
        while (kind := file.read(1)) in (b"!", b","):
            if kind == b",":
                skip_colours((file.read(9) or b"\0")[-1])
            file.seek(1, os.SEEK_CUR)  # an extension's label, or the first code's width
            while length := (file.read(1) or b"\0")[0]:
                file.seek(length, os.SEEK_CUR)
        return kind == b";"
