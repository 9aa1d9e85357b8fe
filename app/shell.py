"""What stands around the tabs: links and remembered settings, recent results, everything about a clip as one zip.

It is wired from outside the tabs; `static/shell.js` is its part in the browser. That script keeps the settings in plain
localStorage rather than in a `gr.BrowserState`: theme, strength and measure concern the browser alone and must be there
before the first paint, and none of them is a secret.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from app.context import (
    QUIET,
    RESULT_KEPT,
    SESSION_EXPIRED,
    UNLIMITED,
    PageContext,
    Updates,
    message,
    on_click_js,
)
from app.render import shell
from app.services.deep_links import DeepLink
from app.services.explorations import ExplorationView
from app.services.result_store import ResultStore

SETTINGS = ("checkpoint", "classifier", "method")
EXPORT = QUIET | {"concurrency_id": "export", "concurrency_limit": 2, "trigger_mode": "once"}


class PageShell:
    """Lay out and wire what stands around the tabs, after the tabs themselves.

    Args:
        context: What the tabs share.
        explore: The Explore tab.
        frames: The tabs, in the order of `context.names`.
    """

    def __init__(self, context: PageContext, explore: Any, frames: Sequence[gr.Tab]) -> None:
        self.context, self.explore = context, explore
        self.message, self.history = explore.slots["message"], explore.slots["history"]
        with gr.Column(elem_id="shell"):
            self.address = gr.HTML(elem_id="address")
            self.bundle = gr.HTML(elem_id="bundle")
            export = gr.HTML(js_on_load=on_click_js("export", listener="document"))
            reopen = gr.HTML(js_on_load=on_click_js("recent", listener="document"))
        gr.HTML(shell.privacy(context.explorations.store.seconds / 3600), elem_id="privacy", apply_default_css=False)

        outputs = [self.address, self.history, context.tabs, context.landing_tab]
        context.view.change(self.on_view, [context.view, context.landing_tab], outputs, **UNLIMITED)
        reopen.click(self.on_reopen, None, explore.reopen_outputs, **UNLIMITED)
        export.click(self.on_export, context.view, [self.bundle, self.message], **EXPORT)
        controls = explore.classifier_panel.controls
        for name, choice in zip(SETTINGS, (explore.model, controls.classifier, controls.method), strict=True):
            choice.input(None, choice, js=f"(value) => {{ window.shell.keep('{name}', value); }}")
        for frame in frames:
            frame.select(None, js="() => { window.shell.follow(); }")

    def on_view(self, view: ExplorationView | None, tab: str | None, request: gr.Request) -> Updates:
        """Put a finished exploration into the history and the address bar; open the tab that the link asks for."""
        if view is None or not view.result.complete:
            return {self.address: gr.skip()}
        self.context.history.add(str(request.session_hash), view)
        shown = view.result.request
        example = self.context.explorations.example_of(shown.clip)
        link = DeepLink(example, shown.checkpoint, shown.window)
        updates = {
            self.address: shell.address(link.query(self.context.link_choices()), own=example is None),
            self.history: self._strip(request, view),
        }
        return updates | ({self.context.tabs: gr.Tabs(selected=tab), self.context.landing_tab: None} if tab else {})

    def _strip(self, request: gr.Request, shown: ExplorationView | None = None) -> str:
        return shell.history(
            [
                (
                    entry.key,
                    entry.view.title,
                    _window(entry.view),
                    entry.view.exploration.distilled,
                    entry.view is shown,
                )
                for entry in self.context.history.of(str(request.session_hash))
            ]
        )

    def on_reopen(self, clicked: gr.EventData, request: gr.Request) -> Updates:
        view = self.context.history.find(str(request.session_hash), clicked.value)
        if view is None:
            return {self.message: SESSION_EXPIRED, self.history: self._strip(request)}
        return self.explore.reopen(view, request)

    def on_export(self, view: ExplorationView | None) -> Updates:
        """Write everything about the clip into one zip, which the page's script saves."""
        from avd_core.explore.report_page import write_bundle

        if view is None:
            return {self.message: SESSION_EXPIRED, self.bundle: ""}
        try:
            name = f"{view.result.request.clip.stem[:80]}-everything.zip"
            path = write_bundle(view.exploration, self.context.explorations.store.folder() / name)
        except Exception as error:
            return {self.message: message(error, RESULT_KEPT), self.bundle: ""}
        return {self.bundle: shell.bundle_link(ResultStore.address(path), name)}


def _window(view: ExplorationView) -> str:
    clip = view.result.clip
    return f"{clip.start:.1f}–{clip.start + clip.seconds:.1f} s, {view.result.checkpoint}"
