"""The Storyboard tab without a browser: what its handlers answer, and what the page says of cost and loss."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote

import gradio as gr
import pytest

from app.context import PageContext
from app.render import storyboard as render
from app.services.explorations import Explorations
from app.tabs.storyboard import Shown, StoryboardTab
from avd_core.explore.explorer import Explorer
from avd_core.explore.storyboard.files import ZIP, Board
from avd_core.explore.storyboard.panels import TableEntry
from avd_core.explore.storyboard.windows import SourceVideo
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


def told(tab: StoryboardTab, path: Path, before: Shown | None = None, who: str = "me") -> list[dict]:
    tab._claim(visitor(who))
    return list(tab._on_upload(str(path), 2.0, tab.context.checkpoint, before, visitor(who)))


@pytest.fixture(scope="module")
def shown(tab: StoryboardTab, film: Path) -> Shown:
    return told(tab, film)[-1][tab.shown]


def files(updates: dict) -> list[Path]:
    pieces = "".join(piece for piece in updates.values() if isinstance(piece, str))
    return [Path(unquote(address)) for address in re.findall(r'(?:src|href)="gradio_api/file=([^"#]+)', pieces)]


def test_strip_grows_and_everything_is_there_at_the_end(tab: StoryboardTab, film: Path, monkeypatch):
    monkeypatch.setattr("app.tabs.storyboard.EVERY", 0)
    updates = told(tab, film)
    strips = [update[tab.slots["strip"]].count("<img") for update in updates if tab.slots["strip"] in update]
    assert strips == [0, 1, 2, 3, 3]
    growing = [update[tab.slots["status"]] for update in updates[3:-1]]
    assert all("busy" in status and "of 0:05.0" in status for status in growing)
    last = updates[-1]
    assert set(tab.slots.values()) <= last.keys() and "busy" not in last[tab.slots["status"]]
    assert len(files(last)) == 3 + 2 + 4 and all(path.stat().st_size > 0 for path in files(last))
    assert any(path.name.endswith(f"film-{ZIP}") for path in files(last)), "a saved zip says of which video it is"
    assert not any("<b>film" in piece for piece in last.values() if isinstance(piece, str)), "a name is not escaped"


def test_zip_plays_without_the_video_and_opens_nothing(tab: StoryboardTab, shown: Shown, tmp_path: Path):
    path = tmp_path / "strip.zip"
    path.write_bytes((shown.folder / ZIP).read_bytes())
    last = told(tab, path)[-1]
    assert last[tab.shown].board.entries == shown.board.entries and last[tab.shown].zipped
    assert "data-open" not in last[tab.slots["strip"]] and "video is not here" in last[tab.slots["loss"]]
    assert last[tab.slots["films"]].count("<video") == 1


@pytest.mark.parametrize("content", [b"hello", b"PK\x03\x04 and so on", b""])
def test_what_is_no_video_is_told_and_the_last_strip_stays(
    tab: StoryboardTab, shown: Shown, tmp_path: Path, content: bytes
):
    (tmp_path / "bad.mp4").write_bytes(content)
    last = told(tab, tmp_path / "bad.mp4", shown)[-1]
    assert "bad.mp4" in last[tab.slots["message"]] and "Nothing else changed" in last[tab.slots["message"]]
    assert last[tab.shown] is shown and last[tab.slots["strip"]].count("<img") == 3
    first = told(tab, tmp_path / "bad.mp4", None)[-1]
    assert "Try another video" in first[tab.slots["message"]] and first[tab.slots["films"]] == render.empty()


def test_cancel_stops_the_work_and_brings_back_what_was(tab: StoryboardTab, shown: Shown, film: Path, monkeypatch):
    monkeypatch.setattr("app.tabs.storyboard.EVERY", 0)
    tab._claim(visitor("me"))
    steps = tab._on_upload(str(film), 2.0, tab.context.checkpoint, shown, visitor("me"))
    while tab.slots["strip"] not in next(steps):
        pass
    next(steps)
    back = tab._on_cancel(shown, visitor("me"))
    (last,) = steps  # a picture on its way must not have the last word
    assert back[tab.shown] is shown and last[tab.shown] is shown
    # One that still waits for its turn does not begin.
    assert len(told_after_cancel(tab, film)) == 1


def told_after_cancel(tab: StoryboardTab, film: Path) -> list[dict]:
    tab._claim(visitor("me"))
    tab._on_cancel(None, visitor("me"))
    return list(tab._on_upload(str(film), 2.0, tab.context.checkpoint, None, visitor("me")))


def test_a_newer_wish_ends_an_older_one_of_the_same_visitor_only(tab: StoryboardTab, film: Path, monkeypatch):
    monkeypatch.setattr("app.tabs.storyboard.EVERY", 0)
    steps = {}
    for who in ("me", "you"):
        tab._claim(visitor(who))
        steps[who] = tab._on_upload(str(film), 2.0, tab.context.checkpoint, None, visitor(who))
        for _ in range(4):
            next(steps[who])
    tab._claim(visitor("me"))
    assert list(steps["me"]) == [] and tab.shown in list(steps["you"])[-1]
    tab._leave(visitor("you"))
    assert "you" not in tab.turns


def test_a_window_opens_in_explore(tab: StoryboardTab, shown: Shown, film: Path):
    opening = tab._on_open(shown, SimpleNamespace(number=2))[tab.context.opening]
    entry = shown.board.entries[1]
    assert (opening.clip, opening.window) == (film, Window(entry.start, entry.seconds))
    for bad in (0, 4):
        assert tab.context.opening not in tab._on_open(shown, SimpleNamespace(number=bad))
    assert "not finished" in tab._on_open(None, SimpleNamespace(number=1))[tab.slots["message"]]


def test_the_clip_of_explore_is_taken(tab: StoryboardTab, rendered_clip: Path):
    view = SimpleNamespace(result=SimpleNamespace(request=SimpleNamespace(clip=rendered_clip)), title="Mine")
    tab._claim(visitor("me"))
    last = list(tab._on_explored(view, 2.0, tab.context.checkpoint, None, visitor("me")))[-1]
    assert last[tab.shown].board.source.name == rendered_clip.name and "Mine" in last[tab.slots["status"]]
    (nothing,) = tab._on_explored(None, 2.0, tab.context.checkpoint, None, visitor("me"))
    assert "no clip" in nothing[tab.slots["message"]]


def test_handlers_take_at_most_five_inputs():
    for name, handler in inspect.getmembers(StoryboardTab, inspect.isfunction):
        if name.startswith("_on_"):
            told = {"self", "request", "tile"}  # what gradio adds of itself
            assert len(inspect.signature(handler).parameters.keys() - told) <= 5, name


# --- what is said ------------------------------------------------------------------------------------------------


def a_board(video_bytes: int, **values: object) -> Board:
    source = SourceVideo("clip.mp4", 1280, 720, 30.0, True, video_bytes, video_bytes - 10, 8.0, 8.0)
    entries = tuple(
        TableEntry(f"images/00{n}.png", 4.0 * n - 4, 4.0, n == 1, 30_000, 28.0 + n, 25.0 - n) for n in (1, 2)
    )
    return replace(Board(source, "base", "0" * 12, 16, (112, 200), entries, complete=True), **values)


def text(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def test_cost_is_said_whichever_way_it_went():
    smaller, larger = text(render.cost(a_board(600_000))), text(render.cost(a_board(20_000)))
    assert "60 kB of images" in smaller and "10.0× smaller than the video file" in smaller and "600 kB" in smaller
    assert "3.0× larger than the video file" in larger and "this strip fails" in larger
    assert "1280×720 at 30 frames a second with sound; the images bring back 200×112 at 4.0" in smaller
    assert "those very frames as an ordinary H.264 film" in text(render.cost(a_board(600_000, original_bytes=70_000)))
    part = a_board(600_000)
    part = replace(part, source=replace(part.source, seconds=80.0, picture_bytes=30_000))
    assert "2.0× larger than the pictures of that part" in text(render.cost(part))


def test_loss_stands_beside_the_mean_frames():
    said = text(render.loss(a_board(600_000)))
    assert "29.5 dB PSNR" in said and "+6.0 dB over mean frames" in said and "least 29.0 dB at 0:00.0" in said
    entries = tuple(replace(entry, psnr_mean_copy=40.0) for entry in a_board(1).entries)
    assert "−10.5 dB against mean frames" in text(render.loss(a_board(600_000, entries=entries)))
    unknown = tuple(replace(entry, psnr=None, psnr_mean_copy=None) for entry in entries)
    assert "Nobody can tell" in render.loss(a_board(600_000, entries=unknown))


def test_time_left_is_told_once_there_is_something_to_tell_from():
    board = a_board(600_000, entries=a_board(1).entries[:1], complete=False)
    assert board.share == 0.5
    assert render.progress(board, 1.0) == "1 image, 0:04.0 of 0:08.0"
    assert render.progress(board, 10.0).endswith("about 10 s left") and "3 min" in render.progress(board, 180.0)
