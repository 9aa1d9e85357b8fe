"""Many clips on their way to the browser: their images as files, and the gallery as pieces of the page."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from app.context import OpenRequest
from app.render import batch as render
from app.render import fragments
from app.services.result_store import ResultStore
from avd_core.explore.batch import BatchRequest, Inspected, inspect, write_csv
from avd_core.explore.explorer import Explorer
from avd_core.media.distilled_png import save_distilled

EVERY = 0.4  # seconds between two looks at a growing gallery: each sends all of it


@dataclass(frozen=True)
class Batch:
    """What one visitor's gallery shows.

    Attributes:
        request: the clips, and how they are looked at.
        skipped: sentences about files that are no clips to look at.
        folder: where its files are.
        rows: those that are ready, without their images, which are files by now.
        addresses: of the images, by the row's place in `rows`.
        left: seconds that the rest will take, as far as one can tell.
    """

    request: BatchRequest
    skipped: tuple[str, ...]
    folder: Path
    rows: tuple[Inspected, ...] = ()
    addresses: tuple[tuple[int, str], ...] = ()
    left: float | None = None

    @property
    def complete(self) -> bool:
        """Whether every clip was looked at."""
        return len(self.rows) == len(self.request.sources)

    def status(self, running: bool) -> str:
        """The line above the gallery."""
        total = len(self.request.sources)
        if running and not self.complete:
            return render.doing(len(self.rows), total, self.left)
        return render.done(self.rows, total)

    def gallery(self, by: str, running: bool = False) -> str:
        """The cards; while some are still to come they stay where they are."""
        coming = len(self.request.sources) - len(self.rows) if running else 0
        return render.gallery(self.rows, dict(self.addresses), None if coming else by or None, coming)

    def notes(self) -> str:
        """What was left out, and why."""
        return render.notes(self.skipped, self.rows)

    def links(self) -> str:
        """What can be saved."""
        path = write_csv(self.folder / "inspection.csv", self.rows)
        return fragments.downloads([("Figures, CSV", ResultStore.address(path), path.name)])

    def opening(self, number: int) -> OpenRequest:
        """The clip of a row, the same window of it, for Explore.

        Raises:
            ValueError: there is no such row.
        """
        if not 0 <= number < len(self.rows) or self.rows[number].problem is not None:
            raise ValueError("There is no such clip in this gallery.")
        source, request = self.rows[number].source, self.request
        return OpenRequest(source.clip, source.title, request.window, request.checkpoint)


def carry_out(explorer: Explorer, request: BatchRequest, skipped: tuple[str, ...], folder: Path) -> Iterator[Batch]:
    """The gallery as it grows, a few times a second at most; the first is empty and the last complete."""
    inspection = Batch(request, skipped, folder)
    yield inspection
    begun = told = time.monotonic()
    for number, row in enumerate(inspect(explorer, request)):
        addresses = inspection.addresses
        if row.problem is None:
            picture = save_distilled(folder / f"{number:04d}.png", row.image, row.info)
            addresses = (*addresses, (number, ResultStore.address(picture)))
        rows, now = (*inspection.rows, replace(row, image=None)), time.monotonic()
        left = (now - begun) / len(rows) * (len(request.sources) - len(rows))
        inspection = replace(inspection, rows=rows, addresses=addresses, left=left)
        if now - told > EVERY or inspection.complete:
            told = now
            yield inspection
