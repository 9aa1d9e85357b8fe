"""Probe as a person walks through it: it begins by itself, plays in step, and can be stopped."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from avd_core.explore.time_probe import VARIANTS
from tests.app.browser.reels import drawn, stand_at
from tests.app.browser.walking import go, look, opened, pressed_at_once

pytestmark = pytest.mark.browser


def test_orders_are_probed_and_play_in_step(page, page_url: str):
    opened(page, page_url)
    go(page, "Probe")
    page.wait_for_selector("#probe-links a")
    drawn(page, ".variants .reel")
    assert page.locator(".variants canvas.reel").count() == len(VARIANTS)
    assert "forwards from backwards" in page.inner_text("#probe-result .finding")
    assert page.locator(".variants img").evaluate_all("(images) => images.every((image) => image.naturalWidth > 0)")
    stand_at(page, "#probe-result", 0)
    first = [reel.evaluate("(reel) => reel.toDataURL()") for reel in page.locator(".variants .reel").all()]
    stand_at(page, "#probe-result", 9)
    page.wait_for_function(  # frozen may stand still
        """(first) => [...document.querySelectorAll('.variants .reel')]
          .filter((reel, i) => reel.toDataURL() !== first[i]).length >= 5""",
        arg=first,
    )
    look(page, "probe")

    # What was probed is there again at once; another shuffle is another order, and can be stopped.
    go(page, "Explore")
    go(page, "Probe")
    expect(page.locator("#probe-links a")).to_have_count(1)
    shuffled = page.locator("[data-variant=shuffled] dl").inner_text()
    page.get_by_role("button", name="Shuffle anew").click()
    page.wait_for_function(
        "(was) => document.querySelector('[data-variant=shuffled] dl').innerText !== was"
        " && document.querySelector('#probe-cancel').disabled",
        arg=shuffled,
    )
    page.get_by_role("button", name="Shuffle anew").click()
    pressed_at_once(page, "#probe-cancel:enabled")
    page.wait_for_selector("#probe-message .problem")
    expect(page.locator("#probe-cancel")).to_be_disabled()
