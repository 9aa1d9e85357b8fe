"""A clip recorded with the visitor's camera, which Chromium plays itself."""

from __future__ import annotations

import pytest

from tests.app.browser.walking import opened

pytestmark = pytest.mark.browser
# The recorder's one button, which says what it does in words and never takes its first label back.
BUTTON = "#camera-video button"
# How many pictures of the camera it has shown.
SHOWN = "document.querySelector('#camera-video video').getVideoPlaybackQuality().totalVideoFrames"


def test_a_recording_is_explored_and_the_camera_closes(page, page_url: str):
    opened(page, page_url)
    page.locator("#camera-button").click()
    page.locator(BUTTON).filter(has_text="Access Webcam").click()
    page.locator(BUTTON).filter(has_text="Record").click()
    page.locator(BUTTON).filter(has_text="Stop").wait_for()
    shown = page.evaluate(SHOWN)
    page.wait_for_function(f"(before) => ({SHOWN}) >= before + 40", arg=shown)  # two seconds of film, however slow
    page.locator(BUTTON).filter(has_text="Stop").click()
    page.wait_for_function(
        "() => document.querySelector('#status .status:not(.busy) b')?.textContent === 'Your recording'"
    )
    assert not page.locator("#message .problem").count()
    assert page.locator("#camera-video").count() == 0
    assert page.inner_text("#camera-button") == "Record with your camera"
