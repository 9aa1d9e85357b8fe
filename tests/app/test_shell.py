"""Coming in, coming back and leaving, without a browser: links, settings, recent results, the zip, the sweep."""

from __future__ import annotations

import json
import os
import threading
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qsl, unquote
from urllib.request import ProxyHandler, build_opener

import gradio as gr
import pytest
from gradio_client import Client, handle_file

from app.context import PageContext
from app.render import shell
from app.services import history
from app.services.deep_links import Choices, DeepLink, arrive
from app.services.explorations import Explorations, ExplorationView
from app.services.history import History
from app.services.result_store import ResultStore
from app.shell import PageShell
from app.tabs.explore import ExploreTab
from app.ui import build_app, launch_options
from avd_core.examples import scenes
from avd_core.explore.explorer import Explorer, ExploreRequest
from avd_core.media.window import Window
from scripts.screenshot import free_port
from tests.app.conftest import visitor

OFFER = Choices(("wave", "cradle"), ("base", "paper"), ("explore", "compare"), ("net", "action"), ("gradcam", "slow"))
SECRET, OTHER = "0" * 32, "f" * 32


# --- arrivals -----------------------------------------------------------------------------------------------------


def test_visitor_who_asks_for_nothing_gets_the_first_of_all():
    arrival = arrive({}, {}, OFFER)
    assert arrival == DeepLink("wave", "base", tab="explore", classifier="net", method="gradcam")
    assert arrival.query(OFFER) == ""


@pytest.mark.parametrize(
    "query",
    [
        {"example": "cradle"},
        {"example": "wave", "start": "0.5", "seconds": "1.25"},
        {"example": "cradle", "start": "0.5"},
        {"example": "cradle", "whole": "1", "checkpoint": "paper"},
        {"checkpoint": "paper"},
    ],
)
def test_link_is_read_as_it_was_written(query: dict[str, str]):
    arrival = arrive(query | {"tab": "compare", "__theme": "dark"}, {}, OFFER)
    assert arrival.regrets == () and arrival.tab == "compare"
    assert dict(parse_qsl(arrival.query(OFFER))) == query


def test_link_to_a_clip_of_ones_own_says_nothing_of_it():
    own = DeepLink(None, "paper", Window(1.0, 2.0))
    assert own.query(OFFER) == "checkpoint=paper"


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"example": "<script>"}, "The link asks for the example “<script>”, which is not here."),
        ({"checkpoint": "../../etc"}, "The link asks for the checkpoint “../../etc”, which is not here."),
        ({"checkpoint": "owner/name"}, "The link asks for the checkpoint “owner/name”, which is not here."),
        ({"tab": ""}, "The link asks for the tab “”, which is not here."),
        ({"tab": "x" * 5000}, "The link asks for the tab “" + "x" * 59 + "…”, which is not here."),
        *(
            (window, "The link asks for a part of the clip that cannot be.")
            for window in (
                {"start": "-1"}, {"start": "nan"}, {"seconds": "inf"}, {"seconds": "0"}, {"start": "soon"},
                {"whole": "1", "start": "1"},
            )
        ),
    ],
)  # fmt: skip
def test_what_a_link_asks_in_vain_is_one_sentence(query: dict[str, str], sentence: str):
    arrival = arrive(query, {}, OFFER)
    assert arrival.regrets == (sentence,)
    assert arrival == DeepLink("wave", "base", Window(), "explore", "net", "gradcam", (sentence,))


@pytest.mark.parametrize(
    "remembered",
    [None, "text", 7, [], {"checkpoint": "gone"}, {"classifier": ["net"]}, {"method": {"a": 1}}, {"checkpoint": None}],
)
def test_outdated_or_hostile_settings_are_passed_over(remembered: object):
    assert arrive({}, remembered, OFFER) == arrive({}, {}, OFFER)


def test_settings_are_restored_and_a_link_goes_first():
    remembered = {"checkpoint": "paper", "classifier": "action", "method": "slow"}
    arrival = arrive({}, remembered, OFFER)
    assert (arrival.checkpoint, arrival.classifier, arrival.method) == ("paper", "action", "slow")
    assert arrive({"checkpoint": "base"}, remembered, OFFER).checkpoint == "base"


# --- recents ------------------------------------------------------------------------------------------------------


def seen(name: str, start: float = 0.0) -> SimpleNamespace:
    clip = SimpleNamespace(start=start, seconds=1.0)
    result = SimpleNamespace(request=SimpleNamespace(clip=Path(name)), clip=clip, fingerprint="abc")
    return SimpleNamespace(title=name, result=result)


def test_recent_results_are_each_visitors_own():
    kept = History(60)
    kept.meet("s1", SECRET)
    kept.meet("s2", OTHER)
    first, second = seen("a"), seen("b")
    kept.keep("s1", first)
    kept.keep("s1", second)
    assert [recent.view for recent in kept.of("s1")] == [second, first]
    assert kept.of("s2") == [] and kept.of("stranger") == []
    key = kept.of("s1")[0].key
    assert kept.find("s1", key) is second and kept.find("s2", key) is None and kept.find("s1", {"no": "key"}) is None
    kept.meet("s3", SECRET)  # the page was loaded anew in the same browser tab
    assert kept.find("s3", key) is second


@pytest.mark.parametrize("secret", [None, "", "short", "x" * 32, 7, SECRET + "0", ["0"] * 32])
def test_session_without_a_proper_secret_is_by_itself(secret: object):
    kept = History(60)
    kept.meet("s1", secret)
    kept.meet("s2", secret)
    kept.keep("s1", seen("a"))
    assert len(kept.of("s1")) == 1 and kept.of("s2") == []


def test_same_part_of_a_clip_takes_its_older_place():
    kept = History(60)
    kept.keep("s", seen("a"))
    key = kept.of("s")[0].key
    kept.keep("s", seen("b"))
    again = seen("a")
    kept.keep("s", again)
    assert [(recent.view.title, recent.key == key) for recent in kept.of("s")] == [("a", True), ("b", False)]
    assert kept.find("s", key) is again
    kept.keep("s", seen("a", start=0.5))
    assert len(kept.of("s")) == 3


def test_memory_is_bounded_and_nothing_outlives_its_files(monkeypatch: pytest.MonkeyPatch):
    kept = History(60)
    for number in range(history.EACH + 3):
        kept.keep("s", seen(str(number)))
    assert [recent.view.title for recent in kept.of("s")] == [str(n) for n in range(history.EACH + 2, 2, -1)]
    for number in range(history.IN_ALL):
        kept.keep(f"other {number}", seen("a"))
    assert kept.of("s") == [] and len(kept._kept) == history.IN_ALL
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 61)
    assert kept.of("other 99") == [] and not kept._kept


# --- the door, wired ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wired(folder: Path, tiny_checkpoint: Path) -> PageShell:
    with gr.Blocks() as page:
        context = PageContext(page, Explorations(Explorer("cpu")), str(tiny_checkpoint))
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
    assert "data-recent" not in wired._on_visit(view, None, me)[wired.recent], "one result is no strip"
    strip = wired._on_visit(other, "compare", me)
    assert strip[wired.recent].count("data-recent") == 2 and strip[wired.context.tabs].selected == "compare"
    assert rendered_clip.stem not in strip[wired.address], "a link says nothing of one's own clip"
    key = next(recent.key for recent in wired.context.recents.of("me") if recent.view is view)

    monkeypatch.setattr(wired.context.explorations, "explorer", None)  # whoever computes now, fails
    monkeypatch.setattr(wired.explore.look, "show", lambda view: {})
    answer = wired._on_reopen(SimpleNamespace(what=key), me)
    assert answer[wired.explore.view] is view and answer[wired.explore.slots["stage"]] == view.pieces["stage"]
    refused = wired._on_reopen(SimpleNamespace(what=key), visitor("somebody else"))
    assert 'role="alert"' in refused[wired.message] and wired.explore.view not in refused


def test_zip_lies_on_the_shelf_with_the_figures_that_are_shown(wired: PageShell, view: ExplorationView):
    link = wired._on_pack(view)[wired.parcel]
    path = Path(unquote(link.split("file=")[1].split('"')[0]))
    assert path.is_relative_to(wired.context.explorations.store.root) and path.name == "rendered-everything.zip"
    with zipfile.ZipFile(path) as archive:
        assert json.loads(archive.read("report.json")) == view.result.report()
    assert 'role="alert"' in wired._on_pack(None)[wired.message]


def test_zip_that_fails_is_told(wired: PageShell, view: ExplorationView, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(wired.context.explorations.store, "folder", lambda: (_ for _ in ()).throw(OSError("disk full")))
    assert 'role="alert"' in wired._on_pack(view)[wired.message]


def test_link_to_an_example_is_opened(wired: PageShell):
    context = wired.context
    name = list(scenes.SCENES)[1]
    monkey = visitor("m", example=name, start="0.5", seconds="1", tab="nowhere")
    context.explorations.clip = lambda name: Path(name)  # not rendered for this
    arrival, updates = context.arrive({"visitor": SECRET}, context.offer(["net"], ["gradcam"]), monkey)
    opening = updates[context.opening]
    assert (opening.clip.name, opening.window, opening.method) == (name, Window(0.5, 1.0), "gradcam")
    assert "nowhere" in updates[context.regrets].value and arrival.tab == "explore"
    _, updates = context.arrive(None, context.offer(["net"], ["gradcam"]), visitor("m"))
    assert context.opening not in updates and context.regrets not in updates


def test_strip_escapes_and_marks_what_is_shown(view: ExplorationView):
    image = view.result.distilled
    html = shell.recents([("k1", "<b>", "1 s", image, True), ("k2", '"x"', "2 s", image, False)])
    assert "<b>" not in html and html.count("aria-current") == 1 and html.count("data:image/jpeg") == 2


# --- privacy ------------------------------------------------------------------------------------------------------


def test_shelf_deletes_what_is_outdated_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    store = ResultStore(60)
    old, new = store.folder(), store.folder()
    upload, fresh, examples = tmp_path / ("a" * 64), tmp_path / ("b" * 64), tmp_path / "avd-examples"
    broken_off = tmp_path / "tmpzeg_hbho"
    broken_off.write_bytes(b"half a clip")
    os.utime(broken_off, (time.time() - 61,) * 2)
    for path in (upload, fresh, examples):
        path.mkdir()
    for path in (old, upload, examples):
        (path / "clip.mp4").write_bytes(b"0")
        os.utime(path, (time.time() - 61,) * 2)
    store.sweep()
    assert not any(path.exists() for path in (old, upload, broken_off))
    assert all(path.exists() for path in (new, fresh, examples))


def test_addresses_cannot_be_guessed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    names = {ResultStore().folder().name for _ in range(50)}
    assert len(names) == 50 and all(len(name) >= 21 for name in names), "128 bits, 6 a letter"
    assert (ResultStore().folder().stat().st_mode & 0o077) == 0


def test_uploads_and_results_are_gone_after_the_stated_time(
    tmp_path: Path, rendered_clip: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
):
    """The whole page with the time set to seconds: what a visitor gave and what they got are both deleted."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    monkeypatch.setenv("AVD_CHECKPOINT", str(tiny_checkpoint))
    page = build_app(Explorer("cpu"), keep=2)
    _, url, _ = page.launch(server_port=free_port(), prevent_thread_lock=True, quiet=True, **launch_options())
    try:
        client = Client(url, verbose=False, download_files=False, analytics_enabled=False)
        image, _ = client.predict(clip=handle_file(rendered_clip), api_name="/distill")
        kept = [path for path in (tmp_path / "gradio").rglob("*") if path.is_file()]
        assert {path.name for path in kept} >= {rendered_clip.name, "distilled.png"}
        opener = build_opener(ProxyHandler({}))
        assert opener.open(image["url"]).read()[:4] == b"\x89PNG"
        # The sweep is what the page starts last, beside itself.
        threading.Thread(target=page.preparations[-1], daemon=True).start()
        end = time.monotonic() + 20
        while [path for path in kept if path.exists()] and time.monotonic() < end:
            time.sleep(0.2)
        assert not [path for path in kept if path.exists()]
    finally:
        page.close(verbose=False)
