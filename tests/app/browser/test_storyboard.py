"""The Storyboard tab in a real Chromium: a long video becomes a strip, plays, opens in Explore, goes and comes back."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

import pytest
from playwright.sync_api import TimeoutError, expect

from avd_core.media import writer
from tests.app.browser.walking import go, look, opened
from tests.core.explore.storyboard.films import write_film

pytestmark = pytest.mark.browser

FINISHED = "([title, count]) => document.querySelector('#story-status .status:not(.busy) b')?.textContent === title " \
    "&& document.querySelectorAll('.tile').length === count"  # fmt: skip


@pytest.fixture(scope="module")
def film(data_dir: Path | None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two shots: of a camera where there are such."""
    path = tmp_path_factory.mktemp("films") / "film.mp4"
    if data_dir is None:
        return write_film(path, [60, 100], fps=20)
    names = ("ucf101_CricketShot.gif", "ucf101_WallPushups.avi")
    return writer.join([data_dir / "clips" / name for name in names], path)


@pytest.fixture
def tab(page, page_url: str):
    """A visitor who has opened the tab."""
    opened(page, page_url)
    go(page, "Storyboard")
    page.wait_for_selector("#story-upload")
    return page


def drop(page, path: Path) -> None:
    page.locator("#story-upload input[type=file]").set_input_files(path)


def made(page, film: Path) -> int:
    """Waits for the strip of a film; returns how many images it has."""
    drop(page, film)
    page.wait_for_function(
        "(title) => document.querySelector('#story-status .status:not(.busy) b')?.textContent === title", arg=film.name
    )
    return page.locator(".tile").count()


def test_a_long_video_becomes_a_strip_that_plays(tab, film: Path):
    page = tab
    drop(page, film)
    page.wait_for_selector("#story-cancel:visible")
    # The first image is there before the last.
    page.wait_for_function("() => document.querySelector('.cinema.pending') && document.querySelector('.tile')")
    images = made(page, film)
    expect(page.locator("#story-cancel")).to_be_hidden()
    assert images == 5  # of 2 s each at most
    expect(page.locator(".tile.cut")).to_have_count(2)
    assert page.evaluate("[...document.querySelectorAll('.tile img')].every((image) => image.naturalWidth > 0)")
    assert "kB" in page.inner_text(".card.cost") and "mean frames as stills" in page.inner_text(".card.loss")
    look(page, "storyboard")

    page.get_by_role("button", name="Speed").click()
    page.get_by_role("button", name="Play the whole film").click()
    page.wait_for_function("() => document.querySelector('.cinema .restored video').currentTime > 0.8")
    original, restored = page.evaluate("[...document.querySelectorAll('.cinema video')].map((v) => v.currentTime)")
    assert original == pytest.approx(restored, abs=0.5)
    # A click on an image plays from there, and the strip says which one plays.
    page.locator(".tile .seek").last.click()
    page.wait_for_function("() => [...document.querySelectorAll('.tile')].at(-1).classList.contains('now')")
    start = float(page.locator(".tile").last.get_attribute("data-start"))
    assert page.evaluate("document.querySelector('.cinema .restored video').currentTime") >= start
    # The keyboard walks along the strip.
    page.locator(".tile .seek").last.focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("[...document.querySelectorAll('.seek')].indexOf(document.activeElement)") == 1
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelectorAll('.tile')[1].classList.contains('now')")


def test_a_first_visitor_finds_a_finished_strip(tab):
    page = tab
    end = time.monotonic() + 180  # it is made after the examples of Explore, and shown when the tab is opened
    while not page.locator(".tile").count() and time.monotonic() < end:
        go(page, "Explore")
        go(page, "Storyboard")
        with suppress(TimeoutError):
            page.wait_for_selector(".tile", timeout=1000)
    expect(page.locator(".tile.cut")).to_have_count(5)
    expect(page.locator(".cinema video")).to_have_count(2)
    before = page.inner_text("#story-status")
    page.get_by_role("button", name="Five examples in a row").click()
    page.wait_for_function("(before) => document.querySelector('#story-status')?.innerText === before", arg=before)


def test_a_window_opens_in_explore_and_the_strip_stays(tab, film: Path):
    page = tab
    images = made(page, film)
    figure = page.locator(".tile").nth(1).locator("span").inner_text()
    page.locator(".tile .open").nth(1).click()
    page.wait_for_function(
        "(name) => document.querySelector('#status .status:not(.busy) b')?.textContent === name", arg=film.name
    )
    assert page.inner_text(".metric.psnr .figure b") == figure.removesuffix(" dB"), "Explore makes another image of it"
    go(page, "Storyboard")
    page.wait_for_function(FINISHED, arg=[film.name, images])
    # And the other way round: the clip in Explore becomes a strip of its own.
    page.get_by_role("button", name="Take the clip in Explore").click()
    page.wait_for_selector("#story-status .busy")
    page.wait_for_function(FINISHED, arg=[film.name, images])


def test_the_saved_zip_plays_and_a_bad_one_is_told(tab, film: Path, tmp_path: Path):
    page = tab
    images = made(page, film)
    with page.expect_download() as download:
        page.get_by_role("link", name="Strip that plays, ZIP").click()
    assert download.value.suggested_filename == "film-storyboard.zip"
    page.reload()  # whoever comes with it was never here
    page.wait_for_selector("#links a", state="attached")  # the address may have led to another tab
    go(page, "Storyboard")
    path = tmp_path / "from a friend.zip"
    download.value.save_as(path)
    drop(page, path)
    page.wait_for_function(FINISHED, arg=[path.name, images])
    expect(page.locator(".tile .open")).to_have_count(0)
    assert "video is not here" in page.inner_text(".card.loss")
    page.get_by_role("button", name="Play the whole film").click()
    page.wait_for_function("() => document.querySelector('.cinema .restored video').currentTime > 0.5")

    path.write_bytes(path.read_bytes()[:-100])
    drop(page, path)
    page.wait_for_selector("#story-message .problem")
    assert "no storyboard that can be played" in page.inner_text("#story-message")
    assert page.locator(".tile").count() == images


def test_cancel_brings_back_what_was_and_the_work_stops(tab, film: Path, tmp_path: Path):
    page = tab
    images = made(page, film)
    long = writer.join([film] * 8, tmp_path / "long.mp4", size=112)
    drop(page, long)
    page.wait_for_selector(".cinema.pending")
    page.get_by_role("button", name="Cancel").click()
    page.wait_for_function(FINISHED, arg=[film.name, images])
    # Said when the step that was under way has ended: nothing of that strip comes after it.
    expect(page.locator("#story-message")).to_contain_text(f"images of {long.name}")
    expect(page.locator("#story-cancel")).to_be_hidden()
    assert page.locator(".tile").count() == images
    assert made(page, film) == images  # nobody stands in the queue
