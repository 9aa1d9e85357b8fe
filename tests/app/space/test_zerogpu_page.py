"""The page on a ZeroGPU Space, with the real `spaces` package, as far as a machine without a GPU goes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from gradio_client import Client, handle_file
from playwright.sync_api import expect

from scripts.screenshot import free_port, served
from tests.app.browser.walking import go, opened, painted
from tests.app.conftest import link_films
from tests.zerogpu import DeviceServer

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def device_server() -> Iterator[DeviceServer]:
    server = DeviceServer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def zerogpu_url(
    environment: dict[str, str], films: Path, device_server: DeviceServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A page that takes its machine for a ZeroGPU Space."""
    folder = tmp_path_factory.mktemp("zerogpu")
    own = {"GRADIO_SERVER_PORT": str(free_port()), "GRADIO_TEMP_DIR": str(folder / "gradio")}
    own |= {"AVD_RUNS": str(folder / "runs")} | device_server.environment()
    link_films(films, folder / "gradio")
    with served({**os.environ, **environment, **own}, folder / "log.txt") as url:
        yield url
    assert "CUDA init" not in (folder / "log.txt").read_text(), (folder / "log.txt").read_text()


def test_what_a_first_visitor_does_is_computed_on_the_cpu(
    page, zerogpu_url: str, device_server: DeviceServer, rendered_clip: Path, tmp_path: Path
):
    client = Client(zerogpu_url, verbose=False, download_files=tmp_path, analytics_enabled=False)
    clip = handle_file(rendered_clip)
    *_, report = client.predict(clip=clip, api_name="/explore")
    assert report["psnr"] > 15 and report["topk"]
    image, facts = client.predict(clip=clip, api_name="/distill")
    _, played = client.predict(image=handle_file(image), api_name="/restore")
    assert played["fingerprint"] == facts["fingerprint"]
    *_, compared = client.predict(clip=clip, checkpoints="tiny", api_name="/compare")
    assert compared["rows"]

    opened(page, zerogpu_url)
    painted(page, "#distilled")
    assert device_server.paths() == ["/startup-report"], "a GPU was asked for, which somebody's quota pays"


def test_without_a_gpu_a_training_goes_on_on_the_cpu(
    page, zerogpu_url: str, device_server: DeviceServer, rendered_clip: Path
):
    """The page has computed by now, and asks for a GPU nevertheless; the answer is no lease."""
    opened(page, zerogpu_url)
    go(page, "Fine-tune")
    page.get_by_label("Runs on").click()
    assert [text.split()[-1] for text in page.get_by_role("option").all_inner_texts()] == ["ZeroGPU", "CPU", "Jobs"]
    page.keyboard.press("Escape")
    page.locator("#tune-upload input[type=file]").set_input_files(rendered_clip)
    page.wait_for_selector("#tune-start:not([disabled])")
    page.locator("#tune-start").click()
    expect(page.locator("#tune-failure")).to_contain_text("goes on on this Space’s CPU", timeout=120_000)
    assert "/schedule" in device_server.paths()
    page.wait_for_selector("#tune-stop:visible")
    page.locator("#tune-delete").click()
    page.get_by_role("button", name="Delete for good?").click()
    page.wait_for_selector("#tune-runs .hint")
