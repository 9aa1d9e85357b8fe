"""Everything in one zip: its files are those of the command, and its page says what report.json says, offline."""

from __future__ import annotations

import json
import re
import zipfile
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from avd_core.analysis.metrics import psnr
from avd_core.atomic_io import OutputError
from avd_core.cli.main import main
from avd_core.explore.explorer import Explorer, ExploreRequest
from avd_core.explore.line_plot import BOTTOM, HEIGHT, TOP
from avd_core.explore.report_page import report_page, write_bundle
from avd_core.explore.results import Exploration
from avd_core.media.video import read_clip

FILES = {"report.html", "report.json", "distilled.png", "cam.png", "original.mp4", "restored.mp4", "comparison.mp4"}


@pytest.fixture(scope="module")
def exploration(real_clip: Path, tiny_checkpoint: Path) -> Exploration:
    return Explorer("cpu").explore(ExploreRequest(real_clip, str(tiny_checkpoint)))


@pytest.fixture(scope="module")
def folder(exploration: Exploration, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The zip, unpacked."""
    folder = tmp_path_factory.mktemp("bundle")
    zipfile.ZipFile(write_bundle(exploration, folder / "everything.zip")).extractall(folder / "all")
    return folder / "all"


class Figures(HTMLParser):
    """What the page's `<data>` elements say: (where in the report, exact value, shown text)."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[list[str]] = []
        self._inside = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self._inside = tag == "data"
        if self._inside:
            values = dict(attrs)
            self.found.append([values["data-of"], values["value"], ""])

    def handle_data(self, text: str) -> None:
        if self._inside:
            self.found[-1][2] += text

    def handle_endtag(self, tag: str) -> None:
        self._inside = False


def at(report: dict, path: str):
    for key in path.split("/"):
        report = report[int(key) if isinstance(report, list) else key]
    return report


def test_zip_holds_everything(folder: Path, exploration: Exploration, tmp_path: Path):
    names = {str(path.relative_to(folder)) for path in folder.rglob("*.*")}
    count = len(exploration.clip.frames)
    frames = {f"frames/{kind}_{k:02d}.png" for kind in ("original", "restored") for k in range(count)}
    assert names == FILES | frames
    saved = exploration.save(tmp_path / "out")
    for path in (saved.distilled, saved.cam, saved.report):
        assert (folder / path.name).read_bytes() == path.read_bytes(), path.name
    for path in (saved.restored, saved.comparison):  # x264 with several threads does not make the same bytes twice
        ours, theirs = (
            read_clip(file, frames=count, size=64, whole=True).frames for file in (folder / path.name, path)
        )
        assert psnr(ours, theirs) > 40, path.name


def test_every_figure_of_the_page_is_that_of_the_report(folder: Path, exploration: Exploration):
    html, report = (folder / "report.html").read_text(), json.loads((folder / "report.json").read_text())
    figures = Figures(html).found
    for path, exact, shown in figures:
        value = at(report, path)
        assert float(exact) == value, path
        digits = len(shown.partition(".")[2])
        factor = 100 if path.endswith("probability") else 1
        assert float(shown) == pytest.approx(value * factor, abs=0.51 * 10**-digits), path
    said = {path for path, *_ in figures}
    wanted = {metric + suffix for metric in ("psnr", "ssim") for suffix in ("", "_middle_copy", "_mean_copy")}
    wanted |= {f"per_frame/psnr/{k}" for k, value in enumerate(report["per_frame"]["psnr"]) if value is not None}
    wanted |= {f"topk/{k}/probability" for k in range(5)} | {f"seconds/{step}" for step in report["seconds"]}
    assert wanted | {"frames", "fps", "clip/window/start", "clip/window/seconds", "clip/seconds"} <= said
    for word in (report["checkpoint"], report["fingerprint"], report["clip"]["name"], report["topk"][0]["label"]):
        assert word in html, word
    # Beside these, no number that the report does not know: no digits outside of them but the words' own.
    bare = re.sub(r"<style>.*?</style>|<svg.*?</svg>|<data.*?</data>|<code>.*?</code>|<[^>]*>", " ", html, flags=re.S)
    bare = unescape(bare)
    ours = {"3", "8", "1", "0", "25", "50", "75", "100", *(str(k + 1) for k in range(report["frames"]))}
    names = re.sub(r"[\W_]", " ", f"{report['clip']['name']} {report['classifier']} {report['version']}").split()
    texts = " ".join(report["notes"]) + report["clip"]["codec"] + report["clip"]["container"]
    for number in re.findall(r"\d+(?:\.\d+)?", bare):
        assert number in ours or number in texts or any(number in name for name in [*names, report["version"]]), number


def test_plotted_points_are_the_values(folder: Path):
    html, report = (folder / "report.html").read_text(), json.loads((folder / "report.json").read_text())
    for metric, svg in zip(("psnr", "ssim"), re.findall(r'<svg class="plot".*?</svg>', html, re.S), strict=True):
        low, high = (float(re.search(rf'data-{end}="([^"]+)"', svg).group(1)) for end in ("low", "high"))
        for kind, suffix in {"made": "", "middle": "_middle_copy", "mean": "_mean_copy"}.items():
            points = re.search(rf'<polyline class="{kind}" points="([^"]+)"', svg).group(1).split()
            drawn = [high - (float(p.split(",")[1]) - TOP) / (HEIGHT - TOP - BOTTOM) * (high - low) for p in points]
            values = report["per_frame"][metric + suffix]
            known = [(d, v) for d, v in zip(drawn, values, strict=True) if v is not None]
            assert [d for d, _ in known] == pytest.approx([v for _, v in known], abs=1e-4 * (high - low)), kind


def test_page_escapes_what_a_file_says(exploration: Exploration, tmp_path: Path):
    hostile = "<script>alert(1)</script>"
    report = exploration.report()
    report |= {
        "checkpoint": hostile,
        "notice": hostile,
        "notes": [hostile],
        "topk": [{"label": hostile, "probability": 1.0}],
    }
    report["clip"] = report["clip"] | {"name": hostile, "codec": hostile}
    files = exploration.save(tmp_path)
    shown = {"distilled": files.distilled, "cam": files.cam, "comparison": files.comparison}
    html = report_page(report, shown, exploration.clip.frames, exploration.restored)
    assert "<script" not in html and html.count("&lt;script&gt;alert(1)") >= 6


def test_zip_that_cannot_be_written_is_told(exploration: Exploration, tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="is a file"):
        write_bundle(exploration, tmp_path / "file" / "all.zip")


def test_command_writes_the_zip(rendered_clip: Path, tiny_checkpoint: Path, tmp_path: Path):
    arguments = ["explore", str(rendered_clip), "--checkpoint", str(tiny_checkpoint), "--classifier", "action"]
    assert main([*arguments, "--out", str(tmp_path / "plain")]) == 0
    assert not (tmp_path / "plain" / "everything.zip").exists()
    assert main([*arguments, "--out", str(tmp_path), "--zip"]) == 0
    with zipfile.ZipFile(tmp_path / "everything.zip") as archive:
        assert archive.read("report.json") == (tmp_path / "report.json").read_bytes()


@pytest.mark.browser
def test_page_opens_by_itself(folder: Path, tmp_path: Path, browser):
    """Alone in another folder: pictures and video are there, nothing is asked of anybody, nothing hangs over."""
    page_file = tmp_path / "report.html"
    page_file.write_bytes((folder / "report.html").read_bytes())
    for scheme, width in (("light", 1280), ("dark", 390)):
        page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
        asked, said = [], []
        page.on("request", lambda request, asked=asked: asked.append(request.url))
        page.on("console", lambda message, said=said: said.append(message.text))
        page.goto(page_file.as_uri())
        page.wait_for_function("() => document.querySelector('video').currentTime > 0")
        assert page.evaluate("() => [...document.images].every((image) => image.naturalWidth > 0)")
        assert {url for url in asked if not url.startswith("data:")} == {page_file.as_uri()} and not said
        assert page.evaluate("() => document.documentElement.scrollWidth - innerWidth") <= 0
        background = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
        assert (np.mean([int(c) for c in re.findall(r"\d+", background)]) < 64) == (scheme == "dark")
        assert page.pdf()[:5] == b"%PDF-"
        page.close()
