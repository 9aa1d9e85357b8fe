"""Clips that play in step in one group, with one transport (static/reels.js draws them).

Axes: T frames, H, W.
"""

from __future__ import annotations

from markupsafe import Markup

from app.render.fragments import macros
from app.render.sprites import SpriteSheet

_HTML = macros("reels.html")


def reel(key: str, sheet: SpriteSheet, words: str) -> str:
    """Draw a clip that plays with its group.

    Args:
        key: Names its place in the group; a new clip there replaces the old one only once it is loaded.
        sheet: Its frames.
        words: A description for screen readers.
    """
    return str(_HTML.reel(key, sheet, words))


def group(name: str, body: str, *, frames: int, fps: float, size: tuple[int, int], words: str) -> str:
    """Draw reels and what goes with them, with the transport below.

    Args:
        name: Of the group; its current frame survives the replacement of this piece.
        body: HTML with reels of one length.
        frames: Number of frames T.
        fps: The rate at which they play.
        size: (H, W) of the frames.
        words: A description for screen readers.
    """
    return str(_HTML.group(name, frames, fps, size, words, caller=lambda: Markup(body)))
