"""The Restore tab without a browser: what its handlers answer to images, strokes, sliders and strangers."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from app.context import PageContext
from app.services.explorations import Explorations, ExplorationView
from app.services.restorations import PREFIX, RestorationSession
from app.tabs.restore import INTACT, RestoreTab
from avd_core.analysis.attribution import change
from avd_core.analysis.degradations import SWEEPS
from avd_core.explore.explorer import ExploreRequest
from avd_core.media.distilled_png import read_distilled, save_image
from tests.app.conftest import visitor


@pytest.fixture(scope="module")
def view(explorations: Explorations, rendered_clip: Path, tiny_checkpoint: Path) -> ExplorationView:
    *_, view = explorations.explore("my clip", ExploreRequest(rendered_clip, str(tiny_checkpoint), classifier="action"))
    return view


@pytest.fixture(scope="module")
def tab(explorations: Explorations, tiny_checkpoint: Path) -> RestoreTab:
    with gr.Blocks() as page, gr.Tab() as frame:
        return RestoreTab(PageContext(page, explorations, str(tiny_checkpoint)), frame)


@pytest.fixture
def session(tab: RestoreTab, view: ExplorationView) -> RestorationSession:
    return tab.on_open(view, None, visitor("a"))[tab.session]


def address(image: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(image).save(file, format="PNG")
    return PREFIX + base64.b64encode(file.getvalue()).decode()


def paint(tab: RestoreTab, session: RestorationSession | None, image: str, **degradation: float) -> dict:
    strengths = {"jpeg": INTACT, "blur": 0, "noise": 0} | degradation
    return tab.on_touch(session, image, **strengths, request=visitor("a"))


def linked(piece: str) -> list[Path]:
    return [Path(unquote(address)) for address in re.findall(r'href="gradio_api/file=([^"]+)"', piece)]


def test_the_tab_takes_what_explore_shows_and_keeps_ones_own_image(
    tab: RestoreTab, view: ExplorationView, tmp_path: Path
):
    first = tab.on_open(view, None, visitor("a"))
    session = first[tab.session]
    assert np.array_equal(session.restoration.frames, view.result.restored)
    assert "my clip" in first[tab.slots["status"]] and "here to compare" in first[tab.slots["status"]]
    assert "restored by <b>tiny</b>: its images must stay PNGs" in first[tab.slots["status"]]
    assert f"{session.bounds[0]:.1f} dB" in first[tab.slots["figures"]] and "unchanged" in first[tab.slots["figures"]]
    assert session.bounds[0] == view.result.quality.psnr and session.bounds[1] == view.result.quality.psnr_mean_copy
    assert tab.session not in tab.on_open(view, session, visitor("a")), "painting is not lost by a look elsewhere"

    photo = save_image(tmp_path / "photo.png", np.full((64, 80, 3), 90, np.uint8))
    *_, dropped = tab.on_drop(str(photo), view, visitor("a"))
    assert tab.session not in tab.on_open(view, dropped[tab.session], visitor("a"))
    waiting = tab.on_open(None, None, visitor("a"))
    assert list(waiting) == [tab.retry] and waiting[tab.retry].active


def test_a_checkpoint_made_for_jpeg_says_so(tab: RestoreTab, view: ExplorationView):
    made = replace(view, result=replace(view.result, through_jpeg=True))
    status = tab.on_open(made, None, visitor("a"))[tab.slots["status"]]
    assert "restored by <b>tiny</b>: its images are made to survive a JPEG" in status


def test_a_dropped_image_plays_by_the_weights_it_names(tab: RestoreTab, view: ExplorationView, tmp_path: Path):
    path = tmp_path / "from anywhere.png"
    path.write_bytes(linked_image(view).read_bytes())
    busy, answer = tab.on_drop(str(path), None, visitor("b"))
    assert busy[tab.drop] is None, "the drop zone is free at once"
    session = answer[tab.session]
    assert np.array_equal(session.restoration.frames, view.result.restored)
    assert "restored by <b>tiny</b>: its images must stay PNGs" in answer[tab.slots["status"]]
    assert session.restoration.fingerprint == view.result.fingerprint and answer[tab.slots["notes"]] == ""
    assert "not here to compare" in answer[tab.slots["status"]] and session.original is None
    *_, answer = tab.on_drop(str(path), view, visitor("b"))
    assert answer[tab.session].original is view.result.clip.frames, "it is the image that Explore shows"


def linked_image(view: ExplorationView) -> Path:
    (path,) = [path for path in linked(view.pieces["links"]) if path.name.endswith("distilled.png")]
    return path


def test_a_photograph_plays_and_is_told_to_be_one(tab: RestoreTab, tmp_path: Path):
    photo = tmp_path / "<b>holiday.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)).save(photo)
    *_, answer = tab.on_drop(str(photo), None, visitor("c"))
    notes = answer[tab.slots["notes"]]
    assert "does not say that it was distilled" in notes and "multiples of 8" in notes
    assert "&lt;b&gt;holiday" in answer[tab.slots["status"]] and "<b>holiday" not in answer[tab.slots["status"]]
    changed = paint(tab, answer[tab.session], "", blur=1)
    (saved,) = [path for path in linked(changed[tab.slots["links"]]) if path.name.endswith(".png")]
    assert read_distilled(saved)[1] is None, "a photograph does not come to say that it was distilled"


def test_what_is_no_image_is_told_and_the_last_one_stays(tab: RestoreTab, tmp_path: Path):
    letter = tmp_path / "letter.png"
    letter.write_text("Dear all")
    *_, answer = tab.on_drop(str(letter), None, visitor("c"))
    assert "letter.png" in answer[tab.slots["message"]] and tab.session not in answer


def test_a_stroke_changes_what_plays(tab: RestoreTab, session: RestorationSession):
    image = session.restoration.image.copy()
    image[:24] = 0
    answer = paint(tab, session, address(image))
    after = tab.restorations.explorer.replay(session.restoration, image)
    values = change(session.restoration.frames, after).per_frame
    played = answer[tab.slots["played"]]
    assert f"Frame <b>{np.argmax(values) + 1}</b> changes most (by <b>{max(values):.1f}</b>" in played
    assert played.count('<i style="height:') == len(values) and 'data-fed=""' in played
    (saved,) = [path for path in linked(answer[tab.slots["links"]]) if path.name.endswith("changed.png")]
    again = tab.restorations.explorer.restore(saved)
    assert np.array_equal(again.frames, after) and again.info == session.restoration.info
    taken_back = paint(tab, session, "")
    assert "Nothing is changed yet" in taken_back[tab.slots["played"]]


def test_sliders_damage_what_was_painted(tab: RestoreTab, session: RestorationSession):
    painted = session.restoration.image.copy()
    painted[:, :16] = 255
    answer = paint(tab, session, address(painted), jpeg=60, blur=0.5, noise=8)
    (saved,) = [path for path in linked(answer[tab.slots["links"]]) if path.name.endswith("changed.png")]
    fed = read_distilled(saved)[0]
    assert (fed != painted).mean() > 0.5 and np.abs(fed[:, :10].astype(int) - 255).mean() < 20
    assert 'data-fed="data:image/png' in answer[tab.slots["played"]]
    assert all(
        f'data-{k}="{v}"' in answer[tab.slots["figures"]] for k, v in (("jpeg", 60), ("blur", 0.5), ("noise", 8))
    )


def test_the_last_change_wins(tab: RestoreTab, session: RestorationSession, monkeypatch: pytest.MonkeyPatch):
    apply = tab.restorations.apply
    later: list[dict] = []

    def overtaken(*args: object) -> dict:
        if not later:
            later.append({})
            later[0] = paint(tab, session, "", noise=30)
        return apply(*args)

    monkeypatch.setattr(tab.restorations, "apply", overtaken)
    early = paint(tab, session, "", noise=1)
    assert tab.slots["played"] not in early and 'data-noise="30"' in later[0][tab.slots["figures"]]


@pytest.mark.parametrize("sent", ["nonsense", PREFIX + "!!", PREFIX + "AAAA", PREFIX + "A" * 5_000_000, "/etc/hosts"])
def test_what_a_stranger_sends_for_a_stroke_does_no_harm(tab: RestoreTab, session: RestorationSession, sent: str):
    answer = paint(tab, session, sent)
    assert 'role="alert"' in answer[tab.slots["message"]] and tab.slots["played"] not in answer


def test_an_image_of_another_size_is_no_stroke(tab: RestoreTab, session: RestorationSession):
    answer = paint(tab, session, address(np.zeros((8, 8, 3), np.uint8)))
    assert "belongs to another" in answer[tab.slots["message"]] and tab.slots["played"] not in answer


def test_a_forgotten_session_is_told(tab: RestoreTab):
    assert 'role="alert"' in paint(tab, None, "")[tab.slots["message"]]
    assert 'role="alert"' in next(tab.on_draw(None, visitor("a")))[tab.slots["message"]]
    assert 'role="alert"' in tab.on_take(None, visitor("a"))[tab.slots["message"]]


def test_curves_grow_to_every_point(tab: RestoreTab, session: RestorationSession):
    first, *steps, last = tab.on_draw(session, visitor("a"))
    assert first[tab.cancel].interactive and not last[tab.cancel].interactive and last[tab.draw].interactive
    assert len(steps) == sum(map(len, SWEEPS.values()))
    whole = steps[-1][tab.slots["curves"]]
    lines = re.findall(r'class="made" points="([^"]+)"', whole)
    # The undamaged image is a point of each curve: its clip is known.
    assert [len(line.split()) for line in lines] == [len(strengths) + 1 for strengths in SWEEPS.values()]
    assert len({line.split()[0] for line in lines}) == 1 and "not drawn yet" not in whole


def test_curves_of_an_image_that_is_gone_stop(tab: RestoreTab, session: RestorationSession, view: ExplorationView):
    drawing = tab.on_draw(session, visitor("a"))
    for _ in range(3):
        next(drawing)
    another = tab.on_take(view, visitor("a"))
    assert "not drawn yet" in another[tab.slots["curves"]]
    (last,) = drawing
    assert tab.slots["curves"] not in last and last[tab.draw].interactive
