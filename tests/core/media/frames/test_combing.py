"""Combed pictures that are not flagged are said and left alone; of progressive ones nothing is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from avd_core.media.video import read_clip
from tests.core.media.clips import encode, moving

HEIGHT, WIDTH = 480, 640
SAID = "The pictures look combed"


def said(path: Path) -> bool:
    return any(SAID in note for note in read_clip(path, frames=8, size=112, whole=True).notes)


def woven(order: int) -> list[np.ndarray]:
    """Pictures whose odd and even rows are of moments that follow each other."""
    moments = list(moving(16, 0.0, 1.5, 0.0, height=HEIGHT, width=WIDTH))
    pictures = []
    for first, second in zip(moments[::2], moments[1::2], strict=True):
        picture = first.copy()
        picture[order::2] = second[order::2]
        pictures.append(picture)
    return pictures


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize(
    ("container", "codec", "pix_fmt"),
    [("mp4", "libx264", "yuv420p"), ("avi", "huffyuv", "yuv422p"), ("mov", "mjpeg", "yuvj422p")],
)
def test_combed_pictures_without_the_flag_are_said_and_stay(tmp_path, container, codec, pix_fmt, order):
    options = {"libx264": {"crf": "10", "preset": "ultrafast"}, "mjpeg": {"qmin": "2", "qmax": "2"}}.get(codec, {})
    path = encode(tmp_path / "clip", woven(order), container=container, codec=codec, pix_fmt=pix_fmt, options=options)
    assert said(path)


def noise(number: int) -> np.ndarray:
    """Moves by two columns from picture to picture."""
    scene = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH + 40, 3), dtype=np.uint8)
    return scene[:, 2 * number : 2 * number + WIDTH]


def grain(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def stripes(number: int) -> np.ndarray:
    """Rows that alternate and stand still, behind something that moves."""
    picture = np.full((HEIGHT, WIDTH, 3), 40, np.uint8)
    picture[::2] = 200
    picture[100:300, 40 * number : 40 * number + 80] = 120
    return picture


def blinds(number: int) -> np.ndarray:
    """Thin rows that rise."""
    picture = np.full((HEIGHT, WIDTH, 3), 40, np.uint8)
    picture[number % 3 :: 3] = 200
    return picture


@pytest.mark.parametrize("picture", [noise, grain, stripes, blinds])
def test_fine_detail_is_not_called_combed(tmp_path, picture):
    options = {"crf": "10", "preset": "ultrafast"}
    assert not said(encode(tmp_path / "clip.mp4", (picture(i) for i in range(12)), options=options))


def test_an_ordinary_clip_is_not_called_combed(tmp_path):
    assert not said(encode(tmp_path / "clip.mp4", moving(8, 0.0, 1.5, 0.0, height=HEIGHT, width=WIDTH)))
