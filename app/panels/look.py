"""What a classifier sees in the distilled image and where it looks, with what there is to choose about it."""

from __future__ import annotations

from collections.abc import Mapping

import gradio as gr

from app.desk import FIRST, FORGOTTEN, KEPT, Desk, Updates, message
from app.render import parts, recognition, saliency
from app.visits import Visit
from avd_core.exploration import DEFAULT_CLASSIFIER, DEFAULT_METHOD


class LookPanel:
    """Two cards beside each other; constructed where they are to stand.

    Attributes:
        slots: the cards, by name.
        classifier: asked for by each exploration, as is `method`.
    """

    def __init__(self, desk: Desk, turns: Mapping[str, object]) -> None:
        """Lays the panel out in the current context.

        Args:
            desk: what it shares with the tabs.
            turns: of each session what it started last: a look at an image that was replaced meanwhile is not shown.
        """
        self.visits, self.visit, self.turns = desk.visits, desk.visit, turns
        self.looks: dict[str, object] = {}  # of each session what it last wanted looked at
        self.slots: dict[str, gr.HTML] = {}
        with gr.Row(elem_classes="row"):
            with gr.Column(scale=4, min_width=280, elem_classes="sheet"):
                self._slot("recognition", parts.waiting("recognition", recognition.TITLE))
                self.classifier = gr.Dropdown(
                    [DEFAULT_CLASSIFIER], value=DEFAULT_CLASSIFIER, label="Classifier", elem_id="classifier"
                )
            with gr.Column(scale=5, min_width=280, elem_classes="sheet"):
                self._slot("saliency", parts.waiting("saliency", saliency.TITLE))
                with gr.Row():
                    self.target = gr.Dropdown([], label="Evidence for", elem_id="target", min_width=130)
                    self.method = gr.Dropdown(
                        [DEFAULT_METHOD], value=DEFAULT_METHOD, label="Method", elem_id="method", min_width=130
                    )

    def _slot(self, name: str, value: str = "") -> None:
        self.slots[name] = gr.HTML(value, elem_id=name, apply_default_css=False)

    def wire(self, around: Mapping[str, gr.HTML]) -> None:
        """Wires the panel's controls; of `around` it answers into the slots message, links and details."""
        self.around = around
        looked = [*(around[name] for name in ("message", "links", "details")), *self.slots.values()]
        looked += [self.visit, self.target]
        looking = FIRST | {
            "trigger_mode": "always_last", "show_progress": "full", "show_progress_on": self.slots["saliency"]
        }  # fmt: skip
        # `select` does not come for a choice by keyboard. `input` does, and twice for one by mouse (gradio 6.31):
        # hence `_is_shown`, and `looks` for the second while the first is at work.
        for change in (self.target.input, self.method.input):
            change(self._on_look, [self.visit, self.method, self.target], looked, **looking)
        self.classifier.input(self._on_classifier, [self.visit, self.method, self.classifier], looked, **looking)

    # What the tab asks of it ----------------------------------------------------------------------------------

    @property
    def greeted(self) -> list[gr.Dropdown]:
        """The outputs of a handler that answers with `greet`."""
        return [self.classifier, self.method]

    def greet(self) -> Updates:
        """What there is to choose from, for a new visitor."""
        from avd_core.saliency import METHODS

        classifiers = dict.fromkeys([DEFAULT_CLASSIFIER, *self.visits.explorer.classifiers()])
        return {
            self.classifier: gr.Dropdown(list(classifiers)),
            self.method: gr.Dropdown([(title, key) for key, title in METHODS.items()]),
        }

    @property
    def shown(self) -> list[gr.Dropdown]:
        """The outputs of a handler that answers with `show`, beside the slots."""
        return [self.target]

    def show(self, visit: Visit) -> Updates:
        """The choices that go with a finished visit."""
        seen = visit.result.recognition
        best = [prediction.label for prediction in seen.topk]
        labels = dict.fromkeys([*best, *self.visits.explorer.labels(seen.classifier)])  # the likely ones on top
        return {self.target: gr.Dropdown(list(labels), value=visit.result.saliency.label)}

    def leave(self, session: str | None) -> None:
        """Forgets a visitor who has gone."""
        self.looks.pop(session, None)

    # Handlers -------------------------------------------------------------------------------------------------

    def _on_look(self, visit: Visit | None, method: str, target: str | None, request: gr.Request) -> Updates:
        return self._looked(visit, request, method=method, target=target)

    def _on_classifier(self, visit: Visit | None, method: str, name: str, request: gr.Request) -> Updates:
        return self._looked(visit, request, method=method, target=None, classifier=name)

    def _looked(self, visit: Visit | None, request: gr.Request, **look: str | None) -> Updates:
        """Looks anew at the image that is shown, and only that part of the page changes."""
        around = self.around
        if visit is None:
            return {around["message"]: FORGOTTEN}
        turn = self.turns.get(request.session_hash)
        asked = (turn, visit.result.request.clip, *look.items())
        if _is_shown(visit, **look) or self.looks.get(request.session_hash) == asked:
            return {around["message"]: gr.skip()}
        self.looks[request.session_hash] = asked
        try:
            visit = self.visits.look(visit, **look)
        except Exception as error:
            return {around["message"]: message(error, KEPT)}
        if self.turns.get(request.session_hash) is not turn:  # another clip has come meanwhile
            return {around["message"]: gr.skip()}
        slots = {name: around[name] for name in ("message", "links", "details")} | self.slots
        pieces = {slot: visit.pieces.get(name, "") for name, slot in slots.items()}
        return pieces | {self.visit: visit} | self.show(visit)


def _is_shown(visit: Visit, *, method: str, target: str | None, classifier: str | None = None) -> bool:
    """Whether a look is what the page shows already."""
    result = visit.result
    if classifier is not None:
        return classifier == result.request.classifier and method == result.saliency.method
    # None: the box was emptied, to type another class into it.
    return method == result.saliency.method and target in (None, result.saliency.label)
