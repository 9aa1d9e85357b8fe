"""Explore: drop in a clip; see its one image, the clip restored from it, and what both are worth."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from app.components.attribution_panel import AttributionPanel
from app.components.camera import CameraRecorder
from app.components.classifier_panel import ClassifierPanel
from app.components.refine_panel import RefinePanel
from app.context import (
    EXPLORE,
    FIRST,
    RESULT_KEPT,
    SESSION_EXPIRED,
    UNLIMITED,
    PageContext,
    Updates,
    by_what_they_show,
    message,
    on_click_js,
    queued_js,
)
from app.render import fragments, quality, realism, spectrum, stage, trimmer
from app.services.explorations import ExplorationView, short_side, status_line
from app.services.first_example import FirstExample
from avd_core.config import SIZES
from avd_core.explore.requests import DEFAULT_CLASSIFIER, ExploreRequest

ID, TITLE = EXPLORE, "Explore"
DETAIL = [("As large as the clip", 0), *((f"{size} px", size) for size in SIZES)]
ON_DISTILL_JS = """element.addEventListener("click", (event) => {
  if (!event.target.closest("[data-act=distill]")) return;
  const { from, to, total } = event.target.closest(".trim").dataset;
  trigger("click", { start: +from, end: +to, whole: +from < 0.05 && +to > +total - 0.05 });
});"""


def build(context: PageContext, frame: gr.Tab) -> ExploreTab:
    """Lay the tab out in the current context; only handlers and `prepare` use the explorer."""
    return ExploreTab(context)


class ExploreTab:
    """The tab for all visitors; what one of them looks at is in session state."""

    def __init__(self, context: PageContext) -> None:
        self.context, self.explorations, self.checkpoint = context, context.explorations, context.checkpoint
        self.view = context.view
        self.turns: dict[str, object] = {}  # of each session the latest: last click wins
        self.first_example = FirstExample(context.explorations, context.checkpoint)
        self._lay_out()
        self._wire(context.page)

    def prepare(self) -> None:
        """Make what a first visitor sees; for a background thread."""
        self.first_example.prepare()

    def _lay_out(self) -> None:
        self.slots: dict[str, gr.HTML] = {}

        def slot(name: str, value: str = "", **options: Any) -> None:
            self.slots[name] = gr.HTML(value, elem_id=name, apply_default_css=False, **options)

        with gr.Column(elem_id="page"):
            with gr.Column(elem_id="rail"):
                with gr.Column(elem_id="drop"):
                    self.upload = gr.File(  # of any type: see `tests/app/test_ui.py`
                        label="Your clip",
                        show_label=False,
                        height=112,
                        elem_id="upload",
                    )
                    self.camera = CameraRecorder("camera")
                slot("preview", visible=False)
                slot("examples", self.explorations.tiles(), js_on_load=on_click_js("example"))
                with gr.Column(elem_id="settings"):
                    self.model = gr.Dropdown(
                        by_what_they_show([self.checkpoint]), value=self.checkpoint, label="The image shows"
                    )
                    self.size = gr.Dropdown(DETAIL, value=0, label="Detail", elem_id="detail")
                self.camera.frame.render()
            with gr.Column(elem_id="results"):
                slot("message")
                slot("status", fragments.progress("Preparing the first example", 0.1))
                slot("trim", trimmer.waiting(), js_on_load=ON_DISTILL_JS)
                slot("stage", stage.stage(size=(112, 112), frames=16, fps=8))
                slot("links", fragments.downloads([]))
                slot("history")
                slot("notes")
                with gr.Row(elem_classes="row"):
                    with gr.Column(scale=4, min_width=280):
                        slot("realism", fragments.waiting("realism", realism.TITLE))
                    with gr.Column(scale=5, min_width=280, elem_classes="sheet"):
                        slot("restoration", fragments.waiting("restoration", quality.TITLE))
                        self.refine_panel = RefinePanel(self.context, self.turns)
                self.classifier_panel = ClassifierPanel(self.context, self.turns)
                self.slots |= self.classifier_panel.controls.slots
                with gr.Row(elem_classes="row"):
                    with gr.Column(scale=5, min_width=280):
                        slot("spectrum", fragments.waiting("spectrum", spectrum.TITLE))
                    with gr.Column(scale=4, min_width=280):
                        self.attribution_panel = AttributionPanel(self.context, self.turns)
                        self.slots["attribution"] = self.attribution_panel.card
                slot("details")

    def _wire(self, page: gr.Blocks) -> None:
        slots, controls = self.slots, self.classifier_panel.controls
        settings = {self.view, self.model, controls.classifier, controls.method, self.size}
        offers = [*controls.outputs, *self.refine_panel.task.outputs]
        shown = [*slots.values(), self.view, self.upload, self.size, *self.camera.outputs, *offers]
        recorded = self.camera.video.stop_recording

        self.reopen_outputs = [*shown, self.model]
        loaded = [*self.reopen_outputs, *self.context.link_outputs]
        read_settings = UNLIMITED | {"js": self.context.READ_SETTINGS_JS}
        greeting = page.load(self.on_load, self.context.stored_settings, loaded, **read_settings)
        # What a visitor trained is known by another event, which may come earlier or later than the greeting.
        for known in (greeting.then, self.context.own_checkpoints.change):
            known(self.on_own_checkpoints, self.context.own_checkpoints, self.model, **UNLIMITED)
        page.unload(self.leave)
        changes = (self.model.input, self.size.input)
        self.camera.wire()
        for click in (self.upload.upload, recorded, slots["examples"].click, slots["trim"].click, *changes):
            click(None, js=queued_js("status"))
        self.upload.upload(self.on_upload, {self.upload, *settings}, shown, **FIRST)
        recorded(self.on_recording, {self.camera.video, *settings}, shown, preprocess=False, **FIRST)
        slots["examples"].click(self.on_example, settings, shown, **FIRST)
        slots["trim"].click(self.on_window, settings, shown, **FIRST)
        for change in changes:
            change(self.on_model, settings, shown, **FIRST)
        requested = {self.context.open_request, self.context.own_checkpoints, *settings}
        self.context.open_request.change(self.on_open_request, requested, [*shown, self.model], **FIRST)
        self.attribution_panel.wire(slots["message"])
        self.classifier_panel.wire(slots)
        self.refine_panel.wire(slots["message"], shown, self.shown)

    # Handlers -------------------------------------------------------------------------------------------------

    def on_load(self, stored: Any, request: gr.Request) -> Iterator[Updates]:
        """Show a visitor a finished example, or what their link asks for."""
        from avd_core.classifiers.saliency import METHODS

        explorer, examples = self.explorations.explorer, self.slots["examples"]
        yield {examples: self.explorations.tiles()}
        choices = self.context.link_choices(dict.fromkeys([DEFAULT_CLASSIFIER, *explorer.classifiers()]), METHODS)
        link, updates = self.context.follow_link(stored, choices, request)
        try:
            if self.context.open_request not in updates:
                updates |= self.shown(self.first_example.view())
        except Exception as error:
            updates |= self._failed(error, None)
        yield updates | {
            self.slots["preview"]: gr.skip(),  # the examples play where they are
            self.model: gr.Dropdown(by_what_they_show(choices.checkpoints), value=link.checkpoint),
            examples: self.explorations.tiles(),
        }
        # Only on a machine's very first start: the example clips appear as they are rendered.
        for _ in self.explorations.render_examples():
            yield {examples: self.explorations.tiles()}

    def leave(self, request: gr.Request) -> None:
        self.turns.pop(request.session_hash, None)
        self.classifier_panel.leave(request.session_hash)
        self.refine_panel.leave(request.session_hash)

    def on_upload(self, values: dict, request: gr.Request) -> Iterator[Updates]:
        clip = Path(values[self.upload])
        # The drop zone is free for the next clip at once.
        yield {self.upload: None} | self._blank()
        yield from self._explored_file(clip, clip.name, values, request)

    def on_recording(self, values: dict, request: gr.Request) -> Iterator[Updates]:
        clip = values[self.camera.video]
        yield self.camera.closed() | (self._blank() if clip else {})
        if clip:
            yield from self._explored_file(Path(clip["path"]), "Your recording", values, request)

    def _explored_file(self, clip: Path, title: str, values: dict, request: gr.Request) -> Iterator[Updates]:
        steps = self.explorations.explore(title, self._request(values, clip))
        yield from self._explored(steps, values[self.view], request)

    def on_example(self, values: dict, tile: gr.EventData, request: gr.Request) -> Iterator[Updates]:
        name = str(tile.value)
        steps = self.explorations.example(name, self._request(values, self.explorations.clip(name)))
        yield from self._explored(steps, values[self.view], request)

    def on_own_checkpoints(self, own: tuple[str, ...]) -> gr.Dropdown:
        """Add the visitor's own checkpoints to the choices."""
        return gr.Dropdown(by_what_they_show(self.context.checkpoints(own)))

    def on_open_request(self, values: dict, request: gr.Request) -> Iterator[Updates]:
        """Open a clip for another tab."""
        opening, controls = values[self.context.open_request], self.classifier_panel.controls
        wanted = {
            self.model: opening.checkpoint,
            controls.classifier: opening.classifier,
            controls.method: opening.method,
        }
        values |= {control: value for control, value in wanted.items() if value is not None}
        model = values[self.model]
        choices = by_what_they_show(self.context.checkpoints([*values[self.context.own_checkpoints], model]))
        yield {self.model: gr.Dropdown(choices, value=model)} | self._blank()
        steps = self.explorations.open(opening.title, self._request(values, opening.clip, window=opening.window))
        yield from self._explored(steps, values[self.view], request)
        # What a visitor trained may have become known meanwhile, and a new list of choices takes the old value back.
        yield {self.model: gr.Dropdown(choices, value=model)}

    def on_window(self, values: dict, chosen: gr.EventData, request: gr.Request) -> Iterator[Updates]:
        """Explore another part of the clip that is shown."""
        bounds = {"start": chosen.start, "seconds": round(chosen.end - chosen.start, 3)}
        yield from self._explore_again(values, request, **({"whole": True} if chosen.whole else bounds))

    def on_model(self, values: dict, request: gr.Request) -> Iterator[Updates]:
        """Explore the same part with another checkpoint, or in another size."""
        view = values[self.view]
        yield from self._explore_again(values, request, window=view and view.result.request.window)

    def _explore_again(self, values: dict, request: gr.Request, **window: Any) -> Iterator[Updates]:
        view = values[self.view]
        if view is None:
            yield {self.slots["message"]: SESSION_EXPIRED}
            return
        try:
            wanted = self._request(values, view.result.request.clip, **window)
        except ValueError as error:
            yield self._failed(error, view)
            return
        yield from self._explored(self.explorations.explore(view.title, wanted, view), view, request)

    def _request(self, values: dict, clip: Path, **window: Any) -> ExploreRequest:
        """Ask for a clip with the settings in `values`; its `window` as `ExploreRequest` takes it."""
        controls = self.classifier_panel.controls
        models = {"classifier": values[controls.classifier], "cam": values[controls.method]}
        return ExploreRequest(clip, values[self.model], size=values[self.size] or None, **models, **window)

    def reopen(self, view: ExplorationView, request: gr.Request) -> Updates:
        """Show a finished exploration again, for `reopen_outputs`; stop what is being explored."""
        self.turns[request.session_hash] = object()
        return self.shown(view) | {self.model: view.result.request.checkpoint, self.slots["message"]: ""}

    # What handlers answer -------------------------------------------------------------------------------------

    def _explored(
        self, steps: Iterator[ExplorationView], before: ExplorationView | None, request: gr.Request
    ) -> Iterator[Updates]:
        """Show each step; stop when this visitor starts something newer; on failure show what was there before."""
        turn = self.turns[request.session_hash] = object()
        yield {self.slots["message"]: "", self.slots["status"]: status_line()}
        try:
            for view in steps:
                if self.turns.get(request.session_hash) is not turn:
                    return
                yield self.shown(view)
        except Exception as error:
            if self.turns.get(request.session_hash) is turn:
                yield self._failed(error, before)

    def shown(self, view: ExplorationView) -> Updates:
        updates: Updates = {self.slots[name]: piece for name, piece in view.pieces.items()}
        if "preview" in view.pieces:
            updates[self.slots["preview"]] = gr.HTML(view.pieces["preview"], visible=True)
        if not view.result.complete:
            return updates
        offers = self.classifier_panel.controls.choices(view) | self.refine_panel.offer(view)
        return updates | {self.view: view, self.size: self._detail(view)} | offers

    def _detail(self, view: ExplorationView) -> gr.Dropdown:
        """Offer no size above the file's own short side: enlarging adds no detail."""
        largest = max(short_side(view.result), min(SIZES))
        return gr.Dropdown([choice for choice in DETAIL if choice[1] <= largest], value=view.result.request.size or 0)

    def _blank(self) -> Updates:
        """Clear what belongs to the last clip alone: another one is on its way."""
        return {self.slots["trim"]: trimmer.waiting(), self.slots["preview"]: gr.HTML(visible=False)}

    def _failed(self, error: Exception, before: ExplorationView | None) -> Updates:
        """Show the last result again, under a message that says what to do next."""
        nothing = {self.slots["status"]: fragments.nothing(), self.slots["trim"]: ""}
        shown = self.shown(before) if before else nothing
        return shown | {
            self.slots["message"]: message(error, RESULT_KEPT if before else "Try another clip, or an example.")
        }
