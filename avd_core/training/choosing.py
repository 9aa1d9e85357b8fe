"""The best weights of a training, chosen by clips that it does not train on; the beginning's are among them.

A choice by a clip favours it, so what the training has gained must be told by another one. Axes: T frames, H, W.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, Self

from torch import Tensor

from avd_core.networks.avd import AVD
from avd_core.training.preview import preview

SETBACK = 0.15  # dB below the beginning, after the warm-up, that show the learning rate to be too high
SLOWER = 1 / 3  # of that rate is then tried


class BestWeights:
    """Keeps the weights that bring some clips back best.

    Args:
        model: the beginning; every later look is at the same network.
        clips: (1,3,T,H,W) each.

    Attributes:
        looks: step and mean PSNR in dB of each look, the first at the beginning.
        step: of the best weights.
        weights: those.
    """

    def __init__(self, model: AVD, clips: Sequence[Tensor]) -> None:
        self.clips = list(clips)
        self.looks: list[tuple[int, float]] = []
        self.look(0, model)

    @classmethod
    def of(cls, state: Mapping[str, Any], clips: Sequence[Tensor]) -> Self:
        """Go on where `state()` was taken, with the same clips."""
        best = cls.__new__(cls)
        best.clips, best.step, best.weights = list(clips), int(state["step"]), state["weights"]
        best.looks = [(int(step), float(score)) for step, score in state["looks"]]
        return best

    def look(self, step: int, model: AVD) -> float:
        """Measure the weights after a step, keep them if they are the best so far, return their gain in dB."""
        if self.looks and self.looks[-1][0] == step:
            return self.looks[-1][1] - self.looks[0][1]
        score = fmean(preview(model, clip)[1] for clip in self.clips)
        if not self.looks or score > max(before for _, before in self.looks):
            self.step, self.weights = step, copy.deepcopy(model.state_dict())
        self.looks.append((step, score))
        return score - self.looks[0][1]

    @property
    def gain(self) -> float:
        """PSNR of the best weights over that of the beginning's, in dB; 0 where nothing better was found."""
        return max(score for _, score in self.looks) - self.looks[0][1]

    @property
    def rising(self) -> bool:
        """Whether the last look was the best, so that a longer training promises more."""
        return self.step > 0 and self.step == self.looks[-1][0]

    def summary(self) -> dict[str, Any]:
        """Return plain values for whoever watches."""
        return {"step": self.step, "gain": round(self.gain, 3), "rising": self.rising, "looks": len(self.looks)}

    def state(self) -> dict[str, Any]:
        """Return what a resume needs, as tensors and plain values."""
        return {"looks": self.looks, "step": self.step, "weights": self.weights}
