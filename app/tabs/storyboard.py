"""Storyboard: a long video as a strip of images, one for each window, that plays again from the images alone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from app.context import (
    LONG,
    RESULT_KEPT,
    UNLIMITED,
    UNQUEUED,
    PageContext,
    Updates,
    by_name,
    message,
    on_click_js,
)
from app.render import fragments
from app.render import storyboard as render
from app.services.explorations import ExplorationView, OpenRequest
from app.services.result_store import KEEP_HOURS
from app.services.storyboards import REEL_TITLE, ExampleStoryboard, NamedVideo, StoryboardView, growing, pieces
from avd_core.explore.storyboard.files import save
from avd_core.explore.storyboard.panels import LENGTHS, StoryboardMaker, StoryboardRequest
from avd_core.explore.storyboard.reader import Playback, is_zip, read_strip
from avd_core.explore.storyboard.windows import MAX_SECONDS, MAX_WINDOWS
from avd_core.media.window import Window

ID, TITLE = "storyboard", "Storyboard"
START = LONG | {"trigger_mode": "multiple"}  # a second click takes the place of the first
UPDATE_SECONDS = 0.4  # between two states of the growing strip


def build(context: PageContext, frame: gr.Tab) -> StoryboardTab:
    """Lay the tab out in the current context."""
    return StoryboardTab(context, frame)


class StoryboardTab:
    """The tab for all visitors; what one of them looks at is in session state."""

    def __init__(self, context: PageContext, frame: gr.Tab) -> None:
        self.context, self.explorer, self.store = context, context.explorations.explorer, context.explorations.store
        self.turns: dict[str, object] = {}  # of each session the latest: last click wins
        self.example = ExampleStoryboard(context.explorations)
        self.video, self.shown = gr.State(None), gr.State(None)
        self._lay_out()
        self._wire(frame)

    def prepare(self) -> None:
        """Make what a first visitor sees; for a background thread."""
        self.example.prepare(self.context.checkpoint)

    def _lay_out(self) -> None:
        self.slots: dict[str, gr.HTML] = {}

        def slot(name: str, value: str = "", **options: Any) -> None:
            self.slots[name] = gr.HTML(value, elem_id=f"story-{name}", apply_default_css=False, **options)

        with gr.Row(elem_id="story"):
            with gr.Column(elem_id="story-rail"):
                self.upload = gr.File(
                    label="Your video",
                    show_label=False,
                    height=128,
                    elem_id="story-upload",
                )
                self.explored = gr.Button("Take the clip in Explore")
                self.reel = gr.Button(REEL_TITLE)
                choices = [(f"{length:g} s", length) for length in LENGTHS]
                self.length = gr.Radio(choices, value=2.0, label="Longest window: one image carries so much")
                with gr.Accordion("Settings", open=False):
                    chosen = self.context.checkpoint
                    self.model = gr.Dropdown(by_name([chosen]), value=chosen, label="Checkpoint")
                self.again = gr.Button("Make the strip anew", variant="primary", visible=False)
                gr.HTML(
                    f'<p class="hint">At most the first {MAX_SECONDS / 60:g} minutes or {MAX_WINDOWS} images. Videos '
                    f"and strips are deleted after {KEEP_HOURS} hours.</p>"
                )
            with gr.Column(elem_id="story-results"):
                slot("message")
                with gr.Row(elem_id="story-line"):
                    slot("status", _idle())
                    self.cancel = gr.Button("Cancel", visible=False, size="sm", elem_id="story-cancel")
                slot("films", render.empty())
                slot("links")
                slot("notes")
                slot("strip", js_on_load=on_click_js("open"))
                with gr.Row(elem_classes="row"):
                    for name in ("cost", "loss"):
                        with gr.Column(scale=4 if name == "cost" else 5, min_width=280):
                            slot(name)

    def _wire(self, frame: gr.Tab) -> None:
        shown = [*self.slots.values(), self.cancel, self.again, self.upload, self.video, self.shown]
        line = [self.slots["status"], self.slots["message"], self.cancel]
        settings = [self.length, self.model, self.shown]
        for click, handler, first in (
            (self.upload.upload, self.on_upload, self.upload),
            (self.explored.click, self.on_explored, self.context.view),
            (self.reel.click, self.on_reel, None),
            (self.again.click, self.on_again, self.video),
        ):
            # Not queued: the visitor's earlier work stops, and Cancel is there at once.
            started = click(self.start, None, line, **UNQUEUED)
            started.then(handler, [*([first] if first else []), *settings], shown, **START)
        self.cancel.click(self.on_cancel, self.shown, shown, **UNQUEUED)
        opened = [*self.context.open_outputs, self.slots["message"]]
        # Queued: of unqueued events gradio does not report that `open_request` changed (6.31).
        self.slots["strip"].click(self.on_open, self.shown, opened, **UNLIMITED)
        frame.select(self.on_select, [self.shown, self.context.own_checkpoints], [*shown, self.model], **UNQUEUED)
        self.context.page.unload(self.leave)

    # Handlers -------------------------------------------------------------------------------------------------

    def start(self, request: gr.Request) -> Updates:
        self.turns[request.session_hash] = object()
        return {
            self.slots["status"]: fragments.progress("Waiting for its turn", 0),
            self.slots["message"]: "",
            self.cancel: gr.Button(visible=True),
        }

    def leave(self, request: gr.Request) -> None:
        self.turns.pop(request.session_hash, None)

    def on_select(self, shown: StoryboardView | None, own: tuple[str, ...], request: gr.Request) -> Updates:
        updates = {self.model: gr.Dropdown(by_name(self.context.checkpoints(own)))}
        if shown is None and request.session_hash not in self.turns and self.example.strip:
            updates |= self._finished(self.example.strip)
        return updates

    def on_upload(
        self, path: str, length: float, model: str, before: StoryboardView | None, request: gr.Request
    ) -> Iterator[Updates]:
        yield {self.upload: None}  # the drop zone is free for the next one
        yield from self._make(NamedVideo(Path(path), Path(path).name), length, model, before, request)

    def on_explored(
        self,
        view: ExplorationView | None,
        length: float,
        model: str,
        before: StoryboardView | None,
        request: gr.Request,
    ) -> Iterator[Updates]:
        if view is None:
            yield self._back(before) | {
                self.slots["message"]: fragments.problem("Explore shows no clip yet.", "Drop a video in here instead.")
            }
            return
        yield from self._make(NamedVideo(view.result.request.clip, view.title), length, model, before, request)

    def on_reel(
        self, length: float, model: str, before: StoryboardView | None, request: gr.Request
    ) -> Iterator[Updates]:
        if self.example.strip and (length, model) == (2.0, self.context.checkpoint):
            yield self._finished(self.example.strip)
            return
        yield {self.slots["status"]: fragments.progress("Putting the examples in a row", 0.05)}
        try:
            video = self.example.video()
        except ValueError as error:
            yield self._back(before) | {self.slots["message"]: message(error, RESULT_KEPT)}
            return
        yield from self._make(video, length, model, before, request)

    def on_again(
        self, video: NamedVideo, length: float, model: str, before: StoryboardView | None, request: gr.Request
    ) -> Iterator[Updates]:
        yield from self._make(video, length, model, before, request)

    def on_cancel(self, before: StoryboardView | None, request: gr.Request) -> Updates:
        self.turns.pop(request.session_hash, None)
        updates = self._back(before)
        updates.pop(self.slots["message"], None)  # `start` emptied it; what `_cancelled` says may be there already
        return updates

    def on_open(self, shown: StoryboardView | None, tile: gr.EventData) -> Updates:
        number = int(tile.value)
        if shown is None or not 1 <= number <= len(shown.board.entries):
            words = fragments.problem("The strip is not finished yet.", "Its windows open in Explore once it is.")
            return {self.slots["message"]: words}
        entry = shown.board.entries[number - 1]
        opening = OpenRequest(shown.video.path, shown.video.title, Window(entry.start, entry.seconds))
        return self.context.open(opening)

    # What handlers answer -------------------------------------------------------------------------------------

    def _make(
        self, video: NamedVideo, length: float, model: str, before: StoryboardView | None, request: gr.Request
    ) -> Iterator[Updates]:
        """Show the strip as it grows; stop when this visitor starts something else; on failure show the last strip."""
        turn = self.turns.get(request.session_hash)
        if turn is None:  # cancelled while it waited
            return
        slots, begun, drawn = self.slots, time.monotonic(), 0.0
        yield {slots["status"]: fragments.progress("Reading the video", 0.02)}
        try:
            zipped = is_zip(video.path)
            if zipped:
                panels: Playback | StoryboardMaker = Playback(read_strip(video.path), self.explorer.restore_image)
            else:
                panels = StoryboardMaker(self.explorer, StoryboardRequest(video.path, model, length))
            folder = self.store.folder()
            blank = dict.fromkeys(("links", "notes", "strip", "cost", "loss"), "")
            yield self._slots(blank | {"films": render.films(None, str, video.title)})
            for board in save(panels, folder):
                if self.turns.get(request.session_hash) is not turn:
                    if request.session_hash not in self.turns:
                        # Cancelled: overwrite an update that arrived after the answer of `on_cancel`.
                        yield self._back(before) | self._cancelled(video, len(board.entries), zipped)
                    return
                if not board.complete and time.monotonic() > drawn + UPDATE_SECONDS:
                    yield self._slots(growing(board, folder, time.monotonic() - begun))
                    drawn = time.monotonic()
            yield self._finished(StoryboardView(video, board, folder, Path(video.title).stem[:80], zipped))
        except Exception as error:
            if self.turns.get(request.session_hash) is turn:
                advice = RESULT_KEPT if before else "Try another video, or the examples."
                yield self._back(before) | {slots["message"]: message(error, advice)}

    def _finished(self, shown: StoryboardView) -> Updates:
        return self._slots(pieces(shown)) | {
            self.cancel: gr.Button(visible=False),
            self.again: gr.Button(visible=not shown.zipped),
            self.video: shown.video,
            self.shown: shown,
        }

    def _cancelled(self, video: NamedVideo, images: int, zipped: bool) -> Updates:
        words = fragments.problem(
            f"Cancelled after {images} images of {video.title}.",
            "Drop it in again to play it." if zipped else "“Make the strip anew” begins again with it.",
        )
        return {self.slots["message"]: words, self.video: video, self.again: gr.Button(visible=not zipped)}

    def _slots(self, pieces: dict[str, str]) -> Updates:
        return {self.slots[name]: piece for name, piece in pieces.items()}

    def _back(self, before: StoryboardView | None) -> Updates:
        """Show the last strip; before the first one the example, or its place."""
        if last := before or self.example.strip:
            return self._finished(last)
        blank = dict.fromkeys(("message", "links", "notes", "strip", "cost", "loss"), "")
        empty = blank | {"films": render.empty(), "status": _idle()}
        return self._slots(empty) | {self.cancel: gr.Button(visible=False)}


def _idle() -> str:
    return '<p class="status">No strip yet: drop in a video or a strip’s zip, or try the examples in a row.</p>'
