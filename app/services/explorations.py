"""Clips on their way through the explorer, with the pieces of the page that show them."""

from __future__ import annotations

import itertools
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.render import fragments, stage, trimmer
from app.services import exploration_view
from app.services.result_store import KEEP_HOURS, ResultStore
from avd_core.analysis.baselines import middle_frame
from avd_core.bounded_dict import BoundedDict
from avd_core.data.clip_files import Gathered, Source
from avd_core.examples import scenes
from avd_core.explore.explorer import Explorer
from avd_core.explore.models import sizes_of
from avd_core.explore.requests import DEFAULT_METHOD, ExploreRequest
from avd_core.explore.results import DistilledStage, Exploration, ExplorationStage, RestoredStage
from avd_core.media import writer
from avd_core.media.thumbnails import Filmstrip
from avd_core.media.thumbnails import filmstrip as read_filmstrip
from avd_core.media.window import MOST_MOTION, Window

if TYPE_CHECKING:
    from avd_core.networks.refinement import Refinement

PREVIEW_SECONDS, PREVIEW_SIDE = 60.0, 240
MEMORY = 32  # finished examples, about 3 MB each
# By the stage that an exploration has reached: the share that is done, 0 to 1, and the words for what comes next.
STAGES = {
    None: (0.05, "Reading the clip"),
    "clip": (0.25, "Distilling it into one image"),
    "distilled": (0.45, "Restoring the clip from the image"),
    "restored": (0.65, "Asking the classifier"),
    "recognised": (0.85, "Finding where it looks"),
}


_numbers = itertools.count()


@dataclass(frozen=True)
class OpenRequest:
    """Ask Explore to open a clip.

    Attributes:
        clip: A video file that stays where it is.
        title: Its name for people.
        window: The part of it.
        checkpoint: None: the one chosen in Explore.
        classifier: None: the one chosen in Explore.
        method: A key of `saliency.METHODS`; None: the one chosen in Explore.
        number: Makes two requests for the same clip unequal, so that gradio sees the second one too.
    """

    clip: Path
    title: str
    window: Window = MOST_MOTION
    checkpoint: str | None = None
    classifier: str | None = None
    method: str | None = None
    number: int = field(default_factory=lambda: next(_numbers))


@dataclass(frozen=True, eq=False)  # compared by identity, also by gradio, which asks whether it has changed
class ExplorationView:
    """An exploration as far as it has come, and the pieces of the page that show it.

    Attributes:
        title: The clip's name for people.
        result: The latest stage of the exploration.
        folder: Where its files lie.
        playable: The clip as a browser plays it; None while it is being made, or where it cannot be.
        filmstrip: Its thumbnails; None while they are being read, or where they cannot be.
        pieces: HTML by slot.
    """

    title: str
    result: ExplorationStage
    folder: Path
    playable: Path | None
    filmstrip: Filmstrip | None
    pieces: dict[str, str]

    @property
    def exploration(self) -> Exploration:
        """The finished exploration; an error while `result` is an earlier stage."""
        assert isinstance(self.result, Exploration), "the exploration is not finished"
        return self.result


class Explorations:
    """Explore clips with one explorer; views are frozen, so that any number of visitors can share them."""

    def __init__(self, explorer: Explorer, keep: float = KEEP_HOURS * 3600) -> None:
        self.explorer, self.store = explorer, ResultStore(keep)
        self._workers = ThreadPoolExecutor(4, thread_name_prefix="explorations", initializer=_lower_priority)
        self._rendering = {name: threading.Lock() for name in scenes.SCENES}
        self._rendered: dict[str, Path] = {}
        self.examples_rendered = threading.Event()  # all of them
        self._finished: BoundedDict[tuple[str, ExploreRequest], ExplorationView] = BoundedDict(MEMORY)

    def explore(
        self, title: str, request: ExploreRequest, earlier: ExplorationView | None = None
    ) -> Iterator[ExplorationView]:
        """Explore a clip; each view that is yielded knows more, the last one everything.

        Args:
            title: The clip's name for people.
            request: What to explore.
            earlier: A view of the same clip, whose filmstrip and preview are used again.

        Raises:
            ValueError: With a sentence for the person.
        """
        folder, request = self.store.folder(), _checked(request)

        def preview() -> Path:
            path = folder / "preview.mp4"
            return writer.transcode(request.clip, path, size=PREVIEW_SIDE, max_seconds=PREVIEW_SECONDS)

        playable, filmstrip = (earlier.playable, earlier.filmstrip) if earlier else (None, None)
        yield from self._steps(title, request, folder, playable or preview, filmstrip)

    def explain(
        self,
        view: ExplorationView,
        *,
        classifier: str | None = None,
        method: str,
        target: str | None,
        progress: Callable[[float], None] | None = None,
    ) -> ExplorationView:
        """Explain the same image again: by another method, for another class, or with another classifier."""
        result, begun = view.exploration, time.perf_counter()
        if classifier is not None:
            _check_offered(classifier)
            recognition = self.explorer.recognise(result.distilled, classifier, middle_frame(result.clip.frames))
            request = replace(result.request, classifier=classifier)
            spent = {"classify": time.perf_counter() - begun}
            result = replace(result, request=request, recognition=recognition, seconds=result.seconds | spent)
            begun = time.perf_counter()
        saliency = self.explorer.saliency(result.distilled, result.recognition.classifier, method, target, progress)
        spent = {"saliency": time.perf_counter() - begun}
        request = replace(result.request, cam=method, target=target)
        return self.updated(view, replace(result, request=request, saliency=saliency, seconds=result.seconds | spent))

    def updated(self, view: ExplorationView, result: Exploration) -> ExplorationView:
        """Return the view with another result, its files saved again."""
        # In a folder of its own: the files of an example belong to every visitor.
        pieces = view.pieces | exploration_view.finish(result, self.store.folder())
        return replace(view, result=result, pieces=pieces)

    def attribution(self, view: ExplorationView) -> Iterator[dict[str, str]]:
        """Find which frame each pixel of a finished image draws on; the last pieces show it."""
        result, maps = view.exploration, []
        # Not beside the result's other files: those of an example belong to every visitor.
        picture, folder = exploration_view.picture(result, view.folder), self.store.folder()
        for one in self.explorer.contributions(result.clip.frames, result.request.checkpoint):
            maps.append(one)
            yield exploration_view.attribution_pieces(result, picture, maps, folder)

    def clip(self, name: str) -> Path:
        """Return an example clip; the first caller renders it, the others wait."""
        with self._rendering[name]:
            (rendered,) = scenes.write_examples(self.store.rendered_examples, [name])
            path = self.store.examples / rendered.name
            if not path.exists():
                _link(rendered, path)
        self._rendered[name] = path
        if len(self._rendered) == len(scenes.SCENES):
            self.examples_rendered.set()
        return path

    def gathered_examples(self) -> Gathered:
        """Return all example clips, as `gather` returns the clips that a visitor dropped in."""
        return Gathered(tuple(Source(self.clip(name), scene.title) for name, scene in scenes.SCENES.items()))

    def example_of(self, clip: Path) -> str | None:
        """Return which example a clip is; None: a visitor's own."""
        return clip.stem if clip.parent == self.store.examples and clip.stem in scenes.SCENES else None

    def open(self, title: str, request: ExploreRequest) -> Iterator[ExplorationView]:
        """Explore a clip, as an example where it is one."""
        name = self.example_of(request.clip)
        return self.example(name, request) if name else self.explore(title, request)

    def render_examples(self) -> Iterator[None]:
        """Render the example clips that are missing, or wait for another thread that does; yield after each."""
        for name in scenes.SCENES:
            if name not in self._rendered:
                self.clip(name)
                yield

    def tiles(self) -> str:
        """Draw the example clips as buttons; those not yet rendered without a picture."""
        addresses = {name: ResultStore.address(path) for name, path in self._rendered.copy().items()}
        return stage.tiles(
            [(name, scene.title, scene.description, addresses.get(name)) for name, scene in scenes.SCENES.items()]
        )

    def example(self, name: str, request: ExploreRequest) -> Iterator[ExplorationView]:
        """Explore an example, or yield its finished view from memory."""
        request = _checked(request)
        key = (name, request)
        view = self._finished.get(key)
        if view is None or self._is_outdated(view):
            folder = self.store.lasting_folder()
            for step in self._steps(scenes.SCENES[name].title, request, folder, request.clip):
                view = step
                if not step.result.complete:
                    yield step
            assert view is not None, "every exploration has steps"
            self._finished[key] = view
        yield view

    def _is_outdated(self, view: ExplorationView) -> bool:
        """Return whether another classifier stood in for the requested one, which is available by now."""
        result = view.exploration
        if result.recognition.notice is None:
            return False
        return self.explorer.recognise(result.distilled, result.request.classifier).notice is None

    def _steps(
        self,
        title: str,
        request: ExploreRequest,
        folder: Path,
        playable: Path | Callable[[], Path],
        filmstrip: Filmstrip | None = None,
    ) -> Iterator[ExplorationView]:
        extras: dict[str, Future] = {}
        view: ExplorationView | None = None
        for part, provisional in self._parts(request):
            if isinstance(part, DistilledStage) and not extras:  # the first picture comes before everything else
                extras["filmstrip"] = self._submit(filmstrip or (lambda: read_filmstrip(request.clip)))
                extras["playable"] = self._submit(playable)
            restored = isinstance(part, RestoredStage)
            calibration = self.explorer.models.checkpoint(request.checkpoint).model.calibration if restored else None
            pieces = exploration_view.publish(part, self.store.folder() if provisional else folder, calibration)
            pieces["status"] = summary(title, part) if part.complete else status_line(part.stage)
            playing, strip = (view.playable, view.filmstrip) if view else (None, None)
            view = _with(ExplorationView(title, part, folder, playing, strip, pieces), extras)
            yield view
        # They may take longer than all else, the preview longer than the strip.
        for name, future in extras.items():
            if view is not None and getattr(view, name) is None:
                _result(future)
                view = _with(view, extras)
                yield view

    def _parts(self, request: ExploreRequest) -> Iterator[tuple[ExplorationStage, bool]]:
        """Explore a clip; if its image will be large, distill a small one first, so that something shows early.

        The file's own pictures are never enlarged.

        Yields:
            Each stage, and whether it shows the small image, which the large one replaces.
        """
        sizes = sizes_of(self.explorer.models.checkpoint(request.checkpoint).model)
        if (request.size or max(sizes)) > min(sizes):
            for small in self.explorer.explore_steps(replace(request, size=min(sizes), refine=0)):
                if short_side(small) <= min(sizes):  # the file has no larger one
                    request = replace(request, size=None)
                    break
                if small.stage == "distilled":
                    yield small, True
                    break
                if request.size is not None and request.size > short_side(small):
                    request = replace(request, size=None)
        for part in self.explorer.explore_steps(request):
            yield part, False

    def refine(
        self, view: ExplorationView, steps: int, progress: Callable[[Refinement], bool]
    ) -> ExplorationView | None:
        """Refine the image of a finished view; `progress` receives each step and says whether to go on.

        Returns:
            The view of the best image so far; None where no step was better than the image as it is.
        """
        best = None
        for refinement in self.explorer.refine(view.exploration, steps):
            best = refinement
            if not progress(refinement):
                break
        if best is None or best.gain <= 0:
            return None
        begun = time.perf_counter()
        result = self.explorer.with_refined(view.exploration, best)
        result = replace(result, seconds=result.seconds | {"refine": time.perf_counter() - begun})
        calibration = self.explorer.models.checkpoint(result.request.checkpoint).model.calibration
        pieces = exploration_view.publish(result, self.store.folder(), calibration)
        return replace(view, result=result, pieces=view.pieces | pieces | {"status": summary(view.title, result)})

    def _submit(self, made: Any) -> Future:
        """Return the future of a worker that calls `made`, or one that holds `made`, if it is no function."""
        if callable(made):
            return self._workers.submit(made)
        future: Future = Future()
        future.set_result(made)
        return future


def short_side(exploration: ExplorationStage) -> int:
    """Return the short side in pixels of the file's own pictures."""
    return min(exploration.clip.source.width, exploration.clip.source.height)


def _with(view: ExplorationView, extras: dict[str, Future]) -> ExplorationView:
    """Return the view with those of `extras` (filmstrip and preview) that are ready."""
    done = {name: _result(future) for name, future in extras.items() if future.done()}
    clip, pieces = view.result.clip, dict(view.pieces)
    if filmstrip := done.get("filmstrip"):
        pieces["trim"] = trimmer.panel(filmstrip, clip.start, clip.seconds)
    if playable := done.get("playable"):
        address = ResultStore.address(playable)
        pieces["preview"] = stage.preview(address, view.title, clip.source.seconds, PREVIEW_SECONDS)
    return replace(view, pieces=pieces, **done)


def fast(method: str) -> str:
    """Return the saliency method, or the default one where a first picture must not wait for it."""
    from avd_core.classifiers.saliency import COSTS, SLOW

    return method if COSTS.get(method, 0) < SLOW else DEFAULT_METHOD


def _checked(request: ExploreRequest) -> ExploreRequest:
    """Return the request with a fast method; refuse a classifier that is not offered."""
    _check_offered(request.classifier)
    return replace(request, cam=fast(request.cam))


def _check_offered(classifier: str) -> None:
    from avd_core.classifiers.loading import check_offered

    check_offered(classifier)


def _lower_priority() -> None:
    """Give this thread a low priority: a preview can wait, a first picture cannot."""
    if sys.platform == "linux":  # elsewhere it would hold for the whole process; threads made by this one inherit it
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)


def status_line(stage: str | None = None) -> str:
    """Say what is being done."""
    share, words = STAGES[stage]
    return fragments.progress(words, share)


def summary(title: str, result: ExplorationStage) -> str:
    """Say what is shown."""
    clip = result.clip
    return fragments.summary(
        title,
        frames=len(clip.frames),
        start=clip.start,
        length=clip.seconds,
        total=clip.source.seconds,
        checkpoint=result.checkpoint,
    )


def _link(source: Path, target: Path) -> None:
    """Give a file a second name; copy it where that cannot be."""
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)


def _result(future: Future) -> Any:
    """Return a preview or a filmstrip, or None where it cannot be made: the clip itself was read."""
    try:
        return future.result()
    except ValueError:
        return None
