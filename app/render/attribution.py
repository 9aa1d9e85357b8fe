"""Which frame each pixel of the image draws on, coloured by time.

Axes: T frames, H, W.
"""

from __future__ import annotations

from html import escape

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from app.render import fragments
from app.render.fragments import hint, percent

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
    return fragments.card("attribution", TITLE, hint(
        f"Takes each of the {frames} frames away in turn and watches where the image changes."
    ) + f"""
<div class="grey"><img src="{escape(picture)}" alt="" style="--w:{size[1]};--h:{size[0]}">
  <button type="button" class="ghost" data-attribution="1">Show it <small>a few seconds</small></button></div>
""")  # fmt: skip


def progress_card(share: float, picture: str, size: tuple[int, int]) -> str:
    """Draw the same card while frames are taken away; `share` (0 to 1) of them are done."""
    return fragments.card("attribution", TITLE, f"""
<p class="status busy" role="status">Taking the frames away, one by one<span class="bar">
  <i style="width:{100 * max(share, 0.03):.0f}%"></i></span></p>
<div class="grey"><img src="{escape(picture)}" alt="" style="--w:{size[1]};--h:{size[0]}"></div>""")  # fmt: skip


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
    bars = "".join(
        f'<i style="height:{max(100 * share / max(shares[top], 1e-9), 2):.1f}%;background:rgb({r},{g},{b})" '
        f'title="frame {number + 1}: {percent(share)}"></i>'
        for number, (share, (r, g, b)) in enumerate(zip(shares, colours(len(maps)).tolist(), strict=True))
    )
    words = f"Share of each frame; the most, {percent(shares[top])}, from frame {top + 1}"
    others = f" Frame {first + 1} leads nearly everywhere: the colours show the others." if first is not None else ""
    body = f"""
<p class="figure"><b>{percent(shares[top])}</b> from frame {top + 1}, the most</p>
<div class="drawn"><img src="{escape(picture)}" style="--w:{size[1]};--h:{size[0]}"
  alt="The distilled image, coloured by the time of the frames it draws on">
  <div class="shares" role="img" aria-label="{words}"><div class="bars-up">{bars}</div>
  <p><span>first frame</span><span>last</span></p></div></div>"""
    return fragments.card("attribution", TITLE, body + hint(
        "Each frame was taken away in turn (the mean of the others in its place): colour says which one the image "
        f"then changed for most, brightness how much. The bars are the frames’ shares of all change.{others}"
    ))  # fmt: skip
