"""The one service that the page, the commands and the tests share: typed requests in, frozen results out.

Many people may use one `Explorer` at once. Models are loaded once and kept; each has a lock that is held for
one step of one person's work, never between steps, so nobody waits for another's whole exploration.

torch, the models and the classifiers are imported by the first call that needs them: a page is served before
that, and distilling does not wait for the classifiers.

Axes: T frames, H, W. Frames and images are uint8, RGB last.
"""

from __future__ import annotations

import importlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from avd_core.analysis.attribution import contributions
from avd_core.analysis.baselines import distill, middle_frame, restore
from avd_core.analysis.metrics import quality
from avd_core.explore.results import (
    DEFAULT_CHECKPOINT,
    DEFAULT_CLASSIFIER,
    DEFAULT_METHOD,
    Distilled,
    Exploration,
    ExploreRequest,
    Faithfulness,
    FrameSaliency,
    Realism,
    Recognition,
    RequestError,
    Restoration,
    Saliency,
    SavedExploration,
)
from avd_core.explore.time_probe import Play, TimeProbe, time_plays
from avd_core.media.distilled_png import DistilledInfo, fit_to_model, read_distilled
from avd_core.media.video import Clip, read_clip
from avd_core.media.window import Window

if TYPE_CHECKING:
    from avd_core.classifiers.loading import Classifier
    from avd_core.networks.avd import AVD
    from avd_core.networks.calibration import Calibration

__all__ = [
    "DEFAULT_CHECKPOINT",
    "DEFAULT_CLASSIFIER",
    "DEFAULT_METHOD",
    "Distilled",
    "Exploration",
    "ExploreRequest",
    "Explorer",
    "Realism",
    "Recognition",
    "RequestError",
    "Restoration",
    "Saliency",
    "SavedExploration",
]

PLAYBACK_SECONDS = 4.0  # how long a picture plays that does not say how long its clip was
MAX_FPS = 240.0

Model = TypeVar("Model")
Progress = Callable[[float], None]


class Explorer:
    """Explores clips.

    Args:
        device: where the models live; None takes a GPU where there is one.
        max_models: how many checkpoints, and how many classifiers, are kept in memory.
    """

    def __init__(self, device: str | None = None, max_models: int = 4) -> None:
        self._wanted_device = device
        self._private: Path | None = None
        self._checkpoints: _Shelf[AVD] = _Shelf(self._load_checkpoint, max_models)
        # A stand-in is not kept: once its download is through, the next call gets the classifier asked for.
        self._classifiers: _Shelf[Classifier] = _Shelf(
            self._load_classifier, max_models, keep=lambda classifier: classifier.notice is None
        )

    @property
    def device(self) -> str:
        """Where the models live: "cpu", "cuda", ..."""
        import torch

        return self._wanted_device or ("cuda" if torch.cuda.is_available() else "cpu")

    # What there is ------------------------------------------------------------------------------------------

    def set_private_root(self, folder: Path) -> None:
        """Checkpoints below this folder are somebody's own: whoever knows a path may ask for it, nobody is told."""
        self._private = folder

    def checkpoints(self) -> list[str]:
        """The bundled checkpoints, then others that are loaded; each can be asked for by this name."""
        from avd_core.networks.checkpoint import bundled

        loaded = (name for (name, _), _ in self._checkpoints.loaded() if not self._is_private(name))
        return list(dict.fromkeys([*bundled(), *loaded]))

    def _is_private(self, name: str) -> bool:
        return self._private is not None and Path(name).is_relative_to(self._private)

    def classifiers(self) -> list[str]:
        """The classifiers that can run now, the default first."""
        from avd_core.classifiers.loading import classifier_names

        return classifier_names()

    def labels(self, classifier: str = DEFAULT_CLASSIFIER) -> tuple[str, ...]:
        """The classes that a classifier knows."""
        return self._classifiers.get(classifier).model.labels

    def calibration(self, checkpoint: str = DEFAULT_CHECKPOINT) -> Calibration | None:
        """A checkpoint's realism scores of real frames and of distilled images; None if it has none."""
        return self._checkpoint(checkpoint).model.calibration

    def warm_up(self, checkpoint: str = DEFAULT_CHECKPOINT, classifier: str | None = None) -> None:
        """Loads what a request will need: what cannot be had is told before any work, and the first is fast.

        Without a classifier, only what distilling and restoring need.
        """
        self._checkpoint(checkpoint)
        if classifier is not None:
            self._classifiers.get(classifier)
            for module in ("avd_core.classifiers.saliency", "torchmetrics.functional.image"):  # seconds of importing
                importlib.import_module(module)

    # What it does -------------------------------------------------------------------------------------------

    def explore(self, request: ExploreRequest, progress: Callable[[float, str], None] | None = None) -> Exploration:
        """Carries out a request.

        Args:
            request: what to look at, and how.
            progress: told, before each step, the share that is done (0 to 1) and what is being done now.

        Raises:
            ValueError: a subclass whose message a person can act on (`VideoError`, `CheckpointError`, ...).
        """
        tell = progress or (lambda share, doing: None)
        tell(0.0, "Reading the clip")
        for exploration in self.explore_steps(request):
            tell(*_AFTER[exploration.stage])
        return exploration

    def explore_steps(self, request: ExploreRequest) -> Iterator[Exploration]:
        """Carries out a request step by step, yielding what is ready so far: see `Exploration.stage`.

        The last one is complete. All of it sees one set of weights, whatever is loaded or dropped meanwhile,
        and no lock is held while the caller has its turn.
        """
        clock = _Clock()
        with clock("load"):
            checkpoint = self._checkpoint(request.checkpoint)
        model = checkpoint.model
        with clock("decode"):
            clip = read_clip(
                request.clip,
                frames=model.config.frames,
                size=model.config.size,
                **asdict(request.window),
            )
        exploration = Exploration(request, clip, model.name, model.fingerprint, clock.seconds)
        yield exploration

        with checkpoint.lock, clock("encode"):
            distilled = distill(model, clip.frames)
        exploration = replace(exploration, distilled=distilled, seconds=clock.seconds)
        yield exploration

        with checkpoint.lock, clock("restore"):
            restored = restore(model, distilled)
        with checkpoint.lock, clock("realism"):
            realism = _realism(model, distilled, clip.frames)
        with clock("quality"):
            figures = quality(clip.frames, restored)
        exploration = replace(exploration, restored=restored, realism=realism, quality=figures, seconds=clock.seconds)
        yield exploration

        with clock("load"):
            classifier = self._classifiers.get(request.classifier)
        with classifier.lock, clock("classify"):
            recognition = _recognise(classifier.model, distilled, middle_frame(clip.frames))
        exploration = replace(exploration, recognition=recognition, seconds=clock.seconds)
        yield exploration

        with clock("saliency"):
            saliency = _explain(classifier, distilled, request.cam, request.target)
        yield replace(exploration, saliency=saliency, seconds=clock.seconds)

    def distill(
        self,
        clip: str | Path,
        *,
        checkpoint: str = DEFAULT_CHECKPOINT,
        window: Window | None = None,
    ) -> Distilled:
        """Make one image of a clip; raises as `explore` does."""
        request = ExploreRequest(clip, checkpoint, window)
        ready = next(step for step in self.explore_steps(request) if step.distilled is not None)
        return Distilled(ready.clip, ready.distilled, ready.info)

    def restore(self, image: str | Path, *, checkpoint: str | None = None, fps: float | None = None) -> Restoration:
        """Plays an image: a distilled PNG, or any picture (then the notes say so).

        The metadata only picks among the checkpoints that are bundled or already loaded, by the fingerprint
        of their weights; it is never taken for a path or an address.

        Args:
            image: a PNG, JPEG or WebP file.
            checkpoint: whose decoder to use, whatever the metadata says.
            fps: the rate to play at, whatever the metadata says.

        Raises:
            ImageError: not such a file.
            CheckpointError: `checkpoint` cannot be had.
            RequestError: `fps` is no rate.
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
        """As `restore`, for an image (H, W, 3) that was read already, and what its file said of it."""
        picture, fitting = fit_to_model(picture, info)
        loaded, choice = self._decoder_for(info, checkpoint)
        with loaded.lock:
            frames = restore(loaded.model, picture)
        if fps is None:
            # Another decoder may restore more frames or fewer; the clip stays as long as it was.
            seconds = info.frames / info.fps if info else PLAYBACK_SECONDS
            fps = len(frames) / seconds
        return Restoration(frames, fps, loaded.model.name, loaded.model.fingerprint, picture, info, (*choice, *fitting))

    def replay(self, restoration: Restoration, image: np.ndarray) -> np.ndarray:
        """What the decoder of `restoration` makes of another image, (H, W, 3), of the same size.

        Returns:
            (T, H, W, 3).

        Raises:
            RequestError: that decoder is no longer loaded, or the size is another.
        """
        if image.shape != restoration.image.shape:
            raise RequestError("The image has changed its size; only its pixels may change.")
        height, width, _ = image.shape
        made = (restoration.checkpoint, restoration.fingerprint, len(restoration.frames), restoration.fps)
        loaded, _ = self._decoder_for(DistilledInfo(*made, (height, width)), None)
        if loaded.model.fingerprint != restoration.fingerprint:
            raise RequestError(f"{restoration.checkpoint} is no longer loaded; drop the image in again.")
        with loaded.lock:
            return restore(loaded.model, image)

    def probe_steps(
        self,
        clip: Clip,
        checkpoint: str = DEFAULT_CHECKPOINT,
        classifier: str = DEFAULT_CLASSIFIER,
        seed: int = 0,
    ) -> Iterator[TimeProbe]:
        """Distils a clip in other orders and tempos, one after the other: what does its image know of time?

        Each probe that is yielded knows one variant more, the last one all of `time_probe.VARIANTS`. No lock is held
        while the caller has its turn.

        Args:
            clip: of as many frames as the checkpoint takes.
            seed: of the shuffle.

        Raises:
            RequestError: the clip has another number of frames.
        """
        loaded = self._checkpoint(checkpoint)
        model = loaded.model
        if len(clip.frames) != model.config.frames:
            raise RequestError(f"{model.name} takes {model.config.frames} frames; these are {len(clip.frames)}.")

        def distilled(frames: np.ndarray) -> np.ndarray:
            with loaded.lock:
                return distill(model, frames)

        def restored(image: np.ndarray) -> np.ndarray:
            with loaded.lock:
                return restore(model, image)

        plays: tuple[Play, ...] = ()
        for play in time_plays(clip.frames, distilled, restored, lambda image: self.recognise(image, classifier), seed):
            plays = (*plays, play)
            yield TimeProbe(clip, model.name, model.fingerprint, seed, plays)

    def recognise(
        self, image: np.ndarray, classifier: str = DEFAULT_CLASSIFIER, frame: np.ndarray | None = None
    ) -> Recognition:
        """What a classifier sees in an image, uint8 (H, W, 3), and in a frame of its clip."""
        loaded = self._classifiers.get(classifier)
        with loaded.lock:
            return _recognise(loaded.model, image, frame)

    def saliency(
        self,
        image: np.ndarray,
        classifier: str = DEFAULT_CLASSIFIER,
        method: str = DEFAULT_METHOD,
        target: str | None = None,
        progress: Progress | None = None,
    ) -> Saliency:
        """Where a classifier looks in an image, uint8 (H, W, 3), for a class; None is its first choice.

        `progress` of this and of the next two is told the share that is done, and what it raises stops the work.
        """
        return _explain(self._classifiers.get(classifier), image, method, target, progress)

    def saliency_over_time(
        self,
        frames: np.ndarray,
        label: str,
        classifier: str = DEFAULT_CLASSIFIER,
        method: str = DEFAULT_METHOD,
        progress: Progress | None = None,
    ) -> FrameSaliency:
        """Where a classifier looks for a class in each of a clip's frames, uint8 (T, H, W, 3), on one scale."""
        from avd_core.classifiers.saliency import saliencies
        from avd_core.networks.avd import to_tensor

        loaded = self._classifiers.get(classifier)
        target, pixels = loaded.model.index(label), to_tensor(frames)[0].transpose(0, 1)  # (T, 3, H, W)
        probabilities = []
        for frame in pixels:
            with loaded.lock:
                probabilities.append(loaded.model.probability(frame[None], target))
        maps = saliencies(loaded.model, pixels, target=target, method=method, progress=progress)
        return FrameSaliency(maps, tuple(probabilities))

    def faithfulness(
        self,
        image: np.ndarray,
        saliency: Saliency,
        classifier: str = DEFAULT_CLASSIFIER,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Faithfulness:
        """Whether the classifier depends on what a map of the image calls important."""
        from avd_core.classifiers.road import road
        from avd_core.networks.avd import image_to_tensor

        model = self._classifiers.get(classifier).model
        return road(
            model, image_to_tensor(image), saliency.map, model.index(saliency.label), seed=seed, progress=progress
        )

    def add_saliency_details(
        self, exploration: Exploration, *, frames: bool = False, road: bool = False
    ) -> Exploration:
        """A complete exploration that also knows where the classifier looks in the restored frames, or how truly."""
        told, classifier = exploration.saliency, exploration.recognition.classifier
        seconds = dict(exploration.seconds)
        if frames:
            begun = time.perf_counter()
            looks = self.saliency_over_time(exploration.restored, told.label, classifier, told.method)
            told, seconds["frames"] = replace(told, frames=looks), time.perf_counter() - begun
        if road:
            begun = time.perf_counter()
            faithfulness = self.faithfulness(exploration.distilled, told, classifier)
            told, seconds["road"] = replace(told, faithfulness=faithfulness), time.perf_counter() - begun
        return replace(exploration, saliency=told, seconds=seconds)

    def saliency_seconds(self, classifier: str = DEFAULT_CLASSIFIER) -> dict[str, float]:
        """About how long a map takes here by each method, judged by the last ones; empty before the first."""
        from avd_core.classifiers.saliency import METHODS, estimate

        model = self._classifiers.get(classifier).model
        seconds = {method: estimate(model, method) for method in METHODS}
        return {method: value for method, value in seconds.items() if value is not None}

    def contributions(self, frames: np.ndarray, checkpoint: str = DEFAULT_CHECKPOINT) -> Iterator[np.ndarray]:
        """Yields for each of the frames (T, H, W, 3) how much it contributes to each pixel of the distilled image.

        See `contribution.contributions`; the model is free for others between two of them.
        """
        loaded = self._checkpoint(checkpoint)

        def image(frames: np.ndarray) -> np.ndarray:
            with loaded.lock:
                return distill(loaded.model, frames)

        yield from contributions(image, frames)

    def lease_model(self, checkpoint: str = DEFAULT_CHECKPOINT) -> _Loaded[AVD]:
        """A checkpoint's `model`, with the `lock` to hold for one step of work; its weights never change."""
        return self._checkpoint(checkpoint)

    def borrow_classifier(self, name: str = DEFAULT_CLASSIFIER) -> _Loaded[Classifier]:
        """A classifier likewise."""
        return self._classifiers.get(name)

    # Which model --------------------------------------------------------------------------------------------

    def _checkpoint(self, name: str) -> _Loaded[AVD]:
        return self._checkpoints.get((str(name), _written_at(str(name))))

    def _decoder_for(self, info: DistilledInfo | None, checkpoint: str | None) -> tuple[_Loaded[AVD], tuple[str, ...]]:
        """The checkpoint to decode with, and what there is to say about the choice."""
        if checkpoint is not None:
            chosen = self._checkpoint(checkpoint)
            if info is None or info.fingerprint == chosen.model.fingerprint:
                return chosen, ()
            return chosen, (f"Made by {_described(info)}, restored by {chosen.model.name} as asked.",)
        if info is None:
            chosen = self._checkpoint(DEFAULT_CHECKPOINT)
            return chosen, (
                "This image does not say that it was distilled from a clip: "
                f"what plays is what {chosen.model.name} makes of it.",
            )
        for _, loaded in self._checkpoints.loaded():
            if loaded.model.fingerprint == info.fingerprint:
                return loaded, ()
        # The name says where to look first; the weights decide.
        for name in sorted(self.checkpoints(), key=lambda name: name != info.checkpoint):
            loaded = self._checkpoint(name)
            if loaded.model.fingerprint == info.fingerprint:
                return loaded, ()
        chosen = self._checkpoint(DEFAULT_CHECKPOINT)
        return chosen, (
            f"Made by a checkpoint that is not here, {_described(info)}; "
            f"{chosen.model.name} restored it instead, so the clip is only a guess.",
        )

    def _load_checkpoint(self, key: tuple[str, int | None]) -> AVD:
        from avd_core.networks.avd import AVD

        return AVD.from_pretrained(key[0], device=self.device)

    def _load_classifier(self, name: str) -> Classifier:
        from avd_core.classifiers.loading import load_classifier

        return load_classifier(name, self.device)


# The share that is done, and what comes next, after each stage.
_AFTER = {
    "clip": (0.2, "Making one image of it"),
    "distilled": (0.4, "Getting the clip back from the image"),
    "restored": (0.6, "Asking the image classifier"),
    "recognised": (0.8, "Finding where it looks"),
    "complete": (1.0, "Done"),
}


def _realism(model: AVD, image: np.ndarray, frames: np.ndarray) -> Realism:
    import torch

    from avd_core.networks.avd import image_to_tensor, to_tensor

    device = next(model.parameters()).device
    with torch.inference_mode():
        patches = model.realism_map(image_to_tensor(image).to(device))[0]  # (h, w)
        own = model.realism(to_tensor(frames)[0].transpose(0, 1).to(device)).tolist()  # (T, 3, H, W) -> T
    logit, calibration = float(patches.mean()), model.calibration
    return Realism(
        logit=logit,
        percentile_among_real=calibration and calibration.percentile_among_real(logit),
        own_frames=tuple(calibration.percentile_among_real(score) for score in own) if calibration else (),
        own_logits=tuple(own),
        map=patches.float().cpu().numpy(),
    )


def _recognise(classifier: Classifier, image: np.ndarray, frame: np.ndarray | None = None) -> Recognition:
    from avd_core.networks.avd import image_to_tensor

    seen, seen_in_frame = (
        () if picture is None else tuple(classifier.topk(image_to_tensor(picture), k=5)) for picture in (image, frame)
    )
    return Recognition(classifier.name, classifier.notice, seen, seen_in_frame)


def _explain(
    loaded: _Loaded[Classifier], image: np.ndarray, method: str, target: str | None, progress: Progress | None = None
) -> Saliency:
    from avd_core.classifiers.saliency import overlay, saliency
    from avd_core.networks.avd import image_to_tensor

    classifier, pixels = loaded.model, image_to_tensor(image)  # outside of inference mode: gradients flow through it
    index = None if target is None else classifier.index(target)
    # Maps have locks of their own: a slow one must not hold up who only wants to know what is seen.
    heat = saliency(classifier, pixels, target=index, method=method, progress=progress)
    with loaded.lock:
        label = classifier.topk(pixels, k=1)[0].label if index is None else classifier.labels[index]
    return Saliency(heat, label, method, overlay(image, heat))


def _written_at(name: str) -> int | None:
    """When a local checkpoint's weights were written: a trainer replaces the folder that a page looks at."""
    from avd_core.networks.checkpoint import BUNDLED_FOLDER, WEIGHTS

    for folder in (BUNDLED_FOLDER / name, Path(name), Path(name) / "checkpoint"):
        if (folder / WEIGHTS).is_file():
            return (folder / WEIGHTS).stat().st_mtime_ns
    return None


def _described(info: DistilledInfo) -> str:
    return f"{info.checkpoint!r} with weights {info.fingerprint}"


class _Clock:
    """Adds up the seconds of named steps; time spent waiting for a lock stays outside."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        self._seconds[step] = self._seconds.get(step, 0.0) + time.perf_counter() - begun

    @property
    def seconds(self) -> dict[str, float]:
        return dict(self._seconds)


class _Loaded(Generic[Model]):
    """A model with the lock that whoever computes with it holds."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.model: Model | None = None


class _Shelf(Generic[Model]):
    """A few loaded models; the one longest unused is dropped first, and loading one holds up only who wants it.

    Whoever got a model keeps it, with its lock, even after it was dropped here.
    """

    def __init__(
        self, load: Callable[[Any], Model], capacity: int, keep: Callable[[Model], bool] = lambda model: True
    ) -> None:
        self._load, self._capacity, self._keep = load, capacity, keep
        self._entries: OrderedDict[Any, _Loaded[Model]] = OrderedDict()
        self._guard = threading.Lock()

    def get(self, key: Any) -> _Loaded[Model]:
        with self._guard:
            entry = self._entries.setdefault(key, _Loaded())
            self._entries.move_to_end(key)
            while len(self._entries) > self._capacity:
                self._entries.popitem(last=False)
        if entry.model is None:
            with entry.lock:
                if entry.model is None:  # nobody loaded it while we waited
                    try:
                        entry.model = self._load(key)
                    finally:
                        if entry.model is None or not self._keep(entry.model):
                            self._forget(key, entry)
        return entry

    def loaded(self) -> list[tuple[Any, _Loaded[Model]]]:
        with self._guard:
            return [(key, entry) for key, entry in self._entries.items() if entry.model is not None]

    def _forget(self, key: Any, entry: _Loaded[Model]) -> None:
        with self._guard:
            if self._entries.get(key) is entry:
                del self._entries[key]
