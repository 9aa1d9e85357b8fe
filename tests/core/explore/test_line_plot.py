"""Line plots as SVG; that the points are the values is checked on a report's page."""

from __future__ import annotations

import re

from avd_core.explore.line_plot import TOP, line_plot


def test_frames_that_are_identical_leave_through_the_top():
    svg = line_plot("PSNR", "dB", {"made": [30.0, None, 20.0]})
    heights = [float(p.split(",")[1]) for p in re.search(r'points="([^"]+)"', svg).group(1).split()]
    assert heights[1] < TOP <= heights[0] < heights[2]
