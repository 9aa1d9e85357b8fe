"""Agreement, by hand."""

from __future__ import annotations

import numpy as np

from avd_core.analysis.agreement import hit


def test_a_hit_is_a_class_among_the_top_five():
    logits = np.array([[9, 8, 7, 6, 5, 4], [9, 8, 7, 6, 5, 4], [0, 1, 2, 3, 4, 5]], float)
    assert hit(logits, np.array([4, 5, 5])).tolist() == [1, 0, 1]
