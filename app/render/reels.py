"""Clips that play in step in one group, with one transport (static/reels.js draws them).

Axes: T frames, H, W.
"""

from __future__ import annotations

from html import escape

from app.render.sprites import SpriteSheet


def reel(key: str, sheet: SpriteSheet, words: str) -> str:
    """A clip that plays with its group.

    Args:
        key: names its place in the group: when the place gets another clip, the old one stands until that is there.
        sheet: its frames.
        words: what it shows, for who cannot see it.
    """
    height, width = sheet.size
    return (
        f'<canvas class="reel" data-reel="{escape(key)}" data-columns="{sheet.columns}" data-sheet="{sheet.address}" '
        f'width="{width}" height="{height}" role="img" aria-label="{escape(words)}"></canvas>'
    )


def group(name: str, body: str, *, frames: int, fps: float, size: tuple[int, int], words: str) -> str:
    """Reels and what goes with them, with the transport below.

    Args:
        name: of the group; where it stands outlives the replacement of this piece.
        body: HTML with reels of one length.
        frames: T.
        fps: the rate at which they play.
        size: (H, W) of the frames.
        words: what is to be seen, for who cannot see it.
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
