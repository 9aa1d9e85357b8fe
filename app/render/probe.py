"""What the image knows of time: one clip in several orders, each with its image and its restored clip.

Axes: T frames, H, W.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from app.render.fragments import macros
from app.render.sprites import SpriteSheet
from avd_core.classifiers.names import titled
from avd_core.explore.time_probe import VARIANTS, Play, TimeProbe

_HTML = macros("probe.html")
AMPLIFIED = 8  # differences of a few levels are invisible
WORDS = {
    "Image": "how close this order’s image is to the forward clip’s image. Pixels go from 0 to 255; the levels are "
    "their mean difference, the picture beside shows it ×8 on grey.",
    "Restored": "how close the restored clip is to the frames that went in, in the order they went in.",
    "Forwards": "how close the same restored clip is to the clip as it was filmed. Far below “restored”: the image "
    "holds the order, not only the things.",
    "Rearranged": "what the forward image’s restored frames reach when they are just put into this order. Where "
    "“restored” stays below, the order itself was hard to keep.",
    "Mean frame": "what one blurred still picture reaches, without any motion.",
    "Seen as": "what the image classifier {classifier} takes the image for, if it were a photograph.",
}


@dataclass(frozen=True)
class VariantPictures:
    """Of one variant: the addresses of its image and of the difference, and the restored clip."""

    image: str
    difference: str
    restored: SpriteSheet


def panel(probe: TimeProbe, pictures: Mapping[str, VariantPictures]) -> str:
    """Draw every variant; those not yet played keep their places.

    Args:
        probe: what is known so far.
        pictures: of each variant that was played.
    """
    count, height, width, _ = probe.clip.frames.shape
    plays = {play.variant: play for play in probe.plays}
    shown = []
    for name, variant in VARIANTS.items():
        play = plays.get(name)
        same = play is not None and np.array_equal(play.image, probe.plays[0].image)
        played = {"play": play, "pictures": pictures[name], "same": same} if play else None
        shown.append((name, variant, played))
    recognition = probe.plays[0].recognition
    terms = {term: meaning.partition("{classifier}")[::2] for term, meaning in WORDS.items()}
    return _HTML.panel(
        probe.sentence, shown, count, probe.clip.fps, (height, width), terms, AMPLIFIED,
        titled(recognition.classifier), recognition.notice,
    )  # fmt: skip


def nothing(words: str) -> str:
    """Draw `words` in place of a result."""
    return _HTML.finding(words)


def difference(play: Play, forward: Play) -> np.ndarray:
    """Subtract the forward clip's image, amplify and draw on grey: uint8 (H, W, 3)."""
    return (128 + AMPLIFIED * (play.image.astype(np.int16) - forward.image)).clip(0, 255).astype(np.uint8)
