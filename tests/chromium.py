"""Where the real browser of the tests is: `python -m tests.chromium` prints it, or says how to get one."""

from __future__ import annotations

import os
import shutil
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
HOW_TO_GET_IT = (
    "The browser tests need Chromium: install it (Debian: apt-get install chromium) or set AVD_CHROMIUM to "
    "its path; `python -m pytest -m 'not browser'` runs the other tests."
)


def find() -> str | None:
    """Return the path of a Chromium: AVD_CHROMIUM, else on the PATH, else one that playwright installed."""
    named = os.environ.get("AVD_CHROMIUM")
    if named:
        return shutil.which(named)
    found = next(filter(None, map(shutil.which, NAMES)), None)
    return found or _of_playwright()


def _of_playwright() -> str | None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        return shutil.which(playwright.chromium.executable_path)


if __name__ == "__main__":
    sys.exit(None if find() else HOW_TO_GET_IT)
