"""The classifier's cards in a real Chromium: every frame under its map, the check, a slow method and its way out."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.app.browser.walking import look, opened, painted, upload

pytestmark = pytest.mark.browser

TIMES = "() => [...document.querySelectorAll('.stage video, .over-time video')].map((video) => video.currentTime)"


def test_every_frame_under_its_map_in_step_with_the_stage(page, page_url: str, clips: dict[str, Path]):
    opened(page, page_url)
    upload(page, clips[".avi"])
    page.locator("#through-button").click()
    page.wait_for_selector(".over-time")
    page.wait_for_function("() => [...document.querySelectorAll('.over-time video')].every((v) => v.currentTime > 0.3)")
    for query in (".over-time video:not(.heat)", ".over-time video.heat"):
        painted(page, query)
    # The slider below is the stage's own, once more; standing still, the figure is that frame's.
    page.get_by_label("Frame of the overlay").fill("5")
    page.wait_for_function("() => document.querySelector('.over-time output')?.textContent.startsWith('6 /')")
    page.wait_for_function(f"() => {{ const all = ({TIMES})(); return Math.max(...all) - Math.min(...all) < 0.02; }}")
    assert page.locator(".stage .transport output").inner_text().startswith("6 /")
    assert "in frame 6" in page.inner_text(".over-time .figure")
    page.locator(".probabilities i").nth(2).click(force=True)
    page.wait_for_function("() => document.querySelector('.over-time output')?.textContent.startsWith('3 /')")
    # The strength of the overlay is one for all, and asks no server.
    page.get_by_label("Strength of the overlay").fill("80")
    assert page.locator(".over-time .heat").evaluate("(video) => getComputedStyle(video).opacity") == "0.8"
    with page.expect_download() as download:
        page.get_by_role("link", name="Overlay, MP4").click()
    assert download.value.suggested_filename.endswith("cam.mp4")
    assert Path(download.value.path()).stat().st_size > 1000

    page.locator("#check-button").click()
    page.wait_for_selector("#faithfulness .conclusion", timeout=120_000)
    assert "faithfulness (ROAD)" in page.inner_text("#faithfulness")
    expect(page.locator(".over-time")).to_have_count(1)  # what was found before stays
    look(page, "look")


def test_a_slow_method_says_its_cost_and_can_be_cancelled(page, page_url: str):
    opened(page, page_url)
    heat = page.locator(".cam .heat").first.get_attribute("src")
    page.get_by_label("Method").click()
    slow = page.get_by_role("option", name="Score-CAM")
    assert "about" in slow.inner_text()
    slow.click()
    button = page.locator("#run-button")
    button.wait_for()
    assert "Run Score-CAM · about" in button.inner_text()
    button.click()
    page.wait_for_selector("#run-task .status.busy")
    page.locator("#run-cancel").click()
    button.wait_for()
    assert page.locator(".cam .heat").first.get_attribute("src") == heat, "the last result stays"
    # Cancelled, it holds nobody up: the next long thing starts and ends.
    page.locator("#through-button").click()
    page.wait_for_selector(".over-time")
