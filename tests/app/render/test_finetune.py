"""Fine-tuning as HTML: losses on both scales, and names that are no markup."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from app.render import before_after
from app.render import finetune as render
from avd_core.media.window import Window
from avd_core.runs.process import Look
from avd_core.training.finetune_clips import Part
from tests.tuning import some_clips


def test_losses_are_drawn_on_both_scales():
    piece = render.losses({"recon_loss": [(1, 0.5), (10, 0.05), (20, 0.005)], "guide_loss": []}, {"critic_gap": -0.001})
    plain, power = re.findall(r'<polyline class="made" points="([^"]+)"', piece)
    heights = [[float(point.split(",")[1]) for point in line.split()] for line in (plain, power)]
    assert all(line == sorted(line) for line in heights), "smaller losses stand lower"
    steps = [b - a for a, b in zip(heights[1], heights[1][1:], strict=False)]
    assert steps[0] == pytest.approx(steps[1], abs=0.1), "a tenth is as far from a tenth on the logarithmic scale"
    assert heights[0][1] - heights[0][0] > 5 * (heights[0][2] - heights[0][1])
    assert "0.0050" in piece and "still to come" in render.losses({"recon_loss": []}, {})


def test_what_people_type_is_no_markup():
    name = "<script>alert(1)</script>"
    look = Look("failed", 1, name)
    pieces = [
        render.runs([("k", name, look, 0)], "k", {"k": 2}),
        render.failure(look),
        render.command(name),
        render.log([name], None, "cpu"),
        render.status_line(name, look, 2, None, 0),
        render.status_line(name, Look("running", 1), 2, 5.0, 0),
        render.status_line(name, Look("queued", 0), 2, None, 3),
    ]
    assert not [piece for piece in pieces if "<script" in piece]
    assert "3 before it" in pieces[-1] and "about 5 s left" in pieces[-2]


def test_what_is_kept_back_is_counted(tmp_path: Path, rendered_clip: Path):
    short = some_clips(tmp_path, rendered_clip)
    assert "too short to hold a moment back" in render.counted(short[:1], frozenset())
    assert "too short" in render.counted(short, frozenset([2])), "one short clip would choose and judge"
    parts = tuple(Part(Window(float(n), 1.0), {}) for n in range(5))
    long = [dataclasses.replace(one, parts=parts) for one in short]
    assert "one chooses the weights, the other judges" in render.counted(long[:1], frozenset())
    assert "but for 6 moments" in render.counted(long, frozenset())
    assert "2 to train on, 1 held out" in render.counted(long, frozenset([0]))


def test_nothing_better_is_said_plainly_and_with_what_would_help():
    piece = before_after.card([], [], True, {"step": 0, "gain": 0.0, "rising": False})
    assert "Nothing better was found" in piece and "began with" in piece and "More time helps" in piece
    assert "tune-side" not in piece
    going_on = before_after.card([], [], True, {"step": 9, "gain": 0.4, "rising": True})
    assert "still getting better" in going_on and "other ones chose" in going_on and "Nothing better" not in going_on
    assert "expect less of new ones" in before_after.card([], [], False)
