"""Batches as HTML: the time left and the notes, in words."""

from __future__ import annotations

from pathlib import Path

from app.render import batch as render
from avd_core.explore.batch import BatchRequest, Source


def test_time_left_is_told_in_words():
    assert "about 45 s left" in render.status_line(1, 5, 44.9) and "left" not in render.status_line(0, 5, None)
    assert "about 1 min 5 s left" in render.status_line(1, 5, 65.2) and "about 1 s left" in render.status_line(
        4, 5, 0.01
    )


def test_many_notes_are_shortened():
    request = BatchRequest((Source(Path("x"), "x"),))
    assert render.notes([f"{n} is damaged." for n in range(40)], ()).count("<li>") == 13 and request.sources
