"""The page below a path of somebody's server, behind a proxy that takes the path away: `GRADIO_ROOT_PATH`."""

from __future__ import annotations

import http.client
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import urljoin, urlsplit
from urllib.request import ProxyHandler, build_opener

import numpy as np
import pytest
from gradio_client import Client, handle_file

from app.ui import build_app, launch_options
from avd_core.explore.explorer import Explorer
from avd_core.media import distilled_png, video
from scripts.screenshot import free_port

BELOW = "/demos/avd"
OPEN = build_opener(ProxyHandler({})).open  # not through a proxy that the environment may name


class ReverseProxy(BaseHTTPRequestHandler):
    """Passes on what is asked for below `BELOW`, without it, and knows nothing else."""

    port = 0  # of the page
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if not self.path.startswith(f"{BELOW}/"):
            self.send_error(404)
            return
        page = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
        page.request(self.command, self.path.removeprefix(BELOW), body, headers)
        answer = page.getresponse()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection"):
                self.send_header(name, value)
        self.end_headers()
        while piece := answer.read1(65536):  # events as they come
            self.wfile.write(piece)
        page.close()

    do_POST = do_GET

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def address(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page's address, as a visitor types it."""
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), ReverseProxy)
    url = f"http://127.0.0.1:{proxy.server_port}{BELOW}"
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("gradio")))
        patch.setenv("AVD_CHECKPOINT", str(tiny_checkpoint))
        patch.setenv("GRADIO_ROOT_PATH", url)
        page = build_app(Explorer("cpu"))
        ReverseProxy.port = free_port()
        page.launch(server_port=ReverseProxy.port, prevent_thread_lock=True, quiet=True, **launch_options())
        yield f"{url}/"
        page.close(verbose=False)
    proxy.shutdown()
    proxy.server_close()


def test_the_page_and_all_that_it_loads_lie_below_the_path(address: str):
    with OPEN(address) as answer:
        html = answer.read().decode()
    assert f'"root":"{address[:-1]}"' in html, "where the page's script sends uploads and calls"
    own = [urljoin(address, found) for found in re.findall(r'<(?:script|link)\b[^>]*\b(?:src|href)="([^"]+)"', html)]
    own = [found for found in own if urlsplit(found).netloc == urlsplit(address).netloc]
    own = [found for found in own if not found.endswith("/manifest.json")]  # for pages that can be installed
    assert own and all(found.startswith(address) for found in own)
    for asset in [*own, f"{address}theme.css", f"{address}config"]:
        with OPEN(asset) as answer:
            assert answer.status == 200 and answer.read(1), asset


def test_uploads_calls_and_results_go_through_it(address: str, tmp_path: Path):
    image = distilled_png.save_image(tmp_path / "photo.png", np.full((64, 64, 3), 90, np.uint8))
    ReverseProxy.asked.clear()
    client = Client(address, verbose=False, download_files=tmp_path / "results", analytics_enabled=False)
    clip, facts = client.predict(image=handle_file(image), api_name="/restore")
    assert video.probe(clip).frames > 1 and facts["notes"]
    routes = [path.removeprefix(f"{BELOW}/gradio_api/") for path in ReverseProxy.asked]
    assert all(any(route.startswith(kind) for route in routes) for kind in ("upload", "queue/join", "file="))
    assert all(path.startswith(f"{BELOW}/") for path in ReverseProxy.asked)
