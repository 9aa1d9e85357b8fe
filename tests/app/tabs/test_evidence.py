"""Evidence without a browser: what the tab says of a report, and what its handlers answer."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest

from app.context import PageContext
from app.render import evidence as render
from app.services.explorations import Explorations
from app.tabs.evidence import OWN, EvidenceTab
from avd_core.cli.main import main
from avd_core.evidence import published, runner
from avd_core.explore.explorer import Explorer
from avd_core.media.writer import write_mp4
from tests.app.conftest import visitor

CLASSES = ("left", "right")


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of sets, as `AVD_DATA` is: one set of two classes and four people."""
    root = tmp_path_factory.mktemp("sets")
    for label in CLASSES:
        (root / "shapes" / label).mkdir(parents=True)
        for person in range(4):
            frames = np.full((8, 64, 64, 3), 40 + 20 * person, np.uint8)
            for t in range(8):
                x = 6 * t if label == "right" else 50 - 6 * t
                frames[t, 20:40, x : x + 10] = 240
            write_mp4(root / "shapes" / label / f"p{person}.mp4", frames, 8)
    return root


@pytest.fixture(scope="module")
def reports(footage: Path, tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small report, made by the command."""
    folder = tmp_path_factory.mktemp("reports")
    command = ["evidence", str(footage / "shapes"), "--out", str(folder / "shapes"), "--group", "p([0-9])"]
    command += ["--checkpoints", str(tiny_checkpoint), "--protocols", "restoration", "recognition", "kernel-distance"]
    command += ["--name", "bars & boxes", "--classifier", "action", "--representations", "middle", "mean", "--through"]
    assert main(command) == 0
    return folder


@pytest.fixture(scope="module")
def tab(reports: Path, footage: Path, tiny_checkpoint: Path, tmp_path_factory) -> Iterator[EvidenceTab]:
    """The tab, laid out in a page that is not served."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("gradio")))
        patch.setenv("AVD_DATA", str(footage))
        patch.setattr(published, "REPORTS", reports)
        with gr.Blocks() as page, gr.Tabs() as tabs, gr.Tab("Evidence") as frame:
            context = PageContext(page, Explorations(Explorer("cpu")), str(tiny_checkpoint))
            context.tabs = tabs
            yield EvidenceTab(context, frame)


def test_the_first_report_shows_when_the_tab_opens(tab: EvidenceTab, reports: Path):
    shown = tab.on_open(None, None, None)
    assert shown[tab.report]["value"] if isinstance(shown[tab.report], dict) else shown[tab.report].value == "shapes"
    overview, answer = shown[tab.slots["overview"]], shown[tab.slots["answer"]]
    assert "This is not a result on UCF101, HMDB51 or Kinetics." in overview
    assert "tiny on bars &amp; boxes" in overview, "by the name that the command gave"
    held = json.loads((reports / "shapes" / "evidence.json").read_text())
    mean = held["protocols"]["restoration"]["figures"]["PSNR, dB"]["tiny"]["mean"]
    assert f"<b>{mean:.2f}</b>" in answer and "<svg" in answer
    assert tab.on_open("shapes", "restoration", None).keys() == {tab.checkpoint}, "what is shown stays"


def test_every_question_is_answered_and_what_was_not_run_says_so(tab: EvidenceTab):
    report = published.read_report(published.published()["shapes"])
    questions = dict((name, words) for words, name in render.questions(report))
    assert questions["kernel-distance"] == "kernel-distance (not run)"
    answers = {name: tab.on_question("shapes", name, None)[tab.slots["answer"]] for name in questions}
    assert "Not run, because a kernel distance needs at least 10 clips." in answers["kernel-distance"]
    assert "Each of the 4 groups is left out once" in answers["recognition"]
    ids = re.findall(r'\bid="([^"]+)"', answers["recognition"])
    assert len(ids) == len(set(ids)), "plots in one page may not share ids"


def test_the_clips_where_it_fails_open_in_explore_where_the_footage_is(tab: EvidenceTab, footage: Path, monkeypatch):
    answer = tab.on_question("shapes", "restoration", None)[tab.slots["answer"]]
    named = re.findall(r'data-clip="([^"]+)"', answer)
    assert sorted(named) == sorted(f"{label}/p{person}.mp4" for label in CLASSES for person in range(4))
    opened = tab.on_pick("shapes", None, SimpleNamespace(value=named[0]))
    opening = opened[tab.context.open_request]
    assert opening.clip == footage / "shapes" / named[0] and opening.window.whole
    for outside in ("../../secret.mp4", "left/none.mp4", "/etc/passwd"):
        refused = tab.on_pick("shapes", None, SimpleNamespace(value=outside))
        assert tab.context.open_request not in refused and "not here" in refused[tab.slots["message"]]
    monkeypatch.delenv("AVD_DATA")
    answer = tab.on_question("shapes", "restoration", None)[tab.slots["answer"]]
    assert "data-clip" not in answer and named[0] in answer, "without the footage names stay names"


def test_what_is_taken_for_what_can_be_chosen(tab: EvidenceTab):
    shown = tab.on_confused("shapes", "recognition", None, "middle")
    assert "<svg" in shown[tab.slots["confusion"]] and "middle: what is taken for what" in shown[tab.slots["confusion"]]
    assert "Choose another" in tab.on_confused("shapes", "recognition", None, "nobody")[tab.slots["message"]]


def test_a_report_is_listed_by_its_name_and_one_without_by_its_folder(
    reports: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(published, "REPORTS", tmp_path)
    held = json.loads((reports / "shapes" / "evidence.json").read_text())
    for folder, content in (("named", held), ("of-old", {**held, "name": ""}), ("torn", None)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "evidence.json").write_text(json.dumps(content)[: None if content else 2])
    assert published.names() == {"named": "bars & boxes", "of-old": "of old", "torn": "torn"}


def test_a_report_that_is_none_is_told(tab: EvidenceTab, reports: Path):
    (reports / "torn").mkdir()
    (reports / "torn" / "evidence.json").write_text('{"about": 1')
    assert "cannot be read" in tab.on_report("torn", None, None)[tab.slots["message"]]
    (reports / "torn" / "evidence.json").write_text("{}")
    assert "says nothing about" in tab.on_report("torn", None, None)[tab.slots["message"]]
    assert "no such report" in tab.on_report("../torn", None, None)[tab.slots["message"]]
    (reports / "torn" / "evidence.json").unlink()


def test_a_zip_of_ones_own_is_measured_and_its_clips_open(tab: EvidenceTab, footage: Path, tmp_path: Path, monkeypatch):
    archive = tmp_path / "mine.zip"
    with zipfile.ZipFile(archive, "w") as written:
        for path in sorted((footage / "shapes").glob("*/*.mp4")):
            written.write(path, f"mine/{path.parent.name}/{path.name}")
        written.writestr("mine/left/torn.mp4", b"no video")
    scorers = runner.load_scorers(["action"])
    monkeypatch.setattr(runner, "load_scorers", lambda names: scorers)
    steps = list(tab.on_upload(str(archive), tab.context.checkpoint, None, visitor()))
    assert 'class="status busy"' in steps[0][tab.slots["status"]]
    last = steps[-1]
    own = last[tab.own]
    assert own.evidence["clips"] == 8 and own.evidence["folders"] == ["mine"]
    assert "may stand on both sides" in last[tab.slots["overview"]] and "torn.mp4" in last[tab.slots["skipped"]]
    assert "report.html" in last[tab.slots["links"]]
    failed = own.evidence["protocols"]["restoration"]["failures"]["tiny"][0]["clip"]
    opening = tab.on_pick(OWN, own, SimpleNamespace(value=failed))[tab.context.open_request]
    assert opening.clip.is_file() and opening.title == failed.rpartition("/")[2]
    assert "left alone for long" in tab.on_pick(OWN, None, SimpleNamespace(value=failed))[tab.slots["message"]]


def test_a_zip_without_clips_is_told_and_another_can_be_dropped(tab: EvidenceTab, tmp_path: Path):
    archive = tmp_path / "none.zip"
    with zipfile.ZipFile(archive, "w") as written:
        written.writestr("note.txt", "nothing")
    last = list(tab.on_upload(str(archive), tab.context.checkpoint, None, visitor()))[-1]
    assert "holds none of" in last[tab.slots["message"]] and tab.own not in last


def test_a_cancelled_run_leaves_nothing_on_the_page(tab: EvidenceTab, footage: Path, tmp_path: Path):
    archive = tmp_path / "mine.zip"
    with zipfile.ZipFile(archive, "w") as written:
        for path in sorted((footage / "shapes").glob("*/*.mp4")):
            written.write(path, f"{path.parent.name}/{path.name}")
    going = tab.on_upload(str(archive), tab.context.checkpoint, None, visitor("b"))
    next(going)
    tab.on_cancel(visitor("b"))
    steps = list(going)
    assert all(tab.own not in step for step in steps) and tab.slots["answer"] not in steps[-1]
