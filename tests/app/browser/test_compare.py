"""Compare in a real Chromium: the clip of Explore in every representation, two of them in step."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.app.browser.walking import SPREAD, go, in_step, look, opened

pytestmark = pytest.mark.browser

FINISHED = """() => !document.querySelector("#compare-status .busy")
  && document.querySelectorAll(".rep:not(.coming)").length >= 9"""
TIMES = "() => [...document.querySelectorAll('.duel video')].map((video) => video.currentTime)"


def compared(page) -> list[str]:
    """Waits until the grid is whole; returns the cards' titles in their order."""
    page.wait_for_function(FINISHED)
    page.wait_for_selector(".duel video")
    return page.locator(".rep h3").all_inner_texts()


def test_visitor_compares_the_clip_of_explore(page, page_url: str):
    opened(page, page_url)
    title = page.inner_text("#status b >> nth=0")
    go(page, "Compare")
    page.wait_for_selector(".rep:not(.coming)")
    height = page.evaluate("document.querySelector('.reps').offsetHeight")
    titles = compared(page)
    assert title in page.inner_text("#compare-status") and "Mean frame" in titles and len(titles) >= 9
    now = page.evaluate("document.querySelector('.reps').offsetHeight")
    assert abs(now - height) < 0.08 * height, "the grid changed its shape while cards arrived"
    pictures = page.locator(".rep img").all()
    assert all(picture.evaluate(SPREAD) > 2 and picture.get_attribute("alt") for picture in pictures)

    told = page.locator(".rep dl div:first-child dd").all_inner_texts()
    figures = [float(text.split()[0]) for text in told if "dB" in text]
    assert len(told) == len(titles) and len(figures) >= 4 and figures == sorted(figures, reverse=True)
    page.locator("#compare-order input").click()
    page.get_by_role("option", name="As listed").click()
    page.wait_for_function(
        "(old) => [...document.querySelectorAll('.rep h3')].map((title) => title.textContent).join() !== old",
        arg=",".join(titles),
    )
    page.wait_for_function(f"() => ({TIMES})().every((time) => time > 0.3)")
    look(page, "compare")
    _play_two_in_step(page)


def _play_two_in_step(page) -> None:
    page.locator("#compare-b input").click()
    page.get_by_role("option", name="First frame, repeated").click()
    page.wait_for_function("() => document.querySelector('.duel .b')?.textContent.includes('First frame')")
    difference = page.get_by_alt_text("Where the two pictures differ")
    assert difference.evaluate(SPREAD) > 1
    page.wait_for_function("() => [...document.querySelectorAll('.duel video')].every((v) => v.readyState > 1)")
    page.get_by_label("Frame of the three clips").fill("5")
    page.wait_for_function("() => document.querySelector('.duel output')?.textContent.startsWith('6 /')")
    times = page.evaluate(TIMES)
    assert len(times) == 3 and max(times) - min(times) < 1e-3
    page.get_by_role("button", name="Play").click()
    in_step(page, TIMES, 1 / float(page.locator(".duel").get_attribute("data-fps")))
    with page.expect_download() as download:
        page.get_by_role("link", name="Contact sheet, PNG").click()
    assert download.value.suggested_filename.endswith("-compared.png")


def test_another_clip_is_compared_when_the_tab_is_opened_again(page, page_url: str):
    opened(page, page_url)
    go(page, "Compare")
    compared(page)
    page.get_by_role("button", name="Another clip").click()
    tile = page.locator("[data-example]").nth(1)
    other = tile.inner_text().strip()
    tile.click()
    page.wait_for_function(
        "(title) => document.querySelector('#status .status:not(.busy) b')?.textContent === title", arg=other
    )
    go(page, "Compare")
    page.wait_for_function(
        "(title) => document.querySelector('#compare-status')?.textContent.includes(title)", arg=other
    )
    page.locator("#compare-cancel").dispatch_event("click")  # it may be gone before a mouse gets there
    page.wait_for_function("() => !document.querySelector('#compare-status .busy')")
    expect(page.locator(".rep.coming")).to_have_count(0)
    expect(page.get_by_role("button", name="Cancel")).to_be_hidden()
    page.get_by_role("button", name="Compare again").click()
    page.wait_for_selector("#compare-status .busy")
    assert len(compared(page)) >= 9 and other in page.inner_text("#compare-status")
