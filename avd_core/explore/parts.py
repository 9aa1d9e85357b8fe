"""The parts of an exploration: realism, recognition, saliency, restoration, refinement.

Axes: T frames, H, W; the last axis is RGB. Frames and images are uint8.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from avd_core.media.distilled_png import DistilledInfo

if TYPE_CHECKING:  # importing the classifiers takes seconds, which distilling and restoring avoid
    from avd_core.classifiers.loading import Prediction
    from avd_core.classifiers.road import Faithfulness


@dataclass(frozen=True)
class Realism:
    """The rating of the distilled image by the model's own critic, which describes it and proves nothing.

    Attributes:
        logit: the score; it has no absolute zero, so show the percentile.
        percentile_among_real: share of real reference frames with a lower score, 0 to 100; None if the checkpoint has
            no reference scores.
        percentile_among_distilled: the same among this checkpoint's distilled images of reference clips.
        own_frames: `percentile_among_real` of each frame of this clip; empty without reference scores.
        own_logits: scores of the frames.
        map: (h, w) float32, the score of each patch; its mean is `logit`.
    """

    logit: float
    percentile_among_real: float | None
    percentile_among_distilled: float | None
    own_frames: tuple[float, ...]
    own_logits: tuple[float, ...]
    map: np.ndarray

    @property
    def at_the_end(self) -> str:
        """A phrase if the image lies beyond all real reference frames; "" if it lies among them."""
        ends = {0.0: "less real than every real frame it is compared with", 100.0: "more real than every one of them"}
        return "" if self.percentile_among_real is None else ends.get(self.percentile_among_real, "")


@dataclass(frozen=True)
class Recognition:
    """The predictions of an image classifier for the distilled image.

    Attributes:
        classifier: its name.
        notice: a sentence if it replaces the requested classifier, else empty.
        topk: its predictions, likeliest first.
        frame: its predictions for the clip's middle frame; empty if it was not classified.
    """

    classifier: str
    notice: str | None
    topk: tuple[Prediction, ...]
    frame: tuple[Prediction, ...] = ()

    @property
    def rank_of_frame(self) -> int | None:
        """Rank, from 1, of the middle frame's first class among the image's predictions; None if it is not there."""
        labels = [prediction.label for prediction in self.topk]
        return labels.index(self.frame[0].label) + 1 if self.frame and self.frame[0].label in labels else None


@dataclass(frozen=True)
class Saliency:
    """A saliency map: where the classifier finds evidence for one class.

    Attributes:
        map: (H, W) float32 in [0, 1].
        label: the class it explains.
        method: a key of `saliency.METHODS`.
        overlay: (H, W, 3), the map painted over the image.
        faithfulness: of the map; None if not requested.
        frames: maps of the restored frames; None if not requested.
    """

    map: np.ndarray
    label: str
    method: str
    overlay: np.ndarray
    faithfulness: Faithfulness | None = None
    frames: FrameSaliency | None = None


@dataclass(frozen=True)
class FrameSaliency:
    """Saliency maps of one class for each restored frame, on one scale.

    Attributes:
        maps: (T, H, W) float32 in [0, 1]; 1 is the maximum over all frames.
        probabilities: of the class, for each frame.
    """

    maps: np.ndarray
    probabilities: tuple[float, ...]

    def overlay(self, frames: np.ndarray, strength: float = 0.5) -> np.ndarray:
        """Paint the maps over their frames (T, H, W, 3)."""
        from avd_core.classifiers.saliency import overlay

        return np.stack([overlay(frame, heat, strength) for frame, heat in zip(frames, self.maps, strict=True)])


def keeping(through_jpeg: bool) -> str:
    """Say in half a sentence what a checkpoint's images survive, to stand behind its name."""
    return "its images are made to survive a JPEG" if through_jpeg else "its images must stay PNGs"


@dataclass(frozen=True)
class Restoration:
    """The clip that is restored from an image.

    Attributes:
        frames: (T, H, W, 3).
        fps: the rate at which they play.
        checkpoint: name of the decoder's checkpoint.
        fingerprint: of its weights.
        through_jpeg: its `ModelConfig.trained_through_jpeg`.
        image: (H, W, 3), the decoder's input.
        info: metadata of the file; None for a picture without.
        notes: sentences for the user about guesses and changes.
    """

    frames: np.ndarray
    fps: float
    checkpoint: str
    fingerprint: str
    through_jpeg: bool
    image: np.ndarray
    info: DistilledInfo | None
    notes: tuple[str, ...]

    @property
    def note(self) -> str:
        """All notes as one text, or ""."""
        return " ".join(self.notes)


@dataclass(frozen=True)
class Refined:
    """The effect of refinement.

    Attributes:
        steps: gradient steps done.
        gain: in the restored clip's PSNR, in dB.
        image_psnr: PSNR of the image against its guide target, in dB, before and after.
    """

    steps: int
    gain: float
    image_psnr: tuple[float, float]
