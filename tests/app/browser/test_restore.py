"""Restore as a person walks through it: paint, take back, damage, draw the curves, drop a picture in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from avd_core.explore.explorer import Explorer
from tests.app.browser.reels import drawn, stand_at
from tests.app.browser.walking import go, look, opened

pytestmark = pytest.mark.browser

TOLD = "#restore-played .hint"


def told(page, words: str) -> None:
    page.wait_for_function(f"(words) => document.querySelector('{TOLD}')?.innerText.includes(words)", arg=words)


def test_an_image_is_painted_on_damaged_and_saved(page, page_url: str, tmp_path: Path):
    opened(page, page_url)
    go(page, "Restore")
    drawn(page, "[data-reel=after]")
    told(page, "Nothing is changed yet")
    assert page.locator("#restore-played .play").evaluate("(button) => button.classList.contains('playing')")
    assert "here to compare" in page.inner_text("#restore-status")

    drawn(page, ".board canvas")  # the easel's own image may come after the reels, and nothing is painted before it
    board = page.locator(".board canvas")
    box = board.bounding_box()
    board.hover(position={"x": 0.3 * box["width"], "y": 0.4 * box["height"]})  # waits until it stands still
    box = board.bounding_box()
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.4 * box["height"] + 20, steps=4)
    page.mouse.up()
    told(page, "changes most")
    stand_at(page, "#restore-played", 5)
    drawn(page, "[data-reel=heat]", above=18)  # all of it dark is 17
    figures = page.inner_text("#restore-figures")

    page.get_by_role("button", name="Undo").click()
    told(page, "Nothing is changed yet")
    expect(page.get_by_role("button", name="Undo")).to_be_disabled()
    for preset in ("Erase the middle", "Paste what moves elsewhere"):
        page.get_by_role("button", name=preset).click()
        told(page, "changes most")
    page.get_by_role("button", name="Reset").click()
    told(page, "Nothing is changed yet")

    slider = page.locator("#restore-noise input[type=range]")
    for _ in range(12):
        slider.press("ArrowRight")
    page.wait_for_selector(".closeness[data-noise='6']")
    page.wait_for_selector(".board .fed[src]:not([hidden])")
    assert page.inner_text("#restore-figures") != figures
    page.get_by_role("button", name="Erase what moves").click()
    told(page, "changes most")
    page.get_by_role("button", name="Draw the curves").click()
    page.wait_for_function(
        "() => [...document.querySelectorAll('.curve polyline.made')]"
        ".every((line) => line.getAttribute('points').split(' ').length === 9)"
    )
    page.wait_for_selector("#restore-cancel:disabled")
    expect(page.locator(".curve .dot:visible")).to_have_count(3)
    look(page, "restore")

    with page.expect_download() as download:
        page.get_by_role("link", name="Changed image, PNG").click()
    changed = tmp_path / "changed.png"
    download.value.save_as(changed)
    assert not Explorer("cpu").restore(changed).notes, "a painted image is still a distilled one"
    page.locator("#restore-drop input[type=file]").set_input_files(changed)
    page.wait_for_function("() => document.querySelector('#restore-status b')?.innerText === 'changed.png'")
    told(page, "Nothing is changed yet")
    assert page.locator("#restore-noise input[type=number]").input_value() == "0"


def test_a_photograph_and_a_crop_are_told_plainly(page, page_url: str, tmp_path: Path):
    photo, letter = tmp_path / "holiday.jpg", tmp_path / "letter.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)).save(photo)
    letter.write_text("Dear all")
    opened(page, page_url)
    go(page, "Restore")
    drawn(page, "[data-reel=after]")
    page.locator("#restore-drop input[type=file]").set_input_files(photo)
    page.wait_for_selector(".plain")
    assert "does not say that it was distilled" in page.inner_text("#restore-notes")
    look(page, "restore-photograph")
    page.locator("#restore-drop input[type=file]").set_input_files(letter)
    page.wait_for_selector("#restore-message .problem")
    assert "letter.png" in page.inner_text("#restore-message")
    assert page.inner_text("#restore-status b").startswith("holiday"), "the last image stays"
    page.get_by_role("button", name="Take the image in Explore").click()
    page.wait_for_function("() => document.querySelector('#restore-notes')?.innerText.trim() === ''")
