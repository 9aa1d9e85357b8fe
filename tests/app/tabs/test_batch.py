"""Inspect many without a browser: what the grid says, and what its handlers answer."""

from __future__ import annotations

import csv
import re
import zipfile
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote

import gradio as gr
import pytest

from app.context import PageContext
from app.services.explorations import Explorations
from app.tabs.batch import BatchTab
from avd_core.examples import scenes
from avd_core.explore.explorer import Explorer
from avd_core.media.distilled_png import read_distilled
from tests.app.conftest import visitor


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Iterator[BatchTab]:
    """The tab, laid out in a page that is not served."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("gradio")))
        patch.setattr("app.services.batches.UPDATE_SECONDS", 0)
        with gr.Blocks() as page, gr.Tabs() as tabs, gr.Tab("Inspect many") as frame:
            context = PageContext(page, Explorations(Explorer("cpu")), str(tiny_checkpoint))
            context.tabs = tabs
            yield BatchTab(context, frame)


@pytest.fixture(scope="module")
def zipped(tmp_path_factory: pytest.TempPathFactory, rendered_clip: Path) -> Path:
    path = tmp_path_factory.mktemp("zip") / "clips.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("wave/<a>.mp4", "jump/b.mp4", "wave/c.mp4"):
            archive.write(rendered_clip, name)
        archive.writestr("wave/broken.mp4", b"not a video")
        archive.writestr("../outside.mp4", b"x" * 100)
    return path


def form(tab: BatchTab, files: list[Path] | None, **values: object) -> dict:
    usual = {
        tab.upload: [str(path) for path in files or []], tab.checkpoint: tab.context.checkpoint,
        tab.classifier: "action", tab.whole: False, tab.order: "", tab.batch: None,
    }  # fmt: skip
    return usual | {getattr(tab, name): value for name, value in values.items()}


@pytest.fixture(scope="module")
def answers(tab: BatchTab, zipped: Path) -> list[dict]:
    return list(tab.on_upload(form(tab, [zipped]), visitor()))


@pytest.fixture(scope="module")
def finished(tab: BatchTab, answers: list[dict]) -> dict:
    """All that the visitor sees in the end."""
    shown: dict = {}
    for answer in answers:
        shown |= answer
    return shown


def titles(piece: str) -> list[str]:
    return re.findall(r'<b class="name">([^<]*)</b>', piece)


def test_gallery_grows_and_says_how_far_it_is(tab: BatchTab, answers: list[dict], finished: dict):
    grown = [answer for answer in answers if tab.batch in answer]
    images = [answer[tab.slots["images"]] for answer in grown]
    assert [len(titles(piece)) for piece in images] == [0, 1, 2, 3, 3]
    assert [piece.count("coming") for piece in images] == [4, 3, 2, 1, 0]
    lines = [answer[tab.slots["status"]] for answer in grown]
    assert "0 of 4 clips" in lines[0] and "1 of 4 clips, about" in lines[1] and "left" in lines[1]
    assert "3 clips" in lines[-1] and "busy" not in lines[-1]
    assert not answers[0][tab.upload].visible and answers[0][tab.running].visible
    assert finished[tab.upload].visible and not finished[tab.running].visible


def test_broken_and_hostile_members_are_named(tab: BatchTab, finished: dict):
    notes = finished[tab.slots["notes"]]
    assert "outside.mp4 points outside" in notes and "broken.mp4 is" in notes
    assert "&lt;a&gt;" in finished[tab.slots["images"]] and "<a>" not in finished[tab.slots["images"]]


def test_images_are_files_that_play_and_the_table_is_saved(tab: BatchTab, finished: dict):
    addresses = re.findall(r'src="gradio_api/file=([^"]+)"', finished[tab.slots["images"]])
    assert len(addresses) == 3 and all(read_distilled(unquote(address))[1] for address in addresses)
    (address,) = re.findall(r'href="gradio_api/file=([^"]+)"', finished[tab.slots["links"]])
    with open(unquote(address), encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == ["wave", "jump", "wave", "wave"] and rows[3]["problem"]


def test_sorting_by_class_makes_groups(tab: BatchTab, finished: dict):
    batch = finished[tab.batch]
    piece = tab.on_order(batch, "class")
    assert re.findall(r'<h3 class="class">(\w+) <span>(\d) clip', piece) == [("jump", "1"), ("wave", "2")]
    assert sorted(titles(tab.on_order(batch, "gain"))) == sorted(titles(piece))
    assert all(row.image is None for row in batch.rows), "a session keeps no pixels"


def test_card_opens_its_clip_in_explore(tab: BatchTab, finished: dict):
    batch = finished[tab.batch]
    answer = tab.on_pick(batch, SimpleNamespace(value="1"))
    opening = answer[tab.context.open_request]
    assert opening.title == "b.mp4" and opening.clip.is_file() and opening.checkpoint == tab.context.checkpoint
    assert answer[tab.context.tabs].selected == "explore"
    for number in ("3", "-1", "77", "x"):  # the broken one, and what no card says
        answer = tab.on_pick(batch, SimpleNamespace(value=number))
        assert 'role="alert"' in answer[tab.slots["message"]] and tab.context.open_request not in answer
    assert 'role="alert"' in tab.on_pick(None, SimpleNamespace(value="0"))[tab.slots["message"]]


def test_no_visitor_gets_at_another_ones_clips(tab: BatchTab, finished: dict, zipped: Path):
    other = [answer for answer in tab.on_upload(form(tab, [zipped]), visitor()) if tab.batch in answer][-1]
    mine, theirs = finished[tab.batch], other[tab.batch]
    assert mine.folder != theirs.folder and len(mine.folder.name) > 20
    assert all(row.source.clip.is_relative_to(theirs.folder) for row in theirs.rows)


def test_cancelling_stops_the_work_and_keeps_what_is_there(
    tab: BatchTab, rendered_clip: Path, monkeypatch: pytest.MonkeyPatch
):
    looked = []
    steps = tab.explorer.explore_steps
    monkeypatch.setattr(tab.explorer, "explore_steps", lambda ask: looked.append(ask) or steps(ask))
    running = tab.on_upload(form(tab, [rendered_clip] * 5), visitor("c"))
    assert len(titles([next(running) for _ in range(3)][-1][tab.slots["images"]])) == 1
    tab.on_cancel(visitor("somebody else"))
    tab.on_cancel(visitor("c"))
    answer = {key: value for step in running for key, value in step.items()}
    assert len(looked) == 2, "the clip that was being looked at is the last"
    assert "cancelled: 2 of 5" in answer[tab.slots["status"]] and len(titles(answer[tab.slots["images"]])) == 2
    assert "coming" not in answer[tab.slots["images"]] and answer[tab.upload].visible
    assert answer[tab.order].interactive


def test_useless_upload_is_told_and_the_last_gallery_stays(tab: BatchTab, finished: dict, tmp_path: Path):
    letter = tmp_path / "letter.zip"
    letter.write_text("hello")
    *_, last = tab.on_upload(form(tab, [letter], batch=finished[tab.batch]), visitor())
    assert "letter.zip is no zip" in last[tab.slots["message"]] and last[tab.upload].visible
    assert titles(last[tab.slots["images"]]) == titles(finished[tab.slots["images"]])
    *_, last = tab.on_upload(form(tab, [letter]), visitor())
    assert "letter.zip" in last[tab.slots["message"]] and tab.batch not in last


def test_examples_are_there_for_whoever_has_no_clips(
    tab: BatchTab, rendered_clip: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tab.context.explorations, "clip", lambda name: rendered_clip)
    shown = {key: value for step in tab.on_examples(form(tab, None), visitor("x")) for key, value in step.items()}
    wanted = [scene.title for scene in scenes.SCENES.values()]
    found = [unescape(title) for title in titles(shown[tab.slots["images"]])]
    assert found == wanted and shown[tab.upload].visible
