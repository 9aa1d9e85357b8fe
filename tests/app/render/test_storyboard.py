"""Storyboards as HTML: what is said of cost, loss and the time left."""

from __future__ import annotations

import re
from dataclasses import replace

from app.render import storyboard as render
from avd_core.explore.storyboard.files import Board
from avd_core.explore.storyboard.panels import TableEntry
from avd_core.explore.storyboard.windows import SourceVideo


def a_board(video_bytes: int, **values: object) -> Board:
    source = SourceVideo("clip.mp4", 1280, 720, 30.0, True, video_bytes, video_bytes - 10, 8.0, 8.0)
    entries = tuple(
        TableEntry(f"images/00{n}.png", 4.0 * n - 4, 4.0, n == 1, 30_000, 28.0 + n, 25.0 - n) for n in (1, 2)
    )
    return replace(Board(source, "base", "0" * 12, 16, (112, 200), entries, complete=True), **values)


def text(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def test_cost_is_said_whichever_way_it_went():
    smaller, larger = text(render.cost(a_board(600_000))), text(render.cost(a_board(20_000)))
    assert "60 kB of images" in smaller and "10.0× smaller than the video file" in smaller and "600 kB" in smaller
    assert "3.0× larger than the video file" in larger and "this strip fails" in larger
    assert "1280×720 at 30 frames a second with sound; the images bring back 200×112 at 4.0" in smaller
    assert "those very frames as an ordinary H.264 film" in text(render.cost(a_board(600_000, original_bytes=70_000)))
    part = a_board(600_000)
    part = replace(part, source=replace(part.source, seconds=80.0, picture_bytes=30_000))
    assert "2.0× larger than the pictures of that part" in text(render.cost(part))


def test_a_strip_says_what_its_images_survive_where_that_is_known():
    kept = {known: text(render.summary(a_board(1, through_jpeg=known), "film")) for known in (True, False, None)}
    assert kept[True].endswith("checkpoint base : its images are made to survive a JPEG")
    assert kept[False].endswith("checkpoint base : its images must stay PNGs") and kept[None].endswith("base")


def test_loss_stands_beside_the_mean_frames():
    said = text(render.loss(a_board(600_000)))
    assert "29.5 dB PSNR" in said and "+6.0 dB over mean frames" in said and "least 29.0 dB at 0:00.0" in said
    entries = tuple(replace(entry, psnr_mean_copy=40.0) for entry in a_board(1).entries)
    assert "−10.5 dB against mean frames" in text(render.loss(a_board(600_000, entries=entries)))
    unknown = tuple(replace(entry, psnr=None, psnr_mean_copy=None) for entry in entries)
    assert "Nobody can tell" in render.loss(a_board(600_000, entries=unknown))


def test_time_left_is_told_once_there_is_something_to_tell_from():
    board = a_board(600_000, entries=a_board(1).entries[:1], complete=False)
    assert board.share == 0.5
    assert render.progress_words(board, 1.0) == "1 image, 0:04.0 of 0:08.0"
    assert render.progress_words(board, 10.0).endswith("about 10 s left") and "3 min" in render.progress_words(
        board, 180.0
    )
