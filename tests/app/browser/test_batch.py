"""Inspect many in a real Chromium: a zip becomes a grid, and a card opens in Explore."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.app.browser.walking import SPREAD, go, look, opened

pytestmark = pytest.mark.browser

FINISHED = "#batch-status .status:not(.busy)"


@pytest.fixture(scope="module")
def zipped(tmp_path_factory: pytest.TempPathFactory, clips: dict[str, Path]) -> Path:
    path = tmp_path_factory.mktemp("zip") / "clips.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(clips[".avi"], "set/sport/push ups.avi")
        archive.write(clips[".gif"], "set/spiel/Kricket — schön.gif")
        archive.write(clips[".mp4"], "set/sport/tai chi.mp4")
        archive.writestr("set/sport/torn.mp4", b"not a video")
    return path


def test_zip_becomes_a_grid_whose_cards_open(page, page_url: str, zipped: Path):
    opened(page, page_url)
    go(page, "Inspect many")
    page.locator("#batch-upload input[type=file]").set_input_files(zipped)
    page.wait_for_selector("[data-open]")
    page.wait_for_selector(FINISHED)
    assert "3 clips" in page.inner_text("#batch-status") and "torn.mp4" in page.inner_text("#batch-notes")
    page.wait_for_function("() => [...document.querySelectorAll('[data-open] img')].every((i) => i.naturalWidth > 0)")
    pictures = page.locator("[data-open] img").all()
    assert len(pictures) == 3 and all(picture.evaluate(SPREAD) > 5 for picture in pictures)
    page.locator("#batch-order input").click()
    page.get_by_role("option", name="Class").click()
    page.wait_for_selector(".batch .class")
    assert [text.split()[0] for text in page.locator(".batch .class").all_inner_texts()] == ["spiel", "sport"]
    look(page, "batch")

    with page.expect_download() as download:
        page.get_by_role("link", name="Figures, CSV").click()
    assert "Kricket — schön.gif" in Path(download.value.path()).read_text(encoding="utf-8-sig")
    card = page.locator("[data-open]").nth(0)
    card.focus()
    page.keyboard.press("Enter")
    page.wait_for_function(
        "() => document.querySelector('#status .status:not(.busy) b')?.textContent === 'Kricket — schön.gif'"
    )
    go(page, "Inspect many")
    expect(page.locator("[data-open]")).to_have_count(3)  # the grid is still there


def test_long_work_is_cancelled(page, page_url: str, clips: dict[str, Path], tmp_path: Path):
    copies = []
    for number in range(30):
        copies.append(tmp_path / f"{number:02d}.mp4")
        copies[-1].write_bytes(clips[".mp4"].read_bytes())
    opened(page, page_url)
    go(page, "Inspect many")
    page.locator("#batch-upload input[type=file]").set_input_files(copies)
    page.wait_for_selector("[data-open]")
    page.get_by_role("button", name="Cancel").click()
    page.wait_for_selector(FINISHED)
    expect(page.locator("#batch-upload")).to_be_visible()  # the work's last word: nothing comes after it
    said = page.inner_text("#batch-status")
    assert "cancelled" in said and "of 30" in said
    count = page.locator("[data-open]").count()
    expect(page.locator(".thumb.coming")).to_have_count(0)
    assert 1 <= count < 30
    assert page.inner_text("#batch-status") == said and page.locator("[data-open]").count() == count
