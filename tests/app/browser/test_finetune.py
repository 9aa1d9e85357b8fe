"""Fine-tune in a real Chromium: three clips, a run that outlives the page, before and after, and on to Explore."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from avd_core.networks.avd import AVD
from scripts.screenshot import free_port, served
from tests.app.browser.walking import SPREAD, go, look, opened
from tests.app.conftest import link_films

pytestmark = pytest.mark.browser

READY = "#tune-start:not([disabled])"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where that page's runs lie."""
    return tmp_path


@pytest.fixture
def own_page(environment: dict[str, str], films: Path, tiny_checkpoint: Path, home: Path) -> Iterator[str]:
    """A page that starts from `tiny`, with runs of its own."""
    folder = home
    own = {"GRADIO_SERVER_PORT": str(free_port()), "AVD_CHECKPOINT": str(tiny_checkpoint)}
    own |= {"AVD_RUNS": str(folder / "runs"), "GRADIO_TEMP_DIR": str(folder / "gradio"), "OMP_NUM_THREADS": "1"}
    link_films(films, folder / "gradio")
    with served({**os.environ, **environment, **own}, folder / "log.txt") as url:
        yield url
    assert "Traceback" not in (folder / "log.txt").read_text(), (folder / "log.txt").read_text()


def test_clips_are_learned_and_the_run_is_found_again(
    page, own_page: str, home: Path, clips: dict[str, Path], data_dir: Path | None, tmp_path: Path
):
    opened(page, own_page)
    go(page, "Fine-tune")
    page.locator("#tune-length label").nth(1).click()
    torn = tmp_path / "torn.mp4"
    torn.write_bytes(b"not a video")
    page.locator("#tune-upload input[type=file]").set_input_files([*clips.values(), torn])
    page.wait_for_selector(READY)
    expect(page.locator("[data-hold]")).to_have_count(3)
    assert re.search("kept back|short", page.inner_text("#tune-count"))  # moments of them, or they are too short
    expect(page.locator("[data-hold] em")).to_have_count(int("short" in page.inner_text("#tune-count")))
    assert "torn.mp4" in page.inner_text("#tune-notes")
    page.wait_for_selector("#tune-estimate b")
    page.wait_for_selector(READY)
    page.get_by_role("button", name="Advanced").click()
    page.wait_for_function("() => document.querySelector('#tune-command pre')?.textContent.includes('--held-out')")
    page.locator("#tune-preview_every input").fill("5")
    page.locator("#tune-preview_every input").blur()
    page.wait_for_function("() => document.querySelector('#tune-command pre')?.textContent.includes('preview_every=5')")
    look(page, "finetune-start")
    page.get_by_role("button", name="Advanced").click()
    page.locator("#tune-start").click()

    page.wait_for_selector(".tune-by-value polyline.made", state="attached", timeout=120_000)
    page.wait_for_function("() => document.querySelectorAll('.tune-stages img').length > 1")
    page.wait_for_function("() => [...document.querySelectorAll('.tune-stages img')].every((i) => i.naturalWidth > 0)")
    assert page.locator(".tune-stages img").first.evaluate(SPREAD) > 5
    expect(page.locator(".tune-by-power")).to_be_hidden()
    page.locator("[data-tune=log]").click()
    expect(page.locator(".tune-by-power")).to_be_visible()
    expect(page.locator(".tune-by-value")).to_be_hidden()
    step = _step(page)

    page.reload()
    page.wait_for_selector("#links a", state="attached")
    go(page, "Fine-tune")
    page.wait_for_selector("#tune-stop:visible")
    page.wait_for_function(f"() => /step \\d+/.test({STATUS}) && +{STATUS}.match(/step (\\d+)/)[1] > {step}")
    page.locator("#tune-stop").click()
    page.wait_for_selector("#tune-resume:visible")
    stopped = _step(page)
    page.wait_for_selector(".tune-sides")
    page.locator("#tune-resume").click()
    page.wait_for_function(f"() => /step \\d+/.test({STATUS}) && +{STATUS}.match(/step (\\d+)/)[1] > {stopped}")
    page.locator("#tune-stop").click()
    page.wait_for_selector(".tune-sides")

    page.wait_for_function("() => document.querySelector('.tune-sides canvas')?.drawnPicture")
    judged = 1 if data_dir is None else 3  # rendered clips are too short: one of them is kept back whole
    expect(page.locator(".tune-side dl")).to_have_count(2 * judged)  # of each a moment, before and after
    assert "before" in page.inner_text(".tune-lead")
    look(page, "finetune-end")
    with page.expect_download() as download:
        page.get_by_role("link", name="Checkpoint, ZIP").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        archive.extractall(tmp_path / "mine")
    trained = AVD.from_pretrained(tmp_path / "mine")

    page.locator("#tune-use").click()
    page.wait_for_function(
        "() => document.querySelector('#status .status:not(.busy)')?.textContent.includes('my-clips')"
    )
    assert trained.fingerprint in page.inner_text("#details")
    expect(page.locator("#settings input").first).to_have_value("one moment · my-clips")
    assert "checkpoint" not in page.url, "a path of the server is nothing for an address"
    page.reload()
    page.wait_for_selector("#links a", state="attached")
    go(page, "Fine-tune")
    page.wait_for_selector("[data-run]")  # the secret has been read, so the visitor's checkpoints are known
    go(page, "Explore")
    page.locator("#settings input").first.click()
    expect(page.get_by_role("option", name="my-clips")).to_be_visible()
    page.keyboard.press("Escape")

    stranger = page.context.browser.new_context().new_page()
    opened(stranger, own_page)
    go(stranger, "Fine-tune")
    stranger.wait_for_function("() => localStorage.getItem('avd-finetune')")  # answered, by a secret of its own
    expect(stranger.locator("[data-run]")).to_have_count(0)
    stranger.context.close()

    go(page, "Fine-tune")
    page.locator("#tune-delete").click()
    expect(page.locator("[data-run]")).to_have_count(1)
    assert page.inner_text("#tune-delete") == "Delete for good?"
    page.locator("#tune-delete").click()
    page.wait_for_selector("#tune-runs .hint")
    assert not list((home / "runs").glob("*/ticket.json"))


STATUS = "document.querySelector('#tune-status')?.textContent"


def _step(page) -> int:
    return page.evaluate(f"() => +{STATUS}.match(/step (\\d+)/)[1]")
