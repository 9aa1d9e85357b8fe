"""Many clips at once: their images as files, and the grid of them as pieces of the page."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from app.render import batch as render
from app.render import fragments
from app.services.explorations import OpenRequest
from app.services.result_store import ResultStore
from avd_core.explore.batch import BatchRequest, Inspected, inspect, write_csv
from avd_core.explore.explorer import Explorer
from avd_core.media.distilled_png import save_distilled

UPDATE_SECONDS = 0.4  # between two states of a growing grid: each sends all of it


@dataclass(frozen=True)
class Batch:
    """One visitor's batch.

    Attributes:
        request: The clips, and how they are explored.
        skipped: Sentences about files that are no clips.
        folder: Where its files are.
        rows: The results so far, without their images, which are saved as files.
        addresses: (place in `rows`, address of the image).
        left: Seconds that the rest will take; None while that cannot be estimated.
    """

    request: BatchRequest
    skipped: tuple[str, ...]
    folder: Path
    rows: tuple[Inspected, ...] = ()
    addresses: tuple[tuple[int, str], ...] = ()
    left: float | None = None

    @property
    def complete(self) -> bool:
        """Whether every clip was explored."""
        return len(self.rows) == len(self.request.sources)

    def status_line(self, running: bool) -> str:
        """Say how far the batch is, or what it holds."""
        total = len(self.request.sources)
        if running and not self.complete:
            return render.status_line(len(self.rows), total, self.left)
        return render.summary(self.rows, total)

    def grid(self, by: str, running: bool = False) -> str:
        """Draw the cards, sorted by `by` (a key of `batch.ORDERS`) once none is still to come."""
        coming = len(self.request.sources) - len(self.rows) if running else 0
        return render.grid(self.rows, dict(self.addresses), None if coming else by or None, coming)

    def notes(self) -> str:
        """List what was left out, and why."""
        return render.notes(self.skipped, self.rows)

    def links(self) -> str:
        """Write the figures as CSV and link them."""
        path = write_csv(self.folder / "inspection.csv", self.rows)
        return fragments.downloads([("Figures, CSV", ResultStore.address(path), path.name)])

    def open_request(self, number: int) -> OpenRequest:
        """Have Explore open a row's clip, at the same window.

        Raises:
            ValueError: There is no such row.
        """
        if not 0 <= number < len(self.rows) or self.rows[number].problem is not None:
            raise ValueError("There is no such clip in this batch.")
        source, request = self.rows[number].source, self.request
        return OpenRequest(source.clip, source.title, request.window, request.checkpoint)


def run_batch(explorer: Explorer, request: BatchRequest, skipped: tuple[str, ...], folder: Path) -> Iterator[Batch]:
    """Explore the clips; yield the growing batch a few times a second at most, first empty and last complete."""
    batch = Batch(request, skipped, folder)
    yield batch
    begun = shown = time.monotonic()
    for number, row in enumerate(inspect(explorer, request)):
        addresses = batch.addresses
        if row.image is not None and row.info is not None:
            picture = save_distilled(folder / f"{number:04d}.png", row.image, row.info)
            addresses = (*addresses, (number, ResultStore.address(picture)))
        rows, now = (*batch.rows, replace(row, image=None)), time.monotonic()
        left = (now - begun) / len(rows) * (len(request.sources) - len(rows))
        batch = replace(batch, rows=rows, addresses=addresses, left=left)
        if now - shown > UPDATE_SECONDS or batch.complete:
            shown = now
            yield batch
