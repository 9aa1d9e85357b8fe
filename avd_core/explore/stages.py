"""Compute the stages of an exploration: read, distill, restore, recognise, explain.

A model's lock is held for one step of one exploration, never between steps, so that no exploration waits for the whole
of another.

Axes: T frames, H, W. Frames and images are uint8, RGB last.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from avd_core.analysis.baselines import middle_frame
from avd_core.analysis.metrics import quality
from avd_core.analysis.motion_pictures import guide_picture
from avd_core.explore.models import Models, read_for
from avd_core.explore.parts import Refined
from avd_core.explore.realism import rate_realism
from avd_core.explore.recognition import explain, recognise
from avd_core.explore.requests import MAX_REFINE, ExploreRequest
from avd_core.explore.results import DistilledStage, Exploration, ExplorationStage, RecognisedStage, RestoredStage
from avd_core.networks.inference import distill, restore

if TYPE_CHECKING:
    from avd_core.explore.model_cache import LoadedModel
    from avd_core.networks.avd import AVD
    from avd_core.networks.refinement import Refinement


def explore_steps(models: Models, request: ExploreRequest) -> Iterator[ExplorationStage]:
    """Explore a clip; see `Explorer.explore_steps`."""
    clock = StepClock()
    with clock("load"):
        checkpoint = models.checkpoint(request.checkpoint)
    model = checkpoint.model
    with clock("decode"):
        clip = read_for(model, request.clip, request.window, request.size)
    known: dict[str, Any] = {
        "request": request, "clip": clip, "checkpoint": model.name, "fingerprint": model.fingerprint,
        "guide": model.config.guide, "through_jpeg": model.config.trained_through_jpeg,
    }  # fmt: skip
    yield ExplorationStage(**known, seconds=clock.seconds)

    with checkpoint.lock, clock("encode"):
        distilled = distill(model, clip.frames)
    yield DistilledStage(**known, distilled=distilled, seconds=clock.seconds)

    refined = None
    if request.refine:
        with clock("refine"):
            for step in refine_steps(checkpoint, clip.frames, distilled, request.refine):
                distilled, refined = step.image, Refined(step.step, step.gain, (step.start[1], step.image_psnr))

    with checkpoint.lock, clock("restore"):
        restored = restore(model, distilled)
    with checkpoint.lock, clock("realism"):
        realism = rate_realism(model, distilled, clip.frames)
    with clock("quality"):
        figures = quality(clip.frames, restored)
    known |= {
        "distilled": distilled, "refined": refined, "restored": restored, "realism": realism, "quality": figures
    }  # fmt: skip
    yield RestoredStage(**known, seconds=clock.seconds)

    with clock("load"):
        classifier = models.classifier(request.classifier)
    with classifier.lock, clock("classify"):
        recognition = recognise(classifier.model, distilled, middle_frame(clip.frames))
    yield RecognisedStage(**known, recognition=recognition, seconds=clock.seconds)

    with clock("saliency"):
        saliency = explain(classifier, distilled, request.cam, request.target)
    yield Exploration(**known, recognition=recognition, saliency=saliency, seconds=clock.seconds)


def with_refined(models: Models, exploration: Exploration, refinement: Refinement) -> Exploration:
    """Return an exploration of the refined image: restore, rate and classify it anew."""
    request, clip, image = exploration.request, exploration.clip, refinement.image
    checkpoint, classifier = models.checkpoint(request.checkpoint), models.classifier(request.classifier)
    with checkpoint.lock:
        restored = restore(checkpoint.model, image)
    with checkpoint.lock:
        realism = rate_realism(checkpoint.model, image, clip.frames)
    with classifier.lock:
        recognition = recognise(classifier.model, image, middle_frame(clip.frames))
    made = (exploration.refined.steps if exploration.refined else 0) + refinement.step
    figures = (refinement.start[1], refinement.image_psnr)
    return replace(
        exploration,
        request=replace(request, refine=min(made, MAX_REFINE)),
        distilled=image,
        restored=restored,
        quality=quality(clip.frames, restored),
        realism=realism,
        recognition=recognition,
        saliency=explain(classifier, image, request.cam, request.target),
        refined=Refined(made, refinement.gain, figures),
    )


def refine_steps(
    checkpoint: LoadedModel[AVD], frames: np.ndarray, image: np.ndarray, steps: int
) -> Iterator[Refinement]:
    """Refine an image step by step; no lock is held between two yields."""
    from avd_core.networks.refinement import refine

    target = guide_picture(frames, *checkpoint.model.config.guide)
    running = refine(checkpoint.model, frames, image, steps, target)
    while True:
        with checkpoint.lock:
            step = next(running, None)
        if step is None:
            return
        yield step


class StepClock:
    """Adds up the seconds of named steps, without the time of waiting for locks."""

    def __init__(self, seconds: Mapping[str, float] | None = None) -> None:
        self._seconds = dict(seconds or {})

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        self._seconds[step] = self._seconds.get(step, 0.0) + time.perf_counter() - begun

    @property
    def seconds(self) -> dict[str, float]:
        return dict(self._seconds)
