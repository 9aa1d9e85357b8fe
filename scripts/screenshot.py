"""Take the README's screenshot: `python -m scripts.screenshot`.

Starts the page as a user does, waits in Chromium until the example is finished and all films are rendered, and writes
`docs/screenshot.png`. The browser tests start their page with `served` too.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests import chromium

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 180  # a first start on a busy machine
FLAGS = [
    *("--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--no-proxy-server", "--disable-sync"),
    *("--autoplay-policy=no-user-gesture-required", "--disable-background-networking", "--no-first-run"),
    *("--disable-component-update", "--mute-audio"),
    *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
]


def free_port() -> int:
    """Return an unused port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Address(str):
    """The address of a served page, with the id of the server's process."""

    pid: int

    def __new__(cls, url: str, pid: int) -> Address:
        address = super().__new__(cls, url)
        address.pid = pid
        return address


@contextmanager
def served(
    environment: Mapping[str, str],
    log: Path,
    command: Sequence[str] = (sys.executable, "app.py"),
    folder: Path = ROOT,
) -> Iterator[Address]:
    """Run `python app.py` in a process group of its own, and yield the page's address; end the group afterwards.

    Args:
        environment: of the process, with `GRADIO_SERVER_PORT`.
        log: file for the process's output.
        command: another command that serves the page.
        folder: current folder of the process.
    """
    url = f"http://127.0.0.1:{environment['GRADIO_SERVER_PORT']}/"
    # Without the proxy that the environment may name.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        end = time.monotonic() + START_SECONDS
        while True:
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"The page did not start:\n{log.read_text()}")
            try:
                with opener.open(url, timeout=5):
                    break
            except OSError:
                time.sleep(0.2)
        yield Address(url, process.pid)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def shoot(url: str, out: Path, example: str, frame: int, theme: str) -> None:
    """Write a picture of the top of the page, with a finished example that is paused at a frame."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium.find(), args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 1020}, device_scale_factor=1.5)
        page.set_default_timeout(300_000)
        page.goto(f"{url}?__theme={theme}")
        page.wait_for_selector("#links a")
        page.wait_for_function("() => !document.querySelector('.tiles .waiting')")
        if example:
            page.locator(f"[data-example={example}]").click()
            page.wait_for_selector("#preview video")
            page.wait_for_selector("#status .status:not(.busy)")
        page.wait_for_function("() => [...document.querySelectorAll('video')].every((v) => v.readyState > 1)")
        page.locator(".scrub").fill(str(frame))
        page.locator(".scrub").blur()
        page.wait_for_timeout(1000)
        out.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=out)
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the README's picture from the page itself.")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "screenshot.png")
    parser.add_argument("--example", default="", help="an example to click on first")
    parser.add_argument("--frame", type=int, default=4, help="the frame both videos stand at, from 0")
    parser.add_argument("--theme", choices=("light", "dark"), default="light")
    args = parser.parse_args()
    if chromium.find() is None:
        sys.exit(chromium.HOW_TO_GET_IT)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "GRADIO_SERVER_PORT": str(free_port())}
    with tempfile.TemporaryDirectory() as aside, served(environment, Path(aside) / "log.txt") as url:
        shoot(url, args.out, args.example, args.frame, args.theme)
    print(f"{args.out}: {args.out.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
