"""Check every HTTP request first: a known host, no files of other hosts, and room on the disk for uploads.

A page that listens on this machine alone is still open to every web site that the user visits: a site can point its own
name at 127.0.0.1 (DNS rebinding) and then read the page's answers. The browser sends the site's name as Host, so only
known hosts are answered.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import shutil
import socket
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from app.services.errors import is_disk_full

HOSTS, MIN_FREE = "AVD_ALLOWED_HOSTS", "AVD_MIN_FREE_GB"
MIN_FREE_BYTES, MIN_FREE_SHARE = 2e9, 0.05
CHECK_BYTES = 16_000_000  # of an upload between two checks of the disk
NO_ROOM = f"The disk of this server is nearly full, so it takes no uploads: try again later, or lower {MIN_FREE}."
NO_RELAY = "This server passes on no files of other hosts."
ANY_ADDRESS = "(any address)"  # stands for every IP address in a set of hosts; no host can have this name
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
log = logging.getLogger(__name__)


class GuardError(ValueError):
    """A variable of the guard makes no sense; the sentence names it."""


class NoRoom(Exception):
    """Too little of the disk is free for an upload."""


def allowed_hosts(environment: Mapping[str, str] = os.environ) -> frozenset[str]:
    """Return the hosts that the server answers for; `*` stands for any, `*.name` for any below a name.

    A server that is open to other machines answers for any bare IP address: a web site cannot use one as its name.
    """
    hosts = {"localhost", "127.0.0.1", "::1"}
    server = environment.get("GRADIO_SERVER_NAME", "").strip().lower()
    if server in ("0.0.0.0", "::"):
        hosts |= {ANY_ADDRESS, socket.gethostname().lower()}
    elif server:
        hosts.add(server)
    if environment.get("SYSTEM") == "spaces":
        hosts |= _listed(environment.get("SPACE_HOST", ""))
    if behind := urlsplit(environment.get("GRADIO_ROOT_PATH", "")).hostname:
        hosts.add(behind)
    return frozenset(hosts | _listed(environment.get(HOSTS, "")))


def _listed(text: str) -> set[str]:
    return {name.strip().lower() for name in text.split(",")} - {""}


def is_allowed(host: str, hosts: frozenset[str]) -> bool:
    """Return whether a Host header's value, with or without a port, is among the hosts."""
    try:
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:  # such as an address with half its brackets
        return False
    if "*" in hosts or name in hosts or any(one.startswith("*.") and name.endswith(one[1:]) for one in hosts):
        return True
    return ANY_ADDRESS in hosts and _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def min_free_bytes(folder: Path, environment: Mapping[str, str] = os.environ) -> float:
    """Return how much of a folder's disk must stay free, in bytes.

    Raises:
        GuardError: The variable that sets it holds no number of gigabytes.
    """
    text = environment.get(MIN_FREE, "").strip()
    if not text:
        return max(MIN_FREE_BYTES, MIN_FREE_SHARE * shutil.disk_usage(folder).total)
    try:
        gigabytes = float(text)
    except ValueError:
        gigabytes = -1.0
    if not 0 <= gigabytes < 1e6:
        raise GuardError(f"{MIN_FREE} is {text!r}; it must be a number of gigabytes.")
    return gigabytes * 1e9


class HttpGuard:
    """ASGI middleware around the whole page.

    Args:
        app: What answers the requests that pass.
        folder: Where uploads go.
        hosts: From `allowed_hosts`.
        min_free: Bytes of the folder's disk that stay free.
    """

    def __init__(
        self, app: Callable[..., Awaitable[None]], folder: Path, hosts: frozenset[str], min_free: float
    ) -> None:
        self.app, self.folder, self.hosts, self.min_free = app, folder, hosts, min_free

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        host = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), None)
        if host is not None and not is_allowed(host, self.hosts):
            name = "".join(letter for letter in host[:100] if letter.isprintable())
            words = f"This server does not answer for {name!r}: whoever runs it can allow it with {HOSTS}."
            await _refuse(403, words, scope, send)
        elif any(f"/file{sign}{scheme}" in scope["path"] for sign in "=/" for scheme in ("http:", "https:")):
            await _refuse(403, NO_RELAY, scope, send)
        elif scope.get("method") == "POST" and scope["path"].rstrip("/").endswith("/upload"):
            await self._upload(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _upload(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Pass an upload on, as long as there is room."""
        received = checked = 0

        async def watched() -> Message:
            nonlocal received, checked
            message = await receive()
            received += len(message.get("body", b""))
            if received - checked > CHECK_BYTES:
                checked = received
                self._check_room()
            return message

        try:
            self._check_room()
            await self.app(scope, watched, send)
        except Exception as error:
            if not isinstance(error, NoRoom) and not is_disk_full(error):
                raise
            await _drain(receive)
            await _refuse(507, NO_ROOM, scope, send)

    def _check_room(self) -> None:
        free = shutil.disk_usage(self.folder).free
        if free < self.min_free:
            log.warning("an upload is refused, as %.1f GB are free; %s sets how much must be", free / 1e9, MIN_FREE)
            raise NoRoom


async def _drain(receive: Receive) -> None:
    """Read a body to its end: a browser reads no answer while it is still sending."""
    message: Message = {"type": "http.request", "more_body": True}
    while message["type"] == "http.request" and message.get("more_body"):
        message = await receive()


async def _refuse(status: int, words: str, scope: dict[str, Any], send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": words})
        return
    body = words.encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
