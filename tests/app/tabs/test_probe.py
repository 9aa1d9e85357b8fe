"""The Probe tab without a browser: one order after the other, kept, stopped, begun again."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import unquote

import gradio as gr
import numpy as np
import pytest

from app.context import PageContext
from app.services.explorations import Explorations, ExplorationView
from app.tabs.probe import ProbeTab
from avd_core.explore.explorer import ExploreRequest
from avd_core.explore.time_probe import VARIANTS


@pytest.fixture(scope="module")
def view(explorations: Explorations, rendered_clip: Path, tiny_checkpoint: Path) -> ExplorationView:
    *_, view = explorations.explore(
        "my <clip>", ExploreRequest(rendered_clip, str(tiny_checkpoint), classifier="action")
    )
    return view


@pytest.fixture(scope="module")
def tab(explorations: Explorations, tiny_checkpoint: Path) -> ProbeTab:
    with gr.Blocks() as page, gr.Tab() as frame:
        return ProbeTab(PageContext(page, explorations, str(tiny_checkpoint)), frame)


def test_orders_come_one_by_one_and_keep_their_places(tab: ProbeTab, view: ExplorationView):
    begun, *steps, last = tab.on_open(view, None, 0)
    assert begun[tab.cancel].interactive and not last[tab.cancel].interactive
    pieces = [step[tab.result] for step in steps]
    assert [piece.count("<li data-variant") for piece in pieces] == [len(VARIANTS)] * len(VARIANTS)
    assert [piece.count('<canvas class="reel"') for piece in pieces] == [1, 2, 3, 4, 5, 6]
    assert "the image classifier <b>action</b> takes" in pieces[0]
    assert "my &lt;clip&gt;" in pieces[0] and last[tab.probed] is view

    report = json.loads(files(last[tab.links])[0].read_text())
    assert report["sentence"] and report["sentence"] in pieces[-1]
    for figures in report["variants"].values():
        assert f"{figures['psnr_own']:.1f} dB" in pieces[-1]
    pictures = {path.name.split("-")[-1]: path for path in files(pieces[-1]) if path.suffix == ".png"}
    assert len(pictures) == len(VARIANTS)
    again = tab.explorations.explorer.restore(pictures["forward.png"])
    assert np.array_equal(again.frames, view.result.restored) and not again.notes, "its image plays in Restore"


def files(piece: str) -> list[Path]:
    found = [Path(unquote(address)) for address in re.findall(r'(?:src|href|sheet)="gradio_api/file=([^"#]+)', piece)]
    assert all(path.is_file() for path in found)
    return list(dict.fromkeys(found))


def test_what_was_probed_is_kept_until_the_clip_is_another(
    tab: ProbeTab, view: ExplorationView, explorations: Explorations
):
    (answer,) = tab.on_open(view, view, 0)
    assert list(answer) == [tab.retry] and not answer[tab.retry].active
    other = explorations.explain(view, method="gradcam", target=view.result.recognition.topk[1].label)
    assert len(list(tab.on_open(other, view, 0))) == 1, "another look at the image is the same clip"
    assert len(list(tab.on_open(view, None, 0))) > 1


def test_who_comes_too_early_is_served_as_soon_as_there_is_a_clip(tab: ProbeTab):
    (answer,) = tab.on_open(None, None, 0)
    assert list(answer) == [tab.retry] and answer[tab.retry].active


def test_shuffled_anew_is_another_order(tab: ProbeTab, view: ExplorationView):
    *_, last = tab.on_again(view, 0)
    assert last[tab.seed] == 1
    report = json.loads(files(last[tab.links])[0].read_text())
    assert report["variants"]["shuffled"]["order"] == VARIANTS["shuffled"].order(8, 1).tolist()


def test_stopped_begins_anew_when_it_is_opened_again(tab: ProbeTab, view: ExplorationView):
    stopped = tab.on_cancel(view)
    assert stopped[tab.probed] is None and "Stopped" in stopped[tab.message]


def test_failure_is_told_and_leaves_the_last_result(
    tab: ProbeTab, view: ExplorationView, monkeypatch: pytest.MonkeyPatch
):
    def fail(*args: object) -> None:
        raise ValueError("The checkpoint is gone.")

    monkeypatch.setattr("app.tabs.probe.probe_time", fail)
    *_, last = tab.on_open(view, None, 0)
    assert "The checkpoint is gone." in last[tab.message] and tab.result not in last and tab.probed not in last
    assert not last[tab.cancel].interactive
