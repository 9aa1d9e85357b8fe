"""Weight files: nobody waits long, nothing half or wrong takes a file's place, a dead host is left alone."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from avd_core.classifiers import weights
from avd_core.classifiers.weights import WeightsUnavailable, fetch

CONTENT = b"weights" * 100_000
CHECKSUM = hashlib.sha256(CONTENT).hexdigest()[:8]


class Server:
    """A web server whose `answer` a test decides; it counts what it is asked."""

    def __init__(self) -> None:
        self.requests = 0
        self.answer: Callable[[BaseHTTPRequestHandler], None] = self.whole
        self.release = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests += 1
                outer.answer(self)

            def log_message(self, *_args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def url(self, checksum: str = CHECKSUM) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/models/net-{checksum}.pth"

    def whole(self, handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(CONTENT)))
        handler.end_headers()
        handler.wfile.write(CONTENT)

    def half_then_wait(self, handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(CONTENT)))
        handler.end_headers()
        handler.wfile.write(CONTENT[: len(CONTENT) // 2])
        handler.wfile.flush()
        self.release.wait(30)
        handler.wfile.write(CONTENT[len(CONTENT) // 2 :])

    def never(self, handler: BaseHTTPRequestHandler) -> None:
        self.release.wait(30)

    def refuse(self, handler: BaseHTTPRequestHandler) -> None:
        handler.send_error(403)

    def close(self) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(weights, "hosts", {})
    monkeypatch.setattr(weights, "downloads", {})
    running = Server()
    yield running
    running.close()


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 20
    while not path.is_file() and time.monotonic() < deadline:
        time.sleep(0.02)


def test_a_good_download_takes_its_place_whole(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "hub" / "checkpoints" / "net.pth"
    assert fetch(server.url(), path) == path
    assert path.read_bytes() == CONTENT
    assert [entry.name for entry in path.parent.iterdir()] == ["net.pth"]


def test_a_local_file_is_taken_as_it_is(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    path.write_bytes(b"another file than the checksum says")
    assert fetch(server.url(), path) == path
    assert server.requests == 0


def test_people_never_wait_longer_than_five_seconds() -> None:
    assert weights.PATIENCE <= 5


def test_a_host_that_accepts_and_never_answers_is_waited_for_once(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "PATIENCE", 1.0)
    server.answer = server.never
    began = time.monotonic()
    with pytest.raises(WeightsUnavailable, match="has not answered yet"):
        fetch(server.url(), tmp_path / "net.pth")
    assert 0.9 < time.monotonic() - began < 15
    began = time.monotonic()
    for name in ("net.pth", "other.pth", "third.pth"):  # the same file, and others of the same host
        with pytest.raises(WeightsUnavailable, match="has not answered yet"):
            fetch(server.url(), tmp_path / name)
    assert time.monotonic() - began < 2.9


def test_a_name_server_that_never_replies_costs_no_more(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "PATIENCE", 0.5)
    monkeypatch.setattr(weights, "urlopen", lambda *_args, **_kwargs: server.release.wait(30))
    began = time.monotonic()
    with pytest.raises(WeightsUnavailable, match="has not answered yet"):
        fetch(server.url(), tmp_path / "net.pth")
    assert time.monotonic() - began < 15


def test_a_silent_connection_is_given_up(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "SOCKET_TIMEOUT", 0.3)
    server.answer = server.never
    with pytest.raises(WeightsUnavailable, match="timed out"):
        fetch(server.url(), tmp_path / "net.pth")
    assert list(tmp_path.iterdir()) == []


def test_a_trickle_ends_at_the_deadline(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "DEADLINE", 0.3)

    def trickle(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while not server.release.wait(0.1):
            try:
                handler.wfile.write(b"w")
            except OSError:
                return

    server.answer = trickle
    with pytest.raises(WeightsUnavailable, match="not finished after"):
        fetch(server.url(), tmp_path / "net.pth")
    assert list(tmp_path.iterdir()) == []


def test_a_slow_download_goes_on_and_a_later_call_finds_it(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "PATIENCE", 0.7)
    server.answer = server.half_then_wait
    path = tmp_path / "net.pth"
    with pytest.raises(WeightsUnavailable, match=r"under way \(0 of 1 MB"):
        fetch(server.url(), path)
    assert not path.exists()
    server.release.set()
    wait_for(path)
    assert fetch(server.url(), path).read_bytes() == CONTENT
    assert server.requests == 1


@pytest.mark.parametrize("fault", ["wrong file", "refusal"])
def test_a_failed_host_is_left_alone_for_a_while(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    path = tmp_path / "net.pth"
    url = server.url("00000000") if fault == "wrong file" else server.url()
    if fault == "refusal":
        server.answer = server.refuse
    with pytest.raises(WeightsUnavailable, match="checksum" if fault == "wrong file" else "Forbidden"):
        fetch(url, path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(WeightsUnavailable, match="tried again in 5 min"):
        fetch(url, path)
    assert server.requests == 1
    monkeypatch.setattr(weights, "RETRY_AFTER", 0.0)  # the while is over, and the host is well again
    server.answer = server.whole
    assert fetch(server.url(), path).read_bytes() == CONTENT


def test_downloads_can_be_switched_off(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(WeightsUnavailable, match="switched off"):
        fetch(server.url(), tmp_path / "net.pth")
    assert server.requests == 0


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_asked(server: Server, tmp_path: Path) -> None:
    (tmp_path / "hub").write_text("a file where the folder should be")
    with pytest.raises(WeightsUnavailable, match="cannot be written"):
        fetch(server.url(), tmp_path / "hub" / "net.pth")
    assert server.requests == 0


def test_what_has_no_checksum_is_not_downloaded(server: Server, tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable, match="no checksum"):
        fetch(server.url().replace(f"-{CHECKSUM}", ""), tmp_path / "net.pth")
    assert server.requests == 0


def test_what_a_killed_process_left_is_swept(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "DEADLINE", 5.0)
    old, new = tmp_path / ".net.pth.0old0old.partial", tmp_path / ".net.pth.0new0new.partial"
    mine = tmp_path / ".net.pth.backup.partial"
    for partial in (old, new, mine):
        partial.write_bytes(b"half")
    for partial in (old, mine):
        os.utime(partial, (time.time() - 60, time.time() - 60))
    fetch(server.url(), tmp_path / "net.pth")
    assert not old.exists()
    assert new.exists()  # perhaps another process is at it
    assert mine.exists()
