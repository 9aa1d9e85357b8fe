"""Fine-tuning as HTML: losses on both scales, and names that are no markup."""

from __future__ import annotations

import re

import pytest

from app.render import finetune as render
from avd_core.runs.process import Look


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
