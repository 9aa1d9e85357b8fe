"""The page without a browser: what is laid out and wired, and what its handlers answer."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote

import gradio as gr
import numpy as np
import pytest

from app import api
from app.desk import Desk
from app.shelf import KEEP_HOURS
from app.tabs.explore import ExploreTab
from app.ui import build_app, launch_options
from app.visits import Visit, Visits
from avd_core import synthetic, video
from avd_core.explorer import Explorer, ExploreRequest

SLOTS = {"status", "stage", "links", "realism", "restoration", "recognition", "saliency", "details", "preview"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory):
    """Gradio's temporary folder, for this module alone."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("gradio")
        patch.setenv("GRADIO_TEMP_DIR", str(folder))
        yield folder


@pytest.fixture(scope="module")
def visits(served: Path) -> Visits:
    return Visits(Explorer("cpu"))


@pytest.fixture(scope="module")
def visit(visits: Visits, rendered_clip: Path, tiny_checkpoint: Path) -> Visit:
    *_, visit = visits.explore("my clip", ExploreRequest(rendered_clip, str(tiny_checkpoint)))
    return visit


@pytest.fixture(scope="module")
def tab(visits: Visits, tiny_checkpoint: Path):
    """The tab, laid out in a page that is not served."""
    with gr.Blocks() as page:
        return ExploreTab(Desk(page, visits, str(tiny_checkpoint)))


def visitor(name: str) -> SimpleNamespace:
    return SimpleNamespace(session_hash=name)


def addresses(visit: Visit) -> set[Path]:
    """Every file that the pieces of the page point at."""
    return {
        Path(unquote(address))
        for piece in visit.pieces.values()
        for address in re.findall(r'(?:src|href)="gradio_api/file=([^"#]+)', piece)
    }


# --- the page ---------------------------------------------------------------------------------------------------


def test_page_is_built_without_asking_the_explorer(served: Path):
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
    assert not page.analytics_enabled and len(page.preparations) == 2


def test_handlers_take_at_most_five_inputs(tab: ExploreTab):
    for name, handler in inspect.getmembers(ExploreTab, inspect.isfunction):
        if name.startswith("_on_"):
            told = {"self", "request", "tile"}  # what gradio adds of itself
            assert len(inspect.signature(handler).parameters.keys() - told) <= 5, name


def test_nothing_is_recorded_and_nothing_but_results_is_served():
    options = launch_options()
    assert options["run_history"] is False and options["enable_monitoring"] is False and options["share"] is False
    assert options["max_file_size"] and "allowed_paths" not in options
    repository = Path(__file__).resolve().parents[2]
    assert str(repository) in options["blocked_paths"]
    look = options["head"] + "".join(path.read_text() for path in options["css_paths"])
    assert "http" not in look.replace("http://www.w3.org/2000/svg", ""), "the page asks another machine"


# --- visits -----------------------------------------------------------------------------------------------------


def test_exploring_tells_more_at_every_step(visits: Visits, rendered_clip: Path, tiny_checkpoint: Path):
    steps = list(visits.explore("my clip", ExploreRequest(rendered_clip, str(tiny_checkpoint))))
    # The finished result may come once more, when its preview has become ready.
    stages = list(dict.fromkeys(step.result.stage for step in steps))
    assert stages == ["clip", "distilled", "restored", "recognised", "complete"]
    steps = list({step.result.stage: step for step in steps}.values())
    known = [step.pieces["stage"].count("gradio_api") for step in steps]
    assert known == [1, 2, 3, 3, 3], "the pictures appear as they are made"
    assert all("busy" in step.pieces["status"] for step in steps[:-1])
    last = steps[-1]
    assert set(last.pieces) >= SLOTS and "busy" not in last.pieces["status"] and "my clip" in last.pieces["status"]
    assert not any("waiting" in piece for piece in last.pieces.values())
    for path in addresses(last):
        assert path.is_file() and path.stat().st_size > 0, path


def test_displayed_image_is_the_file_that_restores(visits: Visits, visit: Visit, tiny_checkpoint: Path):
    (address,) = re.findall(r'id="distilled" src="gradio_api/file=([^"]+)"', visit.pieces["stage"])
    restored = visits.explorer.restore(unquote(address), checkpoint=str(tiny_checkpoint))
    assert np.array_equal(restored.frames, visit.result.restored) and not restored.notes


def test_preview_plays_what_was_dropped(visit: Visit):
    info = video.probe(visit.playable)
    assert info.codec == "h264" and info.seconds == pytest.approx(2.0, abs=0.2)


def test_looking_anew_touches_nothing_else(visits: Visits, visit: Visit):
    label = visit.result.recognition.topk[2].label
    anew = visits.look(visit, method="gradcam", target=label)
    assert anew.result.saliency.label == label and label in anew.pieces["saliency"]
    unchanged = ("stage", "status", "realism", "restoration", "preview", "notes")
    assert all(anew.pieces[name] == visit.pieces[name] for name in unchanged)
    assert anew.pieces["links"] != visit.pieces["links"], "an example's files belong to every visitor"
    assert all(path.is_file() for path in addresses(anew) | addresses(visit))
    with pytest.raises(ValueError, match="no such class"):
        visits.look(visit, method="gradcam", target="no such class")


def test_example_is_explored_once(visits: Visits, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch):
    name = next(iter(synthetic.SCENES))
    request = ExploreRequest(visits.clip(name), str(tiny_checkpoint))
    first = list(visits.example(name, request))
    assert first[-1].result.complete and len(first) == 5
    again = list(visits.example(name, request))
    assert len(again) == 1 and again[0] is first[-1]
    assert len(list(visits.example(name, request, anew=True))) == 5
    assert synthetic.SCENES[name].title in visits.tiles() and "examples" in visits.tiles()


def test_upload_shows_the_clip_and_hands_it_to_the_session(tab: ExploreTab, rendered_clip: Path, tiny_checkpoint: Path):
    settings = (None, str(tiny_checkpoint), "mobilenet_v2", "gradcam")
    updates = list(tab._on_upload(str(rendered_clip), *settings, visitor("a")))
    assert updates[0][tab.upload] is None, "the drop zone is free at once"
    last = updates[-1]
    assert last[tab.visit].result.complete and last[tab.visit].title == rendered_clip.name
    assert last[tab.target].value == last[tab.visit].result.saliency.label


def test_failure_keeps_the_last_result(tab: ExploreTab, visit: Visit, tmp_path: Path, tiny_checkpoint: Path):
    broken = tmp_path / "broken.avi"
    broken.write_bytes(b"RIFF\x00\x00\x00\x00AVI ")
    settings = (visit, str(tiny_checkpoint), "mobilenet_v2", "gradcam")
    *_, last = tab._on_upload(str(broken), *settings, visitor("b"))
    assert "broken.avi" in last[tab.slots["message"]] and 'role="alert"' in last[tab.slots["message"]]
    assert last[tab.visit] is visit and last[tab.slots["stage"]] == visit.pieces["stage"]


def test_fault_of_ours_is_not_blamed_on_the_clip(
    tab: ExploreTab, visit: Visit, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def fail(*args: object, **options: object):
        raise RuntimeError("secret detail")

    monkeypatch.setattr(tab.visits, "explore", fail)
    monkeypatch.setattr(tab.visits, "look", fail)
    answer = tab._on_look(visit, "gradcam", "another class", visitor("c"))
    message = answer[tab.slots["message"]]
    assert "not your clip" in message and "secret detail" not in message and "secret detail" in caplog.text


def test_last_click_wins(tab: ExploreTab, rendered_clip: Path, tiny_checkpoint: Path):
    settings = (None, str(tiny_checkpoint), "mobilenet_v2", "gradcam")
    early = tab._on_upload(str(rendered_clip), *settings, visitor("d"))
    for _ in range(3):
        next(early)
    late = list(tab._on_upload(str(rendered_clip), *settings, visitor("d")))
    assert late[-1][tab.visit].result.complete
    assert list(early) == [], "an outdated exploration says nothing more"
    other = tab._on_upload(str(rendered_clip), *settings, visitor("e"))
    assert len(list(other)) > 3, "another visitor is not disturbed"


@pytest.mark.parametrize(
    ("mode", "start", "seconds", "window"),
    [("Most motion", 9, 9, (0.0, 2.0)), ("Whole clip", 9, 9, (0.0, 2.0)), ("Choose", 0.5, 1.0, (0.5, 1.5))],
)
def test_window_is_the_one_that_was_chosen(
    tab: ExploreTab, visit: Visit, tiny_checkpoint: Path, mode: str, start: float, seconds: float, window: tuple
):
    values = {
        **{tab.visit: visit, tab.model: str(tiny_checkpoint), tab.classifier: "mobilenet_v2", tab.method: "gradcam"},
        **{tab.mode: mode, tab.start: start, tab.length: seconds},
    }
    *_, last = tab._on_window(values, visitor("f"))
    clip = last[tab.visit].result.clip
    assert (clip.start, clip.start + clip.seconds) == pytest.approx(window, abs=0.1)
    assert last[tab.visit].playable == visit.playable, "the preview is not made again"


def test_window_of_no_length_is_told(tab: ExploreTab, visit: Visit, tiny_checkpoint: Path):
    values = {
        **{tab.visit: visit, tab.model: str(tiny_checkpoint), tab.classifier: "mobilenet_v2", tab.method: "gradcam"},
        **{tab.mode: "Choose", tab.start: 0, tab.length: 0},
    }
    (answer,) = tab._on_window(values, visitor("g"))
    assert "longer than 0 s" in answer[tab.slots["message"]] and answer[tab.visit] is visit


def test_forgotten_session_is_told(tab: ExploreTab):
    values = {tab.visit: None, tab.mode: "Choose"}
    (answer,) = tab._on_window(values, visitor("h"))
    assert 'role="alert"' in answer[tab.slots["message"]]
    assert 'role="alert"' in tab._on_look(None, "gradcam", None, visitor("h"))[tab.slots["message"]]


def test_first_visitor_is_told_when_there_is_no_checkpoint(visits: Visits, monkeypatch: pytest.MonkeyPatch):
    with gr.Blocks() as page:
        tab = ExploreTab(Desk(page, visits, "no-such-checkpoint"))
    monkeypatch.setattr(type(visits), "missing", 0)
    *_, answer = tab._greet({}, SimpleNamespace(session_hash="i", query_params={}))
    assert "no-such-checkpoint" in answer[tab.slots["message"]] and "busy" not in answer[tab.slots["status"]]
