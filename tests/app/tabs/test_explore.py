"""The Explore tab without a browser: what its handlers answer to clips, windows and strangers."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote

import gradio as gr
import pytest

from app.context import PageContext
from app.services.explorations import Explorations, ExplorationView
from app.tabs.explore import ExploreTab
from tests.app.conftest import visitor


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


def test_upload_shows_the_clip_and_hands_it_to_the_session(tab: ExploreTab, rendered_clip: Path, tiny_checkpoint: Path):
    settings = (None, str(tiny_checkpoint), "mobilenet_v2", "gradcam")
    updates = list(tab.on_upload(str(rendered_clip), *settings, visitor("a")))
    assert updates[0][tab.upload] is None, "the drop zone is free at once"
    last = updates[-1]
    assert last[tab.view].result.complete and last[tab.view].title == rendered_clip.name
    assert last[tab.classifier_panel.target].value == last[tab.view].result.saliency.label


def test_failure_keeps_the_last_result(tab: ExploreTab, view: ExplorationView, tmp_path: Path, tiny_checkpoint: Path):
    broken = tmp_path / "broken.avi"
    broken.write_bytes(b"RIFF\x00\x00\x00\x00AVI ")
    settings = (view, str(tiny_checkpoint), "mobilenet_v2", "gradcam")
    *_, last = tab.on_upload(str(broken), *settings, visitor("b"))
    assert "broken.avi" in last[tab.slots["message"]] and 'role="alert"' in last[tab.slots["message"]]
    assert last[tab.view] is view and last[tab.slots["stage"]] == view.pieces["stage"]


def test_fault_of_ours_is_not_blamed_on_the_clip(
    tab: ExploreTab, view: ExplorationView, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def fail(*args: object, **options: object):
        raise RuntimeError("secret detail")

    monkeypatch.setattr(tab.explorations, "explore", fail)
    monkeypatch.setattr(tab.explorations, "explain", fail)
    answer = tab.classifier_panel.on_choice(view, "gradcam", "another class", visitor("c"))
    message = answer[tab.slots["message"]]
    assert "not your clip" in message and "secret detail" not in message and "secret detail" in caplog.text


def test_last_click_wins(tab: ExploreTab, rendered_clip: Path, tiny_checkpoint: Path):
    settings = (None, str(tiny_checkpoint), "mobilenet_v2", "gradcam")
    early = tab.on_upload(str(rendered_clip), *settings, visitor("d"))
    for _ in range(3):
        next(early)
    late = list(tab.on_upload(str(rendered_clip), *settings, visitor("d")))
    assert late[-1][tab.view].result.complete
    assert list(early) == [], "an outdated exploration says nothing more"
    other = tab.on_upload(str(rendered_clip), *settings, visitor("e"))
    assert len(list(other)) > 3, "another visitor is not disturbed"


@pytest.mark.parametrize(
    ("start", "end", "whole", "window"), [(0, 2.0, True, (0.0, 2.0)), (0.5, 1.5, False, (0.5, 1.5))]
)
def test_window_is_the_one_that_was_chosen(
    tab: ExploreTab, view: ExplorationView, tiny_checkpoint: Path, start: float, end: float, whole: bool, window: tuple
):
    chosen = SimpleNamespace(start=start, end=end, whole=whole)
    settings = (view, str(tiny_checkpoint), "mobilenet_v2", "gradcam")
    *_, last = tab.on_window(*settings, chosen, visitor("f"))
    clip = last[tab.view].result.clip
    assert (clip.start, clip.start + clip.seconds) == pytest.approx(window, abs=0.1)
    assert last[tab.view].playable == view.playable, "the preview is not made again"
    assert last[tab.view].filmstrip is view.filmstrip, "nor is the filmstrip read again"
    # Another checkpoint looks at the same part.
    *_, again = tab.on_model(last[tab.view], *settings[1:], visitor("f"))
    assert again[tab.view].result.clip.start == clip.start and again[tab.view].result.clip.seconds == clip.seconds


def test_window_of_no_length_is_told(tab: ExploreTab, view: ExplorationView, tiny_checkpoint: Path):
    chosen = SimpleNamespace(start=1, end=1, whole=False)
    (answer,) = tab.on_window(view, str(tiny_checkpoint), "mobilenet_v2", "gradcam", chosen, visitor("g"))
    assert "longer than 0 s" in answer[tab.slots["message"]] and answer[tab.view] is view


def test_contributions_are_found_when_asked_for(tab: ExploreTab, view: ExplorationView):
    assert "data-attribution" in view.pieces["attribution"]
    *shares, last = tab.on_attribution(view, visitor("j"))
    assert len(shares) == len(view.result.clip.frames) - 1
    piece = last[tab.slots["attribution"]]
    assert "data-attribution" not in piece
    assert piece.count("title=") == len(view.result.clip.frames), "every frame has its bar"
    (path,) = addresses(replace(view, pieces={"attribution": piece}))
    assert path.is_file() and path.parent != view.folder, "an example's files belong to every visitor"


def test_contributions_give_up_when_something_else_is_shown(tab: ExploreTab, view: ExplorationView):
    steps = tab.on_attribution(view, visitor("k"))
    next(steps)
    tab.turns["k"] = object()
    assert list(steps) == []


def test_forgotten_session_is_told(tab: ExploreTab):
    chosen = SimpleNamespace(start=0, end=1, whole=False)
    (answer,) = tab.on_window(None, "base", "mobilenet_v2", "gradcam", chosen, visitor("h"))
    assert 'role="alert"' in answer[tab.slots["message"]]
    (answer,) = tab.on_attribution(None, visitor("h"))
    assert 'role="alert"' in answer[tab.slots["message"]]
    assert 'role="alert"' in tab.classifier_panel.on_choice(None, "gradcam", None, visitor("h"))[tab.slots["message"]]


def test_first_visitor_is_told_when_there_is_no_checkpoint(explorations: Explorations, monkeypatch: pytest.MonkeyPatch):
    with gr.Blocks() as page:
        tab = ExploreTab(PageContext(page, explorations, "no-such-checkpoint"))
    monkeypatch.setattr(type(explorations), "missing", 0)
    *_, answer = tab.on_load({}, SimpleNamespace(session_hash="i", query_params={}))
    assert "no-such-checkpoint" in answer[tab.slots["message"]] and "busy" not in answer[tab.slots["status"]]
