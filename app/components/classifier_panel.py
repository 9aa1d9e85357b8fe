"""What a classifier sees in the distilled image and where it looks, with the choices about it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import gradio as gr

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
from app.render import classifier, fragments
from app.services.background import BackgroundTask, Progress
from app.services.explorations import ExplorationView, fast
from avd_core.classifiers.names import any_allowed, is_foreign, takes_labels, titled, with_labels, without_labels
from avd_core.explore.requests import DEFAULT_CLASSIFIER, DEFAULT_METHOD
from avd_core.explore.results import Exploration
from avd_core.runs.registry import head_of

SLOW_SECONDS = 1.0  # what takes longer waits for a click


@dataclass(frozen=True)
class Turn:
    """Identify the latest request of a session: the result of an earlier one is not shown."""

    image: object
    request: object


class ClassifierPanel:
    """Cards about the classifier, laid out where the panel is constructed.

    Attributes:
        slots: The cards, by name.
        classifier: Chooses the classifier of each exploration, as does `method` the saliency method.
    """

    def __init__(self, context: PageContext, turns: Mapping[str, object]) -> None:
        """Lay the panel out in the current context.

        Args:
            context: What it shares with the tabs.
            turns: Of each session what it explored last: what concerns an earlier image is not shown.
        """
        self.explorations, self.view, self.turns = context.explorations, context.view, turns
        self.latest: dict[str, Turn] = {}  # of each session
        self.check_seconds: float | None = None  # of the last check
        self.slots: dict[str, gr.HTML] = {}
        with gr.Row(elem_classes="row"):
            with gr.Column(scale=4, min_width=280, elem_classes="sheet"):
                self._slot("recognition", fragments.waiting("recognition", classifier.RECOGNITION))
                self.classifier = gr.Dropdown(
                    [DEFAULT_CLASSIFIER],
                    value=DEFAULT_CLASSIFIER,
                    label="Classifier",
                    elem_id="classifier",
                    allow_custom_value=any_allowed(),
                    info="Or type a name: timm:NAME or hf:OWNER/NAME" if any_allowed() else None,
                )
                self.pending = gr.State(None)  # the one whose loading waits for a click
                self.labels = gr.Textbox(
                    visible=False,
                    label="Your labels, to choose among",
                    placeholder="juggling, yoga, a dog",
                    elem_id="labels",
                )
                self.switch = LongTaskButton("switch", "Load it", "Loading the classifier")
            with gr.Column(scale=5, min_width=280, elem_classes="sheet"):
                self._slot("saliency", fragments.waiting("saliency", classifier.SALIENCY))
                with gr.Row():
                    self.target = gr.Dropdown([], label="Evidence for", elem_id="target", min_width=130)
                    self.method = gr.Dropdown(
                        [DEFAULT_METHOD], value=DEFAULT_METHOD, label="Method", elem_id="method", min_width=130
                    )
                self.run = LongTaskButton("run", "Run it", "Asking the classifier many times")
        with gr.Row(elem_classes="row"):
            with gr.Column(scale=4, min_width=280, elem_classes="sheet"):
                self._slot("faithfulness", classifier.faithfulness_offer())
                self.check = LongTaskButton("check", "Check this map", "Taking pixels away", visible=True)
            with gr.Column(scale=5, min_width=280, elem_classes="sheet"):
                self._slot("frame-saliency", classifier.frames_offer())
                self.through = LongTaskButton("through", "Look at every frame", "Looking at every frame", visible=True)
        self.tasks = (self.switch, self.run, self.check, self.through)

    def _slot(self, name: str, value: str) -> None:
        self.slots[name] = gr.HTML(value, elem_id=name, apply_default_css=False)

    def wire(self, around: Mapping[str, gr.HTML]) -> None:
        """Wire the panel's controls; of the slots `around` it, message, links and details are outputs too."""
        self.around = {name: around[name] for name in ("message", "links", "details")}
        outputs = [*self.around.values(), *self.slots.values(), self.view, *self.outputs]
        latest = FIRST | {
            "trigger_mode": "always_last", "show_progress": "full", "show_progress_on": self.slots["saliency"]
        }  # fmt: skip
        # `select` does not come for a choice by keyboard. `input` does, and twice for one by mouse (gradio 6.31):
        # hence `_is_shown`, and `latest` for the second while the first is at work.
        for change in (self.target.input, self.method.input):
            change(self.on_choice, [self.view, self.method, self.target], outputs, **latest)
        self.classifier.input(self.on_classifier, [self.view, self.method, self.classifier], outputs, **latest)

        handlers = {
            self.switch: (self.on_switch, [self.view, self.method, self.pending, self.labels]),
            self.run: (self.on_run, [self.view, self.method, self.target]),
            self.check: (self.on_check, [self.view]),
            self.through: (self.on_through, [self.view]),
        }
        for task, (handler, inputs) in handlers.items():
            starts = [task.button.click, self.labels.submit] if task is self.switch else [task.button.click]
            waiting = gr.on(starts, task.busy, None, task.outputs, **UNQUEUED)
            working = waiting.then(handler, inputs, outputs, **LONG)
            wire_cancel(task.cancel, [working], task.reset, None, task.outputs)

    # For the tab -----------------------------------------------------------------------------------------

    @property
    def outputs(self) -> list[gr.components.Component | gr.Row]:
        """The outputs of a handler that answers with `choices`, beside the slots."""
        choices = [self.classifier, self.pending, self.labels, self.target, self.method]
        return [*choices, *(output for task in self.tasks for output in task.outputs)]

    def choices(self, view: ExplorationView) -> Updates:
        """Update the choices to a finished exploration."""
        from avd_core.classifiers.saliency import METHODS

        explorer, result = self.explorations.explorer, view.exploration
        recognition, saliency = result.recognition, result.saliency
        best = [prediction.label for prediction in recognition.topk]
        known = explorer.models.classifier(recognition.classifier).model.labels
        labels = dict.fromkeys([*best, *known])  # the likely ones on top
        seconds = explorer.saliency_seconds(recognition.classifier)

        def named(method: str) -> str:
            cost = 0 if method == fast(method) else seconds.get(method, 0)
            return METHODS[method] if cost <= SLOW_SECONDS else f"{METHODS[method]} · {classifier.about(cost)}"

        return {
            self.classifier: gr.Dropdown(self.classifier_choices(result), value=result.request.classifier),
            self.pending: None,
            self.labels: gr.Textbox(visible=False),
            self.switch.row: gr.Row(visible=False),
            **self.switch.ready(),
            self.target: gr.Dropdown(list(labels), value=saliency.label),
            self.method: gr.Dropdown([(named(method), method) for method in METHODS], value=saliency.method),
            self.run.row: gr.Row(visible=False),
            **self.run.ready(),
            self.check.row: gr.Row(visible=not saliency.faithfulness),
            **self.check.ready(self.check_seconds),
            self.through.row: gr.Row(visible=not saliency.frames),
            **self.through.ready(seconds.get(saliency.method, 0) * len(result.clip.frames)),
        }

    def leave(self, session: str) -> None:
        """Forget a visitor who has gone."""
        self.latest.pop(session, None)

    def classifier_choices(self, result: Exploration) -> list[tuple[str, str]]:
        """List what can be chosen as (title, name); the one in use says so when another stands in for it."""
        in_use, recognition = result.request.classifier, result.recognition
        head = head_of(result.request.checkpoint)  # trained on such images, by their owner
        own = [head] if head else []
        names = dict.fromkeys([DEFAULT_CLASSIFIER, *self.explorations.explorer.classifiers(), *own, in_use])
        return [
            (
                f"{titled(name)} · {recognition.classifier} stands in"
                if name == in_use and recognition.notice
                else titled(name),
                name,
            )
            for name in names
        ]

    # Handlers -------------------------------------------------------------------------------------------------

    def on_choice(self, view: ExplorationView | None, method: str, target: str | None, request: gr.Request) -> Updates:
        if view is not None and not _is_shown(view, method=method, target=target):
            seconds = self.explorations.explorer.saliency_seconds(view.exploration.recognition.classifier).get(
                method, 0
            )
            if seconds > SLOW_SECONDS and method != fast(method):  # the fast ones run at once on a busy machine, too
                from avd_core.classifiers.saliency import METHODS

                words = f"Run {METHODS[method]}"
                return {self.run.row: gr.Row(visible=True), **self.run.ready(seconds, words)}
        return self._explained(view, request, method=method, target=target)

    def on_classifier(self, view: ExplorationView | None, method: str, name: str, request: gr.Request) -> Updates:
        if view is not None and is_foreign(name or ""):  # may have to be downloaded first
            return self._pending(view, name)
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

        yield from self._long_task(self.switch, view, work, request)

    def on_run(
        self, view: ExplorationView | None, method: str, target: str | None, request: gr.Request
    ) -> Iterator[Updates]:
        """Run a slow method, after a click."""

        def work(view: ExplorationView, progress: Progress) -> ExplorationView:
            return self.explorations.explain(view, method=method, target=target, progress=progress)

        yield from self._long_task(self.run, view, work, request)

    def on_check(self, view: ExplorationView | None, request: gr.Request) -> Iterator[Updates]:
        """Check whether the map is faithful."""

        def work(view: ExplorationView, progress: Progress) -> ExplorationView:
            result, begun = view.exploration, time.perf_counter()
            faithfulness = self.explorations.explorer.faithfulness(
                result.distilled, result.saliency, result.recognition.classifier, progress=progress
            )
            self.check_seconds = time.perf_counter() - begun
            saliency = replace(result.saliency, faithfulness=faithfulness)
            return self.explorations.updated(view, replace(result, saliency=saliency))

        yield from self._long_task(self.check, view, work, request)

    def on_through(self, view: ExplorationView | None, request: gr.Request) -> Iterator[Updates]:
        """Explain every restored frame."""

        def work(view: ExplorationView, progress: Progress) -> ExplorationView:
            result = view.exploration
            label, method = result.saliency.label, result.saliency.method
            frames = self.explorations.explorer.saliency_over_time(
                result.restored, label, result.recognition.classifier, method, progress
            )
            return self.explorations.updated(view, replace(result, saliency=replace(result.saliency, frames=frames)))

        yield from self._long_task(self.through, view, work, request)

    # What handlers answer -------------------------------------------------------------------------------------

    def _explained(self, view: ExplorationView | None, request: gr.Request, **models: Any) -> Updates:
        """Explain the image that is shown again; nothing else on the page changes."""
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

    def _pending(self, view: ExplorationView, name: str) -> Updates:
        """Offer a classifier that is loaded by a click; until then the page goes on with the one in use."""
        in_use, title = view.result.request.classifier, titled(without_labels(name))
        words = f"Ask {title}" if takes_labels(name) else f"Load {title}"
        return (
            self.choices(view)
            if name == in_use
            else {
                self.classifier: gr.Dropdown(self.classifier_choices(view.exploration), value=in_use),
                self.pending: name,
                self.labels: gr.Textbox(visible=takes_labels(name)),
                self.switch.row: gr.Row(visible=True),
                **self.switch.ready(words=words, timed=False),
            }
        )

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
        task = BackgroundTask(partial(work, view))

        def overtaken() -> bool:
            return self.latest.get(session) is not turn or self.turns.get(session) is not turn.image

        try:
            for share in task.shares():
                if overtaken():
                    return
                yield button.busy(share)
            result = task.result()
            if not overtaken():
                yield self._updates(result)
        except Exception as error:
            if not overtaken():
                yield {self.around["message"]: message(error, RESULT_KEPT)} | button.reset()
        finally:
            task.stop()

    def _updates(self, view: ExplorationView) -> Updates:
        slots = self.around | self.slots
        pieces = {slot: view.pieces.get(name, "") for name, slot in slots.items()}
        return pieces | {self.view: view} | self.choices(view)


def _is_shown(view: ExplorationView, *, method: str, target: str | None, classifier: str | None = None) -> bool:
    """Return whether the page shows this already."""
    result = view.exploration
    if classifier is not None:
        return classifier == result.request.classifier and method == result.saliency.method
    # None: the box was emptied, to type another class into it.
    return method == result.saliency.method and target in (None, result.saliency.label)
