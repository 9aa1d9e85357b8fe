"""Clips that play in step in one group, with one transport (static/reels.js draws them).

Axes: T frames, H, W.
"""

from __future__ import annotations

from html import escape

from app.render.sprites import SpriteSheet


def reel(key: str, sheet: SpriteSheet, words: str) -> str:
    """Draw a clip that plays with its group.

    Args:
        key: Names its place in the group; a new clip there replaces the old one only once it is loaded.
        sheet: Its frames.
        words: A description for screen readers.
    """
    height, width = sheet.size
    return (
        f'<canvas class="reel" data-reel="{escape(key)}" data-columns="{sheet.columns}" data-sheet="{sheet.address}" '
        f'width="{width}" height="{height}" role="img" aria-label="{escape(words)}"></canvas>'
    )


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
    height, width = size
    return f"""
<section class="reels" data-group="{escape(name)}" data-frames="{frames}" data-fps="{fps:.4f}"
  style="--w:{width};--h:{height}" aria-label="{escape(words)}">{body}
  <div class="transport">
    <button type="button" class="play" data-reels="play" aria-label="Pause"><i></i></button>
    <input type="range" class="where" min="0" max="{frames - 1}" step="1" value="0" aria-label="Frame">
    <output>1 / {frames}</output>
  </div>
</section>"""
