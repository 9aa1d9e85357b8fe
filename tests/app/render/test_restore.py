"""Restored clips as pictures: heat shows where something changed."""

from __future__ import annotations

import numpy as np

from app.render import restore as rendered
from avd_core.analysis.attribution import change


def test_heat_is_dark_where_nothing_changed_and_bright_where_most_did():
    before = np.zeros((2, 8, 8, 3), np.uint8)
    after = before.copy()
    after[1, 2, 3] = 100
    glow = rendered.heat(change(before, after))
    assert glow.shape == before.shape and glow[1, 2, 3].sum() > 600 and glow[0].sum(axis=-1).max() < 60
    assert rendered.heat(change(before, before)).max() < 30
