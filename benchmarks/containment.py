"""Time reading in a worker against reading in the same process: `python -m benchmarks.containment [FILE ...]`.

Each file is read by a process itself, and by one that has a worker read it (`avd_core/media/containment`), in turns and
shuffled order. Times are in milliseconds: the median of wall-clock time, and the mean of CPU time, of all threads and
the worker together, which is more reliable on a busy machine. Without files, four seconds of H.264 are made.
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
import os, sys, time
from avd_core.media import thumbnails, video, writer
from avd_core.media.containment import contained
if {contain}:
    contained.start(1)
path, out = sys.argv[1:]
def cpu():
    ticks = 0
    for pid in contained.worker_pids():
        ticks += sum(map(int, open(f"/proc/{{pid}}/stat").read().rpartition(")")[2].split()[11:13]))
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")
for line in sys.stdin:
    begun, before = time.perf_counter(), cpu()
    eval(line)
    print(time.perf_counter() - begun, cpu() - before, flush=True)
"""


class Reader:
    """A process that reads a file, in a worker if `contain`."""

    def __init__(self, path: Path, out: Path, contain: bool) -> None:
        command = [sys.executable, "-c", _CHILD.format(contain=contain), str(path), str(out)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def read(self, way: str) -> tuple[float, float]:
        """Return the seconds that one of `WAYS` takes: of wall-clock time, of CPU time."""
        self._process.stdin.write(f"{WAYS[way]}\n")
        self._process.stdin.flush()
        wall, cpu = map(float, self._process.stdout.readline().split())
        return wall, cpu

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
        print("| file | what is read | alone | contained | ratio | CPU alone | CPU contained | ratio |")
        print("|---|---|---|---|---|---|---|---|")
        for label, path in files.items():
            readers = {contain: Reader(path.absolute(), folder / f"{contain}.mp4", contain) for contain in (0, 1)}
            for way in WAYS:
                times: dict[int, list[tuple[float, float]]] = {0: [], 1: []}
                for _ in range(args.rounds + 1):
                    for contain in random.sample([0, 1], 2):
                        times[contain].append(readers[contain].read(way))
                cells = []
                for number, figure in enumerate((statistics.median, statistics.mean)):  # the first round imports
                    alone, inside = (figure([one[number] for one in times[contain][1:]]) for contain in (0, 1))
                    cells += [f"{1000 * alone:.1f}", f"{1000 * inside:.1f}", f"{inside / alone:.2f}"]
                print(f"| {label} | {way} | {' | '.join(cells)} |", flush=True)
            for reader in readers.values():
                reader.close()


if __name__ == "__main__":
    main()
