"""What visitors look at: clips on their way through the explorer, with the pieces of the page that show them."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from app.render import fragments, stage, trimmer
from app.services import exploration_view
from app.services.result_store import KEEP_HOURS, ResultStore
from avd_core.analysis.baselines import middle_frame
from avd_core.examples import scenes
from avd_core.explore.explorer import Explorer
from avd_core.explore.requests import DEFAULT_METHOD, ExploreRequest
from avd_core.explore.results import Exploration
from avd_core.media import writer
from avd_core.media.thumbnails import Filmstrip
from avd_core.media.thumbnails import filmstrip as read_filmstrip

PREVIEW_SECONDS, PREVIEW_SIDE = 60.0, 240
MEMORY = 32  # finished examples, about 3 MB each
# The share that is done, and what is being done now, once an exploration is at that stage.
DOING = {
    None: (0.05, "Reading the clip"),
    "clip": (0.25, "Distilling it into one image"),
    "distilled": (0.45, "Restoring the clip from the image"),
    "restored": (0.65, "Asking the classifier"),
    "recognised": (0.85, "Finding where it looks"),
}


@dataclass(frozen=True, eq=False)  # compared by identity, also by gradio, which asks whether it has changed
class ExplorationView:
    """One clip, what is known of it so far, and that as pieces of the page.

    Attributes:
        title: the clip's name for people.
        result: how far its exploration is.
        folder: where its files lie.
        playable: the clip as a browser plays it; None while it is being made, or where it cannot be.
        film: likewise its filmstrip.
        pieces: HTML by slot.
    """

    title: str
    result: Exploration
    folder: Path
    playable: Path | None
    film: Filmstrip | None
    pieces: dict[str, str]


class Explorations:
    """Makes visits with one explorer; frozen visits, so that any number of people can share it and them."""

    def __init__(self, explorer: Explorer, keep: float = KEEP_HOURS * 3600) -> None:
        self.explorer, self.store = explorer, ResultStore(keep)
        self._workers = ThreadPoolExecutor(4, thread_name_prefix="visits", initializer=_stand_back)
        # Not on the shelf: what is shown of the examples stays as long as the server, the clips beyond it.
        self._lasting = tempfile.TemporaryDirectory(prefix="avd-", dir=self.store.parent)
        self._clips = self.store.parent / "avd-examples"
        self._rendering = {name: threading.Lock() for name in scenes.SCENES}
        self._rendered: dict[str, Path] = {}
        self._finished: dict[tuple[str, ExploreRequest], ExplorationView] = {}

    def explore(
        self, title: str, request: ExploreRequest, known: ExplorationView | None = None
    ) -> Iterator[ExplorationView]:
        """Carries out a request; each visit that is yielded knows more, the last one everything.

        Args:
            title: the clip's name for people.
            request: what to explore.
            known: an earlier visit to the same clip, whose filmstrip and preview serve again.

        Raises:
            ValueError: with a sentence for the person.
        """
        folder, request = self.store.folder(), _of_a_visitor(request)

        def preview() -> Path:
            path = folder / "preview.mp4"
            return writer.transcode(request.clip, path, size=PREVIEW_SIDE, max_seconds=PREVIEW_SECONDS)

        yield from self._steps(title, request, folder, (known and known.playable) or preview, known and known.film)

    def look(
        self,
        view: ExplorationView,
        *,
        classifier: str | None = None,
        method: str,
        target: str | None,
        progress: Callable[[float], None] | None = None,
    ) -> ExplorationView:
        """The same image looked at anew: by another method, for another class, or by another classifier."""
        result, begun = view.result, time.perf_counter()
        if classifier is not None:
            _check_offered(classifier)
            seen = self.explorer.recognise(result.distilled, classifier, middle_frame(result.clip.frames))
            request = replace(result.request, classifier=classifier)
            spent = {"classify": time.perf_counter() - begun}
            result = replace(result, request=request, recognition=seen, seconds=result.seconds | spent)
            begun = time.perf_counter()
        saliency = self.explorer.saliency(result.distilled, result.recognition.classifier, method, target, progress)
        spent = {"saliency": time.perf_counter() - begun}
        request = replace(result.request, cam=method, target=target)
        return self.known(view, replace(result, request=request, saliency=saliency, seconds=result.seconds | spent))

    def known(self, view: ExplorationView, result: Exploration) -> ExplorationView:
        """A visit of which more is known."""
        # In a folder of its own: the files of an example belong to every visitor.
        pieces = view.pieces | exploration_view.finish(result, self.store.folder())
        return replace(view, result=result, pieces=pieces)

    def contribution(self, view: ExplorationView) -> Iterator[dict[str, str]]:
        """Finds out which frame each pixel of a finished visit's image draws on; the last pieces show it."""
        result, maps = view.result, []
        # Not beside the result's other files: an example's are everybody's.
        picture, folder = exploration_view.picture(result, view.folder), self.store.folder()
        for one in self.explorer.contributions(result.clip.frames, result.request.checkpoint):
            maps.append(one)
            yield exploration_view.contributed(result, picture, maps, folder)

    def clip(self, name: str) -> Path:
        """An example clip; whoever asks first has it rendered, the others wait."""
        with self._rendering[name]:
            (path,) = scenes.write_examples(self._clips, [name])
        self._rendered[name] = path
        return path

    def example_of(self, clip: Path) -> str | None:
        """Which example a clip is; None for a visitor's own."""
        return clip.stem if clip.parent == self._clips and clip.stem in scenes.SCENES else None

    def open(self, title: str, request: ExploreRequest) -> Iterator[ExplorationView]:
        """A clip that is explored as an example where it is one, and else as `explore` does."""
        name = self.example_of(request.clip)
        return self.example(name, request) if name else self.explore(title, request)

    @property
    def missing(self) -> int:
        """How many example clips are still to be rendered."""
        return len(scenes.SCENES) - len(self._rendered)

    def tiles(self) -> str:
        """The example clips as buttons; those not yet rendered without a picture."""
        addresses = {name: ResultStore.address(path) for name, path in self._rendered.copy().items()}
        return stage.tiles(
            [(name, scene.title, scene.description, addresses.get(name)) for name, scene in scenes.SCENES.items()]
        )

    def example(self, name: str, request: ExploreRequest, anew: bool = False) -> Iterator[ExplorationView]:
        """An example's visit: from memory where somebody has asked the same before, unless wanted `anew`."""
        request = _of_a_visitor(request)
        key = (name, request)
        view = self._finished.get(key)
        if anew or view is None or self._is_outdated(view):
            folder = Path(tempfile.mkdtemp(dir=self._lasting.name))
            for view in self._steps(scenes.SCENES[name].title, request, folder, request.clip):
                if not view.result.complete:
                    yield view
            self._finished[key] = view
            if len(self._finished) > MEMORY:
                del self._finished[next(iter(self._finished))]
        yield view

    def _is_outdated(self, view: ExplorationView) -> bool:
        """Whether another classifier stood in for the one asked for, which can be had by now."""
        result = view.result
        if result.recognition.notice is None:
            return False
        return self.explorer.recognise(result.distilled, result.request.classifier).notice is None

    def _steps(
        self,
        title: str,
        request: ExploreRequest,
        folder: Path,
        playable: Path | Callable[[], Path],
        film: Filmstrip | None = None,
    ) -> Iterator[ExplorationView]:
        aside: dict[str, Future] = {}
        view = ExplorationView(title, None, folder, None, None, {})
        for part in self.explorer.explore_steps(request):
            if part.distilled is not None and not aside:  # the first picture comes before everything else
                aside["film"] = self._aside(film or (lambda: read_filmstrip(request.clip)))
                aside["playable"] = self._aside(playable)
            calibration = (
                self.explorer.models.checkpoint(request.checkpoint).model.calibration if part.realism else None
            )
            pieces = exploration_view.publish(part, folder, calibration)
            pieces["status"] = facts(title, part) if part.complete else doing(part.stage)
            view = _with(replace(view, result=part, pieces=pieces), aside)
            yield view
        # They may take longer than all else, the preview longer than the strip.
        for name, future in aside.items():
            if getattr(view, name) is None:
                _result(future)
                view = _with(view, aside)
                yield view

    def _aside(self, made: Any) -> Future:
        """What a worker makes, or what is there already."""
        if callable(made):
            return self._workers.submit(made)
        future: Future = Future()
        future.set_result(made)
        return future


def _with(view: ExplorationView, aside: dict[str, Future]) -> ExplorationView:
    """The visit with what has been made beside it so far."""
    done = {name: _result(future) for name, future in aside.items() if future.done()}
    clip, pieces = view.result.clip, dict(view.pieces)
    if film := done.get("film"):
        pieces["trim"] = trimmer.show(film, clip.start, clip.seconds)
    if playable := done.get("playable"):
        address = ResultStore.address(playable)
        pieces["preview"] = stage.preview(address, view.title, clip.source.seconds, PREVIEW_SECONDS)
    return replace(view, pieces=pieces, **done)


def fast(method: str) -> str:
    """The saliency method, unless it is one that a first picture must not wait for."""
    from avd_core.classifiers.saliency import COSTS, SLOW

    return method if COSTS.get(method, 0) < SLOW else DEFAULT_METHOD


def _of_a_visitor(request: ExploreRequest) -> ExploreRequest:
    """The request as far as it is anybody's to make."""
    _check_offered(request.classifier)
    return replace(request, cam=fast(request.cam))


def _check_offered(classifier: str) -> None:
    from avd_core.classifiers.loading import check_offered

    check_offered(classifier)


def _stand_back() -> None:
    """Lets everything else on the machine go first: a preview can wait, a first picture cannot."""
    if sys.platform == "linux":  # elsewhere it would hold for the whole process; threads made by this one inherit it
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)


def doing(stage: str | None = None) -> str:
    """The line that says what is being done."""
    share, words = DOING[stage]
    return fragments.progress(words, share)


def facts(title: str, result: Exploration) -> str:
    """The line that says what is shown."""
    clip = result.clip
    return fragments.facts(
        title,
        frames=len(clip.frames),
        start=clip.start,
        length=clip.seconds,
        total=clip.source.seconds,
        checkpoint=result.checkpoint,
    )


def _result(future: Future) -> Any:
    """A preview or a strip that cannot be made is only missed: the clip itself was read."""
    try:
        return future.result()
    except ValueError:
        return None
