"""Faithfulness of a saliency map: does the class's probability depend on the pixels that the map calls important?

ROAD, "remove and debias" (Rong et al., ICML 2022, arXiv 2202.00449): pixels are removed step by step, once the most
important first and once the least important first, and the image is classified after each step. A removed pixel becomes
the weighted mean of its neighbours plus a little noise, so that holes do not show their shape; that part is the
`grad-cam` package's. With a faithful map the probability falls in the first order and stays in the second. The score is
half the difference of the two mean probabilities, as in the package; the inverted map has the negative score.

One image is a small sample, and maps are coarse: on each of three real clips, ten random maps of 7 x 7 cells scored
0.01 to 0.10 times the class's probability on average, with standard deviations of 0.10 to 0.14 times. So copies of the
map, moved elsewhere with wrap-around, are scored too. They are as coarse as the map itself, and only a score above
theirs shows that the map points at the right place.

The package selects pixels by a threshold on the map's values. Where many pixels share a value (a map is zero in most
places) it removes far more than the given share, or all, which leaves nothing to fill in from. Here pixels are selected
by rank, equal ones in a seeded random order, so that both orders remove the same share. Removal works on the image
itself, not on the classifier's enlarged input: the map holds no more detail there, and the linear systems are smaller.

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
"""Percent of the pixels that are removed, step by step."""

MOVED = ((1 / 2, 0), (0, 1 / 2), (1 / 2, 1 / 2), (1 / 3, 2 / 3), (2 / 3, 1 / 3))
"""Offsets of the moved copies of the map, down and across, as shares of height and width."""

_seeding = threading.Lock()  # the package draws its noise from torch's one generator


@dataclass(frozen=True)
class Faithfulness:
    """Faithfulness of a map (ROAD).

    Attributes:
        score: half of `least_first - most_first`, -1 to 1; higher is more faithful.
        untouched: the class's probability on the whole image.
        most_first: its mean probability over the steps that remove the most important pixels first.
        least_first: its mean probability over the steps that remove the least important pixels first.
        moved: scores of the moved copies of the map, which show what chance gives.
        seed: of the random numbers.
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
    """Measure the faithfulness of a map; the same seed gives the same figures.

    Args:
        classifier: the classifier that the map explains.
        image: (1,3,H,W) in [-1, 1].
        heat: the map (H,W); higher is more important.
        target: number of the class.
        seed: of the noise, and of the order of pixels of equal value.
        progress: called with the share done, 0 to 1; an exception that it raises stops the work.
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
    """Return each pixel's rank (H,W) in the order from low to high values, from 0."""
    rank = np.empty(heat.size, np.int64)
    rank[np.lexsort((np.random.default_rng(seed).random(heat.size), heat.ravel()))] = np.arange(heat.size)
    return torch.from_numpy(rank.reshape(heat.shape))


def _filled(image: Tensor, kept: Tensor, seed: int) -> Tensor:
    """Fill the pixels of an image (1,3,H,W) that are not `kept` from their neighbours."""
    from pytorch_grad_cam.metrics.road import NoisyLinearImputer

    with _seeding, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return NoisyLinearImputer()(image[0], kept.float())[None].clamp(-1, 1)
