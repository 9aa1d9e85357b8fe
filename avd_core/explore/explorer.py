"""The service that page, commands and tests share: typed requests in, frozen results out.

Many threads may use one `Explorer`. Models are loaded once and kept; each has a lock that is held for one step of one
exploration, never between steps, so that no exploration waits for the whole of another.

torch, the models and the classifiers are imported by the first call that needs them, so that the page is served before
that, and distilling does not wait for the classifiers.

Axes: T frames, H, W. Frames and images are uint8, RGB last.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from avd_core.analysis.attribution import contributions
from avd_core.explore.models import Models, distill_with, restore_with
from avd_core.explore.parts import FrameSaliency, Recognition, Restoration, Saliency
from avd_core.explore.recognition import (
    Progress,
    explain,
    explain_frames,
    measure_faithfulness,
    recognise,
    saliency_seconds,
)
from avd_core.explore.requests import (
    DEFAULT_CHECKPOINT,
    DEFAULT_CLASSIFIER,
    DEFAULT_METHOD,
    ExploreRequest,
    RequestError,
)
from avd_core.explore.results import Distilled, DistilledStage, Exploration, ExplorationStage, RestoredStage
from avd_core.explore.stages import StepClock, explore_steps, refine_steps, with_refined
from avd_core.media.distilled_png import DistilledInfo, fit_to_model, read_distilled
from avd_core.media.window import MOST_MOTION, Window

if TYPE_CHECKING:
    from avd_core.classifiers.road import Faithfulness
    from avd_core.networks.refinement import Refinement

__all__ = ["DEFAULT_CHECKPOINT", "DEFAULT_CLASSIFIER", "DEFAULT_METHOD", "ExploreRequest", "Explorer", "RequestError"]

PLAYBACK_SECONDS = 4.0  # length of a clip restored from a picture without metadata
MAX_FPS = 240.0


class Explorer:
    """Explores clips.

    Args:
        device: where the models live; None uses a GPU if there is one.
        max_models: how many checkpoints, and how many classifiers, are kept in memory.

    Attributes:
        models: the checkpoints and classifiers.
    """

    def __init__(self, device: str | None = None, max_models: int = 4) -> None:
        self.models = Models(device, max_models)

    def checkpoints(self) -> list[str]:
        """List the names of the bundled checkpoints, then of others that are loaded."""
        return self.models.checkpoint_names()

    def classifiers(self) -> list[str]:
        """List the classifiers that can run now, the default first."""
        from avd_core.classifiers.loading import classifier_names

        return classifier_names()

    def warm_up(self, checkpoint: str = DEFAULT_CHECKPOINT, classifier: str | None = None) -> None:
        """Load models in advance, so that errors surface early and the first request is fast.

        Without a classifier, load only what distilling and restoring need.
        """
        self.models.checkpoint(checkpoint)
        if classifier is not None:
            self.models.classifier(classifier)
            for module in ("avd_core.classifiers.saliency", "torchmetrics.functional.image"):  # seconds of importing
                importlib.import_module(module)

    def explore(self, request: ExploreRequest) -> Exploration:
        """Explore a clip completely.

        Raises:
            ValueError: a subclass with a sentence that a user can act on (`VideoError`, `CheckpointError`, ...).
        """
        return next(stage for stage in self.explore_steps(request) if isinstance(stage, Exploration))

    def explore_steps(self, request: ExploreRequest) -> Iterator[ExplorationStage]:
        """Explore a clip step by step; yield each `ExplorationStage`, the last of which is an `Exploration`.

        All stages use the same weights, whatever is loaded or dropped meanwhile. No lock is held between two yields.
        """
        return explore_steps(self.models, request)

    def refine(self, exploration: Exploration, steps: int) -> Iterator[Refinement]:
        """Refine the image of a complete exploration; yield the best one so far after each step.

        No lock is held between two yields. `with_refined` makes an exploration of the chosen one.

        Raises:
            RefinementError: `steps` is out of range.
            CheckpointError: the checkpoint can no longer be loaded.
        """
        checkpoint = self.models.checkpoint(exploration.request.checkpoint)
        yield from refine_steps(checkpoint, exploration.clip.frames, exploration.distilled, steps)

    def with_refined(self, exploration: Exploration, refinement: Refinement) -> Exploration:
        """Return an exploration of the refined image: restore, rate and classify it anew."""
        return with_refined(self.models, exploration, refinement)

    def distill(
        self,
        clip: str | Path,
        *,
        checkpoint: str = DEFAULT_CHECKPOINT,
        window: Window = MOST_MOTION,
        size: int | None = None,
        refine: int = 0,
    ) -> Distilled:
        """Distill a clip without exploring the image; raise as `explore` does."""
        request = ExploreRequest(clip, checkpoint, window, size=size, refine=refine)
        wanted: type[DistilledStage] = RestoredStage if refine else DistilledStage
        ready = next(stage for stage in self.explore_steps(request) if isinstance(stage, wanted))
        return Distilled(ready.clip, ready.distilled, ready.info)

    def restore(self, image: str | Path, *, checkpoint: str | None = None, fps: float | None = None) -> Restoration:
        """Restore the clip of an image: a distilled PNG, or any other picture (then the notes say so).

        Metadata only selects among checkpoints that are bundled or loaded: see `Models.decoder_for`.

        Args:
            image: a PNG, JPEG or WebP file.
            checkpoint: the decoder's; overrides the metadata.
            fps: the rate to play at; overrides the metadata.

        Raises:
            ImageError: it is no such file.
            CheckpointError: `checkpoint` cannot be loaded.
            RequestError: `fps` is out of range.
        """
        if fps is not None and not 0 < fps <= MAX_FPS:
            raise RequestError(f"A rate of {fps:g} frames a second cannot be played; up to {MAX_FPS:g} can.")
        return self.restore_image(*read_distilled(image), checkpoint=checkpoint, fps=fps)

    def restore_image(
        self,
        picture: np.ndarray,
        info: DistilledInfo | None = None,
        *,
        checkpoint: str | None = None,
        fps: float | None = None,
    ) -> Restoration:
        """Restore the clip of an image (H, W, 3) that was read already, with its metadata; see `restore`."""
        picture, fitting = fit_to_model(picture, info)
        loaded, choice = self.models.decoder_for(info, checkpoint)
        frames = restore_with(loaded, picture)
        if fps is None:  # another decoder may restore another number of frames; the clip keeps its length
            fps = len(frames) / (info.frames / info.fps if info else PLAYBACK_SECONDS)
        notes = (choice, *fitting) if choice else tuple(fitting)
        model = loaded.model
        through_jpeg = model.config.trained_through_jpeg
        return Restoration(frames, fps, model.name, model.fingerprint, through_jpeg, picture, info, notes)

    def replay(self, restoration: Restoration, image: np.ndarray) -> np.ndarray:
        """Decode a changed image (H, W, 3) with the decoder of a restoration.

        Returns:
            (T, H, W, 3).

        Raises:
            RequestError: that decoder is no longer loaded, or the image has another size.
        """
        if image.shape != restoration.image.shape:
            raise RequestError("The image has changed its size; only its pixels may change.")
        height, width, _ = image.shape
        made = (restoration.checkpoint, restoration.fingerprint, len(restoration.frames), restoration.fps)
        loaded = self.models.by_fingerprint(DistilledInfo(*made, (height, width)))
        if loaded is None:
            raise RequestError(f"{restoration.checkpoint} is no longer loaded; drop the image in again.")
        return restore_with(loaded, image)

    def recognise(
        self, image: np.ndarray, classifier: str = DEFAULT_CLASSIFIER, frame: np.ndarray | None = None
    ) -> Recognition:
        """Classify an image, uint8 (H, W, 3), and a frame of its clip."""
        loaded = self.models.classifier(classifier)
        with loaded.lock:
            return recognise(loaded.model, image, frame)

    def saliency(
        self,
        image: np.ndarray,
        classifier: str = DEFAULT_CLASSIFIER,
        method: str = DEFAULT_METHOD,
        target: str | None = None,
        progress: Progress | None = None,
    ) -> Saliency:
        """Map where a classifier finds evidence for a class in an image, uint8 (H, W, 3); None is its first class.

        `progress`, also of the next two methods, is called with the share done; an exception of it stops the work.
        """
        return explain(self.models.classifier(classifier), image, method, target, progress)

    def saliency_over_time(
        self,
        frames: np.ndarray,
        label: str,
        classifier: str = DEFAULT_CLASSIFIER,
        method: str = DEFAULT_METHOD,
        progress: Progress | None = None,
    ) -> FrameSaliency:
        """Map where a classifier finds evidence for a class in each frame, uint8 (T, H, W, 3), on one scale."""
        return explain_frames(self.models.classifier(classifier), frames, label, method, progress)

    def faithfulness(
        self,
        image: np.ndarray,
        saliency: Saliency,
        classifier: str = DEFAULT_CLASSIFIER,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Faithfulness:
        """Measure how faithful a saliency map of the image is (`classifiers.road`)."""
        return measure_faithfulness(self.models.classifier(classifier).model, image, saliency, seed, progress)

    def add_saliency_details(
        self, exploration: Exploration, *, frames: bool = False, road: bool = False
    ) -> Exploration:
        """Add saliency maps of the restored frames, or the map's faithfulness, to a complete exploration."""
        saliency, classifier = exploration.saliency, exploration.recognition.classifier
        clock = StepClock(exploration.seconds)
        if frames:
            with clock("frames"):
                maps = self.saliency_over_time(exploration.restored, saliency.label, classifier, saliency.method)
            saliency = replace(saliency, frames=maps)
        if road:
            with clock("road"):
                faithfulness = self.faithfulness(exploration.distilled, saliency, classifier)
            saliency = replace(saliency, faithfulness=faithfulness)
        return replace(exploration, saliency=saliency, seconds=clock.seconds)

    def saliency_seconds(self, classifier: str = DEFAULT_CLASSIFIER) -> dict[str, float]:
        """Estimate the seconds that a map takes here by each method, from the last maps; {} before the first."""
        return saliency_seconds(self.models.classifier(classifier).model)

    def contributions(self, frames: np.ndarray, checkpoint: str = DEFAULT_CHECKPOINT) -> Iterator[np.ndarray]:
        """Yield for each of the frames (T, H, W, 3) how much it contributes to each pixel of the distilled image.

        See `analysis.attribution.contributions`. No lock is held between two yields.
        """
        yield from contributions(partial(distill_with, self.models.checkpoint(checkpoint)), frames)
