"""The seven scenes stay what they are: figures in docs, cards and issues are about these very clips."""

from __future__ import annotations

import numpy as np
import pytest

from avd_core.examples import scenes

RATE = 1.1  # frames a second: no loop comes back to where it was
TOLERANCE = 0.05  # of 255 levels: more than another processor's rounding, less than any change that is meant
# Of three frames of a scene at a third of its sides: the means of the four quarters and the standard deviation. After a
# change that is wanted, the test's message has the new ones.
FINGERPRINTS: dict[str, tuple[tuple[float, ...], ...]] = {
    "wave": (
        (174.04, 139.80, 139.17, 92.66, 46.41),
        (171.22, 139.68, 142.93, 92.22, 46.25),
        (174.30, 139.62, 139.87, 92.30, 46.56),
    ),
    "cradle": (
        (76.00, 92.52, 59.59, 55.86, 53.76),
        (75.56, 91.78, 57.45, 53.51, 53.59),
        (75.66, 92.34, 58.86, 55.07, 53.72),
    ),
    "balloons": (
        (176.11, 148.79, 97.62, 99.16, 67.67),
        (176.05, 148.75, 97.05, 102.05, 66.74),
        (176.36, 148.89, 98.67, 101.89, 66.34),
    ),
    "jellyfish": (
        (137.41, 140.16, 95.02, 71.44, 70.13),
        (139.30, 145.40, 82.11, 67.99, 71.63),
        (134.77, 142.74, 85.09, 82.63, 69.96),
    ),
    "basketball": (
        (169.19, 126.50, 161.89, 134.04, 62.03),
        (168.04, 124.57, 162.02, 136.40, 62.14),
        (164.80, 119.54, 161.51, 138.35, 64.33),
    ),
    "jumping_jacks": (
        (144.85, 146.26, 106.90, 108.63, 54.90),
        (146.91, 143.40, 108.81, 108.28, 54.69),
        (145.18, 144.81, 109.84, 110.56, 53.74),
    ),
    "pinwheel": (
        (192.85, 210.35, 139.43, 133.50, 62.98),
        (192.10, 201.52, 138.24, 130.12, 64.73),
        (192.38, 207.00, 141.37, 128.32, 61.65),
    ),
}


def fingerprint(name: str) -> list[list[float]]:
    """Return the means of the four quarters and the standard deviation of each of three frames."""
    scene = scenes.SCENES[name]
    height, width = scene.size
    clip = scenes.render(name, frames=3, fps=RATE, size=(height // 3, width // 3))
    found = []
    for frame in clip.astype(float):
        halves = np.array_split(frame, 2)
        blocks = [block.mean() for half in halves for block in np.array_split(half, 2, axis=1)]
        found.append([round(value, 2) for value in (*blocks, frame.std())])
    return found


@pytest.mark.parametrize("name", scenes.SCENES)
def test_scene_is_what_it_was(name: str):
    found = fingerprint(name)
    assert np.allclose(found, FINGERPRINTS[name], rtol=0, atol=TOLERANCE), found
