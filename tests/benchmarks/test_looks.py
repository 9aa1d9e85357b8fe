"""The sheet of looks: it shows each image where it differs most from its frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import looks


def test_the_worst_place_of_an_image_is_found_and_shown(tmp_path: Path):
    middle = np.full((112, 160, 3), 90, np.uint8)
    image = middle.copy()
    image[100:108:2, 140:156:2] = 120  # dots in a corner
    top, left = looks.worst_place(middle, image)
    tile = image[top : top + looks.TILE, left : left + looks.TILE]
    assert tile.shape == (looks.TILE, looks.TILE, 3) and (tile == 120).all(axis=-1).sum() == 32
    page = np.asarray(looks.sheet([tile] * 11))
    assert page.shape == (2 * 224, 10 * 224, 3) and (page[:224, :4] == 90).all()


def test_the_command_prints_figures_and_writes_the_sheet(tiny_checkpoint: Path, tmp_path: Path, capsys):
    out = tmp_path / "sheet.jpg"
    assert looks.main(["--checkpoint", str(tiny_checkpoint), "--size", "64", "--count", "2", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "2 images" in printed and "99.9th percentile" in printed
    assert Image.open(out).size == (2 * 224, 224)
