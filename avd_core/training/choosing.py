"""The best weights of a training, chosen by clips that it does not train on; the beginning's are among them.

A choice by a clip favours it, so what the training has gained must be told by another one. Axes: T frames, H, W.
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

SETBACK = 0.15  # dB below the beginning, after the warm-up, that show the learning rate to be too high
SLOWER = 1 / 3  # of that rate is then tried
IMAGE_SLACK = 0.5  # dB that the image may move from its frame; all beyond counts against what is restored


@dataclass(frozen=True)
class Score:
    """What the clips that choose tell of the weights after a step, means in dB.

    Attributes:
        step: of the training.
        restored: PSNR of the restored clips.
        image: PSNR of the distilled images to what they are drawn to.
    """

    step: int
    restored: float
    image: float

    def gain_over(self, start: Score) -> float:
        """Return what more is restored than at the beginning, less what the image has moved beyond `IMAGE_SLACK`."""
        return self.restored - start.restored + min(0.0, self.image - start.image + IMAGE_SLACK)


class BestWeights:
    """Keeps the weights that bring some clips back best, with an image that stays near its frame.

    Args:
        model: the beginning; every later look is at the same network.
        clips: (1,3,T,h,w) each.

    Attributes:
        looks: in order, the first at the beginning.
        best: of those.
        weights: after that step.
    """

    best: Score
    weights: dict[str, Any]

    def __init__(self, model: AVD, clips: Sequence[Tensor]) -> None:
        self.clips = list(clips)
        self.looks: list[Score] = []
        self.look(0, model)

    @classmethod
    def of(cls, state: Mapping[str, Any], clips: Sequence[Tensor]) -> Self:
        """Go on where `state()` was taken, with the same clips."""
        best = cls.__new__(cls)
        best.clips, best.looks, best.weights = list(clips), [Score(*one) for one in state["looks"]], state["weights"]
        best.best = Score(*state["best"])
        return best

    def look(self, step: int, model: AVD) -> Score:
        """Measure the weights after a step, keep them if they are the best so far, return what was measured."""
        if not self.looks or self.looks[-1].step != step:
            score = Score(step, *map(fmean, zip(*(fidelity(model, clip) for clip in self.clips), strict=True)))
            self.looks.append(score)
            if step == 0 or score.gain_over(self.start) > self.best.gain_over(self.start):
                self.best, self.weights = score, copy.deepcopy(model.state_dict())
        return self.looks[-1]

    @property
    def start(self) -> Score:
        """Of the beginning."""
        return self.looks[0]

    def summary(self) -> dict[str, Any]:
        """Return plain values for whoever watches.

        `step` of the best weights, 0 where nothing better was found; `gain` and `image`, what is restored and how near
        the image is beside the beginning, in dB; `rising`, whether the last look was the best one.
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
    """PSNR in dB of a restored clip, and of its image to what it is drawn to."""
    image = model.encode(clip)
    frames = to_frames(clip).astype(np.float64)
    restored, still = to_frames(model.decode(image)), to_frames(image.unsqueeze(2))[0]
    errors = (restored - frames, still - guide_picture(to_frames(clip), *model.config.guide))
    clip_psnr, image_psnr = (float(10 * np.log10(255**2 / max(np.square(error).mean(), 1e-9))) for error in errors)
    return clip_psnr, image_psnr
