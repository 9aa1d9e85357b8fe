"""Kernel distance (KID): how far the images lie from real frames in a classifier's feature space.

The squared maximum mean discrepancy with the cubic polynomial kernel (Binkowski et al., arXiv 1801.01401), computed by
torchmetrics on a classifier's features, beside its floor: real frames against other real frames of the same clips. No
verdict is passed: the spread is that of random subsets, which are no independent samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from avd_core.analysis.intervals import aligned
from avd_core.evidence.report import NotMeasurable, Report, describe
from avd_core.evidence.requirements import ClassifierOutput

if TYPE_CHECKING:
    from avd_core.classifiers.loading import Classifier
    from avd_core.evidence.feature_cache import FeatureCache

FLOOR = "other real"
SUBSETS = 100
FEWEST = 10  # clips
LARGEST = 100  # images of a subset


QUESTION = "How far from real frames do the images lie in a classifier's feature space?"
HOW = (
    "Kernel distance (KID) between the images and real frames of the same clips, beside its floor: real frames against "
    "other real frames. The spread is that of random subsets, which are no independent samples: no verdicts."
)


def _names(cache: FeatureCache) -> list[str]:
    return [FLOOR, "adjacent", *cache.contenders, *cache.baselines]


def requirements(cache: FeatureCache, scorers: Sequence[Classifier]) -> list[ClassifierOutput]:
    """List the classifier outputs to compute."""
    names = _names(cache)
    names += [cache.real_beside(name) for name in names]
    return [ClassifierOutput(scorer, name) for scorer in scorers for name in dict.fromkeys(names)]


def measure(cache: FeatureCache, scorers: Sequence[Classifier], *, seed: int = 0) -> Report:
    """Compute the kernel distance of every representation from real frames, with every scorer.

    Raises:
        NotMeasurable: there are fewer than ten clips.
    """
    members = cache.members()
    if len(members) < FEWEST:
        raise NotMeasurable(f"a kernel distance needs at least {FEWEST} clips")
    size = min(LARGEST, len(members) // 2)
    names = _names(cache)
    rows = []
    for scorer in scorers:
        for name in names:
            real = cache.features(scorer, cache.real_beside(name), members)
            mean, deviation = kernel_distance(real, cache.features(scorer, name, members), size=size, seed=seed)
            rows.append({"scorer": scorer.name, "representation": name, "distance": mean, "deviation": deviation})
    body = [["", *(scorer.name for scorer in scorers)]]
    body += [
        [name, *(f"{row['distance']:.3f} ± {row['deviation']:.3f}" for row in rows if row["representation"] == name)]
        for name in names
    ]
    text = "\n".join([*aligned(body), "", f"± is the deviation over {SUBSETS} subsets of {size} images; no verdicts."])
    description = describe(QUESTION, HOW, unit="", scale=1, digits=3, lower_is_better=True)
    figures = {
        scorer.name: {row["representation"]: _spread(row, len(members)) for row in rows if row["scorer"] == scorer.name}
        for scorer in scorers
    }
    summary = {
        **description,
        "subsets": SUBSETS,
        "subset_size": size,
        "seed": seed,
        "distances": rows,
        "spread": f"one deviation over {SUBSETS} subsets of {size} images",
        "figures": figures,
    }
    return Report("Kernel distance (KID) from real frames in a classifier's features", summary, text, rows)


def _spread(row: Mapping[str, Any], clips: int) -> dict[str, Any]:
    mean, deviation = row["distance"], row["deviation"]
    return {"mean": mean, "low": mean - deviation, "high": mean + deviation, "over": "subsets", "units": clips}


def kernel_distance(real: np.ndarray, fake: np.ndarray, *, size: int, seed: int = 0) -> tuple[float, float]:
    """Mean and deviation over subsets of `size`; features (N, D)."""
    import warnings

    import torch
    from torchmetrics.image.kid import KernelInceptionDistance

    scale = real.std()  # the polynomial kernel is not invariant to scale: scorers differ by that only
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        with warnings.catch_warnings(action="ignore"):  # that it keeps what it is given
            metric = KernelInceptionDistance(torch.nn.Identity(), subsets=SUBSETS, subset_size=size)
        metric.update(torch.from_numpy(real / scale).float(), real=True)
        metric.update(torch.from_numpy(fake / scale).float(), real=False)
        mean, deviation = metric.compute()
    return float(mean), float(deviation)
