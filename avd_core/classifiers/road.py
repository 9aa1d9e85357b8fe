"""Faithfulness: does the classifier really need what a map calls important?

ROAD, "remove and debias" (Rong et al., ICML 2022, arXiv 2202.00449): pixels are taken away in the order of the map, the
most important ones first and then once more the least important ones first, and each time the classifier is asked
again. A taken pixel becomes the weighted mean of its neighbours, plus a little noise, so that no hole gives its shape
away; that part is the `grad-cam` package's. A map that tells the truth loses the class in the first order and keeps it
in the second. The score is half the difference of the two mean probabilities, as in the package, and the
negative of itself for a map turned around.

One image is a small sample, and maps are coarse: on each of three real clips, ten random maps of 7 x 7 cells scored
0.01 to 0.10 times the class's probability on average, with standard deviations of 0.10 to 0.14 times. So the same is
done with copies of the map that are moved elsewhere (what leaves on one side comes back on the other). They are as
coarse as the map itself, and only a score beyond theirs says that the map points at the right place.

The package cuts a map by its values. Where many pixels share one (a map is zero in most places) it then takes far more
than it was told to, or all, which leaves nothing to fill in from. Here pixels are taken by their rank, equal ones in a
seeded random order, so both orders lose the same share. It works on the image itself, not on the classifier's enlarged
input: the map says no more there, and the linear systems are a fraction of the size.

Axes: H, W.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from avd_core.classifiers.loading import Classifier

TAKEN = (30, 50, 70)
"""Percent of the pixels that are taken away, one after the other."""

MOVED = ((1 / 2, 0), (0, 1 / 2), (1 / 2, 1 / 2), (1 / 3, 2 / 3), (2 / 3, 1 / 3))
"""How far copies of the map are moved, down and across, in heights and widths."""

_seeding = threading.Lock()  # the package draws its noise from torch's one generator


@dataclass(frozen=True)
class Faithfulness:
    """How much the classifier depends on what a map calls important (ROAD).

    Attributes:
        score: half of `least_first - most_first`, -1 to 1; the more, the truer the map.
        untouched: the class's probability on the whole image.
        most_first: its mean probability while the most important pixels are taken away first.
        least_first: its mean probability while the least important pixels are taken away first.
        moved: the scores of copies of the map that are moved elsewhere: what chance gives.
        seed: of what is random in it.
    """

    score: float
    untouched: float
    most_first: float
    least_first: float
    moved: tuple[float, ...]
    seed: int


def road(
    classifier: Classifier,
    image: Tensor,
    heat: np.ndarray,
    target: int,
    *,
    seed: int = 0,
    progress: Callable[[float], None] | None = None,
) -> Faithfulness:
    """Measure how much the classifier depends on what a map calls important; the same seed gives the same figures.

    Args:
        classifier: whose map it is.
        image: (1,3,H,W) in [-1, 1].
        heat: (H,W), the hotter, the more important.
        target: the class's number.
        seed: of the noise, and of the order of equally hot pixels.
        progress: called with the share that is done, 0 to 1; what it raises stops the work.
    """
    height, width = heat.shape
    copies = [np.roll(heat, (round(down * height), round(across * width)), (0, 1)) for down, across in MOVED]
    image, means = image.detach().cpu(), []
    for number, one in enumerate([heat, *copies]):
        rank = _ranked(one, seed)
        for order, least_first in enumerate((False, True)):
            left = []
            for percent in TAKEN:
                taken = round(heat.size * percent / 100)
                kept = (rank >= taken) if least_first else (rank < heat.size - taken)
                left.append(classifier.probability(_filled(image, kept, seed), target))
                if progress:
                    done = (2 * number + order) * len(TAKEN) + len(left)
                    progress(done / (2 * len(TAKEN) * (1 + len(MOVED))))
            means.append(float(np.mean(left)))
    score, *moved = [(least - most) / 2 for most, least in zip(means[::2], means[1::2], strict=True)]
    return Faithfulness(score, classifier.probability(image, target), means[0], means[1], tuple(moved), seed)


def _ranked(heat: np.ndarray, seed: int) -> Tensor:
    """Return each pixel's place (H,W) in the order from cold to hot, from 0."""
    rank = np.empty(heat.size, np.int64)
    rank[np.lexsort((np.random.default_rng(seed).random(heat.size), heat.ravel()))] = np.arange(heat.size)
    return torch.from_numpy(rank.reshape(heat.shape))


def _filled(image: Tensor, kept: Tensor, seed: int) -> Tensor:
    """Fill what is not kept of an image (1,3,H,W) from what is around it."""
    from pytorch_grad_cam.metrics.road import NoisyLinearImputer

    with _seeding, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return NoisyLinearImputer()(image[0], kept.float())[None].clamp(-1, 1)
