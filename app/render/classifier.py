"""What a classifier sees in the image, where it looks (also frame by frame), and whether its map is faithful.

Axes: T frames, H, W.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from app.render.fragments import macros, ordinal, percent, seconds
from avd_core.classifiers.names import titled, without_labels
from avd_core.explore.parts import FrameSaliency, Recognition

if TYPE_CHECKING:
    from avd_core.classifiers.road import Faithfulness

_HTML = macros("classifier.html")
RECOGNITION = "What a classifier sees"
SALIENCY = "Where it looks"
FAITHFULNESS = "Is the map true?"
FRAMES = "Where it looks, frame by frame"
UNLIKELY = 0.02  # a probability below this says nothing when it falls


def recognition_card(recognition: Recognition) -> str:
    """Draw the classifier's best guesses for the distilled image, and its first one for the clip's middle frame."""
    same, kept = _agreement(recognition) if recognition.frame else (False, "")
    return _HTML.recognition(RECOGNITION, recognition, titled(without_labels(recognition.classifier)), same, kept)


def _agreement(recognition: Recognition) -> tuple[bool, str]:
    """Return whether the image's guesses hold the middle frame's first one, and a sentence about it."""
    first, rank, count = recognition.frame[0], recognition.rank_of_frame, len(recognition.topk)
    everything = sum(guess.probability for guess in recognition.topk) > 0.999  # of few labels, all are among the five
    if first.refusal:
        same, kept = bool(recognition.topk[0].refusal), ""
    elif everything and rank:
        same, kept = rank == 1, f"The image puts that {ordinal(rank)} of {count}."
    else:
        same = rank is not None
        kept = f"The image keeps that, {ordinal(rank)} of its five." if rank else "That is not among the image’s five."
    return same, kept


def about(value: float | None) -> str:
    """Say how long something will take: 'about 4 s'; None: it is not known."""
    if value is None:
        return "some seconds"
    return f"about {seconds(max(1, round(value)))}".replace(".0", "")


def saliency_card(
    distilled: str, heat: str, label: str, method: str, size: tuple[int, int], colours: Sequence[str]
) -> str:
    """Draw the distilled image under a heat map; the browser mixes the two, so the strength needs no server.

    Args:
        distilled: address of the image.
        heat: address of the map in false colours, same size.
        label: the class whose evidence is shown.
        method: the method's title.
        size: (H, W).
        colours: of the map's scale, from nothing to the most.
    """
    return _HTML.saliency(SALIENCY, distilled, heat, label, method, size, colours)


def faithfulness_offer() -> str:
    """Draw a card that says what checking the map would show."""
    return _HTML.faithfulness_offer(FAITHFULNESS)


def faithfulness_card(faithfulness: Faithfulness, label: str) -> str:
    """Draw the faithfulness as a number, with what it means."""
    count, beaten = len(faithfulness.moved), sum(faithfulness.score > score for score in faithfulness.moved)
    if faithfulness.untouched < UNLIKELY:
        conclusion, kind = (
            f"Nothing to judge: this class has {percent(faithfulness.untouched)} to begin with. Choose a likelier one.",
            "",
        )
    elif beaten == count:
        conclusion, kind = f"Truer than all {count} copies of it that were moved elsewhere.", "good"
    elif beaten == 0:
        conclusion, kind = f"Misleading: all {count} copies of it that were moved elsewhere score more.", "bad"
    else:
        conclusion, kind = f"No clear case: {beaten} of {count} copies that were moved elsewhere score less.", ""
    return _HTML.faithfulness(FAITHFULNESS, faithfulness, label, kind, conclusion)


def frames_offer(label: str | None = None) -> str:
    """Draw a card that says what mapping every frame would show."""
    return _HTML.frames_offer(FRAMES, label)


def frames_card(
    restored: str, heat: str, saliency: FrameSaliency, label: str, method: str, *, fps: float, colours: Sequence[str]
) -> str:
    """Draw the restored clip under the heat maps of its frames, and the class's probability frame by frame.

    Args:
        restored: address of the restored clip.
        heat: address of the maps in false colours as a video, same size and rate.
        saliency: the maps and the probabilities.
        label: the class whose evidence is shown.
        method: the method's title.
        fps: the rate at which both play.
        colours: of the maps' scale.
    """
    _, height, width = saliency.maps.shape
    highest = max(max(saliency.probabilities), UNLIKELY)
    return _HTML.frames(
        FRAMES, restored, heat, saliency.probabilities, json.dumps([percent(p) for p in saliency.probabilities]),
        int(saliency.maps.max(axis=(1, 2)).argmax()) + 1, [100 * p / highest for p in saliency.probabilities],
        label, method, (height, width), fps, colours,
    )  # fmt: skip
