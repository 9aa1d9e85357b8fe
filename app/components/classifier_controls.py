"""Cards about the classifier and the controls beside them: what can be chosen, and how long a slow choice takes."""

from __future__ import annotations

import gradio as gr

from app.components.long_task import LongTaskButton
from app.context import Updates
from app.render import classifier, fragments
from app.services.explorations import ExplorationView, fast
from avd_core.classifiers.names import any_allowed, takes_labels, titled, without_labels
from avd_core.explore.explorer import Explorer
from avd_core.explore.requests import DEFAULT_CLASSIFIER, DEFAULT_METHOD
from avd_core.explore.results import Exploration
from avd_core.runs.registry import head_of

SLOW_SECONDS = 1.0  # a map that takes longer waits for a click


class ClassifierControls:
    """Cards and controls, laid out where this is constructed; `ClassifierPanel` handles their events.

    Attributes:
        slots: The cards, by name.
        classifier, method, target: Dropdowns: what classifies, and how and for which class its evidence is mapped.
        pending: State: the classifier that is loaded after a click, or None.
        labels: The visitor's own labels, for a classifier that needs some.
        switch, run, check, through: Start long tasks: load `pending`, run a slow method, check the map, explain every
            frame.
        check_seconds: How long the last check of a map took; None before the first.
    """

    def __init__(self, explorer: Explorer) -> None:
        self.explorer = explorer
        self.check_seconds: float | None = None
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
                self.pending = gr.State(None)
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

    @property
    def outputs(self) -> list[gr.components.Component | gr.Row]:
        """The outputs of a handler that answers with `choices`."""
        choices = [self.classifier, self.pending, self.labels, self.target, self.method]
        return [*choices, *(output for task in self.tasks for output in task.outputs)]

    def choices(self, view: ExplorationView) -> Updates:
        """Set every control to a finished exploration."""
        from avd_core.classifiers.saliency import METHODS

        result = view.exploration
        recognition, saliency = result.recognition, result.saliency
        best = [prediction.label for prediction in recognition.topk]
        known = self.explorer.models.classifier(recognition.classifier).model.labels
        labels = dict.fromkeys([*best, *known])  # the likely ones on top
        seconds = {method: self._seconds(result, method) for method in METHODS}
        methods = [
            (METHODS[method] if cost <= SLOW_SECONDS else f"{METHODS[method]} · {classifier.about(cost)}", method)
            for method, cost in seconds.items()
        ]
        each_frame = self.explorer.saliency_seconds(recognition.classifier).get(saliency.method, 0)
        return {
            self.classifier: gr.Dropdown(self.classifier_choices(result), value=result.request.classifier),
            self.pending: None,
            self.labels: gr.Textbox(visible=False),
            self.switch.row: gr.Row(visible=False),
            **self.switch.ready(),
            self.target: gr.Dropdown(list(labels), value=saliency.label),
            self.method: gr.Dropdown(methods, value=saliency.method),
            self.run.row: gr.Row(visible=False),
            **self.run.ready(),
            self.check.row: gr.Row(visible=not saliency.faithfulness),
            **self.check.ready(self.check_seconds),
            self.through.row: gr.Row(visible=not saliency.frames),
            **self.through.ready(each_frame * len(result.clip.frames)),
        }

    def classifier_choices(self, result: Exploration) -> list[tuple[str, str]]:
        """List the classifiers as (title, name); the title of the chosen one names the one that stands in for it."""
        in_use, recognition = result.request.classifier, result.recognition
        head = head_of(result.request.checkpoint)  # a classifier trained on this checkpoint's images by their owner
        own = [head] if head else []
        names = dict.fromkeys([DEFAULT_CLASSIFIER, *self.explorer.classifiers(), *own, in_use])
        stand_in = {in_use: f" · {recognition.classifier} stands in"} if recognition.notice else {}
        return [(titled(name) + stand_in.get(name, ""), name) for name in names]

    def offer_classifier(self, view: ExplorationView, name: str) -> Updates:
        """Offer to load a classifier by a click; until then the page keeps the one in use."""
        in_use, title = view.result.request.classifier, titled(without_labels(name))
        if name == in_use:
            return self.choices(view)
        words = f"Ask {title}" if takes_labels(name) else f"Load {title}"
        return {
            self.classifier: gr.Dropdown(self.classifier_choices(view.exploration), value=in_use),
            self.pending: name,
            self.labels: gr.Textbox(visible=takes_labels(name)),
            self.switch.row: gr.Row(visible=True),
            **self.switch.ready(words=words, timed=False),
        }

    def offer_slow(self, view: ExplorationView, method: str) -> Updates | None:
        """Offer to run a slow method by a click; None: the method is fast enough to run at once."""
        from avd_core.classifiers.saliency import METHODS

        seconds = self._seconds(view.exploration, method)
        if seconds <= SLOW_SECONDS:
            return None
        return {self.run.row: gr.Row(visible=True), **self.run.ready(seconds, f"Run {METHODS[method]}")}

    def _seconds(self, result: Exploration, method: str) -> float:
        """Estimate how long a map takes; 0 for a fast method, which runs at once on a busy machine, too."""
        if method == fast(method):
            return 0
        return self.explorer.saliency_seconds(result.recognition.classifier).get(method, 0)
