"""The part of a clip that is asked for: what contradicts itself is refused before the file is opened."""

from __future__ import annotations

from typing import Any

import pytest

from avd_core.media.container import VideoError
from avd_core.media.window import Window


@pytest.mark.parametrize(
    ("bounds", "reason"),
    [
        ({"start": -0.5}, "starts at -0.5 s"),
        ({"start": float("nan")}, "start of the window must be a number"),
        ({"start": "1"}, "must be a number"),
        ({"start": True}, "must be a number"),
        ({"seconds": 0}, "is 0 s long"),
        ({"seconds": float("inf")}, "length of the window must be a number"),
        ({"whole": True, "start": 0.0}, "leaves no window"),
        ({"whole": True, "seconds": 1}, "leaves no window"),
    ],
)
def test_windows_that_cannot_be_are_refused(bounds: dict[str, Any], reason: str):
    with pytest.raises(VideoError, match=reason):
        Window(**bounds)


@pytest.mark.parametrize("bounds", [{}, {"start": 0}, {"seconds": 0.5}, {"start": 1.5, "seconds": 2}, {"whole": True}])
def test_all_others_are_taken(bounds: dict[str, Any]):
    assert Window(**bounds) == Window(bounds.get("start"), bounds.get("seconds"), bounds.get("whole", False))
