"""The door: how a visitor comes in (a link, remembered settings), comes back (recent results), and leaves (a zip).

It stands around the tabs and is wired from outside; `static/door.js` is its half in the browser. Settings are kept by
that script in plain localStorage rather than in a `gr.BrowserState`: theme, strength and measure are the browser's own
business and must be there before the first paint, and there is no secret here that encryption could keep.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from app.context import QUIET, RESULT_KEPT, SESSION_EXPIRED, PageContext, Updates, message
from app.render import shell
from app.services.deep_links import DeepLink
from app.services.explorations import ExplorationView
from app.services.result_store import ResultStore

# One click anywhere on the page, told to the server; the pieces clicked on come and go.
TOLD = """document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-WHAT]");
  if (button) trigger("click", { what: button.dataset.WHAT });
});"""
SETTINGS = ("checkpoint", "classifier", "method")
PACK = QUIET | {"concurrency_id": "pack", "concurrency_limit": 2, "trigger_mode": "once"}


class PageShell:
    """Wires what stands around the tabs of a page that is laid out.

    Args:
        desk: what the tabs share.
        explore: the Explore tab.
        frames: of the tabs, in the order of `desk.names`.
    """

    def __init__(self, context: PageContext, explore: Any, frames: Sequence[gr.Tab]) -> None:
        self.context, self.explore = context, explore
        self.message, self.recent = explore.slots["message"], explore.slots["recent"]
        with gr.Column(elem_id="door"):
            self.address = gr.HTML(elem_id="address")
            self.parcel = gr.HTML(elem_id="parcel")
            packer = gr.HTML(js_on_load=TOLD.replace("WHAT", "pack"))
            reopener = gr.HTML(js_on_load=TOLD.replace("WHAT", "recent"))
        gr.HTML(shell.privacy(context.explorations.store.seconds / 3600), elem_id="privacy", apply_default_css=False)

        followed = [self.address, self.recent, context.tabs, context.landing]
        context.view.change(self._on_visit, [context.view, context.landing], followed, **QUIET, concurrency_limit=None)
        reopener.click(self._on_reopen, None, explore.reopened, **QUIET, concurrency_limit=None)
        packer.click(self._on_pack, context.view, [self.parcel, self.message], **PACK)
        for name, choice in zip(SETTINGS, (explore.model, explore.look.classifier, explore.look.method), strict=True):
            choice.input(None, choice, js=f"(value) => {{ window.door.keep('{name}', value); }}")
        for frame in frames:
            frame.select(None, js="() => { window.door.follow(); }")

    def _on_visit(self, view: ExplorationView | None, tab: str | None, request: gr.Request) -> Updates:
        if view is None or not view.result.complete:
            return {self.address: gr.skip()}
        self.context.recents.keep(str(request.session_hash), view)
        asked = view.result.request
        example = self.context.explorations.example_of(asked.clip)
        arrival = DeepLink(example, asked.checkpoint, asked.window)
        updates = {
            self.address: shell.address(arrival.query(self.context.offer()), own=example is None),
            self.recent: self._strip(request, view),
        }
        return updates | ({self.context.tabs: gr.Tabs(selected=tab), self.context.landing: None} if tab else {})

    def _strip(self, request: gr.Request, shown: ExplorationView | None = None) -> str:
        return shell.recents(
            [
                (
                    recent.key,
                    recent.view.title,
                    _line(recent.view),
                    recent.view.result.distilled,
                    recent.view is shown,
                )
                for recent in self.context.recents.of(str(request.session_hash))
            ]
        )

    def _on_reopen(self, clicked: gr.EventData, request: gr.Request) -> Updates:
        view = self.context.recents.find(str(request.session_hash), clicked.what)
        if view is None:
            return {self.message: SESSION_EXPIRED, self.recent: self._strip(request)}
        return self.explore.reopen(view, request)

    def _on_pack(self, view: ExplorationView | None) -> Updates:
        from avd_core.explore.report_page import write_bundle

        if view is None:
            return {self.message: SESSION_EXPIRED, self.parcel: ""}
        try:
            name = f"{view.result.request.clip.stem[:80]}-everything.zip"
            path = write_bundle(view.result, self.context.explorations.store.folder() / name)
        except Exception as error:
            return {self.message: message(error, RESULT_KEPT), self.parcel: ""}
        return {self.parcel: shell.parcel(ResultStore.address(path), name)}


def _line(view: ExplorationView) -> str:
    clip = view.result.clip
    return f"{clip.start:.1f}–{clip.start + clip.seconds:.1f} s, {view.result.checkpoint}"
