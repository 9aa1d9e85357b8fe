"""What stands around the tabs, without a browser: links, recent results and the zip with everything."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote

import gradio as gr
import pytest

from app.context import PageContext
from app.render import shell
from app.services.explorations import Explorations, ExplorationView
from app.shell import PageShell
from app.tabs.explore import ExploreTab
from avd_core.examples import scenes
from avd_core.explore.explorer import ExploreRequest
from avd_core.media.window import Window
from tests.app.conftest import visitor


@pytest.fixture(scope="module")
def wired(explorations: Explorations, tiny_checkpoint: Path) -> PageShell:
    with gr.Blocks() as page:
        context = PageContext(page, explorations, str(tiny_checkpoint))
        with gr.Tabs() as context.tabs, gr.Tab("Explore") as frame:
            explore = ExploreTab(context)
        return PageShell(context, explore, [frame])


@pytest.fixture(scope="module")
def view(wired: PageShell, rendered_clip: Path, tiny_checkpoint: Path) -> ExplorationView:
    request = ExploreRequest(rendered_clip, str(tiny_checkpoint), classifier="action")
    *_, view = wired.context.explorations.explore("my clip", request)
    return view


def test_shown_result_is_recent_and_reopens_without_computing(
    wired: PageShell, view: ExplorationView, rendered_clip: Path, monkeypatch: pytest.MonkeyPatch
):
    *_, other = wired.context.explorations.explore(
        "part", ExploreRequest(rendered_clip, wired.context.checkpoint, Window(0.5, 1.0))
    )
    me = visitor("me")
    assert "data-recent" not in wired.on_view(view, None, me)[wired.history], "one result is no strip"
    strip = wired.on_view(other, "compare", me)
    assert strip[wired.history].count("data-recent") == 2 and strip[wired.context.tabs].selected == "compare"
    assert rendered_clip.stem not in strip[wired.address], "a link says nothing of one's own clip"
    key = next(entry.key for entry in wired.context.history.of("me") if entry.view is view)

    monkeypatch.setattr(wired.context.explorations, "explorer", None)  # any computation fails now
    monkeypatch.setattr(wired.explore.classifier_panel.controls, "choices", lambda view: {})
    answer = wired.on_reopen(SimpleNamespace(value=key), me)
    assert answer[wired.explore.view] is view and answer[wired.explore.slots["stage"]] == view.pieces["stage"]
    refused = wired.on_reopen(SimpleNamespace(value=key), visitor("somebody else"))
    assert 'role="alert"' in refused[wired.message] and wired.explore.view not in refused


def test_zip_lies_in_the_store_with_the_figures_that_are_shown(wired: PageShell, view: ExplorationView):
    link = wired.on_export(view)[wired.bundle]
    path = Path(unquote(link.split("file=")[1].split('"')[0]))
    assert path.is_relative_to(wired.context.explorations.store.root) and path.name == "rendered-everything.zip"
    with zipfile.ZipFile(path) as archive:
        assert json.loads(archive.read("report.json")) == view.result.report()
    assert 'role="alert"' in wired.on_export(None)[wired.message]


def test_zip_that_fails_is_told(wired: PageShell, view: ExplorationView, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(wired.context.explorations.store, "folder", lambda: (_ for _ in ()).throw(OSError("disk full")))
    assert 'role="alert"' in wired.on_export(view)[wired.message]


def test_link_to_an_example_is_opened(wired: PageShell, monkeypatch: pytest.MonkeyPatch):
    context = wired.context
    name = list(scenes.SCENES)[1]
    linked = visitor("m", example=name, start="0.5", seconds="1", tab="nowhere")
    monkeypatch.setattr(context.explorations, "clip", Path)  # not rendered for this
    link, updates = context.follow_link({"visitor": "0" * 32}, context.link_choices(["net"], ["gradcam"]), linked)
    opening = updates[context.open_request]
    assert (opening.clip.name, opening.window, opening.method) == (name, Window(0.5, 1.0), "gradcam")
    assert "nowhere" in updates[context.link_problems].value and link.tab == "explore"
    _, updates = context.follow_link(None, context.link_choices(["net"], ["gradcam"]), visitor("m"))
    assert context.open_request not in updates and context.link_problems not in updates


def test_strip_escapes_and_marks_what_is_shown(view: ExplorationView):
    image = view.result.distilled
    html = shell.history([("k1", "<b>", "1 s", image, True), ("k2", '"x"', "2 s", image, False)])
    assert "<b>" not in html and html.count("aria-current") == 1 and html.count("data:image/jpeg") == 2
