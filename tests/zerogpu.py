"""ZeroGPU as far as a machine without a GPU goes: a server that answers what the `spaces` package asks of its host.

The package is the real one: it makes `torch.cuda.is_available()` true in the whole process, and refuses CUDA outside of
a function under `@spaces.GPU`.
"""

from __future__ import annotations

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tests.repository import ROOT

# Answers to /schedule: status and body. A leased GPU is this machine's CPU, or takes its process away.
LEASED, TAKEN_AWAY = (
    (200, {"idle": False, "nvidiaIndex": 0, "nvidiaUUID": uuid, "allowToken": "token"}) for uuid in ("CPU", "GONE")
)
NO_QUOTA = (429, {"left": 3, "wait": 3600})


class DeviceServer:
    """Answers every POST with 200 and `null`, which is no lease of a GPU: a call of one fails.

    Attributes:
        asked: what was asked for, in order: path and query.
        schedule: other answers to /schedule, each given once.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.schedule: list[tuple[int, dict]] = []
        handler = type("Handler", (_Handler,), {"device_server": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def environment(self) -> dict[str, str]:
        """Of a process that shall take itself for a ZeroGPU Space."""
        url = f"http://127.0.0.1:{self._server.server_port}"
        return {"SPACES_ZERO_GPU": "true", "SPACES_ZERO_DEVICE_API_URL": url, "no_proxy": "*"}

    def paths(self) -> list[str]:
        """What was asked for, without its queries."""
        return [path for path, _ in self.asked]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    device_server: DeviceServer

    def do_POST(self) -> None:
        server, parts = self.device_server, urlsplit(self.path)
        server.asked.append((parts.path, {name: values[0] for name, values in parse_qs(parts.query).items()}))
        answers = server.schedule if parts.path == "/schedule" else []
        status, body = answers.pop(0) if answers else (200, None)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_: object) -> None:
        pass


# In the process that asks for a GPU alone: its fork goes on where the real one finds its GPU, and computes on the CPU.
SITE = """
import os, signal, sys
if "app.services.zerogpu" in sys.orig_argv:
    import spaces.zero.torch as zero
    def init(uuid):
        if uuid == "GONE":
            os.kill(os.getpid(), signal.SIGKILL)
    zero.init, zero.move = init, lambda callback=None: None
"""


def without_cuda(folder: Path) -> dict[str, str]:
    """Environment in which a leased GPU is this machine's CPU, as long as `folder` exists."""
    (folder / "sitecustomize.py").write_text(SITE)
    return {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
