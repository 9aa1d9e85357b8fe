"""The evidence's page: what is planted is said, nothing is fetched, and every number is evidence.json's."""

from __future__ import annotations

import csv
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from avd_core.analysis.intervals import scoreboard, scoreboard_table
from avd_core.evidence.html_report import evidence_page
from avd_core.evidence.protocols.degradation import CURVES, WORDS
from avd_core.evidence.protocols.recognition import by_class, wrong
from avd_core.evidence.report import NotMeasurable, Report, describe
from avd_core.evidence.runner import Outcome, about
from avd_core.evidence.writers import write


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    """Fifty clips: ours beats the middle frame, loses to motion history, and is the mean frame but for chance."""
    rng = np.random.default_rng(0)
    truth = np.repeat(["<wave>", "bend & lift"], 25)
    shares = {"ours": 0.6, "middle": 0.2, "mean": 0.6, "motion-history": 1.0}
    right = {name: (rng.permutation(50) < 50 * share).astype(float) for name, share in shares.items()}
    other = {"<wave>": "bend & lift", "bend & lift": "<wave>"}
    said = {
        name: np.array([label if hit else other[label] for label, hit in zip(truth, hits, strict=True)])
        for name, hits in right.items()
    }
    names = [f"set/<clip {n}>.mp4" for n in range(50)]
    board = scoreboard({"eye": right}, ["ours"], unseen=np.arange(50) >= 10)
    summary = {
        **board, **describe("Is it <there>?", "By looking."), "chance": 0.5, **by_class(truth, said),
        "failures": {"ours": wrong(names, truth, said["ours"])},
    }  # fmt: skip
    rows = [
        {"clip": names[n], "representation": name, "hit": float(h[n])} for name, h in right.items() for n in range(50)
    ]
    line = {damage: {"mean": 50.0, "low": 40.0, "high": 60.0, "over": "clips", "units": 50} for damage in WORDS}
    curves = {
        **describe("Does it stay?", "By wearing it.", unit="", scale=1),
        "curves": {"accuracy, %": {"ours": line}},
    }
    reports = {
        "recognition": Report("Recognition", summary, scoreboard_table(board), rows),
        "leakage": Report("Leakage", curves | {"order": CURVES, "words": WORDS}, "", rows[:2]),
        "layout": NotMeasurable("the weights <x> cannot be had"),
    }
    protocols = {
        name: {"title": one.title, **one.summary} if isinstance(one, Report) else {"not_measured": str(one)}
        for name, one in reports.items()
    }
    evidence = {
        "version": "0", "dataset": "folder", "folders": ["set"], "splits": None, "part": "all", "clips": 50,
        "clips_available": 50, "clips_to_fit_on": 0, "groups": None, "limit": None, "windows": 1, "missing": 3,
        "skipped": [{"clip": "set/torn.mp4", "reason": "it is torn"}], "about": about("folder", ["set"]),
        "checkpoints": {"ours": {"fingerprint": "abc", "frames": 16, "size": 112}}, "scorers": ["eye"],
        "protocols": protocols, "ablation": None,
        "shared_groups": {"groups": 3, "clips": 10, "clips_to_fit_on": 7},
    }  # fmt: skip
    return Outcome(evidence, reports)


class Reader(HTMLParser):
    """Everything that a page would fetch, every tag left open, and its text."""

    VOID = ("meta", "link", "img", "br")

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.open: list[str] = []
        self.ids: list[str] = []
        self.words = ""

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.fetched += [v for k, v in attributes if k in ("src", "href", "xlink:href") and v and v[0] != "#"]
        self.ids += [values["id"]] if "id" in values else []
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        self.words += f" {text}"


def test_the_page_is_whole_and_fetches_nothing(outcome):
    page = evidence_page(outcome.evidence)
    reader = Reader()
    reader.feed(page)
    assert not reader.open and reader.fetched == ["data:,"], "an icon that is nothing, so that none is asked for"
    assert "default-src 'none'" in page and "<script" not in page and "@import" not in page
    assert not re.search(r"url\((?!#)", page)
    assert page.count("<style") == 1, "a plot's own style would be the whole page's"
    assert len(reader.ids) == len(set(reader.ids)), "plots may not share ids"
    for reference in re.findall(r'url\(#([^)]+)\)|xlink:href="#([^"]+)"', page):
        assert (reference[0] or reference[1]) in reader.ids


def test_it_says_what_was_planted_and_what_it_is_not(outcome):
    reader = Reader()
    reader.feed(evidence_page(outcome.evidence))
    text = " ".join(reader.words.split())
    assert "This is not a result on UCF101, HMDB51 or Kinetics." in text
    assert "eye: ours beats middle (+40.0 [" in text and "cannot be told from mean (" in text
    assert "loses to motion-history (-40.0 [" in text
    assert "Is it <there>?" in text and "Guessing: 50.0%." in text
    assert "Not run, because the weights <x> cannot be had." in text
    assert "set/torn.mp4 it is torn" in text and "3 of the lists are not in the folder" in text
    named = re.findall(r"set/<clip \d+>\.mp4", text)
    assert len(named) == 12 and "bend & lift taken for <wave>" in text


def test_it_says_who_stands_on_both_sides_and_what_it_could_have_shown(outcome):
    reader = Reader()
    reader.feed(evidence_page(outcome.evidence))
    text = " ".join(reader.words.split())
    assert "3 people or source videos, with 10 of the clips that report and 7 of those to fit on" in text
    assert "The 40 clips of people or source videos that stand on no other side of the split, by themselves" in text
    mean = outcome.evidence["protocols"]["recognition"]["unseen"]["figures"]["eye"]["ours"]["mean"]
    assert f"by themselves eye, % ours {100 * mean:.1f} [" in text
    assert re.search(r"The smallest difference that these clips could have shown: eye \d+\.\d to \d+\.\d\.", text)
    plain = evidence_page({**outcome.evidence, "shared_groups": None})
    assert "on both sides" not in plain


def test_the_official_sets_are_called_by_their_names():
    assert about("ucf101", ["UCF-101"]) == "Measured on UCF101, by its official split."
    assert "not a result" not in about("kinetics", ["k400"])
    part = about("ucf101", ["UCF-101"], here=98, missing=3685, classes=14)
    assert "Only 98 of the 3783 clips that report are here, of 14 classes" in part


def test_every_table_cell_is_a_figure_of_the_json(outcome):
    page = evidence_page(outcome.evidence)
    figures = outcome.evidence["protocols"]["recognition"]["figures"]["eye"]
    for name, one in figures.items():
        mean, low, high = (f"{100 * one[key]:.1f}" for key in ("mean", "low", "high"))
        assert re.search(rf'<th scope="row">{name}</th><td><b>{mean}</b> <span>\[{low}, {high}\]</span>', page)
    assert page.count('class="ours"') == 2, "in the table and in that of unseen groups"


def test_what_is_written(outcome, tmp_path):
    write(tmp_path / "out", outcome)
    names = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")}
    assert names == {
        "evidence.json", "report.html", "tables.csv", "verdicts.csv", "recognition.csv", "leakage.csv",
        "plots/recognition.png", "plots/recognition-by-class.png", "plots/recognition-confusion-ours.png",
        "plots/leakage-curves.png",
    }  # fmt: skip
    with open(tmp_path / "out" / "tables.csv", newline="") as file:
        rows = {(row["protocol"], row["measured"], row["representation"]): row for row in csv.DictReader(file)}
    assert float(rows["recognition", "eye", "middle"]["mean"]) == pytest.approx(20)
    assert float(rows["leakage", "accuracy, %, jpeg-50", "ours"]["high"]) == 60
    with open(tmp_path / "out" / "verdicts.csv", newline="") as file:
        verdicts = {row["against"]: row["verdict"] for row in csv.DictReader(file)}
    assert verdicts == {"middle": "beats", "mean": "cannot be told from", "motion-history": "loses to"}
    assert (tmp_path / "out" / "plots" / "recognition.png").read_bytes()[:4] == b"\x89PNG"
