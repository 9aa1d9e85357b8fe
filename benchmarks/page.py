"""Measure waiting times at the page, with a local server and Chromium: `python -m benchmarks page`.

*Opening*: from the request of the page to the finished example in it, for all but the first visitor. *A clip*: from
dropping a 10-second 720p clip to its distilled image, to all panels that open by themselves, and to the preview of the
whole clip. *Five at once*: five browser contexts drop five different clips at the same moment. Server, browser and
encoders share the machine's cores, so its load is printed too.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from avd_core.examples import scenes
from scripts.screenshot import FLAGS, free_port, served
from tests import chromium

SECONDS, FPS, SIZE = 10, 30, (1280, 720)
CROWD = 5
PATIENCE = 300_000  # ms
# Measured in the page, without messages between browser and benchmark: milliseconds since the clip was dropped.
WATCH = """(name) => {
  const image = () => document.querySelector("#distilled");
  const before = image()?.src, waits = window.waits = {};
  document.addEventListener("change", () => { waits.begun = performance.now(); }, { capture: true, once: true });
  const timer = setInterval(() => {
    if (!waits.begun) return;
    const passed = performance.now() - waits.begun;
    if (image()?.complete && image().src !== before) waits.picture ??= passed;
    const finished = document.querySelector("#status .status:not(.busy) b")?.textContent === name;
    const waiting = document.querySelector("#results .pending, #results .waiting:not(.attribution *)");
    if (finished && !waiting && document.querySelector(".strip img")) waits.panels ??= passed;
    if (waits.panels && document.querySelector(".preview b")?.textContent === name) {
      waits.preview = passed;
      clearInterval(timer);
    }
  }, 10);
}"""


def clip_like_a_phones(film: Path, out: Path) -> Path:
    """Write a film, played to and fro for 10 s, enlarged to 720p with grain, one keyframe in 250 like most encoders."""
    with av.open(str(film)) as container:
        frames = [frame.reformat(*SIZE, "rgb24").to_ndarray().astype(np.int16) for frame in container.decode(video=0)]
    frames += frames[-2:0:-1]
    grain = np.random.default_rng(0).normal(0, 3, frames[0].shape).astype(np.int16)
    with av.open(str(out), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "veryfast", "crf": "23"})
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        for number in range(SECONDS * FPS):
            picture = frames[number % len(frames)] + np.roll(grain, 37 * number, axis=(0, 1))
            frame = av.VideoFrame.from_ndarray(np.clip(picture, 0, 255).astype(np.uint8))
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return out


@contextmanager
def visitors(browser: Any, url: str, count: int) -> Iterator[list[Any]]:
    """Open pages in contexts of their own, and wait for the finished example in each."""
    contexts = [browser.new_context(viewport={"width": 1280, "height": 800}) for _ in range(count)]
    pages = [context.new_page() for context in contexts]
    for page in pages:
        page.set_default_timeout(PATIENCE)
        open_page(page, url)
    yield pages
    for context in contexts:
        context.close()


def open_page(page: Any, url: str) -> float:
    """Return the seconds from the request to the finished example."""
    page.goto(url)
    page.wait_for_selector("#links a")
    page.wait_for_function("() => document.querySelector('#distilled')?.complete")
    return page.evaluate("performance.now()") / 1000


def drop(pages: list[Any], clips: list[Path]) -> list[dict[str, float]]:
    """Drop a clip into each page at once; return the seconds to its first picture, its panels and its preview."""
    for page, clip in zip(pages, clips, strict=True):
        page.evaluate(WATCH, clip.name)
    for page, clip in zip(pages, clips, strict=True):
        page.locator("#upload input[type=file]").set_input_files(clip)
    waits = []
    for page in pages:
        page.wait_for_function("() => window.waits.preview")
        measured = page.evaluate("window.waits")
        waits.append({name: measured[name] / 1000 for name in ("picture", "panels", "preview")})
    return waits


def p95(values: list[float]) -> float:
    """Return the 95th percentile."""
    return statistics.quantiles(values, n=20, method="inclusive")[-1]


def print_row(words: str, seconds: list[float]) -> None:
    """Print a line of the table; the load is the machine's over the last minute, other work included."""
    last = f"{p95(seconds):.2f}" if len(seconds) > 1 else ""
    print(f"{words:<34}{statistics.median(seconds):>8.2f}{last:>8}{os.getloadavg()[0]:>8.1f}", flush=True)


def tell_waits(who: str, waits: list[dict[str, float]]) -> None:
    """Print a line for each of the waits of `drop`."""
    for what, words in (("picture", "first picture"), ("panels", "every panel"), ("preview", "preview")):
        print_row(f"{who}: {words}", [wait[what] for wait in waits])


def main(arguments: list[str]) -> int:
    """Run the server, the browser and the visitors, and print the table."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(prog="python -m benchmarks page", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="how often each wait is measured (default: %(default)s)")
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error("--rounds is at least 1")
    if chromium.find() is None:
        print(chromium.HOW_TO_GET_IT, file=sys.stderr)
        return 2
    print(f"the page on {os.cpu_count()} cores, rounds: {options.rounds}, seconds\n")
    print(f"{'waiting for':<34}{'median':>8}{'p95':>8}{'load':>8}", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        films = scenes.write_examples(folder / "avd-examples")
        clips = [clip_like_a_phones(film, folder / f"{film.stem}-720p.mp4") for film in films[:CROWD]]
        own = {"GRADIO_SERVER_PORT": str(free_port()), "GRADIO_TEMP_DIR": temporary}
        with served(os.environ | own, folder / "log.txt") as url, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium.find(), args=FLAGS)
            with visitors(browser, url, 1) as (page,):
                drop([page], clips[:1])  # a first visit, which loads the models
                print_row("a finished example", [open_page(page, url) for _ in range(options.rounds)])
                alone = [drop([page], [clips[turn % CROWD]])[0] for turn in range(1, options.rounds + 1)]
                tell_waits("a clip", alone)
            crowd = []
            for turn in range(options.rounds):
                with visitors(browser, url, CROWD) as pages:
                    crowd += drop(pages, clips[turn % CROWD :] + clips[: turn % CROWD])
            tell_waits(f"{CROWD} clips at once", crowd)
            browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
