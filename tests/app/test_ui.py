"""The page without a browser: what is laid out and wired, and what its handlers answer."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote

import gradio as gr
import numpy as np
import pytest

from app import api
from app.context import PageContext
from app.services.explorations import Explorations, ExplorationView
from app.services.result_store import KEEP_HOURS
from app.tabs.explore import ExploreTab
from app.ui import build_app, launch_options
from avd_core.examples import scenes
from avd_core.explore.explorer import Explorer, ExploreRequest
from avd_core.media import video
from tests.app.conftest import visitor

SLOTS = {
    *("status", "trim", "stage", "links", "realism", "restoration", "recognition", "saliency", "hidden", "details"),
    *("contribution", "preview"),
}


@pytest.fixture(scope="module")
def view(explorations: Explorations, rendered_clip: Path, tiny_checkpoint: Path) -> ExplorationView:
    *_, view = explorations.explore("my clip", ExploreRequest(rendered_clip, str(tiny_checkpoint)))
    return view


@pytest.fixture(scope="module")
def tab(explorations: Explorations, tiny_checkpoint: Path):
    """The tab, laid out in a page that is not served."""
    with gr.Blocks() as page:
        return ExploreTab(PageContext(page, explorations, str(tiny_checkpoint)))


def addresses(view: ExplorationView) -> set[Path]:
    """Every file that the pieces of the page point at."""
    return {
        Path(unquote(address))
        for piece in view.pieces.values()
        for address in re.findall(r'(?:src|href)="gradio_api/file=([^"#]+)', piece)
    }


# --- the page ---------------------------------------------------------------------------------------------------


def test_page_is_built_without_asking_the_explorer(folder: Path):
    class Untouched:
        def __getattr__(self, name: str):
            raise AssertionError(f"{name} was asked for")

    page = build_app(Untouched())
    events = [event for event in page.config["dependencies"] if event["backend_fn"]]
    assert len(events) >= 8
    for event in events:
        if event["api_name"] not in api.NAMES:
            assert event["api_visibility"] == "private", f"{event['api_name']} is open to any script"
    assert page.delete_cache[1] == KEEP_HOURS * 3600
    assert not page.analytics_enabled and page.preparations


def test_handlers_take_at_most_five_inputs():
    """More come as one dict; only the endpoints for programs spell theirs out."""
    events = [
        event for event in build_app(Explorer("cpu")).fns.values() if event.fn and event.api_name not in api.NAMES
    ]
    assert len(events) > 50
    for event in events:
        assert event.inputs_as_dict or len(event.inputs) <= 5, event.fn


def test_nothing_is_recorded_and_nothing_but_results_is_served():
    options = launch_options()
    assert options["run_history"] is False and options["enable_monitoring"] is False and options["share"] is False
    assert options["max_file_size"] and "allowed_paths" not in options
    repository = Path(__file__).resolve().parents[2]
    assert str(repository) in options["blocked_paths"]
    look = options["head"] + "".join(path.read_text() for path in options["css_paths"])
    assert "http" not in look.replace("http://www.w3.org/2000/svg", ""), "the page asks another machine"


# --- visits -----------------------------------------------------------------------------------------------------


def test_exploring_tells_more_at_every_step(explorations: Explorations, rendered_clip: Path, tiny_checkpoint: Path):
    steps = list(explorations.explore("my clip", ExploreRequest(rendered_clip, str(tiny_checkpoint))))
    # The finished result may come once more, when its preview has become ready.
    stages = list(dict.fromkeys(step.result.stage for step in steps))
    assert stages == ["clip", "distilled", "restored", "recognised", "complete"]
    steps = list({step.result.stage: step for step in steps}.values())
    known = [step.pieces["stage"].count("gradio_api") for step in steps]
    assert known == [1, 2, 4, 4, 4], "the pictures appear as they are made"
    assert all("busy" in step.pieces["status"] for step in steps[:-1])
    last = steps[-1]
    assert set(last.pieces) >= SLOTS and "busy" not in last.pieces["status"] and "my clip" in last.pieces["status"]
    assert not any("waiting" in piece for piece in last.pieces.values())
    for path in addresses(last):
        assert path.is_file() and path.stat().st_size > 0, path


def test_displayed_image_is_the_file_that_restores(
    explorations: Explorations, view: ExplorationView, tiny_checkpoint: Path
):
    (address,) = re.findall(r'id="distilled" src="gradio_api/file=([^"]+)"', view.pieces["stage"])
    restored = explorations.explorer.restore(unquote(address), checkpoint=str(tiny_checkpoint))
    assert np.array_equal(restored.frames, view.result.restored) and not restored.notes


def test_preview_plays_what_was_dropped(view: ExplorationView):
    info = video.probe(view.playable)
    assert info.codec == "h264" and info.seconds == pytest.approx(2.0, abs=0.2)


def test_looking_anew_touches_nothing_else(explorations: Explorations, view: ExplorationView):
    label = view.result.recognition.topk[2].label
    anew = explorations.look(view, method="gradcam", target=label)
    assert anew.result.saliency.label == label and label in anew.pieces["saliency"]
    unchanged = ("stage", "status", "realism", "restoration", "hidden", "trim", "preview", "notes")
    assert all(anew.pieces[name] == view.pieces[name] for name in unchanged)
    assert anew.pieces["links"] != view.pieces["links"], "an example's files belong to every visitor"
    assert all(path.is_file() for path in addresses(anew) | addresses(view))
    with pytest.raises(ValueError, match="no such class"):
        explorations.look(view, method="gradcam", target="no such class")


def test_example_is_explored_once(explorations: Explorations, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch):
    name = next(iter(scenes.SCENES))
    request = ExploreRequest(explorations.clip(name), str(tiny_checkpoint))
    first = list(explorations.example(name, request))
    assert first[-1].result.complete and len(first) == 5
    again = list(explorations.example(name, request))
    assert len(again) == 1 and again[0] is first[-1]
    assert len(list(explorations.example(name, request, anew=True))) == 5
    assert scenes.SCENES[name].title in explorations.tiles() and "examples" in explorations.tiles()


def test_upload_shows_the_clip_and_hands_it_to_the_session(tab: ExploreTab, rendered_clip: Path, tiny_checkpoint: Path):
    settings = (None, str(tiny_checkpoint), "mobilenet_v2", "gradcam")
    updates = list(tab._on_upload(str(rendered_clip), *settings, visitor("a")))
    assert updates[0][tab.upload] is None, "the drop zone is free at once"
    last = updates[-1]
    assert last[tab.view].result.complete and last[tab.view].title == rendered_clip.name
    assert last[tab.look.target].value == last[tab.view].result.saliency.label


def test_failure_keeps_the_last_result(tab: ExploreTab, view: ExplorationView, tmp_path: Path, tiny_checkpoint: Path):
    broken = tmp_path / "broken.avi"
    broken.write_bytes(b"RIFF\x00\x00\x00\x00AVI ")
    settings = (view, str(tiny_checkpoint), "mobilenet_v2", "gradcam")
    *_, last = tab._on_upload(str(broken), *settings, visitor("b"))
    assert "broken.avi" in last[tab.slots["message"]] and 'role="alert"' in last[tab.slots["message"]]
    assert last[tab.view] is view and last[tab.slots["stage"]] == view.pieces["stage"]


def test_fault_of_ours_is_not_blamed_on_the_clip(
    tab: ExploreTab, view: ExplorationView, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def fail(*args: object, **options: object):
        raise RuntimeError("secret detail")

    monkeypatch.setattr(tab.explorations, "explore", fail)
    monkeypatch.setattr(tab.explorations, "look", fail)
    answer = tab.look._on_look(view, "gradcam", "another class", visitor("c"))
    message = answer[tab.slots["message"]]
    assert "not your clip" in message and "secret detail" not in message and "secret detail" in caplog.text


def test_last_click_wins(tab: ExploreTab, rendered_clip: Path, tiny_checkpoint: Path):
    settings = (None, str(tiny_checkpoint), "mobilenet_v2", "gradcam")
    early = tab._on_upload(str(rendered_clip), *settings, visitor("d"))
    for _ in range(3):
        next(early)
    late = list(tab._on_upload(str(rendered_clip), *settings, visitor("d")))
    assert late[-1][tab.view].result.complete
    assert list(early) == [], "an outdated exploration says nothing more"
    other = tab._on_upload(str(rendered_clip), *settings, visitor("e"))
    assert len(list(other)) > 3, "another visitor is not disturbed"


@pytest.mark.parametrize(
    ("start", "end", "whole", "window"), [(0, 2.0, True, (0.0, 2.0)), (0.5, 1.5, False, (0.5, 1.5))]
)
def test_window_is_the_one_that_was_chosen(
    tab: ExploreTab, view: ExplorationView, tiny_checkpoint: Path, start: float, end: float, whole: bool, window: tuple
):
    chosen = SimpleNamespace(start=start, end=end, whole=whole)
    settings = (view, str(tiny_checkpoint), "mobilenet_v2", "gradcam")
    *_, last = tab._on_window(*settings, chosen, visitor("f"))
    clip = last[tab.view].result.clip
    assert (clip.start, clip.start + clip.seconds) == pytest.approx(window, abs=0.1)
    assert last[tab.view].playable == view.playable, "the preview is not made again"
    assert last[tab.view].film is view.film, "nor is the filmstrip read again"
    # Another checkpoint looks at the same part.
    *_, again = tab._on_model(last[tab.view], *settings[1:], visitor("f"))
    assert again[tab.view].result.clip.start == clip.start and again[tab.view].result.clip.seconds == clip.seconds


def test_window_of_no_length_is_told(tab: ExploreTab, view: ExplorationView, tiny_checkpoint: Path):
    chosen = SimpleNamespace(start=1, end=1, whole=False)
    (answer,) = tab._on_window(view, str(tiny_checkpoint), "mobilenet_v2", "gradcam", chosen, visitor("g"))
    assert "longer than 0 s" in answer[tab.slots["message"]] and answer[tab.view] is view


def test_contributions_are_found_when_asked_for(tab: ExploreTab, view: ExplorationView):
    assert "data-contribution" in view.pieces["contribution"]
    *shares, last = tab._on_contribution(view, visitor("j"))
    assert len(shares) == len(view.result.clip.frames) - 1
    piece = last[tab.slots["contribution"]]
    assert "data-contribution" not in piece
    assert piece.count("title=") == len(view.result.clip.frames), "every frame has its bar"
    (path,) = addresses(replace(view, pieces={"contribution": piece}))
    assert path.is_file() and path.parent != view.folder, "an example's files belong to every visitor"


def test_contributions_give_up_when_something_else_is_shown(tab: ExploreTab, view: ExplorationView):
    steps = tab._on_contribution(view, visitor("k"))
    next(steps)
    tab.turns["k"] = object()
    assert list(steps) == []


def test_forgotten_session_is_told(tab: ExploreTab):
    chosen = SimpleNamespace(start=0, end=1, whole=False)
    (answer,) = tab._on_window(None, "base", "mobilenet_v2", "gradcam", chosen, visitor("h"))
    assert 'role="alert"' in answer[tab.slots["message"]]
    (answer,) = tab._on_contribution(None, visitor("h"))
    assert 'role="alert"' in answer[tab.slots["message"]]
    assert 'role="alert"' in tab.look._on_look(None, "gradcam", None, visitor("h"))[tab.slots["message"]]


def test_first_visitor_is_told_when_there_is_no_checkpoint(explorations: Explorations, monkeypatch: pytest.MonkeyPatch):
    with gr.Blocks() as page:
        tab = ExploreTab(PageContext(page, explorations, "no-such-checkpoint"))
    monkeypatch.setattr(type(explorations), "missing", 0)
    *_, answer = tab._greet({}, SimpleNamespace(session_hash="i", query_params={}))
    assert "no-such-checkpoint" in answer[tab.slots["message"]] and "busy" not in answer[tab.slots["status"]]
