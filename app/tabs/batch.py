"""Inspect many: several clips or a zip become a gallery of distilled images, each of which opens in Explore."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from app.context import LONG, QUIET, RESULT_KEPT, SESSION_EXPIRED, PageContext, Updates, message, named
from app.render import batch as render
from app.render import fragments
from app.services.batches import Batch, carry_out
from avd_core.data.clip_files import Gathered, Source, gather
from avd_core.examples import scenes
from avd_core.explore.batch import BatchRequest
from avd_core.explore.explorer import DEFAULT_CLASSIFIER
from avd_core.media.archives import CLIP_SUFFIXES
from avd_core.media.window import Window

ID, TITLE = "gallery", "Inspect many"
PICK = """element.addEventListener("click", (event) => {
  const card = event.target.closest("[data-open]");
  if (card) trigger("click", { number: card.dataset.open });
});"""
# Said by the browser at once: somebody else's clips may come first.
QUEUED = """() => {
  const line = document.querySelector("#gallery-status .status");
  if (line) line.textContent = "Waiting for its turn…";
}"""


def build(context: PageContext, frame: gr.Tab) -> GalleryTab:
    """Lays the tab out in the current context."""
    return GalleryTab(context, frame)


class GalleryTab:
    """One page's gallery; what a visitor sees in it is in the session's state, as `Batch`."""

    def __init__(self, context: PageContext, frame: gr.Tab) -> None:
        self.context, self.explorer = context, context.explorations.explorer
        self.inspection = gr.State(None)
        self.turns: dict[str, object] = {}  # of each session the work that goes on; taken away, it stops
        self._lay_out()
        self._wire(frame)

    def _lay_out(self) -> None:
        self.slots: dict[str, gr.HTML] = {}

        def slot(name: str, value: str = "", **options: Any) -> None:
            self.slots[name] = gr.HTML(value, elem_id=f"gallery-{name}", apply_default_css=False, **options)

        with gr.Column(elem_id="gallery"):
            slot("message")
            with gr.Row(elem_classes="entry", equal_height=False):
                with gr.Column(scale=5, min_width=260):
                    self.upload = gr.File(
                        file_types=[*sorted(CLIP_SUFFIXES), ".zip"], file_count="multiple", label="Clips or a zip",
                        show_label=False, height=128, elem_id="gallery-upload",
                    )  # fmt: skip
                    with gr.Row(visible=False, elem_id="gallery-running") as self.running:
                        self.cancel = gr.Button("Cancel", elem_id="gallery-cancel")
                with gr.Column(scale=6, min_width=260, elem_classes="settings"):
                    with gr.Row():
                        self.checkpoint = gr.Dropdown(
                            named([self.context.checkpoint]),
                            value=self.context.checkpoint,
                            label="Checkpoint",
                            min_width=130,
                        )
                        self.classifier = gr.Dropdown(
                            [DEFAULT_CLASSIFIER], value=DEFAULT_CLASSIFIER, label="Classifier", min_width=130
                        )
                    with gr.Row(elem_classes="last"):
                        self.whole = gr.Checkbox(False, label="Whole clips, not only where most moves", min_width=200)
                        self.examples = gr.Button("Try the examples", elem_id="gallery-examples", scale=0)
            slot("status", '<p class="status">Up to 200 clips at once; each shows as soon as it is ready.</p>')
            with gr.Row(elem_classes="choices"):
                self.order = gr.Dropdown(
                    render.ORDERS,
                    value="",
                    label="Sorted by",
                    elem_id="gallery-order",
                    interactive=False,
                    min_width=180,
                )
            slot("notes")
            slot("images", render.EMPTY, js_on_load=PICK)
            slot("links")
            slot("terms", render.TERMS)

    def _wire(self, frame: gr.Tab) -> None:
        shown = [*(self.slots[name] for name in ("message", "status", "notes", "images", "links"))]
        shown += [self.inspection, self.upload, self.running, self.examples, self.order]
        settings = {self.checkpoint, self.classifier, self.whole, self.order, self.inspection}
        for click in (self.upload.upload, self.examples.click):
            click(None, js=QUEUED)
        self.upload.upload(self._on_upload, {self.upload, *settings}, shown, **LONG)
        self.examples.click(self._on_examples, settings, shown, **LONG)
        self.cancel.click(self._on_cancel, None, None, queue=False, **QUIET)
        self.order.input(self._on_order, [self.inspection, self.order], self.slots["images"], queue=False, **QUIET)
        frame.select(self._on_open, self.context.mine, [self.checkpoint, self.classifier], **QUIET)
        outputs = [*self.context.opened, self.slots["message"]]
        # In the queue: of events outside of it gradio does not tell that `opening` changed.
        self.slots["images"].click(self._on_pick, self.inspection, outputs, **QUIET, concurrency_limit=None)
        self.context.page.unload(self._on_cancel)

    # Handlers -------------------------------------------------------------------------------------------------

    def _on_open(self, mine: tuple[str, ...]) -> Updates:
        """What can be chosen among may have changed since."""
        classifiers = dict.fromkeys([DEFAULT_CLASSIFIER, *self.explorer.classifiers()])
        return {
            self.checkpoint: gr.Dropdown(self.context.checkpoints(mine)),
            self.classifier: gr.Dropdown(list(classifiers)),
        }

    def _on_upload(self, values: dict, request: gr.Request) -> Iterator[Updates]:
        yield from self._inspected(values, lambda folder: gather(values[self.upload] or [], folder), request)

    def _on_examples(self, values: dict, request: gr.Request) -> Iterator[Updates]:
        yield from self._inspected(values, lambda folder: self._rendered(), request)

    def _on_cancel(self, request: gr.Request) -> None:
        """The work itself sees it after its next clip, and has the last word on what is shown."""
        self.turns.pop(request.session_hash, None)

    def _on_order(self, inspection: Batch | None, order: str) -> Any:
        return inspection.gallery(order) if inspection else gr.skip()

    def _on_pick(self, inspection: Batch | None, card: gr.EventData) -> Updates:
        if inspection is None:
            return {self.slots["message"]: SESSION_EXPIRED}
        try:
            return self.context.open(inspection.opening(int(card.number))) | {self.slots["message"]: ""}
        except ValueError as error:
            return {self.slots["message"]: message(error, "Choose another one.")}

    # What handlers answer -------------------------------------------------------------------------------------

    def _inspected(self, values: dict, find: Callable[[Path], Gathered], request: gr.Request) -> Iterator[Updates]:
        mine = self.turns[request.session_hash] = object()
        before, order = values[self.inspection], values[self.order]
        words = fragments.progress("Looking for clips", 0.02)
        # The drop zone is away meanwhile: a second drop would only wait in line.
        yield {self.slots["message"]: "", self.slots["status"]: words} | self._entry(open=False)
        try:
            folder = self.context.explorations.store.folder()
            found = find(folder)
            window = Window(whole=values[self.whole])
            ask = BatchRequest(found.sources, values[self.checkpoint], values[self.classifier], window)
            for inspection in carry_out(self.explorer, ask, found.skipped, folder):
                running = self.turns.get(request.session_hash) is mine
                yield self._shown(inspection, order, running)
                if not running:
                    break
            yield self._entry(open=True)
        except Exception as error:
            shown = self._shown(before, order, running=False) if before else {self.slots["status"]: ""}
            told = message(error, RESULT_KEPT if before else "Drop in other clips.")
            yield shown | self._entry(open=True) | {self.slots["message"]: told}

    def _rendered(self) -> Gathered:
        clips = [(self.context.explorations.clip(name), scene.title) for name, scene in scenes.SCENES.items()]
        return Gathered(tuple(Source(clip, title) for clip, title in clips))

    def _shown(self, inspection: Batch, order: str, running: bool) -> Updates:
        return {
            self.inspection: inspection,
            self.slots["status"]: inspection.status(running),
            self.slots["images"]: inspection.gallery(order, running),
            self.slots["notes"]: inspection.notes(),
            self.slots["links"]: inspection.links() if inspection.complete or not running else "",
            # Cards stay where they are while others arrive.
            self.order: gr.Dropdown(interactive=inspection.complete or not running),
        }

    def _entry(self, open: bool) -> Updates:
        """The drop zone, or in its place the button that stops the work."""
        return {
            self.upload: gr.File(value=None, visible=open),
            self.examples: gr.Button(interactive=open),
            self.running: gr.Row(visible=not open),
        }
