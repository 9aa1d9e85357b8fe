"""The panel about the classifier without a browser: what runs at once, what asks, what stops, what is offered."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import gradio as gr
import numpy as np
import pytest

from app.components.classifier_panel import ClassifierPanel
from app.context import PageContext
from app.services.background import TaskCancelled
from app.services.explorations import Explorations, ExplorationView
from avd_core.classifiers.loading import ClassifierError
from avd_core.classifiers.names import ClassifierNameError
from avd_core.explore.parts import FrameSaliency
from avd_core.explore.requests import ExploreRequest
from tests.app.conftest import visitor


@pytest.fixture
def panel(explorations: Explorations) -> ClassifierPanel:
    with gr.Blocks() as page:
        panel = ClassifierPanel(PageContext(page, explorations, "base"), {})
        panel.wire({name: gr.HTML() for name in ("message", "links", "details")})
    page.queue()
    page.validate_queue_settings()
    return panel


# --- long work ----------------------------------------------------------------------------------------------------


# --- the panel ----------------------------------------------------------------------------------------------------


def test_slow_method_asks_for_a_click_and_says_what_it_costs(
    panel: ClassifierPanel, view: ExplorationView, monkeypatch
):
    costs = {"gradcam": 0.1, "scorecam": 12.4}
    monkeypatch.setattr(panel.explorations.explorer, "saliency_seconds", lambda classifier: costs)
    monkeypatch.setattr(panel.explorations, "explain", lambda *_, **__: pytest.fail("ran without a click"))
    answer = panel.on_choice(view, "scorecam", view.result.saliency.label, visitor("a"))
    assert (
        answer[panel.controls.run.row].visible
        and answer[panel.controls.run.button].value == "Run Score-CAM · about 12 s"
    )
    choices = dict(panel.controls.choices(view)[panel.controls.method].choices)
    assert choices["Score-CAM · about 12 s"] == "scorecam" and choices["Grad-CAM"] == "gradcam"


def test_upload_never_waits_for_a_slow_method(explorations: Explorations, rendered_clip: Path, tiny_checkpoint: Path):
    request = ExploreRequest(rendered_clip, str(tiny_checkpoint), cam="scorecam")
    *_, view = explorations.explore("my clip", request)
    assert view.result.saliency.method == view.result.request.cam == "gradcam"


def test_every_frame_is_looked_at_and_can_be_saved(panel: ClassifierPanel, view: ExplorationView):
    *_, last = panel.on_through(view, visitor("b"))
    told = last[panel.view].result.saliency.frames
    assert len(told.maps) == len(view.result.restored) and told.maps.max() == pytest.approx(1)
    assert "over-time" in last[panel.controls.slots["frame-saliency"]] and "Overlay, MP4" in last[panel.around["links"]]
    assert last[panel.controls.slots["saliency"]] and last[panel.view].pieces["stage"] == view.pieces["stage"]
    assert not last[panel.controls.through.row].visible
    # Another class: what was seen for the first one is not shown for it.
    label = view.result.recognition.topk[1].label
    other = panel.on_choice(last[panel.view], "gradcam", label, visitor("b"))
    assert (
        "over-time" not in other[panel.controls.slots["frame-saliency"]] and other[panel.controls.through.row].visible
    )


def test_map_is_checked(panel: ClassifierPanel, view: ExplorationView):
    *_, last = panel.on_check(view, visitor("c"))
    told = last[panel.view].result.saliency.faithfulness
    assert f"{abs(told.score):.3f}" in last[panel.controls.slots["faithfulness"]]
    assert "about" in panel.controls.choices(view)[panel.controls.check.button].value, (
        "the last one's time is the next one's estimate"
    )


def test_cancelled_work_really_stops(panel: ClassifierPanel, view: ExplorationView, monkeypatch):
    stopped = threading.Event()

    def slow(*_args, progress=None, **_options) -> None:
        try:
            while True:
                time.sleep(0.01)
                progress(0.3)
        except TaskCancelled:
            stopped.set()
            raise

    monkeypatch.setattr(panel.explorations.explorer, "faithfulness", slow)
    working = panel.on_check(view, visitor("d"))
    assert "Taking pixels away" in next(working)[panel.controls.check.line].value
    working.close()  # what gradio does when the event is cancelled
    assert stopped.wait(5)


def test_overtaken_work_is_not_shown(panel: ClassifierPanel, view: ExplorationView, monkeypatch):
    frames = FrameSaliency(np.repeat(view.result.saliency.map[None], 8, axis=0), (0.5,) * 8)

    overtaken = threading.Event()

    def slow(*_args) -> FrameSaliency:
        overtaken.wait(30)
        return frames

    monkeypatch.setattr(panel.explorations.explorer, "saliency_over_time", slow)
    working = panel.on_through(view, visitor("e"))
    next(working)
    panel.on_choice(view, "gradcam", view.result.recognition.topk[1].label, visitor("e"))
    overtaken.set()
    assert list(working) == []


def test_stand_in_is_named_by_the_picker(panel: ClassifierPanel, view: ExplorationView):
    assert not any("stands in" in title for title, _ in panel.controls.classifier_choices(plain(view)))
    seen = replace(view.result.recognition, classifier="action", notice="The bundled one is in use, because ...")
    request = replace(view.result.request, classifier="mobilenet_v2")
    choices = panel.controls.classifier_choices(replace(view.result, recognition=seen, request=request))
    assert ("mobilenet_v2 · action stands in", "mobilenet_v2") in choices


def plain(view: ExplorationView):
    return replace(view.result, recognition=replace(view.result.recognition, notice=None))


def test_classifier_of_the_hub_waits_for_a_click(panel: ClassifierPanel, view: ExplorationView, monkeypatch):
    monkeypatch.setattr(panel.explorations, "explain", lambda *_, **__: pytest.fail("loaded without a click"))
    answer = panel.on_classifier(view, "gradcam", "clip:somebody/small-clip", visitor("f"))
    assert answer[panel.controls.pending] == "clip:somebody/small-clip" and answer[panel.controls.labels].visible
    assert answer[panel.controls.classifier].value == view.result.request.classifier, (
        "uploads go on with the one in use"
    )
    answer = panel.on_classifier(view, "gradcam", "timm:resnet18", visitor("f"))
    assert not answer[panel.controls.labels].visible and answer[panel.controls.switch.button].value == "Load resnet18"


def test_own_labels_reach_the_classifier(panel: ClassifierPanel, view: ExplorationView, monkeypatch):
    asked: list[str] = []

    def look(view: ExplorationView, *, classifier: str, method: str, target: None) -> ExplorationView:
        asked.append(classifier)
        return view

    monkeypatch.setattr(panel.explorations, "explain", look)
    list(panel.on_switch(view, "scorecam", "clip:a/b", "juggling, yoga;a dog", visitor("g")))
    assert asked == ["clip:a/b=juggling|yoga|a dog"]
    *_, failed = panel.on_switch(view, "gradcam", "clip:a/b", "alone", visitor("g"))
    assert "2 to 64 labels" in failed[panel.around["message"]] and panel.controls.labels not in failed


def test_visitor_gets_no_classifier_that_is_not_offered(explorations: Explorations, view: ExplorationView, monkeypatch):
    monkeypatch.delenv("AVD_ALLOW_MODELS", raising=False)
    request = replace(view.result.request, classifier="hf:stranger/model")
    with pytest.raises(ClassifierError, match="none of the classifiers offered"):
        next(explorations.explore("my clip", request))
    with pytest.raises(ClassifierError, match="none of the classifiers offered"):
        explorations.explain(view, classifier="resnet152", method="gradcam", target=None)
    assert issubclass(ClassifierNameError, ValueError), "a person reads its sentence"


def test_forgotten_session_is_told(panel: ClassifierPanel):
    for handler in (panel.on_check, panel.on_through):
        (answer,) = handler(None, visitor("h"))
        assert 'role="alert"' in answer[panel.around["message"]]
