"""The Storyboard tab without a browser: what its handlers answer, and what the page says of cost and loss."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote

import gradio as gr
import pytest

from app.context import PageContext
from app.render import storyboard as render
from app.services.explorations import Explorations
from app.services.storyboards import StoryboardView
from app.tabs.storyboard import StoryboardTab
from avd_core.explore.explorer import Explorer
from avd_core.explore.storyboard.files import ZIP
from avd_core.media.window import Window
from tests.app.conftest import visitor
from tests.core.explore.storyboard.films import write_film


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Iterator[StoryboardTab]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("gradio")))
        with gr.Blocks() as page:
            context = PageContext(page, Explorations(Explorer("cpu")), str(tiny_checkpoint))
            with gr.Tabs() as context.tabs, gr.Tab("Storyboard", id="storyboard") as frame:
                yield StoryboardTab(context, frame)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_film(tmp_path_factory.mktemp("films") / "my <b>film.mp4", [40, 60])


def made(tab: StoryboardTab, path: Path, before: StoryboardView | None = None, who: str = "me") -> list[dict]:
    tab.start(visitor(who))
    return list(tab.on_upload(str(path), 2.0, tab.context.checkpoint, before, visitor(who)))


@pytest.fixture(scope="module")
def shown(tab: StoryboardTab, film: Path) -> StoryboardView:
    return made(tab, film)[-1][tab.shown]


def files(updates: dict) -> list[Path]:
    pieces = "".join(piece for piece in updates.values() if isinstance(piece, str))
    return [Path(unquote(address)) for address in re.findall(r'(?:src|href)="gradio_api/file=([^"#]+)', pieces)]


def test_strip_grows_and_everything_is_there_at_the_end(tab: StoryboardTab, film: Path, monkeypatch):
    monkeypatch.setattr("app.tabs.storyboard.UPDATE_SECONDS", 0)
    updates = made(tab, film)
    strips = [update[tab.slots["strip"]].count("<img") for update in updates if tab.slots["strip"] in update]
    assert strips == [0, 1, 2, 3, 3]
    growing = [update[tab.slots["status"]] for update in updates[3:-1]]
    assert all("busy" in status and "of 0:05.0" in status for status in growing)
    last = updates[-1]
    assert set(tab.slots.values()) <= last.keys() and "busy" not in last[tab.slots["status"]]
    assert len(files(last)) == 3 + 2 + 4 and all(path.stat().st_size > 0 for path in files(last))
    assert any(path.name.endswith(f"film-{ZIP}") for path in files(last)), "a saved zip says of which video it is"
    assert not any("<b>film" in piece for piece in last.values() if isinstance(piece, str)), "a name is not escaped"


def test_zip_plays_without_the_video_and_opens_nothing(tab: StoryboardTab, shown: StoryboardView, tmp_path: Path):
    path = tmp_path / "strip.zip"
    path.write_bytes((shown.folder / ZIP).read_bytes())
    last = made(tab, path)[-1]
    assert last[tab.shown].board.entries == shown.board.entries and last[tab.shown].zipped
    assert "data-open" not in last[tab.slots["strip"]] and "video is not here" in last[tab.slots["loss"]]
    assert last[tab.slots["films"]].count("<video") == 1


@pytest.mark.parametrize("content", [b"hello", b"PK\x03\x04 and so on", b""])
def test_what_is_no_video_is_told_and_the_last_strip_stays(
    tab: StoryboardTab, shown: StoryboardView, tmp_path: Path, content: bytes
):
    (tmp_path / "bad.mp4").write_bytes(content)
    last = made(tab, tmp_path / "bad.mp4", shown)[-1]
    assert "bad.mp4" in last[tab.slots["message"]] and "Nothing else changed" in last[tab.slots["message"]]
    assert last[tab.shown] is shown and last[tab.slots["strip"]].count("<img") == 3
    first = made(tab, tmp_path / "bad.mp4", None)[-1]
    assert "Try another video" in first[tab.slots["message"]] and first[tab.slots["films"]] == render.empty()


def test_cancel_stops_the_work_and_brings_back_what_was(
    tab: StoryboardTab, shown: StoryboardView, film: Path, monkeypatch
):
    monkeypatch.setattr("app.tabs.storyboard.UPDATE_SECONDS", 0)
    tab.start(visitor("me"))
    steps = tab.on_upload(str(film), 2.0, tab.context.checkpoint, shown, visitor("me"))
    while tab.slots["strip"] not in next(steps):
        pass
    next(steps)
    back = tab.on_cancel(shown, visitor("me"))
    (last,) = steps  # a picture on its way must not have the last word
    assert back[tab.shown] is shown and last[tab.shown] is shown
    # Whichever answer comes last, it says what was cancelled.
    assert tab.slots["message"] not in back and "Cancelled after" in last[tab.slots["message"]]
    # One that still waits for its turn does not begin.
    assert len(made_after_cancel(tab, film)) == 1


def made_after_cancel(tab: StoryboardTab, film: Path) -> list[dict]:
    tab.start(visitor("me"))
    tab.on_cancel(None, visitor("me"))
    return list(tab.on_upload(str(film), 2.0, tab.context.checkpoint, None, visitor("me")))


def test_a_newer_wish_ends_an_older_one_of_the_same_visitor_only(tab: StoryboardTab, film: Path, monkeypatch):
    monkeypatch.setattr("app.tabs.storyboard.UPDATE_SECONDS", 0)
    steps = {}
    for who in ("me", "you"):
        tab.start(visitor(who))
        steps[who] = tab.on_upload(str(film), 2.0, tab.context.checkpoint, None, visitor(who))
        for _ in range(4):
            next(steps[who])
    tab.start(visitor("me"))
    assert list(steps["me"]) == [] and tab.shown in list(steps["you"])[-1]
    tab.leave(visitor("you"))
    assert "you" not in tab.turns


def test_a_window_opens_in_explore(tab: StoryboardTab, shown: StoryboardView, film: Path):
    opening = tab.on_open(shown, SimpleNamespace(value=2))[tab.context.open_request]
    entry = shown.board.entries[1]
    assert (opening.clip, opening.window) == (film, Window(entry.start, entry.seconds))
    for bad in (0, 4):
        assert tab.context.open_request not in tab.on_open(shown, SimpleNamespace(value=bad))
    assert "not finished" in tab.on_open(None, SimpleNamespace(value=1))[tab.slots["message"]]


def test_the_clip_of_explore_is_taken(tab: StoryboardTab, rendered_clip: Path):
    view = SimpleNamespace(result=SimpleNamespace(request=SimpleNamespace(clip=rendered_clip)), title="Mine")
    tab.start(visitor("me"))
    last = list(tab.on_explored(view, 2.0, tab.context.checkpoint, None, visitor("me")))[-1]
    assert last[tab.shown].board.source.name == rendered_clip.name and "Mine" in last[tab.slots["status"]]
    (nothing,) = tab.on_explored(None, 2.0, tab.context.checkpoint, None, visitor("me"))
    assert "no clip" in nothing[tab.slots["message"]]


# --- what is said ------------------------------------------------------------------------------------------------
