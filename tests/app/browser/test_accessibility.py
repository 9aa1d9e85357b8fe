"""The page for everybody: axe-core finds nothing serious, the keyboard is enough, motion stops for who wants none."""

from __future__ import annotations

from pathlib import Path

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import expect

from app.ui import TABS
from avd_core.media.distilled_png import read_distilled
from tests.app.browser.test_page import PLAYS
from tests.app.browser.walking import FINISHED, go, opened

pytestmark = pytest.mark.browser

# What stands on the page at first has settled, without the colours of a change of theme that is still under way.
AT_ONCE = "*, *::before, *::after { transition: none !important; animation: none !important; }"
AXE = """async ([scope, dark]) => {
  document.body.classList.toggle("dark", dark);
  const rules = dark ? { runOnly: ["color-contrast"] } : {};  // a theme changes colours and nothing else
  const { violations } = await axe.run(scope, { resultTypes: ["violations"], ...rules });
  return violations.filter(({ impact }) => ["serious", "critical"].includes(impact)).flatMap(
    ({ id, nodes }) => nodes.map(({ target, failureSummary }) => `${id} ${target}: ${failureSummary}`));
}"""
# The time in which a clip that plays by itself would have begun.
THIRTY_FRAMES = """() => new Promise((done) => {
  let count = 0;
  const next = () => (++count > 30 ? done() : requestAnimationFrame(next));
  next();
})"""
MOVES = "() => [...document.querySelectorAll('video')].filter((video) => !video.paused).length"


def test_axe_finds_nothing_serious_on_any_tab(page, page_url: str):
    opened(page, page_url)
    page.evaluate(AXE_SCRIPT)
    page.add_style_tag(content=AT_ONCE)
    found = {}
    for tab in TABS:
        go(page, tab.TITLE)
        page.wait_for_function("() => !document.querySelector('.progress-text, .status.busy')")
        # What stands around the tabs is looked at once, with the first of them.
        scope = "body" if tab is TABS[0] else f"#{tab.ID}-tab"
        for dark in (False, True):
            if serious := page.evaluate(AXE, [scope, dark]):
                found[tab.TITLE, "dark" if dark else "light"] = serious
    assert not found


def reach(page, query: str) -> None:
    """Presses the tabulator until what it is on fits."""
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate("(query) => document.activeElement.matches(query)", query):
            return
    pytest.fail(f"no way by keyboard to {query}")


def test_the_keyboard_alone_leads_from_a_clip_to_its_saved_image(page, page_url: str, rendered_clip: Path):
    opened(page, page_url)
    page.wait_for_function("() => !document.querySelector('.tiles .waiting')")  # the rail is replaced until then
    with page.expect_file_chooser() as chooser:  # Chromium has to hear of it well before the key
        reach(page, "#upload button")
        page.keyboard.press("Enter")
    chooser.value.set_files(rendered_clip)
    page.wait_for_function(
        "(name) => document.querySelector('#status .status:not(.busy) b')?.textContent === name", arg=rendered_clip.name
    )
    reach(page, ".handle.to")
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    reach(page, "[data-act=distill]")
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelector('#status')?.innerText.includes('0.0–1.5 s')")
    page.wait_for_selector(FINISHED)
    reach(page, "#links a")
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    _, info = read_distilled(download.value.path())
    assert download.value.suggested_filename == f"{rendered_clip.stem}-distilled.png" and info is not None


def test_nothing_moves_by_itself_for_who_wants_no_motion(page, browser, page_url: str):
    opened(page, page_url)
    page.wait_for_function(PLAYS)
    expect(page.locator(".stage .play")).to_have_attribute("aria-label", "Pause")
    context = browser.new_context(reduced_motion="reduce")
    still = context.new_page()
    opened(still, page_url)
    still.wait_for_function("() => [...document.querySelectorAll('.stage video')].every((one) => one.readyState > 1)")
    for tab in TABS:
        go(still, tab.TITLE)
        still.evaluate(THIRTY_FRAMES)
        assert still.evaluate(MOVES) == 0, tab.TITLE
        endless = (
            "() => document.getAnimations().filter((one) => one.effect.getTiming().iterations === Infinity).length"
        )
        assert still.evaluate(endless) == 0, tab.TITLE
    go(still, TABS[0].TITLE)
    expect(still.locator(".stage .play")).to_have_attribute("aria-label", "Play")
    still.locator(".stage .play").click()
    still.wait_for_function(PLAYS)
    context.close()
