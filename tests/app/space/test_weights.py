"""The ImageNet weights on a Space's first start: the page works meanwhile, and has them without a restart."""

from __future__ import annotations

import hashlib
import io
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from torchvision import models

from app.services.explorations import Explorations
from avd_core.classifiers import weights
from avd_core.explore.explorer import Explorer
from avd_core.explore.requests import ExploreRequest


class WeightsServer:
    """Answers with the weights of an untrained mobilenet_v2: half of them at once, the rest when `rest` is set."""

    def __init__(self) -> None:
        file = io.BytesIO()
        torch.save(models.mobilenet_v2().state_dict(), file)
        content, self.rest, self.requests = file.getvalue(), threading.Event(), 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests += 1
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[: len(content) // 2])
                self.wfile.flush()
                outer.rest.wait(60)
                self.wfile.write(content[len(content) // 2 :])

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        checksum = hashlib.sha256(content).hexdigest()[:8]
        self.url = f"http://127.0.0.1:{self._server.server_port}/mobilenet_v2-{checksum}.pth"

    def close(self) -> None:
        self.rest.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[WeightsServer]:
    """In place of the download, on a machine that has no weights yet."""
    server = WeightsServer()
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setattr(weights, "hosts", {})
    monkeypatch.setattr(weights, "downloads", {})
    monkeypatch.setattr(weights, "PATIENCE", 0.2)
    monkeypatch.setattr(models.get_model_weights("mobilenet_v2")["IMAGENET1K_V1"].value, "url", server.url)
    yield server
    server.close()


def test_the_page_has_the_weights_as_soon_as_they_are_there(server: WeightsServer, rendered_clip: Path, tmp_path: Path):
    explorations = Explorations(Explorer())  # one that has not loaded the classifier before

    def seen(checkpoint: str = "tiny"):
        *_, view = explorations.explore("clip", ExploreRequest(rendered_clip, checkpoint))
        return view.result.recognition

    meanwhile = [seen(), seen()]
    assert {told.classifier for told in meanwhile} == {"action"} and all(told.topk for told in meanwhile)
    assert "the download is under way" in meanwhile[-1].notice
    server.rest.set()
    end = time.monotonic() + 60
    while not list(tmp_path.rglob("*.pth")):
        assert time.monotonic() < end, "the download did not end"
        time.sleep(0.02)
    arrived = seen()
    assert (arrived.classifier, arrived.notice) == ("mobilenet_v2", None)
    assert server.requests == 1, "downloaded more than once"
