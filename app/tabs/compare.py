"""Compare: the clip that Explore shows, as one image in every way there is, and two of them side by side."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr

from app.context import EXPLORE, QUIET, RESULT_KEPT, SESSION_EXPIRED, UNQUEUED, PageContext, Updates, message
from app.render import compare as render
from app.render import fragments
from app.services.comparisons import ComparisonView, request_for, run_comparison
from app.services.explorations import ExplorationView
from avd_core.explore.explorer import DEFAULT_CLASSIFIER

ID, TITLE = "compare", "Compare"
# For work of a few seconds: neither first pictures nor long work wait for it, nor does it wait for them.
OWN = QUIET | {"concurrency_id": "compare", "concurrency_limit": 2, "trigger_mode": "multiple"}
ADVICE = "Choose another clip in Explore."


def build(context: PageContext, frame: gr.Tab) -> CompareTab:
    """Lay the tab out in the current context; a comparison starts when the tab is opened."""
    return CompareTab(context, frame)


class CompareTab:
    """The tab for all visitors; what one of them sees in it is in session state, as `ComparisonView`."""

    def __init__(self, context: PageContext, frame: gr.Tab) -> None:
        self.context, self.explorer = context, context.explorations.explorer
        self.turns: dict[str, object] = {}  # of each session the latest: an outdated comparison stops
        self.compared = gr.State(None)
        self._lay_out()
        self._wire(frame)

    def _lay_out(self) -> None:
        self.slots: dict[str, gr.HTML] = {}

        def slot(name: str, value: str = "", **options: Any) -> None:
            self.slots[name] = gr.HTML(value, elem_id=f"compare-{name}", apply_default_css=False, **options)

        with gr.Column(elem_id="compare"):
            slot("message")
            with gr.Row(elem_classes="bar-row"):
                slot("status", render.EMPTY, min_width=260)
                self.cancel = gr.Button("Cancel", visible=False, min_width=90, scale=0, elem_id="compare-cancel")
                self.other = gr.Button("Another clip", min_width=120, scale=0, elem_id="compare-other")
                self.again = gr.Button("Compare again", min_width=140, scale=0, elem_id="compare-again")
            with gr.Row(elem_classes="choices"):
                self.classifier = gr.Dropdown(
                    [DEFAULT_CLASSIFIER], value=DEFAULT_CLASSIFIER, label="Classifier", min_width=180, scale=1
                )
                self.order = gr.Dropdown(
                    [(words, key or "") for words, key in render.ORDERS], value="restoration", label="Best first by",
                    min_width=180, scale=1, elem_id="compare-order",
                )  # fmt: skip
            slot("terms", render.TERMS)
            slot("grid", render.grid(None, {}, None))
            slot("notes")
            slot("links", fragments.downloads([]))
            with gr.Row(elem_classes="choices", visible=False, elem_id="compare-pair") as self.pair:
                self.first = gr.Dropdown([], label="A, on the left", min_width=140, elem_id="compare-a")
                self.second = gr.Dropdown([], label="B, on the right", min_width=140, elem_id="compare-b")
            slot("duel")

    def _wire(self, frame: gr.Tab) -> None:
        shown = [*self.slots.values(), self.compared, self.cancel, self.pair, self.first, self.second]
        shown += [self.classifier, self.order]
        inputs = [self.context.view, self.compared, self.classifier, self.order, self.context.own_checkpoints]
        frame.select(self.on_open, inputs, shown, **OWN)
        for changed in (self.again.click, self.classifier.input):
            changed(self.on_again, inputs, shown, **OWN)
        self.cancel.click(self.on_cancel, None, None, **UNQUEUED)
        self.other.click(lambda: gr.Tabs(selected=EXPLORE), None, self.context.tabs, **UNQUEUED)
        self.order.input(self.on_order, [self.compared, self.order], self.slots["grid"], **UNQUEUED)
        for chosen in (self.first.input, self.second.input):
            chosen(
                self.on_pair,
                [self.compared, self.first, self.second],
                [self.slots["duel"], self.slots["message"]],
                **(OWN | {"trigger_mode": "always_last"}),
            )
        self.context.page.unload(self.leave)

    # Handlers -------------------------------------------------------------------------------------------------

    def on_open(
        self,
        view: ExplorationView | None,
        compared: ComparisonView | None,
        classifier: str,
        order: str,
        own: tuple[str, ...],
        request: gr.Request,
    ) -> Iterator[Updates]:
        """Compare the clip in Explore when the tab is opened, unless that has been done."""
        names = dict.fromkeys([DEFAULT_CLASSIFIER, *self.explorer.classifiers()])
        yield {self.classifier: gr.Dropdown(list(names))}
        if view is None or (compared and compared.comparison.complete and self._is_of(compared, view, classifier, own)):
            return
        yield from self.on_again(view, compared, classifier, order, own, request)

    def on_again(
        self,
        view: ExplorationView | None,
        compared: ComparisonView | None,
        classifier: str,
        order: str,
        own: tuple[str, ...],
        request: gr.Request,
    ) -> Iterator[Updates]:
        if view is None:
            yield {self.slots["message"]: SESSION_EXPIRED}
            return
        turn = self.turns[request.session_hash] = object()
        words = fragments.progress(f"Reading {view.title}", 0.02)
        yield {self.slots["message"]: "", self.slots["status"]: words, self.cancel: gr.Button(visible=True)}
        try:
            comparison = request_for(view, self.explorer, classifier, own)
            folder = self.context.explorations.store.folder()
            for now in run_comparison(self.explorer, comparison, view.title, folder):
                latest = self.turns.get(request.session_hash)
                if latest not in (turn, None):
                    return
                yield self._shown(now, order, waiting=latest is turn)
                if latest is None:  # cancelled
                    return
        except Exception as error:
            if self.turns.get(request.session_hash) is turn:
                yield self._failed(error, compared, order)

    def on_cancel(self, request: gr.Request) -> None:
        """Stop the comparison after its next row, which it still shows, together with a summary.

        With Gradio's `cancels` a row on its way could arrive after the answer and overwrite it.
        """
        self.turns.pop(request.session_hash, None)

    def on_order(self, compared: ComparisonView | None, order: str) -> str:
        return compared.grid(order or None, waiting=False) if compared else gr.skip()

    def on_pair(self, compared: ComparisonView | None, first: str, second: str) -> Updates:
        if compared is None:
            return {self.slots["message"]: SESSION_EXPIRED}
        try:
            return {self.slots["duel"]: compared.duel(first, second), self.slots["message"]: ""}
        except Exception as error:
            return {self.slots["message"]: message(error, RESULT_KEPT)}

    def leave(self, request: gr.Request) -> None:
        self.turns.pop(request.session_hash, None)

    # What handlers answer -------------------------------------------------------------------------------------

    def _shown(self, compared: ComparisonView, order: str, waiting: bool = True) -> Updates:
        comparison, slots = compared.comparison, self.slots
        waiting = waiting or comparison.complete
        updates: Updates = {
            self.compared: compared,
            slots["status"]: compared.status_line if waiting else render.cancelled_summary(comparison, compared.title),
            slots["grid"]: compared.grid(order or None, waiting),
            slots["notes"]: render.notes(comparison),
        }
        playing = render.choices(comparison.rows)
        if not comparison.complete:
            return updates | {
                self.cancel: gr.Button(visible=waiting),
                self.order: gr.Dropdown(interactive=not waiting),  # cards stay where they are while others arrive
                slots["links"]: fragments.downloads([]),
                slots["duel"]: fragments.waiting("duelling", render.DUEL) if waiting else "",
                self.pair: gr.Row(visible=False),
            }
        names = [name for _, name in playing]
        first, second = names[0], names[1] if not _is_copy(compared, names[1]) else "mean"
        return updates | {
            self.cancel: gr.Button(visible=False),
            self.order: gr.Dropdown(interactive=True),
            slots["links"]: compared.links(),
            slots["duel"]: compared.duel(first, second),
            self.pair: gr.Row(visible=True),
            self.first: gr.Dropdown(playing, value=first),
            self.second: gr.Dropdown(playing, value=second),
        }

    def _failed(self, error: Exception, before: ComparisonView | None, order: str) -> Updates:
        """Show the last comparison again, under a message."""
        shown = self._shown(before, order, waiting=False) if before else {self.slots["status"]: render.EMPTY}
        sentence = message(error, RESULT_KEPT if before else ADVICE)
        return shown | {self.slots["message"]: sentence, self.cancel: gr.Button(visible=False)}

    def _is_of(self, compared: ComparisonView, view: ExplorationView, classifier: str, own: tuple[str, ...]) -> bool:
        return compared.comparison.request == request_for(view, self.explorer, classifier, own)


def _is_copy(compared: ComparisonView, name: str) -> bool:
    return next(row.copied for row in compared.comparison.rows if row.name == name)
