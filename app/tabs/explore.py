"""Explore: drop in a clip; see its one image, the clip restored from it, and what both are worth."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import gradio as gr

from app.components.classifier_panel import ClassifierPanel
from app.context import EXPLORE, FIRST, QUIET, RESULT_KEPT, SESSION_EXPIRED, PageContext, Updates, message, named
from app.render import attribution, fragments, quality, realism, spectrum, stage, trimmer
from app.services.explorations import ExplorationView, doing
from app.services.result_store import KEEP_HOURS
from avd_core.examples import scenes
from avd_core.explore.explorer import DEFAULT_CLASSIFIER, ExploreRequest

ID, TITLE = EXPLORE, "Explore"
FORMATS = [".mp4", ".mov", ".avi", ".mkv", ".webm", ".gif"]
PICK = """element.addEventListener("click", (event) => {
  const tile = event.target.closest("[data-example]");
  if (tile) trigger("click", { name: tile.dataset.example });
});"""
DISTIL = """element.addEventListener("click", (event) => {
  if (!event.target.closest("[data-act=distil]")) return;
  const { from, to, total } = event.target.closest(".trim").dataset;
  trigger("click", { start: +from, end: +to, whole: +from < 0.05 && +to > +total - 0.05 });
});"""
ASK = """element.addEventListener("click", (event) => {
  if (event.target.closest("[data-contribution]")) trigger("click");
});"""
# Said by the browser at once: the server's first word may have to wait behind other visitors' clips.
QUEUED = """() => {
  const line = document.querySelector("#status .status");
  if (line) line.textContent = "Waiting for its turn…";
}"""

ASIDE = QUIET | {"concurrency_id": "aside", "concurrency_limit": 1, "trigger_mode": "once"}

log = logging.getLogger(__name__)


def build(context: PageContext, frame: gr.Tab) -> ExploreTab:
    """Lays the tab out in the current context; the explorer is asked only from handlers and by `prepare`."""
    return ExploreTab(context)


class ExploreTab:
    """One page's Explore tab. All visitors share it; what one of them looks at is in the session's state."""

    def __init__(self, context: PageContext) -> None:
        self.context, self.explorations, self.checkpoint = context, context.explorations, context.checkpoint
        self.view = context.view
        self.turns: dict[str, object] = {}  # of each session the latest: last click wins
        self.opening = threading.Lock()
        self._lay_out()
        self._wire(context.page)

    def prepare(self) -> None:
        """For a background thread, once the page is served: imports, loads, and finishes what a first visitor sees."""
        try:
            self._open()
            # The first time also paid for imports and loading: once more, for the timings of a running server.
            self._open(anew=True)
        except ValueError as error:  # visitors are told the same
            log.error("No first example: %s", error)
        for name in scenes.SCENES:
            self.explorations.clip(name)

    def _lay_out(self) -> None:
        self.slots: dict[str, gr.HTML] = {}

        def slot(name: str, value: str = "", **options: Any) -> None:
            self.slots[name] = gr.HTML(value, elem_id=name, apply_default_css=False, **options)

        with gr.Column(elem_id="page"):
            with gr.Column(elem_id="rail"):
                self.upload = gr.File(
                    file_types=FORMATS, label="Your clip", show_label=False, height=112, elem_id="upload"
                )
                slot("preview", visible=False)
                slot("examples", self.explorations.tiles(), js_on_load=PICK)
                with gr.Column(elem_id="settings"):
                    self.model = gr.Dropdown(named([self.checkpoint]), value=self.checkpoint, label="Checkpoint")
                    gr.HTML(
                        '<p class="hint">The trained weights in use.<br>'
                        f"Clips are deleted after {KEEP_HOURS} hours.</p>"
                    )
            with gr.Column(elem_id="results"):
                slot("message")
                slot("status", fragments.progress("Preparing the first example", 0.1))
                slot("trim", trimmer.waiting(), js_on_load=DISTIL)
                slot("stage", stage.stage(size=(112, 112), frames=16, fps=8))
                slot("links", fragments.downloads([]))
                slot("recent")
                slot("notes")
                with gr.Row(elem_classes="row"):
                    with gr.Column(scale=4, min_width=280):
                        slot("realism", fragments.waiting("realism", realism.TITLE))
                    with gr.Column(scale=5, min_width=280):
                        slot("restoration", fragments.waiting("restoration", quality.TITLE))
                self.look = ClassifierPanel(self.context, self.turns)
                self.slots |= self.look.slots
                with gr.Row(elem_classes="row"):
                    with gr.Column(scale=5, min_width=280):
                        slot("hidden", fragments.waiting("hidden", spectrum.TITLE))
                    with gr.Column(scale=4, min_width=280):
                        slot("contribution", fragments.waiting("contribution", attribution.TITLE), js_on_load=ASK)
                slot("details")

    def _wire(self, page: gr.Blocks) -> None:
        slots = self.slots
        settings = [self.view, self.model, self.look.classifier, self.look.method]
        shown = [*slots.values(), self.view, self.upload, *self.look.shown]

        self.reopened = [*shown, self.model]
        greeted = [*self.reopened, *self.context.arrived]
        greeting = page.load(
            self._greet, self.context.remembered, greeted, **QUIET, concurrency_limit=None, js=self.context.REMEMBERED
        )  # fmt: skip
        # What a visitor trained is known by another event, which may come earlier or later than the greeting.
        for known in (greeting.then, self.context.mine.change):
            known(self._on_mine, self.context.mine, self.model, **QUIET, concurrency_limit=None)
        page.unload(self._leave)
        for click in (self.upload.upload, slots["examples"].click, slots["trim"].click, self.model.input):
            click(None, js=QUEUED)
        self.upload.upload(self._on_upload, [self.upload, *settings], shown, **FIRST)
        slots["examples"].click(self._on_example, settings, shown, **FIRST)
        slots["trim"].click(self._on_window, settings, shown, **FIRST)
        self.model.input(self._on_model, settings, shown, **FIRST)
        aside = [slots["contribution"], slots["message"]]
        slots["contribution"].click(self._on_contribution, self.view, aside, **ASIDE)
        asked = {self.context.opening, self.context.mine, *settings}
        self.context.opening.change(self._on_opening, asked, [*shown, self.model], **FIRST)
        self.look.wire(slots)

    # Handlers -------------------------------------------------------------------------------------------------

    def _open(self, anew: bool = False) -> ExplorationView:
        """The example that a first visitor sees; whoever asks while it is being made waits for it."""
        with nullcontext() if anew else self.opening:
            name = next(iter(scenes.SCENES))
            *_, view = self.explorations.example(
                name, ExploreRequest(self.explorations.clip(name), self.checkpoint), anew
            )
        return view

    def _greet(self, remembered: Any, request: gr.Request) -> Iterator[Updates]:
        """A first visitor sees a finished example before touching anything, or what a link asks for."""
        from avd_core.classifiers.saliency import METHODS

        explorer, examples = self.explorations.explorer, self.slots["examples"]
        yield {examples: self.explorations.tiles()}
        offer = self.context.offer(dict.fromkeys([DEFAULT_CLASSIFIER, *explorer.classifiers()]), METHODS)
        arrival, updates = self.context.arrive(remembered, offer, request)
        try:
            if self.context.opening not in updates:
                updates |= self._shown(self._open())
        except Exception as error:
            updates |= self._failed(error, None)
        yield updates | {
            self.slots["preview"]: gr.skip(),  # the examples play where they are
            self.model: gr.Dropdown(named(offer.checkpoints), value=arrival.checkpoint),
            examples: self.explorations.tiles(),
        }
        # Only on a machine's very first start: the example clips appear as they are rendered.
        while missing := self.explorations.missing:
            time.sleep(0.5)
            if self.explorations.missing != missing:
                yield {examples: self.explorations.tiles()}

    def _leave(self, request: gr.Request) -> None:
        self.turns.pop(request.session_hash, None)
        self.look.leave(request.session_hash)

    def _on_upload(
        self, path: str, view: ExplorationView | None, model: str, classifier: str, method: str, request: gr.Request
    ) -> Iterator[Updates]:
        clip = Path(path)
        ask = ExploreRequest(clip, model, classifier=classifier, cam=method)
        # The drop zone is free for the next clip at once.
        yield {self.upload: None} | self._blank()
        yield from self._explored(self.explorations.explore(clip.name, ask), view, request)

    def _on_example(
        self,
        view: ExplorationView | None,
        model: str,
        classifier: str,
        method: str,
        tile: gr.EventData,
        request: gr.Request,
    ) -> Iterator[Updates]:
        name = str(tile.name)
        ask = ExploreRequest(self.explorations.clip(name), model, classifier=classifier, cam=method)
        yield from self._explored(self.explorations.example(name, ask), view, request)

    def _on_mine(self, mine: tuple[str, ...]) -> gr.Dropdown:
        """The visitor's own checkpoints are among the choices."""
        return gr.Dropdown(self.context.checkpoints(mine))

    def _on_opening(self, values: dict, request: gr.Request) -> Iterator[Updates]:
        """Another tab wants a clip opened here."""
        opening, mine, view = values[self.context.opening], values[self.context.mine], values[self.view]
        model = opening.checkpoint or values[self.model]
        classifier, method = values[self.look.classifier], values[self.look.method]
        look = (opening.classifier or classifier, opening.method or method)
        ask = ExploreRequest(opening.clip, model, opening.window, *look)
        choices = self.context.checkpoints([*mine, model])
        yield {self.model: gr.Dropdown(choices, value=model)} | self._blank()
        yield from self._explored(self.explorations.open(opening.title, ask), view, request)

    def _on_window(
        self,
        view: ExplorationView | None,
        model: str,
        classifier: str,
        method: str,
        chosen: gr.EventData,
        request: gr.Request,
    ) -> Iterator[Updates]:
        """Another part of the clip that is shown."""
        bounds = {"start": chosen.start, "seconds": round(chosen.end - chosen.start, 3)}
        window = {"whole": True} if chosen.whole else bounds
        yield from self._again(view, request, checkpoint=model, classifier=classifier, cam=method, **window)

    def _on_model(
        self, view: ExplorationView | None, model: str, classifier: str, method: str, request: gr.Request
    ) -> Iterator[Updates]:
        """The same part by another checkpoint."""
        ask = view and view.result.request
        window = ask and ask.window
        yield from self._again(view, request, checkpoint=model, window=window, classifier=classifier, cam=method)

    def _again(self, view: ExplorationView | None, request: gr.Request, **asked: Any) -> Iterator[Updates]:
        if view is None:
            yield {self.slots["message"]: SESSION_EXPIRED}
            return
        try:
            ask = ExploreRequest(view.result.request.clip, **asked)
        except ValueError as error:
            yield self._failed(error, view)
            return
        yield from self._explored(self.explorations.explore(view.title, ask, view), view, request)

    def _on_contribution(self, view: ExplorationView | None, request: gr.Request) -> Iterator[Updates]:
        """Which frame each pixel draws on; given up as soon as the visitor looks at something else."""
        if view is None:
            yield {self.slots["message"]: SESSION_EXPIRED}
            return
        turn = self.turns.get(request.session_hash)
        try:
            for pieces in self.explorations.contribution(view):
                if self.turns.get(request.session_hash) is not turn:
                    return
                yield {self.slots[name]: piece for name, piece in pieces.items()}
        except Exception as error:
            piece = view.pieces["contribution"]
            yield {self.slots["message"]: message(error, RESULT_KEPT), self.slots["contribution"]: piece}

    def reopen(self, view: ExplorationView, request: gr.Request) -> Updates:
        """A finished visit shown again, at once; its outputs are `reopened`. What was being explored is given up."""
        self.turns[request.session_hash] = object()
        return self._shown(view) | {self.model: view.result.request.checkpoint, self.slots["message"]: ""}

    # What handlers answer -------------------------------------------------------------------------------------

    def _explored(
        self, steps: Iterator[ExplorationView], before: ExplorationView | None, request: gr.Request
    ) -> Iterator[Updates]:
        """Shows each step; stops when this visitor has started something newer; keeps what was shown on failure."""
        mine = self.turns[request.session_hash] = object()
        yield {self.slots["message"]: "", self.slots["status"]: doing()}
        try:
            for view in steps:
                if self.turns.get(request.session_hash) is not mine:
                    return
                yield self._shown(view)
        except Exception as error:
            if self.turns.get(request.session_hash) is mine:
                yield self._failed(error, before)

    def _shown(self, view: ExplorationView) -> Updates:
        updates: Updates = {self.slots[name]: piece for name, piece in view.pieces.items()}
        if "preview" in view.pieces:
            updates[self.slots["preview"]] = gr.HTML(view.pieces["preview"], visible=True)
        return updates | {self.view: view} | self.look.show(view) if view.result.complete else updates

    def _blank(self) -> Updates:
        """Another clip is on its way: what is of the last one alone goes at once."""
        return {self.slots["trim"]: trimmer.waiting(), self.slots["preview"]: gr.HTML(visible=False)}

    def _failed(self, error: Exception, before: ExplorationView | None) -> Updates:
        """The last result comes back whole, under a message that says what to do next."""
        nothing = {self.slots["status"]: fragments.nothing(), self.slots["trim"]: ""}
        shown = self._shown(before) if before else nothing
        return shown | {
            self.slots["message"]: message(error, RESULT_KEPT if before else "Try another clip, or an example.")
        }
