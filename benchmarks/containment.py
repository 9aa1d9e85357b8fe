"""What containing costs: `python -m benchmarks.containment [FILE ...]`.

Each file is read by a process alone, and by one that has a worker read it (`avd_core/media/containment`); they take
turns, in a shuffled order. Times are wall-clock milliseconds: the medians of all rounds, and the least, since a busy
machine adds what neither takes. Without files, four seconds of H.264 are made.
"""

from __future__ import annotations

import argparse
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.reading import progressive

KIND = "H.264, 640 x 360"
WAYS = {
    "clip of 16 frames, 224 px": "video.read_clip(path, frames=16, size=224)",
    "filmstrip": "thumbnails.filmstrip(path)",
    "preview, 240 px": "writer.transcode(path, out, size=240)",
}
_CHILD = """
import sys, time
from avd_core.media import thumbnails, video, writer
from avd_core.media.containment import contained
if {contain}:
    contained.start(1)
path, out = sys.argv[1:]
for line in sys.stdin:
    begun = time.perf_counter()
    eval(line)
    print(time.perf_counter() - begun, flush=True)
"""


class Reader:
    """A process that reads a file, in a worker if `contain`."""

    def __init__(self, path: Path, out: Path, contain: bool) -> None:
        command = [sys.executable, "-c", _CHILD.format(contain=contain), str(path), str(out)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def read(self, way: str) -> float:
        """Return the seconds that one of `WAYS` takes."""
        self._process.stdin.write(f"{WAYS[way]}\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


def main() -> None:
    """Print a row for each way of reading each file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.containment", description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="videos (default: a made one)")
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = {path.name: path for path in args.files} or {KIND: progressive(folder / "clip.mp4", KIND)}
        print("| file | what is read | alone | contained | ratio | least alone | least contained | ratio |")
        print("|---|---|---|---|---|---|---|---|")
        for label, path in files.items():
            readers = {contain: Reader(path.absolute(), folder / f"{contain}.mp4", contain) for contain in (0, 1)}
            for way in WAYS:
                times: dict[int, list[float]] = {0: [], 1: []}
                for _ in range(args.rounds + 1):
                    for contain in random.sample([0, 1], 2):
                        times[contain].append(readers[contain].read(way))
                cells = []
                for figure in (statistics.median, min):
                    alone, inside = (figure(times[contain][1:]) for contain in (0, 1))  # the first round imports
                    cells += [f"{1000 * alone:.1f}", f"{1000 * inside:.1f}", f"{inside / alone:.2f}"]
                print(f"| {label} | {way} | {' | '.join(cells)} |", flush=True)
            for reader in readers.values():
                reader.close()


if __name__ == "__main__":
    main()
