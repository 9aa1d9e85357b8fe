"""The parts of an exploration: how real the image looks, what is seen in it and where, what it plays as.

Axes: T frames, H, W; the last axis is RGB. Frames and images are uint8.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from avd_core.media.distilled_png import DistilledInfo

if TYPE_CHECKING:  # importing the classifiers costs seconds that distilling and restoring need not pay
    from avd_core.classifiers.loading import Prediction
    from avd_core.classifiers.road import Faithfulness


@dataclass(frozen=True)
class Realism:
    """What the model's own critic says of the distilled image: for people, and no evidence.

    Attributes:
        logit: its score; without an absolute zero, so show the percentile.
        percentile_among_real: share of real reference frames that score lower, 0 to 100; None when the
            checkpoint has no reference scores.
        percentile_among_distilled: the same among this checkpoint's distilled images of reference clips.
        own_frames: the same percentile for each frame of this very clip; empty without reference scores.
        own_logits: the frames' scores.
        map: (h, w) float32, the score patch by patch; its mean is `logit`.
    """

    logit: float
    percentile_among_real: float | None
    percentile_among_distilled: float | None
    own_frames: tuple[float, ...]
    own_logits: tuple[float, ...]
    map: np.ndarray

    @property
    def at_the_end(self) -> str:
        """Say in words that the image lies beyond all real reference frames; "" where it lies among them."""
        ends = {0.0: "less real than every real frame it is compared with", 100.0: "more real than every one of them"}
        return "" if self.percentile_among_real is None else ends.get(self.percentile_among_real, "")


@dataclass(frozen=True)
class Recognition:
    """What an image classifier sees in the distilled image, likeliest first.

    Attributes:
        classifier: the one in use.
        notice: which one that is and why, when it is not the one asked for.
        topk: its predictions.
        frame: its predictions for the clip's middle frame; empty if it was not classified.
    """

    classifier: str
    notice: str | None
    topk: tuple[Prediction, ...]
    frame: tuple[Prediction, ...] = ()

    @property
    def rank_of_frame(self) -> int | None:
        """Which of the image's predictions, counted from 1, is the middle frame's first; None when none of them is."""
        labels = [prediction.label for prediction in self.topk]
        return labels.index(self.frame[0].label) + 1 if self.frame and self.frame[0].label in labels else None


@dataclass(frozen=True)
class Saliency:
    """Where the classifier looks for one class.

    Attributes:
        map: (H, W) float32 in [0, 1].
        label: the class it explains.
        method: a key of `saliency.METHODS`.
        overlay: (H, W, 3), the map laid over the image.
        faithfulness: whether the map tells the truth, where that was asked.
        frames: where it looks in the restored frames, where that was asked.
    """

    map: np.ndarray
    label: str
    method: str
    overlay: np.ndarray
    faithfulness: Faithfulness | None = None
    frames: FrameSaliency | None = None


@dataclass(frozen=True)
class FrameSaliency:
    """Where the classifier looks for one class in each restored frame, on one scale.

    Attributes:
        maps: (T, H, W) float32 in [0, 1]; 1 is the hottest place of all frames.
        probabilities: of the class, frame by frame.
    """

    maps: np.ndarray
    probabilities: tuple[float, ...]

    def overlay(self, frames: np.ndarray, strength: float = 0.5) -> np.ndarray:
        """The maps laid over the frames they are of, (T, H, W, 3)."""
        from avd_core.classifiers.saliency import overlay

        return np.stack([overlay(frame, heat, strength) for frame, heat in zip(frames, self.maps, strict=True)])


@dataclass(frozen=True)
class Restoration:
    """The clip that an image plays as.

    Attributes:
        frames: (T, H, W, 3).
        fps: the rate at which they play.
        checkpoint: whose decoder it was.
        fingerprint: of its weights.
        image: (H, W, 3), what went into the decoder.
        info: what the file said of itself; None for a picture that was never distilled.
        notes: sentences for the person: what had to be guessed or changed.
    """

    frames: np.ndarray
    fps: float
    checkpoint: str
    fingerprint: str
    image: np.ndarray
    info: DistilledInfo | None
    notes: tuple[str, ...]

    @property
    def note(self) -> str:
        """All notes as one text; empty when there is nothing to say."""
        return " ".join(self.notes)


@dataclass(frozen=True)
class Refined:
    """What refining changed.

    Attributes:
        steps: gradient steps made.
        gain: of the restored clip, dB.
        image_psnr: of the image to what it was drawn to (the middle frame, of most checkpoints), dB, before and after.
    """

    steps: int
    gain: float
    image_psnr: tuple[float, float]
