"""The door: how a visitor comes in (a link, remembered settings), comes back (recent results), and leaves (a zip).

It stands around the tabs and is wired from outside; `static/door.js` is its half in the browser. Settings are kept by
that script in plain localStorage rather than in a `gr.BrowserState`: theme, strength and measure are the browser's own
business and must be there before the first paint, and there is no secret here that encryption could keep.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from app.context import FORGOTTEN, KEPT, QUIET, Desk, Updates, message
from app.render import shell
from app.services.deep_links import Arrival
from app.services.explorations import Visit
from app.services.result_store import Shelf

# One click anywhere on the page, told to the server; the pieces clicked on come and go.
TOLD = """document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-WHAT]");
  if (button) trigger("click", { what: button.dataset.WHAT });
});"""
SETTINGS = ("checkpoint", "classifier", "method")
PACK = QUIET | {"concurrency_id": "pack", "concurrency_limit": 2, "trigger_mode": "once"}


class Door:
    """Wires what stands around the tabs of a page that is laid out.

    Args:
        desk: what the tabs share.
        explore: the Explore tab.
        frames: of the tabs, in the order of `desk.names`.
    """

    def __init__(self, desk: Desk, explore: Any, frames: Sequence[gr.Tab]) -> None:
        self.desk, self.explore = desk, explore
        self.message, self.recent = explore.slots["message"], explore.slots["recent"]
        with gr.Column(elem_id="door"):
            self.address = gr.HTML(elem_id="address")
            self.parcel = gr.HTML(elem_id="parcel")
            packer = gr.HTML(js_on_load=TOLD.replace("WHAT", "pack"))
            reopener = gr.HTML(js_on_load=TOLD.replace("WHAT", "recent"))
        gr.HTML(shell.privacy(desk.visits.shelf.seconds / 3600), elem_id="privacy", apply_default_css=False)

        followed = [self.address, self.recent, desk.tabs, desk.landing]
        desk.visit.change(self._on_visit, [desk.visit, desk.landing], followed, **QUIET, concurrency_limit=None)
        reopener.click(self._on_reopen, None, explore.reopened, **QUIET, concurrency_limit=None)
        packer.click(self._on_pack, desk.visit, [self.parcel, self.message], **PACK)
        for name, choice in zip(SETTINGS, (explore.model, explore.look.classifier, explore.look.method), strict=True):
            choice.input(None, choice, js=f"(value) => {{ window.door.keep('{name}', value); }}")
        for frame in frames:
            frame.select(None, js="() => { window.door.follow(); }")

    def _on_visit(self, visit: Visit | None, tab: str | None, request: gr.Request) -> Updates:
        if visit is None or not visit.result.complete:
            return {self.address: gr.skip()}
        self.desk.recents.keep(str(request.session_hash), visit)
        asked = visit.result.request
        example = self.desk.visits.example_of(asked.clip)
        arrival = Arrival(example, asked.checkpoint, asked.start, asked.seconds, asked.whole)
        updates = {
            self.address: shell.address(arrival.query(self.desk.offer()), own=example is None),
            self.recent: self._strip(request, visit),
        }
        return updates | ({self.desk.tabs: gr.Tabs(selected=tab), self.desk.landing: None} if tab else {})

    def _strip(self, request: gr.Request, shown: Visit | None = None) -> str:
        return shell.recents(
            [
                (
                    recent.key,
                    recent.visit.title,
                    _line(recent.visit),
                    recent.visit.result.distilled,
                    recent.visit is shown,
                )
                for recent in self.desk.recents.of(str(request.session_hash))
            ]
        )

    def _on_reopen(self, clicked: gr.EventData, request: gr.Request) -> Updates:
        visit = self.desk.recents.find(str(request.session_hash), clicked.what)
        if visit is None:
            return {self.message: FORGOTTEN, self.recent: self._strip(request)}
        return self.explore.reopen(visit, request)

    def _on_pack(self, visit: Visit | None) -> Updates:
        from avd_core.explore.bundle import write_bundle

        if visit is None:
            return {self.message: FORGOTTEN, self.parcel: ""}
        try:
            name = f"{visit.result.request.clip.stem[:80]}-everything.zip"
            path = write_bundle(visit.result, self.desk.visits.shelf.folder() / name)
        except Exception as error:
            return {self.message: message(error, KEPT), self.parcel: ""}
        return {self.parcel: shell.parcel(Shelf.address(path), name)}


def _line(visit: Visit) -> str:
    clip = visit.result.clip
    return f"{clip.start:.1f}–{clip.start + clip.seconds:.1f} s, {visit.result.checkpoint}"
