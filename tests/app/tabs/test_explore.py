"""The Explore tab without a browser: what its handlers answer to clips, windows and strangers."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote

import gradio as gr
import numpy as np
import pytest

from app.context import PageContext, by_what_they_show
from app.services.explorations import Explorations, ExplorationView
from app.tabs.explore import ExploreTab
from avd_core.examples import scenes
from avd_core.explore.explorer import Explorer
from avd_core.explore.requests import ExploreRequest
from avd_core.explore.results import DistilledStage, ExplorationStage
from avd_core.media.video import read_clip
from avd_core.media.writer import write_mp4
from avd_core.networks.avd import AVD
from tests.app.conftest import visitor


@pytest.fixture(scope="module")
def tab(explorations: Explorations, tiny_checkpoint: Path):
    """The tab, laid out in a page that is not served."""
    with gr.Blocks() as page:
        return ExploreTab(PageContext(page, explorations, str(tiny_checkpoint)))


def settings(tab: ExploreTab, view: ExplorationView | None, checkpoint: Path | str, **also: object) -> dict:
    """What gradio hands to the handlers; `also` holds the values of other inputs, by their name in the tab."""
    controls = tab.classifier_panel.controls
    values = {tab.view: view, tab.model: str(checkpoint), tab.size: 0}
    values |= {controls.classifier: "mobilenet_v2", controls.method: "gradcam"}
    return values | {getattr(tab, name): value for name, value in also.items()}


def addresses(view: ExplorationView) -> set[Path]:
    """Every file that the pieces of the page point at."""
    return {
        Path(unquote(address))
        for piece in view.pieces.values()
        for address in re.findall(r'(?:src|href)="gradio_api/file=([^"#]+)', piece)
    }


def test_the_choice_of_checkpoints_says_what_each_image_shows(tmp_path, tiny_checkpoint):
    moving = tmp_path / "moving"
    shutil.copytree(tiny_checkpoint, moving)
    config = json.loads((moving / "config.json").read_text()) | {"guide_target": "steady-exposure"}
    (moving / "config.json").write_text(json.dumps(config))
    choices = by_what_they_show(["base", str(moving), "somebody/elsewhere"])
    assert [label for label, _ in choices] == ["one moment · base", "movement · moving", "elsewhere"]
    assert choices[1][1] == str(moving)


def test_upload_shows_the_clip_and_hands_it_to_the_session(tab: ExploreTab, rendered_clip: Path, tiny_checkpoint: Path):
    updates = list(tab.on_upload(settings(tab, None, tiny_checkpoint, upload=rendered_clip), visitor("a")))
    assert updates[0][tab.upload] is None, "the drop zone is free at once"
    last = updates[-1]
    assert last[tab.view].result.complete and last[tab.view].title == rendered_clip.name
    assert last[tab.classifier_panel.controls.target].value == last[tab.view].result.saliency.label


def test_failure_keeps_the_last_result(tab: ExploreTab, view: ExplorationView, tmp_path: Path, tiny_checkpoint: Path):
    broken = tmp_path / "broken.avi"
    broken.write_bytes(b"RIFF\x00\x00\x00\x00AVI ")
    *_, last = tab.on_upload(settings(tab, view, tiny_checkpoint, upload=broken), visitor("b"))
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
    values = settings(tab, None, tiny_checkpoint, upload=rendered_clip)
    early = tab.on_upload(values, visitor("d"))
    for _ in range(3):
        next(early)
    late = list(tab.on_upload(values, visitor("d")))
    assert late[-1][tab.view].result.complete
    assert list(early) == [], "an outdated exploration says nothing more"
    other = tab.on_upload(values, visitor("e"))
    assert len(list(other)) > 3, "another visitor is not disturbed"


@pytest.mark.parametrize(
    ("start", "end", "whole", "window"), [(0, 2.0, True, (0.0, 2.0)), (0.5, 1.5, False, (0.5, 1.5))]
)
def test_window_is_the_one_that_was_chosen(
    tab: ExploreTab, view: ExplorationView, tiny_checkpoint: Path, start: float, end: float, whole: bool, window: tuple
):
    chosen = SimpleNamespace(start=start, end=end, whole=whole)
    *_, last = tab.on_window(settings(tab, view, tiny_checkpoint), chosen, visitor("f"))
    clip = last[tab.view].result.clip
    assert (clip.start, clip.start + clip.seconds) == pytest.approx(window, abs=0.1)
    assert last[tab.view].playable == view.playable, "the preview is not made again"
    assert last[tab.view].filmstrip is view.filmstrip, "nor is the filmstrip read again"
    # Another checkpoint looks at the same part.
    *_, again = tab.on_model(settings(tab, last[tab.view], tiny_checkpoint), visitor("f"))
    assert again[tab.view].result.clip.start == clip.start and again[tab.view].result.clip.seconds == clip.seconds


def test_window_of_no_length_is_told(tab: ExploreTab, view: ExplorationView, tiny_checkpoint: Path):
    chosen = SimpleNamespace(start=1, end=1, whole=False)
    (answer,) = tab.on_window(settings(tab, view, tiny_checkpoint), chosen, visitor("g"))
    assert "longer than 0 s" in answer[tab.slots["message"]] and answer[tab.view] is view


def test_contributions_are_found_when_asked_for(tab: ExploreTab, view: ExplorationView):
    assert "data-attribution" in view.pieces["attribution"]
    *shares, last = tab.attribution_panel.on_attribution(view, visitor("j"))
    assert len(shares) == len(view.result.clip.frames) - 1
    piece = last[tab.slots["attribution"]]
    assert "data-attribution" not in piece
    assert piece.count("title=") == len(view.result.clip.frames), "every frame has its bar"
    (path,) = addresses(replace(view, pieces={"attribution": piece}))
    assert path.is_file() and path.parent != view.folder, "an example's files belong to every visitor"


def test_contributions_give_up_when_something_else_is_shown(tab: ExploreTab, view: ExplorationView):
    steps = tab.attribution_panel.on_attribution(view, visitor("k"))
    next(steps)
    tab.turns["k"] = object()
    assert list(steps) == []


def test_forgotten_session_is_told(tab: ExploreTab):
    chosen = SimpleNamespace(start=0, end=1, whole=False)
    (answer,) = tab.on_window(settings(tab, None, "base"), chosen, visitor("h"))
    assert 'role="alert"' in answer[tab.slots["message"]]
    (answer,) = tab.attribution_panel.on_attribution(None, visitor("h"))
    assert 'role="alert"' in answer[tab.slots["message"]]
    assert 'role="alert"' in tab.classifier_panel.on_choice(None, "gradcam", None, visitor("h"))[tab.slots["message"]]


def test_first_visitor_is_told_when_there_is_no_checkpoint(explorations: Explorations, monkeypatch: pytest.MonkeyPatch):
    with gr.Blocks() as page:
        tab = ExploreTab(PageContext(page, explorations, "no-such-checkpoint"))
    monkeypatch.setattr(explorations, "render_examples", lambda: iter(()))
    *_, answer = tab.on_load({}, SimpleNamespace(session_hash="i", query_params={}))
    assert "no-such-checkpoint" in answer[tab.slots["message"]] and "busy" not in answer[tab.slots["status"]]


def test_the_first_example_is_explored_once_for_server_and_visitors(
    explorer: Explorer, rendered_clip: Path, tiny_checkpoint: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    with gr.Blocks() as page:
        tab = ExploreTab(PageContext(page, Explorations(explorer), str(tiny_checkpoint)))
    explored: list[Path] = []

    def explore_steps(request: ExploreRequest) -> Iterator[ExplorationStage]:
        explored.append(request.clip)
        return Explorer.explore_steps(explorer, request)

    def write_examples(folder: Path, names: list[str]) -> list[Path]:
        folder.mkdir(exist_ok=True)
        return [shutil.copy(rendered_clip, folder / f"{name}.mp4") for name in names]

    monkeypatch.setattr(explorer, "explore_steps", explore_steps)
    monkeypatch.setattr(scenes, "write_examples", write_examples)
    # A visitor who comes before the server has prepared anything does not wait for it.
    *_, last = tab.on_load({}, visitor("first"))
    assert set(last) == {tab.slots["examples"]}
    assert last[tab.slots["examples"]].count("<video src") == len(scenes.SCENES)
    tab.prepare()
    _, *others = tab.on_load({}, visitor("second"))
    assert len(others) == 1 and others[0][tab.view].result.complete
    assert [clip.stem for clip in explored] == [next(iter(scenes.SCENES))]


def test_detail_offers_no_size_above_the_files_own(tab: ExploreTab, view: ExplorationView):
    detail = tab.shown(view)[tab.size]  # the clip is 120 x 160
    assert [value for _, value in detail.choices] == [0, 112] and detail.value == 0


def test_a_large_picture_comes_after_a_small_one_and_nothing_is_enlarged(
    explorations: Explorations, rendered_clip: Path, tmp_path: Path
):
    model = AVD.from_pretrained("tiny")
    model.config = dataclasses.replace(model.config, size=224)
    name = str(model.save_pretrained(tmp_path / "large"))
    large = write_mp4(tmp_path / "large.mp4", np.kron(read_clip(rendered_clip).frames, np.ones((2, 2, 1), np.uint8)), 8)
    seen = [
        min(view.result.distilled.shape[:2])
        for view in explorations.explore("a", ExploreRequest(large, name, classifier="action"))
        if isinstance(view.result, DistilledStage)
    ]
    assert seen[0] == 112 and set(seen[1:]) == {224}
    *_, view = explorations.explore("b", ExploreRequest(rendered_clip, name, classifier="action", size=224))
    assert min(view.result.distilled.shape[:2]) == 112, "the file has no larger picture"


def test_refining_replaces_the_image_and_stopping_keeps_the_best(tab: ExploreTab, view: ExplorationView, monkeypatch):
    panel, me = tab.refine_panel, visitor("r")
    tab.turns["r"] = object()
    monkeypatch.setattr("app.components.refine_panel.DEFAULT_REFINE", 8)
    *_, last = panel.on_refine(view, me)
    refined = last[tab.view].result
    assert refined.refined.steps == 8 and refined.quality.psnr > view.result.quality.psnr
    assert last[tab.slots["stage"]] != view.pieces["stage"], "the files are others"
    assert all(path.is_file() for path in addresses(last[tab.view]))
    monkeypatch.setattr("app.components.refine_panel.DEFAULT_REFINE", 400)
    steps = panel.on_refine(view, me)
    while "dB" not in next(steps)[panel.task.line].value or not panel.running:
        pass
    panel.on_stop(me)
    *_, last = steps
    assert last[tab.view].result.refined.steps < 400 and not panel.running


def test_refining_is_dropped_when_the_visitor_goes_on(tab: ExploreTab, view: ExplorationView):
    me = visitor("s")
    tab.turns["s"] = object()
    steps = tab.refine_panel.on_refine(view, me)
    next(steps)
    tab.turns["s"] = object()
    assert list(steps) == [] and not tab.refine_panel.running
    (answer,) = tab.refine_panel.on_refine(None, me)
    assert "left alone" in answer[tab.slots["message"]]
