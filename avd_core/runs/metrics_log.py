"""Read a run's metrics while they grow; only new lines are read, so that a long run can be polled every second."""

from __future__ import annotations

from pathlib import Path

from avd_core.runs.run import metrics_line

MOST = 400  # points of a plotted line


class Curve:
    """The lines of a growing `metrics.jsonl`.

    Attributes:
        lines: all complete lines, by rising step.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: list[dict[str, float]] = []
        self._place = 0
        self._inode: int | None = None

    def read(self) -> list[dict[str, float]]:
        """Read the new lines and return all; after a resume, which rewrites the file, read all of it again."""
        try:
            stat = self.path.stat()
        except FileNotFoundError:
            return self.lines
        if stat.st_ino != self._inode or stat.st_size < self._place:
            self.lines, self._place, self._inode = [], 0, stat.st_ino
        with self.path.open("rb") as file:
            file.seek(self._place)
            fresh = file.read()
        whole = fresh[: fresh.rfind(b"\n") + 1]  # the last line may be half written
        self._place += len(whole)
        self.lines += [line for line in map(metrics_line, whole.splitlines()) if line]
        return self.lines

    def points(self, name: str) -> list[tuple[int, float]]:
        """Return (step, value) of one term, reduced to at most `MOST` means of neighbouring steps."""
        known = [(line["step"], line[name]) for line in self.lines if name in line]
        width = -(-len(known) // MOST) or 1
        groups = [known[i : i + width] for i in range(0, len(known), width)]
        return [(int(group[-1][0]), sum(value for _, value in group) / len(group)) for group in groups]

    def seconds_left(self, steps: int, most: float | None = None) -> float | None:
        """Estimate the seconds until the last of `steps`, from recent ones; `most` limits the whole training."""
        if not self.lines:
            return None
        recent = [line.get("seconds", 0.0) for line in self.lines[-20:]]
        left = (steps - self.lines[-1]["step"]) * sum(recent) / len(recent)
        if most is not None:
            left = min(left, most - sum(line.get("seconds", 0.0) for line in self.lines))
        return max(0.0, left)
