"""What a classifier sees in the distilled image and where it looks, with what there is to choose and ask about it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import gradio as gr

from app.components.long_task import Job
from app.context import FIRST, LONG, QUIET, RESULT_KEPT, SESSION_EXPIRED, PageContext, Updates, calls_off, message
from app.render import fragments, recognition, saliency
from app.services.background import BackgroundTask
from app.services.explorations import ExplorationView, fast
from avd_core.classifiers.names import any_allowed, is_foreign, takes_labels, titled, with_labels, without_labels
from avd_core.explore.requests import DEFAULT_CLASSIFIER, DEFAULT_METHOD
from avd_core.explore.results import Exploration
from avd_core.runs.registry import head_of

SLOW = 1.0  # seconds; what takes longer is asked for by a click
ROAD = "road"  # stands for the check among the times that things took
Tell = Callable[[float], None]


@dataclass(frozen=True)
class Ticket:
    """Which look of a session is the latest: what another look has overtaken is not shown."""

    turn: object
    asked: object


class ClassifierPanel:
    """Cards about the classifier; constructed where they are to stand.

    Attributes:
        slots: the cards, by name.
        classifier: asked for by each exploration, as is `method`.
    """

    def __init__(self, context: PageContext, turns: Mapping[str, object]) -> None:
        """Lays the panel out in the current context.

        Args:
            desk: what it shares with the tabs.
            turns: of each session what it started last: a look at an image that was replaced meanwhile is not shown.
        """
        self.explorations, self.view, self.turns = context.explorations, context.view, turns
        self.looks: dict[str, Ticket] = {}
        self.took: dict[str, float] = {}  # seconds of the last check
        self.slots: dict[str, gr.HTML] = {}
        with gr.Row(elem_classes="row"):
            with gr.Column(scale=4, min_width=280, elem_classes="sheet"):
                self._slot("recognition", fragments.waiting("recognition", recognition.TITLE))
                self.classifier = gr.Dropdown(
                    [DEFAULT_CLASSIFIER],
                    value=DEFAULT_CLASSIFIER,
                    label="Classifier",
                    elem_id="classifier",
                    allow_custom_value=any_allowed(),
                    info="Or type a name: timm:NAME or hf:OWNER/NAME" if any_allowed() else None,
                )
                self.wanted = gr.State(None)  # the one whose loading waits for a click
                self.labels = gr.Textbox(
                    visible=False,
                    label="Your labels, to choose among",
                    placeholder="juggling, yoga, a dog",
                    elem_id="labels",
                )
                self.switch = Job("switch", "Load it", "Loading the classifier")
            with gr.Column(scale=5, min_width=280, elem_classes="sheet"):
                self._slot("saliency", fragments.waiting("saliency", saliency.TITLE))
                with gr.Row():
                    self.target = gr.Dropdown([], label="Evidence for", elem_id="target", min_width=130)
                    self.method = gr.Dropdown(
                        [DEFAULT_METHOD], value=DEFAULT_METHOD, label="Method", elem_id="method", min_width=130
                    )
                self.run = Job("run", "Run it", "Asking the classifier many times")
        with gr.Row(elem_classes="row"):
            with gr.Column(scale=4, min_width=280, elem_classes="sheet"):
                self._slot("faithful", saliency.offer_faithful())
                self.check = Job("check", "Check this map", "Taking pixels away")
            with gr.Column(scale=5, min_width=280, elem_classes="sheet"):
                self._slot("gaze", saliency.offer_frames())
                self.through = Job("through", "Look at every frame", "Looking at every frame")
        self.jobs = (self.switch, self.run, self.check, self.through)

    def _slot(self, name: str, value: str) -> None:
        self.slots[name] = gr.HTML(value, elem_id=name, apply_default_css=False)

    def wire(self, around: Mapping[str, gr.HTML]) -> None:
        """Wires the panel's controls; of `around` it answers into the slots message, links and details."""
        self.around = {name: around[name] for name in ("message", "links", "details")}
        looked = [*self.around.values(), *self.slots.values(), self.view, *self.shown]
        looking = FIRST | {
            "trigger_mode": "always_last", "show_progress": "full", "show_progress_on": self.slots["saliency"]
        }  # fmt: skip
        # `select` does not come for a choice by keyboard. `input` does, and twice for one by mouse (gradio 6.31):
        # hence `_is_shown`, and `looks` for the second while the first is at work.
        for change in (self.target.input, self.method.input):
            change(self._on_look, [self.view, self.method, self.target], looked, **looking)
        self.classifier.input(self._on_classifier, [self.view, self.method, self.classifier], looked, **looking)

        asks = {
            self.switch: (self._on_switch, [self.view, self.method, self.wanted, self.labels]),
            self.run: (self._on_run, [self.view, self.method, self.target]),
            self.check: (self._on_check, [self.view]),
            self.through: (self._on_through, [self.view]),
        }
        for job, (handler, inputs) in asks.items():
            asked = [job.button.click, self.labels.submit] if job is self.switch else [job.button.click]
            waiting = gr.on(asked, job.busy, None, job.outputs, **QUIET, queue=False)
            working = waiting.then(handler, inputs, looked, **LONG)
            calls_off(job.cancel, [working], job.free, None, job.outputs)

    # What the tab asks of it ----------------------------------------------------------------------------------

    @property
    def shown(self) -> list[gr.components.Component | gr.Row]:
        """The outputs of a handler that answers with `show`, beside the slots."""
        choices = [self.classifier, self.wanted, self.labels, self.target, self.method]
        return [*choices, *(output for job in self.jobs for output in job.outputs)]

    def show(self, view: ExplorationView) -> Updates:
        """The choices that go with a finished visit."""
        from avd_core.classifiers.saliency import METHODS

        explorer, result = self.explorations.explorer, view.result
        seen, told = result.recognition, result.saliency
        best = [prediction.label for prediction in seen.topk]
        labels = dict.fromkeys(
            [*best, *explorer.models.classifier(seen.classifier).model.labels]
        )  # the likely ones on top
        seconds = explorer.saliency_seconds(seen.classifier)

        def named(method: str) -> str:
            cost = 0 if method == fast(method) else seconds.get(method, 0)
            return METHODS[method] if cost <= SLOW else f"{METHODS[method]} · {saliency.about(cost)}"

        return {
            self.classifier: gr.Dropdown(self._classifiers(result), value=result.request.classifier),
            self.wanted: None,
            self.labels: gr.Textbox(visible=False),
            self.switch.row: gr.Row(visible=False),
            **self.switch.idle(),
            self.target: gr.Dropdown(list(labels), value=told.label),
            self.method: gr.Dropdown([(named(method), method) for method in METHODS], value=told.method),
            self.run.row: gr.Row(visible=False),
            **self.run.idle(),
            self.check.row: gr.Row(visible=not told.faithfulness),
            **self.check.idle(self.took.get(ROAD)),
            self.through.row: gr.Row(visible=not told.frames),
            **self.through.idle(seconds.get(told.method, 0) * len(result.clip.frames)),
        }

    def leave(self, session: str | None) -> None:
        """Forgets a visitor who has gone."""
        self.looks.pop(session, None)

    def _classifiers(self, result: Exploration) -> list[tuple[str, str]]:
        """What can be chosen, by the name to show; the one in use says so when another stands in for it."""
        in_use, seen = result.request.classifier, result.recognition
        head = head_of(result.request.checkpoint)  # trained on such images, by their owner
        own = [head] if head else []
        names = dict.fromkeys([DEFAULT_CLASSIFIER, *self.explorations.explorer.classifiers(), *own, in_use])
        return [
            (f"{titled(name)} · {seen.classifier} stands in" if name == in_use and seen.notice else titled(name), name)
            for name in names
        ]

    # Handlers -------------------------------------------------------------------------------------------------

    def _on_look(self, view: ExplorationView | None, method: str, target: str | None, request: gr.Request) -> Updates:
        if view is not None and not _is_shown(view, method=method, target=target):
            seconds = self.explorations.explorer.saliency_seconds(view.result.recognition.classifier).get(method, 0)
            if seconds > SLOW and method != fast(method):  # the fast ones run at once on a busy machine, too
                from avd_core.classifiers.saliency import METHODS

                words = f"Run {METHODS[method]}"
                return {self.run.row: gr.Row(visible=True), **self.run.idle(seconds, words)}
        return self._looked(view, request, method=method, target=target)

    def _on_classifier(self, view: ExplorationView | None, method: str, name: str, request: gr.Request) -> Updates:
        if view is not None and is_foreign(name or ""):  # may have to be downloaded first
            return self._offered(view, name)
        # A classifier new to this machine has not shown yet how slow a method is with it.
        return self._looked(view, request, method=fast(method), target=None, classifier=name)

    def _on_switch(
        self, view: ExplorationView | None, method: str, wanted: str | None, labels: str, request: gr.Request
    ) -> Iterator[Updates]:
        """Another library's classifier, after a click."""

        def work(_tell: Tell) -> ExplorationView:
            name = with_labels(wanted, re.split(r"[,;\n]", labels)) if takes_labels(wanted) else wanted
            return self.explorations.look(view, classifier=name, method=fast(method), target=None)

        yield from self._worked(self.switch, view, work, request)

    def _on_run(
        self, view: ExplorationView | None, method: str, target: str | None, request: gr.Request
    ) -> Iterator[Updates]:
        """A slow method, after a click."""

        def work(tell: Tell) -> ExplorationView:
            return self.explorations.look(view, method=method, target=target, progress=tell)

        yield from self._worked(self.run, view, work, request)

    def _on_check(self, view: ExplorationView | None, request: gr.Request) -> Iterator[Updates]:
        """Whether the map tells the truth."""

        def work(tell: Tell) -> ExplorationView:
            result, begun = view.result, time.perf_counter()
            told = self.explorations.explorer.faithfulness(
                result.distilled, result.saliency, result.recognition.classifier, progress=tell
            )
            self.took[ROAD] = time.perf_counter() - begun
            return self.explorations.known(view, replace(result, saliency=replace(result.saliency, faithfulness=told)))

        yield from self._worked(self.check, view, work, request)

    def _on_through(self, view: ExplorationView | None, request: gr.Request) -> Iterator[Updates]:
        """Where the classifier looks in every restored frame."""

        def work(tell: Tell) -> ExplorationView:
            result = view.result
            label, method = result.saliency.label, result.saliency.method
            frames = self.explorations.explorer.saliency_over_time(
                result.restored, label, result.recognition.classifier, method, tell
            )
            return self.explorations.known(view, replace(result, saliency=replace(result.saliency, frames=frames)))

        yield from self._worked(self.through, view, work, request)

    # What handlers answer -------------------------------------------------------------------------------------

    def _looked(self, view: ExplorationView | None, request: gr.Request, **look: str | None) -> Updates:
        """Looks anew at the image that is shown, and only that part of the page changes."""
        message_slot = self.around["message"]
        if view is None:
            return {message_slot: SESSION_EXPIRED}
        ticket = Ticket(self.turns.get(request.session_hash), (view.result.request.clip, *look.items()))
        if _is_shown(view, **look) or self.looks.get(request.session_hash) == ticket:
            return {message_slot: gr.skip()}
        self.looks[request.session_hash] = ticket
        try:
            view = self.explorations.look(view, **look)
        except Exception as error:
            return {message_slot: message(error, RESULT_KEPT)}
        if self.turns.get(request.session_hash) is not ticket.turn:  # another clip has come meanwhile
            return {message_slot: gr.skip()}
        return self._known(view)

    def _offered(self, view: ExplorationView, name: str) -> Updates:
        """A classifier that waits for a click; until then the page goes on with the one in use."""
        in_use, title = view.result.request.classifier, titled(without_labels(name))
        words = f"Ask {title}" if takes_labels(name) else f"Load {title}"
        return (
            self.show(view)
            if name == in_use
            else {
                self.classifier: gr.Dropdown(self._classifiers(view.result), value=in_use),
                self.wanted: name,
                self.labels: gr.Textbox(visible=takes_labels(name)),
                self.switch.row: gr.Row(visible=True),
                **self.switch.idle(words=words, timed=False),
            }
        )

    def _worked(
        self, job: Job, view: ExplorationView | None, work: Callable[[Tell], ExplorationView], request: gr.Request
    ) -> Iterator[Updates]:
        """Tells how far the work is, then shows what it found, unless the visitor has gone on to something else."""
        if view is None:
            yield {self.around["message"]: SESSION_EXPIRED} | job.free()
            return
        session = request.session_hash
        ticket = self.looks[session] = Ticket(self.turns.get(session), object())
        at_work = BackgroundTask(work)

        def overtaken() -> bool:
            return self.looks.get(session) is not ticket or self.turns.get(session) is not ticket.turn

        try:
            for share in at_work.shares():
                if overtaken():
                    return
                yield job.busy(share)
            known = at_work.result()
            if not overtaken():
                yield self._known(known)
        except Exception as error:
            if not overtaken():
                yield {self.around["message"]: message(error, RESULT_KEPT)} | job.free()
        finally:
            at_work.stop()

    def _known(self, view: ExplorationView) -> Updates:
        slots = self.around | self.slots
        pieces = {slot: view.pieces.get(name, "") for name, slot in slots.items()}
        return pieces | {self.view: view} | self.show(view)


def _is_shown(view: ExplorationView, *, method: str, target: str | None, classifier: str | None = None) -> bool:
    """Whether a look is what the page shows already."""
    result = view.result
    if classifier is not None:
        return classifier == result.request.classifier and method == result.saliency.method
    # None: the box was emptied, to type another class into it.
    return method == result.saliency.method and target in (None, result.saliency.label)
