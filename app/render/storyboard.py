"""A storyboard: the strip of images, the film they give back, what that cost and what it lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from app.render.fragments import macros, seconds, ticks
from avd_core.explore.storyboard.files import ORIGINAL, RESTORED, Board, clock
from avd_core.explore.storyboard.panels import TableEntry

_HTML = macros("storyboard.html")
COST, LOSS = "What it cost", "What it lost"
PSNR = (
    "PSNR: closeness to the original pixels; 3 dB more halve the squared error, 30 dB look clean. A mean frame is a "
    "still picture that costs nothing: only what lies above it is motion brought back."
)
AS_CLAIMED = "The video is not here: these figures are those that the strip brought with it."
Address = Callable[[str], str]  # where the browser finds a file of the strip


def empty() -> str:
    """Explain the tab before there is a strip."""
    return _HTML.empty()


def films(board: Board | None, address: Address, name: str) -> str:
    """Draw the restored film beside the same frames of the video, where those are known; None: still being made."""
    if board is None or not board.complete:
        return _HTML.pending_films(board.size if board else (112, 152))
    original = address(ORIGINAL) if board.original_bytes else None
    return _HTML.films(board.size, board.end, clock(board.end), original, address(RESTORED), board.fps, name)


def strip(board: Board, address: Address, opens: bool) -> str:
    """Draw the images in order; `opens`: the video is here, so that each window can be opened in Explore."""
    cuts = sum(entry.cut for entry in board.entries) - 1
    words = f"{_counted(len(board.entries), 'image')}, {_counted(cuts, 'cut')}"
    return _HTML.strip(board.size, words, [_tile(entry, address) for entry in board.entries], opens)


def _tile(entry: TableEntry, address: Address) -> dict[str, Any]:
    end = entry.start + entry.seconds
    return {
        "start": entry.start,
        "end": end,
        "starts": clock(entry.start),
        "ends": clock(end),
        "cut": entry.cut,
        "figure": "" if entry.psnr is None else f"{entry.psnr:.1f} dB",
        "address": address(entry.file),
    }


def cost(board: Board) -> str:
    """Draw bytes of the images beside bytes of the video, in plain words whichever is smaller."""
    source, (height, width) = board.source, board.size
    images, video = board.image_bytes, board.video_bytes
    smaller = images <= video
    ratio = video / images if smaller else images / video
    whole = "the video file" if board.whole else "the pictures of that part of the video"
    longest = max(images, video, board.original_bytes)
    rows = [("made", "the images", images), ("real", whole, video)]
    if board.original_bytes:
        rows.append(("film", "the same frames as a film", board.original_bytes))
    bars = [(kind, words, size(count), 100 * count / longest) for kind, words, count in rows]
    sound = " with sound" if source.has_audio else ""
    fair = (
        f"Not the same thing twice: the video is {source.width}×{source.height} at {source.fps:.0f} frames a second"
        f"{sound}; the images bring back {width}×{height} at {board.fps:.1f}."
    )
    if not smaller:
        fair = f"As a way to save space this strip fails: keep the video. {fair}"
    if not board.original_bytes:
        fair = f"{AS_CLAIMED} {fair}"
    else:
        fair += " The last bar is the fair rival: those very frames as an ordinary H.264 film of high quality (CRF 16)."
    return _HTML.cost(COST, size(images), smaller, ratio, whole, bars, fair)


def loss(board: Board) -> str:
    """Draw PSNR of every window beside what its mean frame, standing still, would reach."""
    pairs = [(e.psnr, e.psnr_mean_copy) for e in board.entries if e.psnr is not None and e.psnr_mean_copy is not None]
    if board.psnr is None or board.psnr_mean_copy is None or board.worst is None or len(pairs) < len(board.entries):
        return _HTML.no_loss(LOSS)
    marks = ticks(min(map(min, pairs)), max(made for made, _ in pairs), most=5)
    low, high = marks[0], marks[-1]

    def y(value: float) -> float:
        return 100 * (high - value) / (high - low)

    def points(figures: list[float]) -> str:
        return " ".join(
            f"{100 * time / board.end:.2f},{y(figure):.1f}"
            for entry, figure in zip(board.entries, figures, strict=True)
            for time in (entry.start, entry.start + entry.seconds)
        )

    plot = {
        "rows": [(y(mark), f"{mark:g}") for mark in marks],
        "columns": [(f"{100 * time / board.end:.1f}", clock(time)[:-2]) for time in ticks(0, board.end)[:-1]],
        "lines": [("mean", points([mean for _, mean in pairs])), ("made", points([made for made, _ in pairs]))],
    }
    gain, words = board.psnr - board.psnr_mean_copy, PSNR if board.original_bytes else f"{AS_CLAIMED} {PSNR}"
    return _HTML.loss(LOSS, board, gain, clock(board.worst.start), plot, words)


def progress_words(board: Board, elapsed: float) -> str:
    """Say how far the work is, and how long it will still take."""
    left = elapsed * (1 - board.share) / board.share
    words = f"{_counted(len(board.entries), 'image')}, {clock(board.end)} of {clock(board.source.covered)}"
    return f"{words}, about {_wait(left)} left" if elapsed > 2 else words


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" + "s" * (count != 1)


def _wait(left: float) -> str:
    return f"{max(1, round(left))} s" if left < 90 else f"{round(left / 60)} min"


def summary(board: Board, title: str) -> str:
    """Say which video a strip shows, and how much of it."""
    part = "all" if board.whole else f"the first {seconds(board.end)} of"
    images = _counted(len(board.entries), "image")
    return _HTML.summary(title, images, part, board.source.seconds, board.checkpoint, board.kept)


def size(count: int) -> str:
    """Write bytes as a person says them: 812 bytes, 64 kB, 1.2 MB."""
    if count < 1000:
        return f"{count} bytes"
    return f"{count / 1e3:.0f} kB" if count < 999_500 else f"{count / 1e6:.1f} MB"
