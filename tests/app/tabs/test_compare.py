"""Compare without a browser: what its cards say, and what its handlers answer."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import gradio as gr
import numpy as np
import pytest
import torch
from PIL import Image

from app.context import PageContext
from app.services.comparisons import ComparisonView
from app.services.explorations import Explorations, ExplorationView
from app.tabs.compare import CompareTab
from avd_core.config import PRESETS
from avd_core.explore.explorer import Explorer, ExploreRequest
from avd_core.media.distilled_png import read_distilled
from avd_core.media.video import probe
from avd_core.networks.avd import AVD
from tests.app.conftest import visitor

CLASSIFIER = "action"  # comes with the project, and is quick


@pytest.fixture(scope="module")
def other_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second tiny checkpoint, of other weights."""
    torch.manual_seed(11)
    return AVD(PRESETS["tiny"]).save_pretrained(tmp_path_factory.mktemp("checkpoints") / "<other>")


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path, other_checkpoint: Path):
    """The tab, laid out in a page that is not served; two checkpoints are loaded beside the bundled ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("gradio")))
        explorer = Explorer("cpu")
        explorer.warm_up(str(other_checkpoint))
        explorer.warm_up(str(tiny_checkpoint))
        with gr.Blocks() as page, gr.Tabs() as tabs, gr.Tab("Compare") as frame:
            context = PageContext(page, Explorations(explorer), str(tiny_checkpoint))
            context.tabs = tabs
            yield CompareTab(context, frame)


@pytest.fixture(scope="module")
def view(tab: CompareTab, rendered_clip: Path, tiny_checkpoint: Path) -> ExplorationView:
    ask = ExploreRequest(rendered_clip, str(tiny_checkpoint), classifier=CLASSIFIER)
    *_, view = tab.context.explorations.explore("my <clip>", ask)
    return view


@pytest.fixture(scope="module")
def answers(tab: CompareTab, view: ExplorationView) -> list[dict]:
    return list(tab.on_open(view, None, CLASSIFIER, "restoration", (), visitor()))


@pytest.fixture(scope="module")
def compared(tab: CompareTab, answers: list[dict]) -> ComparisonView:
    return answers[-1][tab.compared]


def files(piece: str) -> list[Path]:
    return [Path(unquote(address)) for address in re.findall(r'(?:src|href)="gradio_api/file=([^"#]+)', piece)]


def cards(piece: str) -> list[str]:
    return re.findall(r'<section class="rep[^"]*"[^>]*aria-label="([^"]+)"', piece)


def test_opening_the_tab_fills_a_grid_that_keeps_its_shape(tab: CompareTab, answers: list[dict]):
    grids = [answer[tab.slots["grid"]] for answer in answers if tab.slots["grid"] in answer]
    places = {grid.count('<section class="rep') for grid in grids}
    assert len(places) == 1 and places.pop() >= 10, "a place for each from the start"
    assert [len(cards(grid)) for grid in grids] == list(range(len(grids)))
    assert "coming" not in grids[-1] and "Compar" in answers[2][tab.slots["status"]]
    order = [cards(grid) for grid in grids[1:-1]]
    assert all(later[: len(early)] == early for early, later in pairwise(order)), "a card moved"
    last = answers[-1]
    pieces = "".join(last[slot] for slot in tab.slots.values() if slot in last)
    assert "my &lt;clip&gt;" in last[tab.slots["status"]] and "&lt;other&gt;" in pieces and "<other>" not in pieces
    pictures = files(grids[-1])
    assert len(pictures) == len(cards(grids[-1])) and all(path.is_file() for path in pictures)


def test_sheet_and_figures_can_be_saved(tab: CompareTab, answers: list[dict], view: ExplorationView):
    sheet, figures = files(answers[-1][tab.slots["links"]])
    assert sheet.stem.startswith(view.result.request.clip.stem) and Image.open(sheet).width > 1000
    assert figures.stat().st_size > 1000


def test_same_clip_is_not_compared_twice(tab: CompareTab, view: ExplorationView, compared: ComparisonView):
    again = list(tab.on_open(view, compared, CLASSIFIER, "restoration", (), visitor()))
    assert len(again) == 1 and tab.compared not in again[0]
    assert len(list(tab.on_again(view, compared, CLASSIFIER, "restoration", (), visitor()))) > 5


def test_order_changes_when_asked(tab: CompareTab, compared: ComparisonView):
    orders = [cards(tab.on_order(compared, by)) for by in ("", "restoration", "agreement", "confidence")]
    assert all(sorted(order) == sorted(orders[0]) for order in orders) and len(set(map(tuple, orders))) > 1
    figures = [row.psnr for row in compared.comparison.ordered("restoration") if row.psnr]
    assert figures == sorted(figures, reverse=True)


def test_two_checkpoints_stand_side_by_side(tab: CompareTab, compared: ComparisonView, answers: list[dict]):
    first, second = answers[-1][tab.first].value, answers[-1][tab.second].value
    rows = {row.name: row for row in compared.comparison.rows}
    assert rows[first].info and rows[second].info and first != second, "checkpoints first"
    tiny = [name for name in rows if Path(name).is_absolute()]  # and not the bundled one
    piece = tab.on_pair(compared, *tiny)[tab.slots["duel"]]
    assert "tiny" in piece and "&lt;other&gt;" in piece and piece.count("<polyline") == 2
    shown = {path.name: path for path in files(piece)}
    images = [path for path in shown.values() if path.suffix == ".png" and read_distilled(path)[1]]
    assert {read_distilled(path)[1].fingerprint for path in images} == {rows[name].info.fingerprint for name in tiny}
    (difference,) = (path for path in shown.values() if path.suffix == ".png" and path not in images)
    apart = np.abs(rows[tiny[0]].image.astype(int) - rows[tiny[1]].image.astype(int))
    assert np.array_equal(np.asarray(Image.open(difference)), (8 * apart).clip(0, 255))
    lengths = [probe(path).seconds for path in shown.values() if path.suffix == ".mp4"]
    assert len(lengths) == 3 and max(lengths) - min(lengths) < 0.02, "clips of one length can play in step"


def test_still_picture_stands_beside_a_checkpoint(tab: CompareTab, compared: ComparisonView, tiny_checkpoint: Path):
    piece = tab.on_pair(compared, str(tiny_checkpoint), "mean")[tab.slots["duel"]]
    assert "Mean frame, repeated" in piece
    if "base" in {row.name for row in compared.comparison.rows}:
        piece = tab.on_pair(compared, "base", str(tiny_checkpoint))[tab.slots["duel"]]
        assert "Where the two pictures differ" in piece and "PSNR of each frame" in piece


def test_broken_clip_is_told_and_the_last_comparison_stays(
    tab: CompareTab, view: ExplorationView, compared: ComparisonView, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def gone(*args: object, **options: object):
        raise ValueError("The clip is gone.")

    monkeypatch.setattr("app.tabs.compare.run_comparison", gone)
    *_, last = tab.on_again(view, compared, CLASSIFIER, "restoration", (), visitor("b"))
    assert "The clip is gone." in last[tab.slots["message"]] and not last[tab.cancel].visible
    assert last[tab.compared] is compared and cards(last[tab.slots["grid"]])
    *_, last = tab.on_again(view, None, CLASSIFIER, "restoration", (), visitor("b"))
    assert 'role="alert"' in last[tab.slots["message"]] and tab.compared not in last


def test_newer_clip_stops_the_older_one(tab: CompareTab, view: ExplorationView):
    early = tab.on_again(view, None, CLASSIFIER, "", (), visitor("c"))
    for _ in range(3):
        next(early)
    late = tab.on_again(view, None, CLASSIFIER, "", (), visitor("c"))
    next(late)
    assert list(early) == []
    other = tab.on_again(view, None, CLASSIFIER, "", (), visitor("d"))
    next(other), next(other)
    assert next(late), "another visitor is not disturbed"


def test_cancelling_stops_the_work_and_keeps_what_is_there(tab: CompareTab, view: ExplorationView):
    steps = tab.on_again(view, None, CLASSIFIER, "", (), visitor("e"))
    half = [next(steps) for _ in range(3)][-1]
    assert half[tab.cancel].visible and not half[tab.order].interactive
    tab.on_cancel(visitor("somebody else"))
    assert "coming" in next(steps)[tab.slots["grid"]]
    tab.on_cancel(visitor("e"))
    (last,) = steps  # one more row was on its way
    grid = last[tab.slots["grid"]]
    assert len(cards(grid)) == 3 and "coming" not in grid and "cancelled: 3 of" in last[tab.slots["status"]]
    assert not last[tab.cancel].visible and last[tab.order].interactive and "waiting" not in last[tab.slots["duel"]]


def test_nothing_to_compare_yet_is_told(tab: CompareTab):
    assert len(list(tab.on_open(None, None, CLASSIFIER, "", (), visitor()))) == 1
    (answer,) = tab.on_again(None, None, CLASSIFIER, "", (), visitor())
    assert 'role="alert"' in answer[tab.slots["message"]]
    assert 'role="alert"' in tab.on_pair(None, "a", "b")[tab.slots["message"]]
