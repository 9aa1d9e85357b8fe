"""What a classifier sees in the distilled image and where it looks: answers to what is chosen about it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import gradio as gr

from app.components.classifier_controls import ClassifierControls
from app.components.long_task import LongTaskButton
from app.context import (
    FIRST,
    LONG,
    RESULT_KEPT,
    SESSION_EXPIRED,
    UNQUEUED,
    PageContext,
    Updates,
    message,
    wire_cancel,
)
from app.services.background import Progress
from app.services.explorations import ExplorationView, fast
from avd_core.classifiers.names import is_foreign, takes_labels, with_labels


@dataclass(frozen=True)
class Turn:
    """Identify the latest request of a session: the result of an earlier one is not shown."""

    image: object
    request: object


class ClassifierPanel:
    """Classify and explain the image in Explore as the visitor chooses, laid out where this is constructed.

    Args:
        context: What the panel shares with the tabs.
        turns: The latest exploration of each session; a result about an earlier image is not shown.
    """

    def __init__(self, context: PageContext, turns: Mapping[str, object]) -> None:
        self.explorations, self.view, self.turns = context.explorations, context.view, turns
        self.latest: dict[str, Turn] = {}  # of each session
        self.controls = ClassifierControls(context.explorations.explorer)

    def wire(self, around: Mapping[str, gr.HTML]) -> None:
        """Wire the controls; the slots "message", "links" and "details" of `around` are outputs too."""
        controls = self.controls
        self.around = {name: around[name] for name in ("message", "links", "details")}
        self.slots = self.around | controls.slots
        outputs = [*self.slots.values(), self.view, *controls.outputs]
        latest = FIRST | {
            "trigger_mode": "always_last", "show_progress": "full", "show_progress_on": controls.slots["saliency"]
        }  # fmt: skip
        # `select` does not come for a choice by keyboard. `input` does, and twice for one by mouse (gradio 6.31):
        # hence `_is_shown`, and `latest` for the second while the first is at work.
        for change in (controls.target.input, controls.method.input):
            change(self.on_choice, [self.view, controls.method, controls.target], outputs, **latest)
        chosen = [self.view, controls.method, controls.classifier]
        controls.classifier.input(self.on_classifier, chosen, outputs, **latest)

        handlers = {
            controls.switch: (self.on_switch, [self.view, controls.method, controls.pending, controls.labels]),
            controls.run: (self.on_run, [self.view, controls.method, controls.target]),
            controls.check: (self.on_check, [self.view]),
            controls.through: (self.on_through, [self.view]),
        }
        for task, (handler, inputs) in handlers.items():
            starts = [task.button.click, *([controls.labels.submit] if task is controls.switch else [])]
            waiting = gr.on(starts, task.busy, None, task.outputs, **UNQUEUED)
            working = waiting.then(handler, inputs, outputs, **LONG)
            wire_cancel(task.cancel, [working], task.reset, None, task.outputs)

    def leave(self, session: str) -> None:
        """Forget a visitor who has gone."""
        self.latest.pop(session, None)

    # Handlers -------------------------------------------------------------------------------------------------

    def on_choice(self, view: ExplorationView | None, method: str, target: str | None, request: gr.Request) -> Updates:
        """Map the evidence for another class, or by another method."""
        offer = None
        if view is not None and not _is_shown(view, method=method, target=target):
            offer = self.controls.offer_slow(view, method)
        return offer or self._explained(view, request, method=method, target=target)

    def on_classifier(self, view: ExplorationView | None, method: str, name: str, request: gr.Request) -> Updates:
        """Classify the image with another classifier."""
        if view is not None and is_foreign(name or ""):  # may have to be downloaded first
            return self.controls.offer_classifier(view, name)
        # How slow a method is with a classifier that is new to this machine is not known yet.
        return self._explained(view, request, method=fast(method), target=None, classifier=name)

    def on_switch(
        self, view: ExplorationView | None, method: str, pending: str | None, labels: str, request: gr.Request
    ) -> Iterator[Updates]:
        """Load another library's classifier, after a click."""

        def work(view: ExplorationView, _progress: Progress) -> ExplorationView:
            name = pending or view.result.request.classifier
            name = with_labels(name, re.split(r"[,;\n]", labels)) if takes_labels(name) else name
            return self.explorations.explain(view, classifier=name, method=fast(method), target=None)

        yield from self._long_task(self.controls.switch, view, work, request)

    def on_run(
        self, view: ExplorationView | None, method: str, target: str | None, request: gr.Request
    ) -> Iterator[Updates]:
        """Run a slow method, after a click."""

        def work(view: ExplorationView, progress: Progress) -> ExplorationView:
            return self.explorations.explain(view, method=method, target=target, progress=progress)

        yield from self._long_task(self.controls.run, view, work, request)

    def on_check(self, view: ExplorationView | None, request: gr.Request) -> Iterator[Updates]:
        """Check whether the map is faithful."""

        def work(view: ExplorationView, progress: Progress) -> ExplorationView:
            result, begun = view.exploration, time.perf_counter()
            faithfulness = self.explorations.explorer.faithfulness(
                result.distilled, result.saliency, result.recognition.classifier, progress=progress
            )
            self.controls.check_seconds = time.perf_counter() - begun
            saliency = replace(result.saliency, faithfulness=faithfulness)
            return self.explorations.updated(view, replace(result, saliency=saliency))

        yield from self._long_task(self.controls.check, view, work, request)

    def on_through(self, view: ExplorationView | None, request: gr.Request) -> Iterator[Updates]:
        """Explain every restored frame."""

        def work(view: ExplorationView, progress: Progress) -> ExplorationView:
            result = view.exploration
            label, method = result.saliency.label, result.saliency.method
            frames = self.explorations.explorer.saliency_over_time(
                result.restored, label, result.recognition.classifier, method, progress
            )
            return self.explorations.updated(view, replace(result, saliency=replace(result.saliency, frames=frames)))

        yield from self._long_task(self.controls.through, view, work, request)

    # What handlers answer -------------------------------------------------------------------------------------

    def _explained(self, view: ExplorationView | None, request: gr.Request, **models: Any) -> Updates:
        """Explain the image again; leave the rest of the page as it is."""
        message_slot = self.around["message"]
        if view is None:
            return {message_slot: SESSION_EXPIRED}
        turn = Turn(self.turns.get(request.session_hash), (view.result.request.clip, *models.items()))
        if _is_shown(view, **models) or self.latest.get(request.session_hash) == turn:
            return {message_slot: gr.skip()}
        self.latest[request.session_hash] = turn
        try:
            view = self.explorations.explain(view, **models)
        except Exception as error:
            return {message_slot: message(error, RESULT_KEPT)}
        if self.turns.get(request.session_hash) is not turn.image:  # another clip has come meanwhile
            return {message_slot: gr.skip()}
        return self._updates(view)

    def _long_task(
        self,
        button: LongTaskButton,
        view: ExplorationView | None,
        work: Callable[[ExplorationView, Progress], ExplorationView],
        request: gr.Request,
    ) -> Iterator[Updates]:
        """Show the progress of the work, then its result, unless the visitor has gone on to something else."""
        if view is None:
            yield {self.around["message"]: SESSION_EXPIRED} | button.reset()
            return
        session = request.session_hash
        turn = self.latest[session] = Turn(self.turns.get(session), object())

        def overtaken() -> bool:
            return self.latest.get(session) is not turn or self.turns.get(session) is not turn.image

        yield from button.follow(partial(work, view), self._updates, self.around["message"], overtaken)

    def _updates(self, view: ExplorationView) -> Updates:
        pieces = {slot: view.pieces.get(name, "") for name, slot in self.slots.items()}
        return pieces | {self.view: view} | self.controls.choices(view)


def _is_shown(view: ExplorationView, *, method: str, target: str | None, classifier: str | None = None) -> bool:
    """Return whether the page shows this already."""
    result = view.exploration
    if classifier is not None:
        return classifier == result.request.classifier and method == result.saliency.method
    # None: the box was emptied, to type another class into it.
    return method == result.saliency.method and target in (None, result.saliency.label)
