"""Time the start of a Space, on CPU basic and with ZeroGPU: `python -m benchmarks.space`.

Measured are the seconds from the start of the process to the served page, and to the finished example in a Chromium
that opens it at once; then from dropping a 10-second 720p clip to its first picture. Each start has an empty temporary
folder, as on a Space, so that its first example must be rendered. ZeroGPU is the real `spaces` package with a local
server as its host.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from avd_core.examples import scenes
from benchmarks.page import clip_like_a_phones, drop, open_page
from scripts.screenshot import FLAGS, free_port, served
from tests import chromium
from tests.zerogpu import DeviceServer

WAITS = ("served page", "finished example", "a clip: first picture")


def start(browser: Any, clip: Path, more: Mapping[str, str]) -> list[float]:
    """Return the seconds of the three waits of one start.

    Args:
        browser: opens the page as soon as it is served.
        clip: the clip to drop when the example is finished.
        more: environment of the server.
    """
    with tempfile.TemporaryDirectory() as temporary:
        own = {"GRADIO_SERVER_PORT": str(free_port()), "GRADIO_TEMP_DIR": temporary, "AVD_RUNS": f"{temporary}/runs"}
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        begun = time.perf_counter()
        with served(os.environ | own | more, Path(temporary) / "log.txt") as url:
            waits = [time.perf_counter() - begun]
            open_page(page, url)
            waits.append(time.perf_counter() - begun)
            waits.append(drop([page], [clip])[0]["picture"])
            page.close()
    return waits


def main() -> int:
    """Start both kinds in turn, several times, and print the medians."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(prog="python -m benchmarks.space", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help="how often each is started (default: %(default)s)")
    rounds = parser.parse_args().rounds
    if rounds < 1:
        parser.error("--rounds is at least 1")
    if chromium.find() is None:
        print(chromium.HOW_TO_GET_IT, file=sys.stderr)
        return 2
    host = DeviceServer()
    kinds: dict[str, dict[str, str]] = {"CPU": {}, "ZeroGPU": host.environment()}
    waited: dict[str, list[list[float]]] = {kind: [] for kind in kinds}
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        (film,) = scenes.write_examples(temporary, [next(iter(scenes.SCENES))])
        clip = clip_like_a_phones(film, Path(temporary) / "phone.mp4")
        browser = playwright.chromium.launch(executable_path=chromium.find(), args=FLAGS)
        for _ in range(rounds):
            for kind, more in kinds.items():
                waited[kind].append(start(browser, clip, more))
        browser.close()
    host.close()
    print(f"a Space on {os.cpu_count()} cores, median seconds of {rounds} starts, load {os.getloadavg()[0]:.1f}\n")
    print(f"{'waiting for':<26}" + "".join(f"{kind:>10}" for kind in kinds))
    for number, words in enumerate(WAITS):
        medians = [statistics.median(waits[number] for waits in waited[kind]) for kind in kinds]
        print(f"{words:<26}" + "".join(f"{median:>10.2f}" for median in medians))
    return 0


if __name__ == "__main__":
    sys.exit(main())
