"""Restore: an image plays as a clip; paint on it, erase in it, damage it, and see what of the clip is left."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from app.context import FIRST, RESULT_KEPT, SESSION_EXPIRED, SHORT, PageContext, Updates, message, wire_cancel
from app.render import fragments, restore
from app.services.explorations import ExplorationView
from app.services.restorations import Restorations, RestorationSession
from app.services.result_store import KEEP_HOURS
from avd_core.analysis.degradations import SWEEPS, Degradation, degradation_sweep

ID, TITLE = "restore", "Restore"
FORMATS = [".png", ".jpg", ".jpeg", ".webp"]
INTACT = 100  # where the JPEG slider stands when the image stays a PNG
ABOUT = f"""<p class="hint">A distilled image holds its clip: drop one in, from wherever you have it, and it plays. A
photograph plays too, but nothing was ever in it. Pictures and results are deleted after {KEEP_HOURS} hours.</p>"""
NOT_YET = '<p class="status">Drop an image in. (Explore is still at work on its first one, which comes here next.)</p>'
# The painted image is a value, not event data: an event that has to wait (`always_last`) loses its data (gradio 6.31),
# while values are read when its turn comes.
ON_PAINTED_JS = """element.addEventListener("painted", (event) => {
  props.value = event.detail;
  setTimeout(() => trigger("input"));
});"""
LAST = FIRST | {"trigger_mode": "always_last"}


def build(context: PageContext, frame: gr.Tab) -> RestoreTab:
    """Lay the tab out in the current context."""
    return RestoreTab(context, frame)


class RestoreTab:
    """The tab for all visitors; the image that one of them works on is in session state."""

    def __init__(self, context: PageContext, frame: gr.Tab) -> None:
        self.context = context
        self.restorations = Restorations(context.explorations.explorer, context.explorations.store)
        self.turns: dict[str, object] = {}  # of each session the latest: strokes and images overtake each other
        self.folders: dict[str, Path] = {}  # of each session the folder of its image
        self.session = gr.State(None)
        self.retry = gr.Timer(1, active=False)  # checks for a first image in Explore
        self._lay_out()
        self._wire(frame)

    def _lay_out(self) -> None:
        self.slots: dict[str, gr.HTML] = {}

        def slot(name: str, value: str = "", **options: Any) -> None:
            self.slots[name] = gr.HTML(value, elem_id=f"restore-{name}", apply_default_css=False, **options)

        with gr.Row(elem_id="restore-page"):
            with gr.Column(elem_id="restore-rail"):
                self.drop = gr.File(
                    file_types=FORMATS, label="An image", show_label=False, height=128, elem_id="restore-drop"
                )
                self.take = gr.Button("Take the image in Explore", elem_id="restore-take")
                gr.HTML(ABOUT, apply_default_css=False)
            with gr.Column(elem_id="restore-results"):
                slot("message")
                slot("status", NOT_YET)
                slot("notes")
                with gr.Row(elem_classes="row sheet", elem_id="restore-stage"):
                    with gr.Column(scale=4, min_width=260):
                        slot("easel", '<div class="easel waiting"></div>')
                        self.ink = gr.HTML(
                            "", html_template='<i class="ink"></i>', js_on_load=ON_PAINTED_JS, elem_id="restore-ink",
                            apply_default_css=False,
                        )  # fmt: skip
                    with gr.Column(scale=7, min_width=300):
                        slot("played", '<div class="reels waiting"></div>')
                slot("links", fragments.downloads([]))
                with gr.Row(elem_classes="row sheet", elem_id="restore-wear"):
                    with gr.Column(scale=4, min_width=260):
                        gr.HTML('<h2 class="what">What it survives</h2>', apply_default_css=False)
                        self.jpeg = gr.Slider(
                            SWEEPS["jpeg"][-1], INTACT, INTACT, step=1, buttons=[], elem_id="restore-jpeg",
                            label="JPEG quality, colours at half resolution (100: stays a PNG)",
                        )  # fmt: skip
                        self.blur = gr.Slider(
                            0, SWEEPS["blur"][-1], 0, step=0.05, buttons=[], elem_id="restore-blur",
                            label="Blur, pixels (0: sharp)",
                        )  # fmt: skip
                        self.noise = gr.Slider(
                            0, SWEEPS["noise"][-1], 0, step=0.5, buttons=[], elem_id="restore-noise",
                            label="Noise, levels of 255 (0: clean)",
                        )  # fmt: skip
                        slot("figures")
                    with gr.Column(scale=8, min_width=300):
                        slot("curves", restore.curves({}, None, None))
                        with gr.Row(elem_id="restore-curve-bar"):
                            self.draw = gr.Button("Draw the curves", elem_id="restore-draw")
                            self.cancel = gr.Button("Cancel", interactive=False, elem_id="restore-cancel")

    def _wire(self, frame: gr.Tab) -> None:
        slots, sliders = self.slots, [self.jpeg, self.blur, self.noise]
        shown = [*slots.values(), self.session, self.ink, *sliders, self.drop, self.retry]
        gr.on([frame.select, self.retry.tick], self.on_open, [self.context.view, self.session], shown, **FIRST)
        self.take.click(self.on_take, self.context.view, shown, **FIRST)
        self.drop.upload(self.on_drop, [self.drop, self.context.view], shown, **FIRST)
        self.context.page.unload(self.leave)

        changed = [slots[name] for name in ("message", "played", "figures", "links")]
        touches = [self.ink.input, *(slider.input for slider in sliders)]
        gr.on(touches, self.on_touch, [self.session, self.ink, *sliders], changed, **LAST)
        drawn = [slots["message"], slots["curves"], self.draw, self.cancel]
        drawing = self.draw.click(self.on_draw, self.session, drawn, **SHORT)
        wire_cancel(self.cancel, [drawing], self.on_cancel, None, drawn)

    # Handlers -------------------------------------------------------------------------------------------------

    def on_open(self, view: ExplorationView | None, session: RestorationSession | None, request: gr.Request) -> Updates:
        """Take what Explore shows when the tab is opened, unless the visitor works on an image of their own."""
        idle = {self.retry: gr.Timer(active=False)}
        if session is not None and (session.clip is None or view is None or session.clip is view.result.clip):
            return idle
        if view is None:
            return {self.retry: gr.Timer(active=True)}
        return self._opened(lambda: self.restorations.of_view(view), request)

    def on_take(self, view: ExplorationView | None, request: gr.Request) -> Updates:
        if view is None:
            return {self.slots["message"]: SESSION_EXPIRED}
        return self._opened(lambda: self.restorations.of_view(view), request)

    def on_drop(self, path: str, view: ExplorationView | None, request: gr.Request) -> Iterator[Updates]:
        yield {self.drop: None, self.slots["message"]: fragments.progress("Restoring the clip from the image", 0.5)}
        yield self._opened(lambda: self.restorations.of_file(Path(path), view), request)

    def on_touch(
        self, session: RestorationSession | None, ink: str, jpeg: float, blur: float, noise: float, request: gr.Request
    ) -> Updates:
        """Restore the image again after a stroke or a slider."""
        if session is None:
            return {self.slots["message"]: SESSION_EXPIRED}
        turn = self.turns[request.session_hash] = object()
        try:
            painted = self.restorations.painted(session, ink or "")
            degradation = Degradation(blur, noise, int(jpeg) if jpeg < INTACT else None)
            pieces = self.restorations.apply(session, painted, degradation)
        except Exception as error:
            return {self.slots["message"]: message(error, RESULT_KEPT)}
        if self.turns.get(request.session_hash) is not turn:  # another image has come meanwhile
            return {self.slots["message"]: gr.skip()}
        return {self.slots["message"]: ""} | {self.slots[name]: piece for name, piece in pieces.items()}

    def on_draw(self, session: RestorationSession | None, request: gr.Request) -> Iterator[Updates]:
        """Plot the curves point by point, of each degradation alone; what was painted is left out."""
        if session is None:
            yield {self.slots["message"]: SESSION_EXPIRED}
            return
        yield {self.draw: gr.Button(interactive=False), self.cancel: gr.Button(interactive=True)}
        restoration, original = session.restoration, session.original
        points: dict[str, list] = {kind: [] for kind in SWEEPS}
        done: Updates = {self.draw: gr.Button(interactive=True), self.cancel: gr.Button(interactive=False)}
        try:
            decode = lambda image: self.restorations.explorer.replay(restoration, image)  # noqa: E731
            for kind, strength, survived in degradation_sweep(restoration.image, restoration.frames, decode, original):
                points[kind].append((strength, survived))
                if self.folders.get(request.session_hash) != session.folder:  # the curves of an image that is gone
                    break
                yield {self.slots["curves"]: restore.curves(points, *session.bounds)}
        except Exception as error:
            done[self.slots["message"]] = message(error, RESULT_KEPT)
        yield done

    def on_cancel(self) -> Updates:
        return {self.draw: gr.Button(interactive=True), self.cancel: gr.Button(interactive=False)}

    def leave(self, request: gr.Request) -> None:
        self.turns.pop(request.session_hash, None)
        self.folders.pop(request.session_hash, None)

    # What handlers answer -------------------------------------------------------------------------------------

    def _opened(self, make: Any, request: gr.Request) -> Updates:
        """Show the session that `make` returns, its image untouched; on failure keep the last one."""
        self.turns[request.session_hash] = object()
        try:
            session = make()
            unchanged = self.restorations.apply(session, None, Degradation(), first=True)
            pieces = self.restorations.pieces(session) | unchanged
        except Exception as error:
            return {self.slots["message"]: message(error, RESULT_KEPT)}
        pieces["curves"] = restore.curves({}, *session.bounds)
        self.folders[request.session_hash] = session.folder
        updates: Updates = {self.slots[name]: piece for name, piece in pieces.items()}
        reset = {self.jpeg: INTACT, self.blur: 0, self.noise: 0, self.ink: ""}
        return updates | reset | {self.session: session, self.slots["message"]: "", self.retry: gr.Timer(active=False)}
