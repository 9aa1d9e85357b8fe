"""Write a comparison to files: images, restored clips, figures, and a contact sheet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from avd_core.atomic_io import staged_folder, write_json
from avd_core.explore.comparison import Comparison, ComparisonRow
from avd_core.media.container import shown_name
from avd_core.media.distilled_png import save_distilled, save_image
from avd_core.media.writer import write_mp4

COLUMNS, WIDTH, MARGIN, LINE = 4, 260, 20, 19  # of the contact sheet: cells in a row; pixels
PAPER, INK, SOFT, COPPER = "#faf8f5", "#1c1917", "#5c554d", "#b4531f"


def save_comparison(comparison: Comparison, folder: str | Path) -> Path:
    """Write `sheet.png`, `comparison.json`, the images to `images/` and the restored clips to `restored/`.

    Raises:
        OutputError: the folder cannot be written; it is left as it was.
    """
    folder = Path(folder)
    with staged_folder(folder) as staging:
        (staging / "images").mkdir()
        (staging / "restored").mkdir()
        for number, row in enumerate(comparison.rows, 1):
            stem = f"{number:02d}-{Path(row.name).name}"
            save_row(row, staging / "images" / f"{stem}.png")
            if row.restored is not None and not row.copied:
                fps = row.info.fps if row.info else comparison.clip.fps
                write_mp4(staging / "restored" / f"{stem}.mp4", row.restored, fps)
        save_image(staging / "sheet.png", contact_sheet(comparison))
        write_json(staging / "comparison.json", comparison.report())
    return folder


def save_row(row: ComparisonRow, path: Path) -> Path:
    """Write a row's image, with metadata if a checkpoint made it."""
    return save_distilled(path, row.image, row.info) if row.info else save_image(path, row.image)


def contact_sheet(comparison: Comparison) -> np.ndarray:
    """Draw all rows that are ready, the best restored first: uint8 (H, W, 3)."""
    count, height, width, _ = comparison.clip.frames.shape
    tall = round(WIDTH * height / width)
    cell = tall + 6 * LINE + MARGIN
    lines = -(-len(comparison.rows) // COLUMNS)
    size = (COLUMNS * (WIDTH + MARGIN) + MARGIN, 4 * LINE + lines * cell + MARGIN)
    sheet = Image.new("RGB", size, PAPER)
    pen = ImageDraw.Draw(sheet)
    clip = comparison.clip
    _write(pen, (MARGIN, MARGIN), shown_name(comparison.request.clip), 18, INK, size[0] - 2 * MARGIN)
    about = (
        f"{count} frames from {clip.start:.1f} to {clip.start + clip.seconds:.1f} s; "
        f"classes by {comparison.classifier}; realism: the share of real frames that look less real to the critic of "
        f"{Path(comparison.request.judge).name}"
    )
    _write(pen, (MARGIN, MARGIN + 26), about, 13, SOFT, size[0] - 2 * MARGIN)
    for number, row in enumerate(comparison.ordered("restoration")):
        x = MARGIN + number % COLUMNS * (WIDTH + MARGIN)
        y = 4 * LINE + number // COLUMNS * cell
        # In the clip's shape: a checkpoint may round sides to other multiples of 8.
        sheet.paste(Image.fromarray(row.image).resize((WIDTH, tall), Image.Resampling.LANCZOS), (x, y))
        for line, (text, colour) in enumerate(_lines(row, count)):
            _write(pen, (x, y + tall + 6 + line * LINE), text, 16 if line == 0 else 13, colour, WIDTH)
    return np.asarray(sheet)


def _lines(row: ComparisonRow, count: int) -> list[tuple[str, str]]:
    restored = (
        "does not restore" if row.psnr is None else f"{row.psnr:.1f} dB{', copied' if row.copied else ' restored'}"
    )
    realism = "" if row.realism is None else f"realism {row.realism:.0f} %"
    agreement = "" if row.agreeing is None else f"agrees with {row.agreeing} of {count} frames"
    return [
        (row.title, COPPER if row.info else INK),
        (restored, INK),
        (", ".join(filter(None, (realism, agreement))), INK),
        *((str(p), SOFT) for p in row.topk[: 1 if row.topk[0].refusal else 2]),
    ]


def _write(pen: ImageDraw.ImageDraw, at: tuple[int, int], text: str, size: int, colour: str, room: int) -> None:
    """Write one line, cut to `room` pixels; letters that the font lacks become boxes."""
    font = ImageFont.load_default(size)
    while text and pen.textlength(text, font) > room:
        text = text[:-2].rstrip("…") + "…"
    pen.text(at, text, colour, font)
