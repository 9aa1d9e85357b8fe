"""A comparison as one picture: every representation with its figures under it, to be passed on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from avd_core.explore.comparison import Comparison, Row

COLUMNS, WIDTH, MARGIN, LINE = 4, 260, 20, 19  # cells in a row; pixels
PAPER, INK, SOFT, COPPER = "#faf8f5", "#1c1917", "#5c554d", "#b4531f"


def contact_sheet(comparison: Comparison) -> np.ndarray:
    """Draws the rows that are there, best restored first: uint8 (H, W, 3)."""
    count, height, width, _ = comparison.clip.frames.shape
    tall = round(WIDTH * height / width)
    cell = tall + 6 * LINE + MARGIN
    lines = -(-len(comparison.rows) // COLUMNS)
    size = (COLUMNS * (WIDTH + MARGIN) + MARGIN, 4 * LINE + lines * cell + MARGIN)
    sheet = Image.new("RGB", size, PAPER)
    pen = ImageDraw.Draw(sheet)
    clip = comparison.clip
    _write(pen, (MARGIN, MARGIN), comparison.request.clip.name, 18, INK, size[0] - 2 * MARGIN)
    told = (
        f"{count} frames from {clip.start:.1f} to {clip.start + clip.seconds:.1f} s; "
        f"classes by {comparison.classifier}; realism: the share of real frames that look less real to the critic of "
        f"{Path(comparison.request.judge).name}"
    )
    _write(pen, (MARGIN, MARGIN + 26), told, 13, SOFT, size[0] - 2 * MARGIN)
    for number, row in enumerate(comparison.ordered("restoration")):
        x = MARGIN + number % COLUMNS * (WIDTH + MARGIN)
        y = 4 * LINE + number // COLUMNS * cell
        # Of the clip's shape, whatever multiples of 8 a checkpoint rounded its sides to.
        sheet.paste(Image.fromarray(row.image).resize((WIDTH, tall), Image.Resampling.LANCZOS), (x, y))
        for line, (text, colour) in enumerate(_lines(row, count)):
            _write(pen, (x, y + tall + 6 + line * LINE), text, 16 if line == 0 else 13, colour, WIDTH)
    return np.asarray(sheet)


def _lines(row: Row, count: int) -> list[tuple[str, str]]:
    restored = (
        "does not restore" if row.psnr is None else f"{row.psnr:.1f} dB{', copied' if row.copied else ' restored'}"
    )
    realism = "" if row.realism is None else f"realism {row.realism:.0f} %"
    agreement = "" if row.agreeing is None else f"agrees with {row.agreeing} of {count} frames"
    return [
        (row.title, COPPER if row.info else INK),
        (restored, INK),
        (", ".join(filter(None, (realism, agreement))), INK),
        *((f"{p.label} {p.probability:.0%}", SOFT) for p in row.topk[:2]),
    ]


def _write(pen: ImageDraw.ImageDraw, at: tuple[int, int], text: str, size: int, colour: str, room: int) -> None:
    """One line, cut where the room ends. Names of files may hold letters that the font has not: it draws a box."""
    font = ImageFont.load_default(size)
    while text and pen.textlength(text, font) > room:
        text = text[:-2].rstrip("…") + "…"
    pen.text(at, text, colour, font)
