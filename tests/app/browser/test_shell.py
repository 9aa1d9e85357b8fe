"""A real Chromium comes in by a link, comes back to what it saw, leaves with everything, and is told on to nobody."""

from __future__ import annotations

import json
import os
import threading
import zipfile
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import expect

from app.ui import build_app, launch_options
from avd_core.examples import scenes
from avd_core.explore.explorer import Explorer
from scripts.screenshot import free_port
from tests.app.browser.walking import FINISHED, look, opened, upload
from tests.app.conftest import link_films

pytestmark = pytest.mark.browser

SECOND = list(scenes.SCENES)[1]
HERE = {"127.0.0.1", "localhost", "::1", "0.0.0.0"}


def asked_for(page) -> dict[str, str]:
    return {key: values[0] for key, values in parse_qs(urlsplit(page.url).query).items()}


def shown(page, text: str) -> None:
    """Waits until a finished result says `text` in its first line."""
    page.wait_for_function(
        "(text) => document.querySelector('#status .status:not(.busy)')?.innerText.includes(text)", arg=text
    )


def test_link_opens_what_it_says_and_follows_what_is_shown(page, page_url: str, rendered_clip: Path):
    title = scenes.SCENES[SECOND].title
    opened(page, page_url, f"?example={SECOND}&start=0.5&seconds=1&utm=kept")
    shown(page, "0.5–1.5 s")
    expect(page.locator("#link-problems")).to_be_hidden()
    assert title in page.inner_text("#status")
    page.wait_for_function("() => document.querySelector('#address [data-query]')")
    assert asked_for(page) == {"example": SECOND, "start": "0.5", "seconds": "1.0", "utm": "kept"}
    page.locator("[data-example]").first.click()
    shown(page, scenes.SCENES[next(iter(scenes.SCENES))].title)
    page.wait_for_function("() => !location.search.includes('example')")

    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator(f"[data-example={SECOND}]").click()
    shown(page, title)
    page.wait_for_function("(name) => location.search.includes(name)", arg=SECOND)
    page.get_by_role("button", name="Copy link").click()
    page.get_by_role("button", name="Copied").wait_for()
    link = page.evaluate("() => navigator.clipboard.readText()")
    assert parse_qs(urlsplit(link).query)["example"] == [SECOND]

    upload(page, rendered_clip)  # of one's own clip the address says nothing
    page.wait_for_function("() => !location.search.includes('example')")
    assert rendered_clip.stem not in page.url


def test_link_that_asks_in_vain_is_told_in_a_sentence(page, page_url: str):
    opened(page, page_url, "?example=%3Cb%3Enone%3C/b%3E&checkpoint=../../etc&start=nan&tab=nowhere")
    shown(page, scenes.SCENES[next(iter(scenes.SCENES))].title)
    told = page.inner_text("#link-problems")
    assert "“<b>none</b>”" in told and "“../../etc”" in told and "“nowhere”" in told and "part of the clip" in told
    page.get_by_role("button", name="Close this message").click()
    expect(page.locator("#link-problems .problem")).to_be_hidden()


def test_recent_results_come_back_at_once_after_a_reload_too_and_to_nobody_else(
    page, browser, page_url: str, clips: dict[str, Path]
):
    one, two = clips[".avi"], clips[".gif"]
    opened(page, page_url)
    upload(page, one)
    image, took = page.locator("#distilled").get_attribute("src"), page.inner_text("#details")
    upload(page, two)
    strip = page.locator("[data-recent]")
    page.wait_for_function("() => document.querySelectorAll('[data-recent]').length === 3")
    assert strip.first.get_attribute("aria-current") == "true" and two.name in strip.first.inner_text()
    look(page, "history")

    strip.filter(has_text=one.name).click()
    shown(page, one.name)
    assert page.locator("#distilled").get_attribute("src") == image
    assert page.inner_text("#details") == took, "computed anew it would have taken another time"
    expect(page.locator(".bars li")).to_have_count(5)
    assert one.name in page.inner_text("#preview")

    opened(page, page_url)
    page.wait_for_function("() => document.querySelectorAll('[data-recent]').length === 3")
    strip.filter(has_text=one.name).click()
    shown(page, one.name)
    page.wait_for_function("() => document.querySelector('#distilled').naturalWidth > 0")
    assert page.locator("#distilled").get_attribute("src") == image

    stranger = browser.new_context().new_page()
    opened(stranger, page_url)
    stranger.wait_for_function("() => document.querySelector('#address [data-query]')")  # comes with the history
    expect(stranger.locator("[data-recent]")).to_have_count(0)
    assert one.name not in stranger.content()
    folder = image.rsplit("/", 1)[0]  # with the address it is to be had, without it nothing leads there
    assert stranger.request.get(page_url + image).status == 200
    for place in (folder, folder.rsplit("/", 1)[0], folder.rsplit("/", 2)[0]):
        assert stranger.request.get(page_url + place).status in (403, 404), place
    stranger.context.close()


def test_everything_is_one_click(page, page_url: str):
    opened(page, page_url)
    with page.expect_download() as download:
        page.get_by_role("button", name="Everything, ZIP").click()
    assert download.value.suggested_filename == f"{next(iter(scenes.SCENES))}-everything.zip"
    with zipfile.ZipFile(download.value.path()) as archive:
        report = json.loads(archive.read("report.json"))
    assert f"{report['psnr']:.1f}" == page.inner_text(".restoration .figure b")
    page.get_by_role("button", name="Everything, ZIP").wait_for()  # and it can be had again


def test_settings_outlive_the_server(
    page, films: Path, tmp_path: Path, checkpoint: str, monkeypatch: pytest.MonkeyPatch
):
    """Chosen on one server, found again on the next one at the same address."""
    port = free_port()
    monkeypatch.setenv("AVD_CHECKPOINT", checkpoint)
    explorer = Explorer("cpu")  # the models are no part of this

    def server(number: int):
        folder = tmp_path / str(number)
        link_films(films, folder)
        monkeypatch.setenv("GRADIO_TEMP_DIR", str(folder))
        built = build_app(explorer)
        _, url, _ = built.launch(server_port=port, prevent_thread_lock=True, quiet=True, **launch_options())
        threading.Thread(target=built.preparations[0], daemon=True).start()  # Explore's; no other tab is opened
        return built, url

    first, url = server(1)
    opened(page, url)
    page.get_by_label("Strength of the overlay").fill("80")
    page.get_by_role("button", name="SSIM").click()
    page.get_by_role("button", name="Switch between light and dark").click()
    page.locator("#method input").click()
    page.get_by_role("option").nth(1).click()
    page.wait_for_function("() => JSON.parse(localStorage.getItem('avd-settings')).method === 'gradcam++'")
    page.locator("#classifier input").click()
    page.get_by_role("option", name="action", exact=True).click()
    page.wait_for_function("() => document.querySelector('#recognition')?.innerText.includes('What action takes')")
    page.goto("about:blank")
    first.close(verbose=False)

    second, url = server(2)
    opened(page, url)
    shown(page, scenes.SCENES[next(iter(scenes.SCENES))].title)
    expect(page.locator("#recognition")).to_contain_text("What action takes")
    expect(page.locator("#method input")).to_have_value("Grad-CAM++")
    expect(page.locator("#classifier input")).to_have_value("action")
    expect(page.locator(".metric.ssim")).to_be_visible()
    expect(page.get_by_label("Strength of the overlay")).to_have_value("80")
    expect(page.locator(".heat")).to_have_css("opacity", "0.8")
    page.wait_for_function("() => document.body.classList.contains('dark')")

    # What a hostile hand or an older page left is passed over.
    stored = {"strength": 1e9, "theme": "<b>", "metric": 7, "method": "../x", "classifier": {"a": 1}, "checkpoint": 5}
    for text in (json.dumps(stored), "[1, 2"):
        page.evaluate("(text) => localStorage.setItem('avd-settings', text)", text)
        opened(page, url)
        expect(page.locator("#method input")).to_have_value("Grad-CAM")
        expect(page.get_by_label("Strength of the overlay")).to_have_value("50")
        expect(page.locator(".metric.psnr")).to_be_visible()
        expect(page.locator("#message .problem")).to_be_hidden()
    page.goto("about:blank")
    second.close(verbose=False)


def test_nothing_is_told_to_any_other_machine(
    page, page_url: str, environment: dict[str, str], rendered_clip: Path, data_dir: Path | None
):
    """A whole visit: neither the browser nor the server asks anybody else, the one download of weights excepted."""
    asked: list[str] = []
    page.context.on("request", lambda request: asked.append(request.url))
    opened(page, page_url)
    upload(page, rendered_clip)
    page.get_by_role("button", name="SSIM").click()
    with page.expect_download():
        page.get_by_role("button", name="Everything, ZIP").click()
    page.locator("[data-recent]").last.click()
    page.wait_for_selector(FINISHED)
    hosts = {urlsplit(url).hostname for url in asked if not url.startswith(("data:", "blob:", "about:"))}
    assert hosts == {"127.0.0.1"}
    calls = set(Path(environment["CALLS"]).read_text().split())
    assert calls & HERE, "the spy sees what the server does"
    weights = set() if os.environ.get("TORCH_HOME") else {"download.pytorch.org"}
    assert calls - HERE <= weights
    assert page.locator("#privacy").inner_text().startswith("Privacy.")
    assert "6 hours" in page.inner_text("#privacy")
