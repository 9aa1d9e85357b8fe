"""The clip, its image, the restored clip and its error; and example clips to choose from.

Axes: T frames, H, W.
"""

from __future__ import annotations

from collections.abc import Sequence

from app.render.fragments import macros, seconds
from avd_core.analysis.spectrum import TIMES

_HTML = macros("stage.html")


def stage(
    *,
    size: tuple[int, int],
    frames: int,
    fps: float,
    original: str | None = None,
    distilled: str | None = None,
    restored: str | None = None,
    error: str | None = None,
) -> str:
    """Draw the four pictures with one transport; an address that is None is drawn as a pane still at work.

    Args:
        size: (H, W) of the pictures in pixels.
        frames: T, the frames the image carries.
        fps: rate at which they play in real time.
        original: address of the sampled frames as a video.
        distilled: address of the PNG.
        restored: address of the restored video.
        error: address of their difference as a video, amplified.
    """
    return _HTML.stage(size, frames, fps, original, distilled, restored, error, TIMES)


def tiles(examples: Sequence[tuple[str, str, str, str | None]]) -> str:
    """Draw example clips as buttons that move when pointed at.

    Args:
        examples: (name, title, one line, address of the clip or None while it is being rendered).
    """
    return _HTML.tiles(examples)


def preview(address: str, name: str, total: float, shown: float) -> str:
    """Draw the visitor's own clip, playable whatever its format was.

    Args:
        address: of the transcoded clip.
        name: the uploaded file's name.
        total: its length in seconds.
        shown: how many seconds of it the preview plays at most.
    """
    length = seconds(total) if total <= shown else f"{seconds(total)}; plays the first {seconds(shown)}"
    return _HTML.preview(address, name, length)
