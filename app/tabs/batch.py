"""Inspect many: several clips or a zip become a grid of distilled images, each of which opens in Explore."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from app.context import (
    LONG,
    QUIET,
    RESULT_KEPT,
    SESSION_EXPIRED,
    UNLIMITED,
    UNQUEUED,
    PageContext,
    Updates,
    by_name,
    message,
    on_click_js,
    queued_js,
)
from app.render import batch as render
from app.render import fragments
from app.services.batches import Batch, run_batch
from avd_core.data.clip_files import Gathered, gather
from avd_core.explore.batch import BatchRequest
from avd_core.explore.explorer import DEFAULT_CLASSIFIER
from avd_core.media.window import Window

ID, TITLE = "gallery", "Inspect many"  # links name tabs by their id, which stays


def build(context: PageContext, frame: gr.Tab) -> BatchTab:
    """Lay the tab out in the current context."""
    return BatchTab(context, frame)


class BatchTab:
    """The tab for all visitors; what one of them sees in it is in session state, as `Batch`."""

    def __init__(self, context: PageContext, frame: gr.Tab) -> None:
        self.context, self.explorer = context, context.explorations.explorer
        self.batch = gr.State(None)
        self.turns: dict[str, object] = {}  # of each session the work under way; removing it stops the work
        self._lay_out()
        self._wire(frame)

    def _lay_out(self) -> None:
        self.slots: dict[str, gr.HTML] = {}

        def slot(name: str, value: str = "", **options: Any) -> None:
            self.slots[name] = gr.HTML(value, elem_id=f"batch-{name}", apply_default_css=False, **options)

        with gr.Column(elem_id="batch"):
            slot("message")
            with gr.Row(elem_classes="entry", equal_height=False):
                with gr.Column(scale=5, min_width=260):
                    self.upload = gr.File(
                        file_count="multiple", label="Clips or a zip", show_label=False, height=128,
                        elem_id="batch-upload",
                    )  # fmt: skip
                    with gr.Row(visible=False, elem_id="batch-running") as self.running:
                        self.cancel = gr.Button("Cancel", elem_id="batch-cancel")
                with gr.Column(scale=6, min_width=260, elem_classes="settings"):
                    with gr.Row():
                        self.checkpoint = gr.Dropdown(
                            by_name([self.context.checkpoint]),
                            value=self.context.checkpoint,
                            label="Checkpoint",
                            min_width=130,
                        )
                        self.classifier = gr.Dropdown(
                            [DEFAULT_CLASSIFIER], value=DEFAULT_CLASSIFIER, label="Classifier", min_width=130
                        )
                    with gr.Row(elem_classes="last"):
                        self.whole = gr.Checkbox(False, label="Whole clips, not only where most moves", min_width=200)
                        self.examples = gr.Button("Try the examples", elem_id="batch-examples", scale=0)
            slot("status", '<p class="status">Up to 200 clips at once; each shows as soon as it is ready.</p>')
            with gr.Row(elem_classes="choices"):
                self.order = gr.Dropdown(
                    render.ORDERS,
                    value="",
                    label="Sorted by",
                    elem_id="batch-order",
                    interactive=False,
                    min_width=180,
                )
            slot("notes")
            slot("images", render.EMPTY, js_on_load=on_click_js("open"))
            slot("links")
            slot("terms", render.TERMS)

    def _wire(self, frame: gr.Tab) -> None:
        shown = [*(self.slots[name] for name in ("message", "status", "notes", "images", "links"))]
        shown += [self.batch, self.upload, self.running, self.examples, self.order]
        settings = {self.checkpoint, self.classifier, self.whole, self.order, self.batch}
        for click in (self.upload.upload, self.examples.click):
            click(None, js=queued_js("batch-status"))
        self.upload.upload(self.on_upload, {self.upload, *settings}, shown, **LONG)
        self.examples.click(self.on_examples, settings, shown, **LONG)
        self.cancel.click(self.on_cancel, None, None, **UNQUEUED)
        self.order.input(self.on_order, [self.batch, self.order], self.slots["images"], **UNQUEUED)
        frame.select(self.on_open, self.context.own_checkpoints, [self.checkpoint, self.classifier], **QUIET)
        outputs = [*self.context.open_outputs, self.slots["message"]]
        # Queued: of unqueued events gradio does not report that `open_request` changed.
        self.slots["images"].click(self.on_pick, self.batch, outputs, **UNLIMITED)
        self.context.page.unload(self.on_cancel)

    # Handlers -------------------------------------------------------------------------------------------------

    def on_open(self, own: tuple[str, ...]) -> Updates:
        """Update the choices when the tab is opened."""
        classifiers = dict.fromkeys([DEFAULT_CLASSIFIER, *self.explorer.classifiers()])
        return {
            self.checkpoint: gr.Dropdown(by_name(self.context.checkpoints(own))),
            self.classifier: gr.Dropdown(list(classifiers)),
        }

    def on_upload(self, values: dict, request: gr.Request) -> Iterator[Updates]:
        yield from self._run(values, lambda folder: gather(values[self.upload] or [], folder), request)

    def on_examples(self, values: dict, request: gr.Request) -> Iterator[Updates]:
        yield from self._run(values, lambda _: self.context.explorations.gathered_examples(), request)

    def on_cancel(self, request: gr.Request) -> None:
        """Stop the work after its next clip, which it still shows."""
        self.turns.pop(request.session_hash, None)

    def on_order(self, batch: Batch | None, order: str) -> Any:
        return batch.grid(order) if batch else gr.skip()

    def on_pick(self, batch: Batch | None, card: gr.EventData) -> Updates:
        if batch is None:
            return {self.slots["message"]: SESSION_EXPIRED}
        try:
            return self.context.open(batch.open_request(int(card.value))) | {self.slots["message"]: ""}
        except ValueError as error:
            return {self.slots["message"]: message(error, "Choose another one.")}

    # What handlers answer -------------------------------------------------------------------------------------

    def _run(self, values: dict, find: Callable[[Path], Gathered], request: gr.Request) -> Iterator[Updates]:
        turn = self.turns[request.session_hash] = object()
        before, order = values[self.batch], values[self.order]
        words = fragments.progress("Looking for clips", 0.02)
        # Hide the drop zone: a second drop would only wait in the queue.
        yield {self.slots["message"]: "", self.slots["status"]: words} | self._entry(open=False)
        try:
            folder = self.context.explorations.store.folder()
            found = find(folder)
            window = Window(whole=values[self.whole])
            batch_request = BatchRequest(found.sources, values[self.checkpoint], values[self.classifier], window)
            for batch in run_batch(self.explorer, batch_request, found.sentences, folder):
                running = self.turns.get(request.session_hash) is turn
                yield self._shown(batch, order, running)
                if not running:
                    break
            yield self._entry(open=True)
        except Exception as error:
            shown = self._shown(before, order, running=False) if before else {self.slots["status"]: ""}
            sentence = message(error, RESULT_KEPT if before else "Drop in other clips.")
            yield shown | self._entry(open=True) | {self.slots["message"]: sentence}

    def _shown(self, batch: Batch, order: str, running: bool) -> Updates:
        return {
            self.batch: batch,
            self.slots["status"]: batch.status_line(running),
            self.slots["images"]: batch.grid(order, running),
            self.slots["notes"]: batch.notes(),
            self.slots["links"]: batch.links() if batch.complete or not running else "",
            # Cards stay where they are while others arrive.
            self.order: gr.Dropdown(interactive=batch.complete or not running),
        }

    def _entry(self, open: bool) -> Updates:
        """Show the drop zone, or in its place the button that stops the work."""
        return {
            self.upload: gr.File(value=None, visible=open),
            self.examples: gr.Button(interactive=open),
            self.running: gr.Row(visible=not open),
        }
