"""Which frame each pixel of the image draws on, coloured by time.

Axes: T frames, H, W.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from app.render.fragments import macros

_HTML = macros("attribution.html")
TITLE = "Which frame each pixel draws on"
# From the first frame to the last; even steps of hue, light enough for both themes.
RAMP = ((112, 88, 214), (48, 150, 214), (44, 176, 132), (196, 190, 50), (240, 150, 40), (222, 72, 62))


def colours(count: int) -> np.ndarray:
    """Return the colour of each frame, uint8 (T, 3)."""
    at, stops = np.linspace(0, 1, count), np.linspace(0, 1, len(RAMP))
    return np.stack([np.interp(at, stops, channel) for channel in zip(*RAMP, strict=True)], axis=-1).astype(np.uint8)


def leading(maps: np.ndarray) -> int | None:
    """Return the frame (from 0) that contributes most to over half of the pixels, or None."""
    counts = np.bincount(maps.argmax(axis=0)[maps.max(axis=0) > 0], minlength=len(maps))
    return int(counts.argmax()) if 2 * counts.max() > maps[0].size else None


def paint(maps: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Paint the image grey, coloured where frames contribute, by the time of the frame that contributes most.

    A frame that leads nearly everywhere would paint everything in one colour, so it is left out then.

    Args:
        maps: Contribution of each frame, float (T, H, W).
        image: uint8 (H, W, 3).

    Returns:
        uint8 (H, W, 3); full colour from the 98th percentile up.
    """
    first = leading(maps)
    others = np.delete(np.arange(len(maps)), [] if first is None else first)
    padded = np.pad(maps[others], ((0, 0), (1, 1), (1, 1)), mode="edge")
    shown = sliding_window_view(padded, (3, 3), axis=(1, 2)).mean(axis=(-2, -1))  # 8-bit steps make them grainy
    strength = np.clip(shown.max(axis=0) / max(float(np.quantile(shown.max(axis=0), 0.98)), 1e-3), 0, 1)[..., None]
    colour = colours(len(maps))[others[shown.argmax(axis=0)]]
    grey = 0.6 * image.mean(axis=-1, keepdims=True)
    return np.rint(grey * (1 - strength) + colour * strength).astype(np.uint8)


def offer_card(frames: int, picture: str, size: tuple[int, int]) -> str:
    """Draw the image in grey, with a button that starts the attribution.

    Args:
        frames: Number of frames T.
        picture: Address of the distilled image.
        size: Its (H, W).
    """
    return _HTML.offer(TITLE, frames, picture, size)


def progress_card(share: float, picture: str, size: tuple[int, int]) -> str:
    """Draw the image in grey with the progress; the contributions of a `share` (0 to 1) of the frames are known."""
    return _HTML.working(TITLE, share, picture, size)


def card(maps: np.ndarray, picture: str, size: tuple[int, int]) -> str:
    """Draw the coloured image above a bar chart of each frame's share of all contributions.

    Args:
        maps: Contribution of each frame, float (T, H, W).
        picture: Address of the image as `paint` colours it.
        size: Its (H, W).
    """
    sums = maps.sum(axis=(1, 2), dtype=np.float64)
    shares = sums / max(sums.sum(), 1e-9)
    top, first = int(shares.argmax()), leading(maps)
    bars = [
        (share, max(100 * share / max(shares[top], 1e-9), 2), colour)
        for share, colour in zip(shares, colours(len(maps)).tolist(), strict=True)
    ]
    return _HTML.shares(TITLE, picture, size, bars, top + 1, shares[top], None if first is None else first + 1)
