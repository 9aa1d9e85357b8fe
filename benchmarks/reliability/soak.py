"""Test the page under load: `python -m benchmarks.reliability.soak` (or `make soak`).

The page is started as a user does and gets mixed requests from 12, then from 32 clients. Each client has a clip of its
own colour and window, so that every answer shows its origin. Findings are: an error other than a full queue, an answer
for another client's clip, growth of resident memory by more than 10 % between the end of the warm-up (the first
quarter) and the end, temporary files that outlast their time, and files left after the server has ended.
"""

from __future__ import annotations

import argparse
import io
import os
import random
import statistics
import sys
import tempfile
import threading
import time
import zipfile
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

import av
import numpy as np
from gradio_client import Client, handle_file
from PIL import Image

from app.services.result_store import KEEP_HOURS, RESULTS, SWEEP_SECONDS
from benchmarks.page import p95
from scripts.screenshot import free_port, served

CLIENTS = (12, 32)
MIX = {"distill": 10, "restore": 8, "explore": 3, "compare": 1}  # relative frequency of each request
GROWTH = 1.10  # of resident memory, at most
SAMPLE_SECONDS = 0.5
PATIENCE = 600.0  # seconds that one answer may take
LEVELS = [(red, green, blue) for blue in (60, 190) for red in (40, 100, 160, 220) for green in (40, 100, 160, 220)]


class MixedUp(Exception):
    """An answer belongs to another clip than was sent."""


@dataclass
class Findings:
    """Results of a test.

    Attributes:
        seconds: of every answered request, by kind.
        full: number of requests that were refused because the queue was full.
        found: findings, one message each.
        memory: (seconds since the start, resident bytes of the server).
        files: most files in the server's temporary folder, their most bytes, and the number left at the end.
    """

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    full: int = 0
    found: list[str] = field(default_factory=list)
    memory: list[tuple[float, int]] = field(default_factory=list)
    files: tuple[int, int, int] = (0, 0, 0)

    def resident(self, begin: float, end: float) -> float:
        """Return the median of the resident bytes between two shares of the time."""
        last = self.memory[-1][0]
        return statistics.median(size for moment, size in self.memory if begin * last <= moment <= end * last)


def make_clip(path: Path, colour: tuple[int, int, int]) -> Path:
    """Write two seconds of one colour with a moving darker square; return the path."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=16)
        stream.width, stream.height, stream.pix_fmt = 128, 112, "yuv420p"
        for number in range(32):
            picture = np.full((112, 128, 3), colour, np.uint8)
            picture[48:64, 3 * number : 3 * number + 16] //= 2
            frame = av.VideoFrame.from_ndarray(picture)
            frame.pts, frame.time_base = number, Fraction(1, 16)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


class Visitor:
    """A client with a clip of its own, which checks the answers."""

    def __init__(self, url: str, number: int, folder: Path, checkpoint: str) -> None:
        # A long timeout: on a busy machine the last of a full queue waits for minutes.
        patience = {"timeout": PATIENCE}
        self.client = Client(url, verbose=False, download_files=False, analytics_enabled=False, httpx_kwargs=patience)
        self.colour, self.folder, self.checkpoint = LEVELS[number % len(LEVELS)], folder / f"{number}", checkpoint
        self.folder.mkdir(exist_ok=True)
        self.clip = make_clip(self.folder / f"client-{number:02d}.mp4", self.colour)
        self.window = {"start": round(0.02 * (number % 32), 2), "seconds": 1.0}
        self.fps = 5.0 + number % 32
        self.image = self.folder / "distilled.png"
        self._opener = build_opener(ProxyHandler({}))

    def ask(self, kind: str) -> None:
        """Send one request and check its answer.

        Raises:
            MixedUp: the answer is for another clip.
        """
        getattr(self, "_" + ("distill" if kind == "restore" and not self.image.exists() else kind))()

    def _distill(self) -> None:
        image, facts = self._predict("/distill", clip=handle_file(self.clip), checkpoint=self.checkpoint, **self.window)
        content = self._fetch(image)
        self.check_window(facts["window"])
        self._check_picture(Image.open(io.BytesIO(content)), "distilled image")
        self.image.write_bytes(content)

    def _restore(self) -> None:
        clip, facts = self._predict("/restore", image=handle_file(self.image), fps=self.fps)
        if facts["fps"] != self.fps:
            raise MixedUp(f"asked for {self.fps} frames a second, given {facts['fps']}")
        self.check_film(self._fetch(clip))

    def _explore(self) -> None:
        fields = {"clip": handle_file(self.clip), "checkpoint": self.checkpoint, **self.window}
        *files, report = self._predict("/explore", **fields)
        self._check_clip(report["clip"])
        self._check_picture(Image.open(io.BytesIO(self._fetch(files[0]))), "explored image")
        self.check_film(self._fetch(files[1]))

    def _compare(self) -> None:
        names = {"checkpoints": self.checkpoint, "judge": self.checkpoint}
        _, everything, report = self._predict("/compare", clip=handle_file(self.clip), **names, **self.window)
        self._check_clip(report["clip"])
        with zipfile.ZipFile(io.BytesIO(self._fetch(everything))) as archive:
            name = next(name for name in sorted(archive.namelist()) if "middle" in name and name.endswith(".png"))
            self._check_picture(Image.open(io.BytesIO(archive.read(name))), "middle frame")

    def _predict(self, name: str, **inputs: Any) -> Any:
        return self.client.predict(**inputs, api_name=name)

    def _fetch(self, file: dict[str, Any]) -> bytes:
        with self._opener.open(file["url"], timeout=PATIENCE) as answer:
            return answer.read()

    def check_window(self, window: dict[str, float]) -> None:
        if abs(window["start"] - self.window["start"]) > 0.005:
            raise MixedUp(f"asked for {self.window}, given {window}")

    def _check_clip(self, clip: dict[str, Any]) -> None:
        if clip["name"] != self.clip.name:
            raise MixedUp(f"the report is of {clip['name']}")
        self.check_window(clip["window"])

    def _check_picture(self, picture: Image.Image, what: str) -> None:
        self._check_colour(np.asarray(picture.convert("RGB")), what)

    def check_film(self, content: bytes) -> None:
        with av.open(io.BytesIO(content)) as container:
            self._check_colour(next(container.decode(video=0)).to_ndarray(format="rgb24"), "restored clip")

    def _check_colour(self, picture: np.ndarray, what: str) -> None:
        colour = np.median(picture.reshape(-1, 3), axis=0)
        nearest = min(LEVELS, key=lambda level: float(np.abs(colour - level).sum()))
        if nearest != self.colour:
            raise MixedUp(f"the {what} is of colour {colour.tolist()}, the clip of {self.colour}")


def soak(seconds: float, clients: Sequence[int] = CLIENTS, checkpoint: str = "robust", seed: int = 0) -> Findings:
    """Start a server and send requests for `seconds`, divided evenly among the numbers of clients."""
    findings = Findings()
    with tempfile.TemporaryDirectory() as temporary:
        base, folder = Path(temporary) / "server", Path(temporary) / "clients"
        folder.mkdir()
        own = {"GRADIO_SERVER_PORT": str(free_port()), "GRADIO_TEMP_DIR": str(base), "AVD_CHECKPOINT": checkpoint}
        own |= {"AVD_RUNS": str(Path(temporary) / "runs"), "AVD_MIN_FREE_GB": "0.2"}
        with served(os.environ | own, Path(temporary) / "log.txt") as url:
            over = threading.Event()
            watch = threading.Thread(target=_watch, args=(url.pid, base, findings, over, seconds))
            try:
                visitors = [Visitor(url, number, folder, checkpoint) for number in range(max(clients))]
                watch.start()
                for count in clients:
                    _work(visitors[:count], seconds / len(clients), seed, findings)
            finally:
                over.set()
            watch.join()
        log = (Path(temporary) / "log.txt").read_text(errors="replace")
        findings.found += [f"in the log: {line}" for line in log.splitlines() if "Error" in line or "Traceback" in line]
        left = [path for path in base.rglob("*") if path.is_file() and "avd-examples" not in path.parts]
        findings.files = (*findings.files[:2], len(left))
    findings.found += [f"{len(left)} files are left when the server has ended, such as {left[0].name}"] if left else []
    before, after = findings.resident(0.25, 0.4), findings.resident(0.85, 1.0)
    if after > GROWTH * before:
        findings.found.append(f"resident memory grew from {before / 2**20:.0f} to {after / 2**20:.0f} MiB")
    return findings


def _work(visitors: list[Visitor], seconds: float, seed: int, findings: Findings) -> None:
    end = time.monotonic() + seconds
    lock = threading.Lock()

    def visit(number: int, visitor: Visitor) -> None:
        dice = random.Random(f"{seed} {number}")
        while time.monotonic() < end:
            (kind,) = dice.choices(list(MIX), list(MIX.values()))
            begun = time.monotonic()
            try:
                visitor.ask(kind)
            except Exception as error:
                with lock:
                    if "full" in str(error).lower():
                        findings.full += 1
                    else:
                        findings.found.append(f"client {number}, {kind}: {type(error).__name__}: {error}")
                time.sleep(1)
            else:
                with lock:
                    findings.seconds[kind].append(time.monotonic() - begun)

    threads = [threading.Thread(target=visit, args=pair) for pair in enumerate(visitors)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _watch(pid: int, base: Path, findings: Findings, over: threading.Event, seconds: float) -> None:
    """Sample the server's memory and files; after half the time age its results, which must then be deleted."""
    begun, aged, old = time.monotonic(), None, []
    while not over.wait(SAMPLE_SECONDS):
        passed = time.monotonic() - begun
        findings.memory.append((passed, _resident(pid)))
        sizes = []
        for folder, _, names in os.walk(base):  # folders come and go meanwhile
            for name in names:
                with suppress(FileNotFoundError):
                    sizes.append(os.stat(os.path.join(folder, name)).st_size)
        most, largest, _ = findings.files
        findings.files = (max(most, len(sizes)), max(largest, sum(sizes)), 0)
        if aged is None and passed > seconds / 2:
            aged, old = passed, _make_old(base)
        if old and aged is not None and passed > aged + 2.5 * SWEEP_SECONDS:
            if left := [path for path in old if path.exists()]:
                findings.found.append(f"{len(left)} of {len(old)} results outlast their time")
            old = []


def _make_old(base: Path) -> list[Path]:
    """Date finished results back by the time for which they are kept, but for those of the last minute."""
    long_ago, old = time.time() - KEEP_HOURS * 3600 - 60, []
    for path in base.glob(f"*/{RESULTS}/*"):
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < time.time() - 60:
                os.utime(path, (long_ago, long_ago))
                old.append(path)
    return old


def _resident(pid: int) -> int:
    """Return the resident bytes of a process."""
    return 1024 * int(Path(f"/proc/{pid}/status").read_text().partition("VmRSS:")[2].split()[0])


def lines(findings: Findings) -> list[str]:
    """Return the figures as text."""
    rows = [f"{'request':<10}{'answered':>9}{'p50 s':>8}{'p95 s':>8}"]
    for kind in MIX:
        if waits := findings.seconds.get(kind):
            last = p95(waits) if len(waits) > 1 else waits[0]
            rows.append(f"{kind:<10}{len(waits):>9}{statistics.median(waits):>8.2f}{last:>8.2f}")
    sizes = [size / 2**20 for _, size in findings.memory]
    before, after = findings.resident(0.25, 0.4), findings.resident(0.85, 1.0)
    count, largest, left = findings.files
    return [
        *rows,
        f"{findings.full} refused, as the queue was full; {len(findings.found)} found",
        f"resident {before / 2**20:.0f} MiB after the warm-up, {after / 2**20:.0f} at the end "
        f"({after / before - 1:+.0%}), {min(sizes):.0f} to {max(sizes):.0f} in all",
        f"temporary files: at most {count} with {largest / 2**20:.0f} MiB; {left} left when the server has ended",
    ]


def main(arguments: list[str] | None = None) -> int:
    """Test a server and print the figures; return 1 if there are findings."""
    about = (__doc__ or "").split("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reliability.soak", description=about)
    parser.add_argument("--seconds", type=float, default=1200, help="of work in all (default: %(default)s)")
    parser.add_argument("--clients", type=int, nargs="+", default=list(CLIENTS), help="at once (default: 12, then 32)")
    parser.add_argument("--checkpoint", default="robust", help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    if options.seconds < 10 or min(options.clients) < 1:
        parser.error("--seconds is at least 10, --clients at least 1")
    findings = soak(options.seconds, options.clients, options.checkpoint, options.seed)
    print(*lines(findings), *findings.found, sep="\n")
    return 1 if findings.found else 0


if __name__ == "__main__":
    sys.exit(main())
