"""Which frame each pixel of the distilled image draws on: a card that is computed after a click."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import gradio as gr

from app.context import QUIET, RESULT_KEPT, SESSION_EXPIRED, PageContext, Updates, message, on_click_js
from app.render import attribution, fragments
from app.services.explorations import ExplorationView

ATTRIBUTION = QUIET | {"concurrency_id": "attribution", "concurrency_limit": 1, "trigger_mode": "once"}


class AttributionPanel:
    """The card, laid out where this is constructed.

    Args:
        context: What the panel shares with the tabs.
        turns: The latest exploration of each session; work on an earlier image stops.
    """

    def __init__(self, context: PageContext, turns: Mapping[str, object]) -> None:
        self.explorations, self.view, self.turns = context.explorations, context.view, turns
        self.card = gr.HTML(
            fragments.waiting("attribution", attribution.TITLE),
            elem_id="attribution",
            apply_default_css=False,
            js_on_load=on_click_js("attribution"),
        )

    def wire(self, message_slot: gr.HTML) -> None:
        """Wire the card's button; errors go to `message_slot`."""
        self.message = message_slot
        self.card.click(self.on_attribution, self.view, [self.card, self.message], **ATTRIBUTION)

    def on_attribution(self, view: ExplorationView | None, request: gr.Request) -> Iterator[Updates]:
        """Find which frame each pixel draws on; stop as soon as the visitor looks at something else."""
        if view is None:
            yield {self.message: SESSION_EXPIRED}
            return
        turn = self.turns.get(request.session_hash)
        try:
            for pieces in self.explorations.attribution(view):
                if self.turns.get(request.session_hash) is not turn:
                    return
                yield {self.card: pieces["attribution"]}
        except Exception as error:
            yield {self.message: message(error, RESULT_KEPT), self.card: view.pieces["attribution"]}
