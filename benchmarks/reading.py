"""Time reading progressive files: `python -m benchmarks.reading [--before REVISION] [FILE ...]`.

`read_clip` is compared with a plain PyAV loop, which decodes every picture of the file and scales the sampled ones, and
with `--before` also with the `read_clip` of another revision of this repository. Each runs in a process of its own, in
turns and shuffled order. Times are CPU milliseconds of all threads, the least of all rounds.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

FRAMES, SIZE = 16, 112
KINDS = {
    "H.264, 1280 x 720": ("mp4", "libx264", (720, 1280), {"preset": "veryfast"}),
    "H.264, 640 x 360": ("mp4", "libx264", (360, 640), {"preset": "veryfast"}),
    "HEVC, 640 x 360": ("mp4", "libx265", (360, 640), {"preset": "ultrafast", "x265-params": "log-level=none"}),
    "VP9, 640 x 360": ("webm", "libvpx-vp9", (360, 640), {"deadline": "realtime", "cpu-used": "8"}),
    "MPEG-4, 320 x 240": ("avi", "mpeg4", (240, 320), {"qscale": "4"}),
}

_READ_CLIP = """
from avd_core.media.video import read_clip
def read(path):
    read_clip(path, frames={frames}, size={size}, whole=True)
"""
_PLAIN_LOOP = """
import av, numpy as np
def read(path):
    with av.open(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        count = sum(1 for packet in container.demux(stream) if packet.size)
        container.seek(0)
        wanted = set(np.linspace(0, count - 1, {frames}).round().astype(int).tolist())
        scale = {size} / min(stream.width, stream.height)
        width, height = round(stream.width * scale), round(stream.height * scale)
        for number, frame in enumerate(container.decode(stream)):
            if number in wanted:
                frame.reformat(width, height, "rgb24", interpolation="BICUBIC").to_ndarray()
"""
_LOOP = """
import sys, time
for line in sys.stdin:
    begun = time.process_time()
    read(line.rstrip("\\n"))
    print(time.process_time() - begun, flush=True)
"""


class Reader:
    """A process that reads files with the code of one way, from the tree below `root`."""

    def __init__(self, code: str, root: Path) -> None:
        code = code.format(frames=FRAMES, size=SIZE) + _LOOP
        environment = os.environ | {"PYTHONPATH": str(root), "PYTHONSAFEPATH": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def read(self, path: Path) -> float:
        """Return the CPU seconds of one reading."""
        self._process.stdin.write(f"{path}\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        self._process.stdin.close()
        self._process.wait()


def progressive(path: Path, kind: str, count: int = 100) -> Path:
    """Write four seconds of a panning scene with a moving block."""
    container, codec, (height, width), options = KINDS[kind]
    rng = np.random.default_rng(0)
    scene = rng.integers(40, 220, (height // 8, width // 4, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    with av.open(str(path), "w", format=container) as output:
        stream = output.add_stream(codec, rate=25, options=options)
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        for i in range(count):
            picture = scene[:, 2 * i : 2 * i + width].copy()
            picture[height // 3 : height // 2, 5 * i % (width - 40) :][:, :40] = (250, 40, 40)
            frame = av.VideoFrame.from_ndarray(picture).reformat(format="yuv420p")
            frame.pts, frame.time_base = i, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return path


def checked_out(revision: str, folder: Path) -> Path:
    """Unpack the library of another revision into `folder`, and return its path."""
    here = Path(__file__).resolve().parents[1]
    archive = subprocess.run(["git", "archive", revision, "avd_core"], cwd=here, capture_output=True, check=True).stdout
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive, check=True)
    return folder


def main() -> None:
    """Print a row for each file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reading", description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="videos (default: made ones, 4 s each)")
    parser.add_argument("--before", metavar="REVISION", help="compare with this revision's read_clip")
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    here = Path(__file__).resolve().parents[1]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "before").mkdir()
        readers = {"now": Reader(_READ_CLIP, here), "plain loop": Reader(_PLAIN_LOOP, here)}
        if args.before:
            readers["before"] = Reader(_READ_CLIP, checked_out(args.before, folder / "before"))
        files = {path.name: path for path in args.files}
        files = files or {kind: progressive(folder / f"{i}.video", kind) for i, kind in enumerate(KINDS)}
        others = [one for one in readers if one != "now"]
        print("| file | now |", *(f"{one} | now / {one} |" for one in others))
        print("|---|---|" + "---|---|" * len(others))
        sums = dict.fromkeys(readers, 0.0)
        for label, path in files.items():
            times: dict[str, list[float]] = {one: [] for one in readers}
            for _ in range(args.rounds + 1):
                for one in random.sample(list(readers), len(readers)):
                    times[one].append(readers[one].read(path.absolute()))
            least = {one: min(taken[1:]) for one, taken in times.items()}  # the first round imports
            sums = {one: sums[one] + least[one] for one in readers}
            _row(label, least)
        _row("all", sums)
        for reader in readers.values():
            reader.close()


def _row(label: str, seconds: dict[str, float]) -> None:
    now, *others = seconds.values()
    print(f"| {label} | {1000 * now:.1f} |", *(f"{1000 * t:.1f} | {now / t:.2f} |" for t in others), flush=True)


if __name__ == "__main__":
    main()
