"""A comparison as files, and as pieces of the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app.render import compare as render
from app.render import fragments
from app.services.explorations import ExplorationView
from app.services.result_store import ResultStore
from avd_core.atomic_io import write_json
from avd_core.explore.comparison import CompareRequest, Comparison, compare
from avd_core.explore.comparison_files import contact_sheet, save_row
from avd_core.explore.explorer import Explorer
from avd_core.media.distilled_png import save_image
from avd_core.media.writer import write_mp4


@dataclass(frozen=True)
class ComparisonView:
    """What one visitor's Compare tab shows.

    Attributes:
        title: The clip's name for people.
        comparison: What is ready of it.
        folder: Where its files are.
        addresses: Of the pictures, by the rows' names.
    """

    title: str
    comparison: Comparison
    folder: Path
    addresses: dict[str, str]

    @property
    def status_line(self) -> str:
        """Say what is shown, or how far it is."""
        if self.comparison.complete:
            return render.summary(self.comparison, self.title)
        done, all_of_them = len(self.comparison.rows), len(self.comparison.planned)
        words = f"Comparing {self.title}: {done} of {all_of_them}"
        return fragments.progress(words, (done + 0.5) / (all_of_them + 0.5))

    def grid(self, by: str | None, waiting: bool = True) -> str:
        """Draw the cards."""
        return render.grid(self.comparison, self.addresses, by, waiting)

    def links(self) -> str:
        """Write and link what can be saved of a finished comparison."""
        sheet, figures = self.folder / f"{self._stem}-compared.png", self.folder / f"{self._stem}-compared.json"
        save_image(sheet, contact_sheet(self.comparison))
        write_json(figures, self.comparison.report())
        titles = (("Contact sheet, PNG", sheet), ("Figures, JSON", figures))
        return fragments.downloads([(title, ResultStore.address(path), path.name) for title, path in titles])

    def duel(self, first: str, second: str) -> str:
        """Draw two of the rows side by side; write only those files that are missing."""
        rows = {row.name: row for row in self.comparison.rows}
        numbers = {row.name: number for number, row in enumerate(self.comparison.rows)}
        pair, clip = (rows[first], rows[second]), self.comparison.clip
        files = {"original.mp4": self._file("original.mp4")}
        if not files["original.mp4"].exists():
            write_mp4(files["original.mp4"], clip.frames, clip.fps)
        for letter, row in zip("ab", pair, strict=True):
            path = files[f"{letter}.mp4"] = self._file(f"{numbers[row.name]:02d}.mp4")
            if row.restored is not None and not path.exists():
                write_mp4(path, row.restored, len(row.restored) / clip.seconds)
        if pair[0].image.shape == pair[1].image.shape:
            path = files["difference.png"] = self._file(f"{numbers[first]:02d}-{numbers[second]:02d}.png")
            apart = np.abs(pair[0].image.astype(int) - pair[1].image.astype(int))
            save_image(path, (render.DIFFERENCE * apart).clip(0, 255).astype(np.uint8))
        addresses = {name: ResultStore.address(path) for name, path in files.items()}
        addresses |= {"a.png": self.addresses[first], "b.png": self.addresses[second]}
        count, *size, _ = clip.frames.shape
        return render.duel(*pair, frames=count, fps=clip.fps, size=tuple(size), files=addresses)

    def _file(self, name: str) -> Path:
        return self.folder / name

    @property
    def _stem(self) -> str:
        return self.comparison.request.clip.stem[:80]


def request_for(view: ExplorationView, explorer: Explorer, classifier: str, own: Sequence[str] = ()) -> CompareRequest:
    """Request a comparison of the clip and window that Explore shows, by every checkpoint at hand and `own` ones."""
    shown = view.result.request
    checkpoints = dict.fromkeys([shown.checkpoint, *explorer.checkpoints(), *own])
    # All at the size that Explore shows: pictures of different sizes cannot be subtracted.
    size = min(view.exploration.distilled.shape[:2])
    return CompareRequest(shown.clip, tuple(checkpoints), shown.window, classifier, size=size)


def run_comparison(explorer: Explorer, request: CompareRequest, title: str, folder: Path) -> Iterator[ComparisonView]:
    """Compare; yield a view after each row. Raises as `compare` does."""
    addresses: dict[str, str] = {}
    for comparison in compare(explorer, request):
        for number, row in enumerate(comparison.rows):
            if row.name not in addresses:
                picture = save_row(row, folder / f"{request.clip.stem[:80]}-{number:02d}.png")
                addresses = addresses | {row.name: ResultStore.address(picture)}
        yield ComparisonView(title, comparison, folder, addresses)
