"""Select the best weights of a training, those before it included, by clips that it is not trained on.

Selection by a clip favours that clip, so the gain must be measured on others. Axes: T frames, H, W.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from statistics import fmean
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from avd_core.analysis.motion_pictures import guide_picture
from avd_core.networks.avd import AVD, to_frames

SETBACK = 0.15  # dB below the beginning, after the warm-up, from which the learning rate counts as too high
SLOWER = 1 / 3  # factor of the learning rate then
IMAGE_SLACK = 0.5  # dB that the image may lose; what it loses beyond is subtracted from the restoration's gain


@dataclass(frozen=True)
class Score:
    """Score of the weights after a step on the selecting clips, means in dB.

    Attributes:
        step: of the training.
        restored: PSNR of the restored clips.
        image: PSNR of the distilled images against their guide targets.
    """

    step: int
    restored: float
    image: float

    def gain_over(self, start: Score) -> float:
        """Return the gain of `restored` over the beginning, less what `image` has lost beyond `IMAGE_SLACK`."""
        return self.restored - start.restored + min(0.0, self.image - start.image + IMAGE_SLACK)


class BestWeights:
    """Keeps the weights with the best score on some clips.

    Args:
        model: the network before the training.
        clips: the selecting clips, (1,3,T,h,w) each, in [-1, 1].

    Attributes:
        looks: all scores in order; the first is that of the beginning.
        best: the best of them.
        weights: of the network with the best score.
    """

    best: Score
    weights: dict[str, Any]

    def __init__(self, model: AVD, clips: Sequence[Tensor]) -> None:
        self.clips = list(clips)
        self.looks: list[Score] = []
        self.look(0, model)

    @classmethod
    def of(cls, state: Mapping[str, Any], clips: Sequence[Tensor]) -> Self:
        """Restore what `state()` returned, with the same clips."""
        best = cls.__new__(cls)
        best.clips, best.looks, best.weights = list(clips), [Score(*one) for one in state["looks"]], state["weights"]
        best.best = Score(*state["best"])
        return best

    def look(self, step: int, model: AVD) -> Score:
        """Score the weights after a step, keep them if they are the best so far, and return the score."""
        if not self.looks or self.looks[-1].step != step:
            score = Score(step, *map(fmean, zip(*(fidelity(model, clip) for clip in self.clips), strict=True)))
            self.looks.append(score)
            if step == 0 or score.gain_over(self.start) > self.best.gain_over(self.start):
                self.best, self.weights = score, copy.deepcopy(model.state_dict())
        return self.looks[-1]

    @property
    def start(self) -> Score:
        """Score of the beginning."""
        return self.looks[0]

    def summary(self) -> dict[str, Any]:
        """Return plain values for `state.json`.

        `step` of the best weights, 0 if none is better than the beginning; `gain` and `image`, the changes of both PSNR
        since the beginning, in dB; `rising`, whether the last score is the best.
        """
        return {
            "step": self.best.step,
            "gain": round(self.best.restored - self.start.restored, 3),
            "image": round(self.best.image - self.start.image, 3),
            "rising": 0 < self.best.step == self.looks[-1].step,
        }

    def state(self) -> dict[str, Any]:
        """Return what a resume needs, as tensors and plain values."""
        return {"looks": list(map(astuple, self.looks)), "best": astuple(self.best), "weights": self.weights}


@torch.inference_mode()
def fidelity(model: AVD, clip: Tensor) -> tuple[float, float]:
    """Return the PSNR in dB of a restored clip, and of its image against the guide target."""
    image = model.encode(clip)
    frames = to_frames(clip).astype(np.float64)
    restored, still = to_frames(model.decode(image)), to_frames(image.unsqueeze(2))[0]
    errors = (restored - frames, still - guide_picture(to_frames(clip), *model.config.guide))
    clip_psnr, image_psnr = (float(10 * np.log10(255**2 / max(np.square(error).mean(), 1e-9))) for error in errors)
    return clip_psnr, image_psnr
