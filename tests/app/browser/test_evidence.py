"""Evidence in a real Chromium: what is published is read, and a zip of one's own measured until a clip of it opens."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect

from avd_core.evidence.published import names
from avd_core.media.writer import write_mp4
from tests.app.browser.walking import go, look, opened

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def zipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes, three clips of each: a bar that moves to the left or to the right."""
    folder = tmp_path_factory.mktemp("zip")
    with zipfile.ZipFile(folder / "bars.zip", "w") as archive:
        for label in ("left", "right"):
            for number in range(3):
                frames = np.full((8, 64, 64, 3), 60 + 30 * number, np.uint8)
                for t in range(8):
                    x = 6 * t if label == "right" else 48 - 6 * t
                    frames[t, 10 * number : 10 * number + 20, x : x + 14] = (230, 90, 40)
                clip = write_mp4(folder / f"{label}-{number}.mp4", frames, 8)
                archive.write(clip, f"bars/{label}/{clip.name}")
    return folder / "bars.zip"


def test_a_published_report_is_read(page, page_url: str):
    opened(page, page_url)
    go(page, "Evidence")
    page.wait_for_selector("#evidence-answer svg")
    page.locator("#evidence-report input").click()
    offered = [text.strip("✓\n ") for text in page.get_by_role("option").all_inner_texts()]  # one is ticked
    assert offered == list(names().values())
    page.get_by_role("option", name="gestures", exact=True).click()
    page.wait_for_function("() => document.querySelector('#evidence-overview')?.innerText.includes('200 of 2 people')")
    page.locator("#evidence-question input").click()
    page.get_by_role("option", name="Can the clip's class be read off one image of it?").click()
    page.wait_for_selector("#protocol-recognition")
    for name in ("robust", "motion-history", "ordered frames"):
        assert name in page.inner_text("#protocol-recognition")
    look(page, "evidence-published")
    # A report that does not know the question shown, and back: the page's log may hold no error.
    for name, told in (("realism of all", "real frame"), ("gestures worn", "survive"), ("gestures", "comes back")):
        page.locator("#evidence-report input").click()
        page.get_by_role("option", name=name, exact=True).click()
        expect(page.locator("#evidence-report input")).to_have_value(name)
        expect(page.locator("#evidence-answer")).to_contain_text(told)
        expect(page.get_by_text("not in the list of choices")).to_have_count(0)


def test_a_zip_of_ones_own_is_measured_and_a_clip_of_it_opens(page, page_url: str, zipped: Path):
    page.set_default_timeout(300_000)
    opened(page, page_url)
    go(page, "Evidence")
    page.wait_for_selector("#evidence-upload input[type=file]", state="attached")
    page.locator("#evidence-upload input[type=file]").set_input_files(zipped)
    page.wait_for_selector("#evidence-status .busy")
    expect(page.get_by_role("button", name="Cancel")).to_be_visible()
    # A published report may stand there already.
    page.wait_for_function("() => document.querySelector('#evidence-overview')?.innerText.includes('6 clips')")
    assert "6 clips" in page.inner_text("#evidence-overview")
    assert "not a result on UCF101, HMDB51 or Kinetics" in page.inner_text("#evidence-overview")
    page.wait_for_selector("#evidence-answer svg")
    look(page, "evidence")

    page.locator("#evidence-question input").click()
    page.get_by_role("option", name="Can the clip's class be read off one image of it?").click()
    page.wait_for_function("() => document.querySelector('#protocol-recognition')")
    page.locator("#evidence-confused input").click()
    page.get_by_role("option", name="middle", exact=True).click()
    page.wait_for_selector("#evidence-confusion svg")

    page.locator("#evidence-question input").click()
    page.get_by_role("option", name="How much of the clip comes back from one image of it?").click()
    page.wait_for_selector("#protocol-restoration .ev-open")
    name = page.locator(".ev-open").first.inner_text().rpartition("/")[2]
    with page.expect_download() as download:
        page.get_by_role("link", name="Report, HTML").click()
    assert "What follows" in Path(download.value.path()).read_text(encoding="utf-8")
    page.locator(".ev-open").first.click()
    page.wait_for_function(
        "(name) => document.querySelector('#status .status:not(.busy) b')?.textContent === name", arg=name
    )
