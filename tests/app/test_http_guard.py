"""What every request passes first, without a server: hosts, relaying, and room for uploads."""

from __future__ import annotations

import asyncio
import errno
import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

from app import http_guard
from app.http_guard import HOSTS, MIN_FREE, NO_RELAY, NO_ROOM, GuardError, HttpGuard, allowed_hosts, is_allowed

Disk = namedtuple("Disk", "total used free")
LOCAL = allowed_hosts({})


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:7860", "127.0.0.1:7860", "[::1]:7860", "LOCALHOST", "localhost."]
)
def test_this_machine_is_always_answered(host: str):
    for environment in ({}, {"GRADIO_SERVER_NAME": "0.0.0.0"}, {HOSTS: "demo.example.org"}, {"SYSTEM": "spaces"}):
        assert is_allowed(host, allowed_hosts(environment)), environment


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:7860", "localhost.evil.example", "127.0.0.1.evil.example", "[::1", "", "@"]
)
def test_a_strange_name_is_not(host: str):
    for environment in ({}, {"GRADIO_SERVER_NAME": "0.0.0.0"}, {HOSTS: "demo.example.org"}, {"SYSTEM": "spaces"}):
        assert not is_allowed(host, allowed_hosts(environment)), environment


@pytest.mark.parametrize(
    ("environment", "host"),
    [
        ({"GRADIO_SERVER_NAME": "lab.local"}, "lab.local:7860"),
        ({"GRADIO_SERVER_NAME": "0.0.0.0"}, "192.168.1.5:7860"),
        ({"GRADIO_SERVER_NAME": "::"}, "[fe80::1]:7860"),
        ({"SYSTEM": "spaces", "SPACE_HOST": "me-demo.hf.space"}, "me-demo.hf.space"),
        ({"GRADIO_ROOT_PATH": "https://demo.example.org/avd"}, "demo.example.org"),
        ({HOSTS: "one.example, two.example"}, "two.example:80"),
        ({HOSTS: "*.example.org"}, "demo.example.org"),
        ({HOSTS: "*"}, "anything.example"),
    ],
)
def test_the_servers_own_names_are_answered_where_they_are_set(environment: dict[str, str], host: str):
    assert is_allowed(host, allowed_hosts(environment)) and not is_allowed(host, LOCAL)
    assert not is_allowed("example.org", allowed_hosts({HOSTS: "*.example.org"}))


async def received(guard: HttpGuard, path: str, method: str = "GET", host: str = "localhost", body: int = 0) -> dict:
    """What a client gets; its body comes in pieces of 8 MB."""
    sent: list[dict[str, Any]] = []
    left = body

    async def receive() -> dict[str, Any]:
        nonlocal left
        piece = min(left, 8_000_000)
        left -= piece
        return {"type": "http.request", "body": bytes(piece), "more_body": left > 0}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": [(b"host", host.encode())]}
    await guard(scope, receive, send)
    status, text = sent[0]["status"], b"".join(message.get("body", b"") for message in sent).decode()
    return {"status": status, "text": text, "unread": left}


def guarded(folder: Path, app: Any = None, min_free: float = 0) -> HttpGuard:
    async def reads_all(scope: dict, receive: Any, send: Any) -> None:
        while (await receive())["more_body"]:
            pass
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"fine"})

    return HttpGuard(app or reads_all, folder, LOCAL, min_free)


def test_a_strange_host_gets_one_line_that_names_the_variable(tmp_path: Path):
    answer = asyncio.run(received(guarded(tmp_path), "/", host="evil.example:7860"))
    assert answer["status"] == 403 and HOSTS in answer["text"] and "evil.example" in answer["text"]
    assert "\n" not in answer["text"]
    assert asyncio.run(received(guarded(tmp_path), "/"))["text"] == "fine"


@pytest.mark.parametrize("route", ["file=", "file/"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_files_of_other_hosts_are_not_relayed(route: str, scheme: str, tmp_path: Path):
    answer = asyncio.run(received(guarded(tmp_path), f"/gradio_api/{route}{scheme}://example.org/x.png"))
    assert (answer["status"], answer["text"]) == (403, NO_RELAY)


def test_uploads_are_refused_while_the_disk_is_nearly_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    disk = Disk(100e9, 0, 6e9)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: disk)
    bound = http_guard.min_free_bytes(tmp_path, {})
    assert bound == 5e9, "5 % of a large disk"
    assert asyncio.run(received(guarded(tmp_path, min_free=bound), "/gradio_api/upload", "POST"))["status"] == 200
    disk = Disk(100e9, 0, 4.9e9)
    answer = asyncio.run(received(guarded(tmp_path, min_free=bound), "/gradio_api/upload", "POST", body=20_000_000))
    assert answer == {"status": 507, "text": NO_ROOM, "unread": 0}, "a browser that still sends hears no answer"
    assert asyncio.run(received(guarded(tmp_path, min_free=bound), "/"))["status"] == 200, "all else goes on"
    disk = Disk(10e9, 0, 4e9)
    assert http_guard.min_free_bytes(tmp_path, {}) == 2e9, "2 GB of a small one"
    assert http_guard.min_free_bytes(tmp_path, {MIN_FREE: "0.5"}) == 0.5e9
    for text in ("much", "-1", "nan", "inf"):
        with pytest.raises(GuardError, match=MIN_FREE):
            http_guard.min_free_bytes(tmp_path, {MIN_FREE: text})


def test_an_upload_that_fills_the_disk_is_broken_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    free = iter([9e9, 9e9, 1e9])
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Disk(100e9, 0, next(free)))
    answer = asyncio.run(received(guarded(tmp_path, min_free=2e9), "/gradio_api/upload", "POST", body=100_000_000))
    assert (answer["status"], answer["text"]) == (507, NO_ROOM)


def test_a_disk_that_is_full_by_then_is_told_too(tmp_path: Path):
    async def writes(scope: dict, receive: Any, send: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/srv/avd/tmpzeg_hbho")

    answer = asyncio.run(received(guarded(tmp_path, writes), "/gradio_api/upload", "POST"))
    assert (answer["status"], answer["text"]) == (507, NO_ROOM)

    async def breaks(scope: dict, receive: Any, send: Any) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        asyncio.run(received(guarded(tmp_path, breaks), "/gradio_api/upload", "POST"))
