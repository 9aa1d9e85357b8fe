"""Images that play, and play again while a visitor paints on them or degrades them.

Axes: T frames, H, W; the last axis is RGB, uint8.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from app.render import fragments, restore
from app.render.sprites import data_address, png, sheet
from app.services.explorations import ExplorationView
from app.services.result_store import ResultStore
from avd_core.analysis.attribution import change, moving_part
from avd_core.analysis.baselines import mean_frame
from avd_core.analysis.degradations import Degradation, degraded_quality
from avd_core.analysis.metrics import psnr
from avd_core.explore.explorer import Explorer
from avd_core.explore.parts import Restoration
from avd_core.media.distilled_png import ImageError, read_distilled, save_distilled, save_image
from avd_core.media.writer import write_mp4

PREFIX = "data:image/png;base64,"
MAX_PAINTED = 4_000_000  # characters; a painted image of the largest size is about a tenth


@dataclass(frozen=True, eq=False)
class RestorationSession:
    """An image and the clip that it plays as.

    Attributes:
        title: Its name for people.
        restoration: What it plays as, untouched.
        folder: Where its files for the browser lie.
        original: The clip it was distilled from, uint8 (T, H, W, 3); None where it is not known.
        clip: The clip in Explore that it came from; None for a dropped image.
    """

    title: str
    restoration: Restoration
    folder: Path
    original: np.ndarray | None = None
    clip: object | None = None

    @cached_property
    def bounds(self) -> tuple[float | None, float | None]:
        """PSNR against the clip, of the untouched restoration and of the mean frame; None for an unknown clip."""
        if self.original is None:
            return None, None
        return psnr(self.original, self.restoration.frames), psnr(self.original, mean_frame(self.original))


class Restorations:
    """Make restoration sessions with the explorer that all visitors share."""

    def __init__(self, explorer: Explorer, store: ResultStore) -> None:
        self.explorer, self.store = explorer, store

    def of_view(self, view: ExplorationView) -> RestorationSession:
        """Take the image that Explore shows: its clip is known, and it has been restored already."""
        result = view.exploration
        restoration = Restoration(
            frames=result.restored,
            fps=result.clip.fps,
            checkpoint=result.checkpoint,
            fingerprint=result.fingerprint,
            through_jpeg=result.through_jpeg,
            image=result.distilled,
            info=result.info,
            notes=(),
        )
        return RestorationSession(view.title, restoration, self.store.folder(), result.clip.frames, result.clip)

    def of_file(self, path: Path, view: ExplorationView | None) -> RestorationSession:
        """Take a dropped picture; if it is the one that Explore shows, its clip is known.

        Raises:
            ValueError: With a sentence for the person.
        """
        restoration = self.explorer.restore(path)
        original = None
        if view is not None and np.array_equal(view.exploration.distilled, restoration.image):
            original = view.result.clip.frames
        if original is not None and original.shape != restoration.frames.shape:
            original = None
        return RestorationSession(path.name, restoration, self.store.folder(), original)

    def pieces(self, session: RestorationSession) -> dict[str, str]:
        """Draw what stays while the image is painted on and degraded."""
        restoration = session.restoration
        saved = write_mp4(self._file(session, "restored.mp4"), restoration.frames, restoration.fps)
        return {
            "status": restore.summary(session.title, restoration, session.original is not None),
            "notes": restore.notice(restoration),
            "easel": restore.easel(
                data_address(png(restoration.image), "png"),
                restoration.image.shape[:2],
                moving_part(restoration.frames),
            ),
            "links": fragments.downloads([("Restored clip, MP4", ResultStore.address(saved), saved.name)]),
        }

    def painted(self, session: RestorationSession, address: str) -> np.ndarray | None:
        """Decode the image as the browser painted it, uint8 (H, W, 3); None where nothing is painted.

        Raises:
            ImageError: It is no picture of the same size.
        """
        if not address:
            return None
        try:
            if not address.startswith(PREFIX) or len(address) > MAX_PAINTED:
                raise ValueError
            data = base64.b64decode(address[len(PREFIX) :], validate=True)
        except (ValueError, binascii.Error) as error:
            raise ImageError("The painted image did not arrive whole.") from error
        path = session.folder / "painted.png"
        path.write_bytes(data)
        image, _ = read_distilled(path)
        if image.shape != session.restoration.image.shape:
            raise ImageError("The painted image belongs to another one.")
        return image

    def apply(
        self, session: RestorationSession, painted: np.ndarray | None, degradation: Degradation, first: bool = False
    ) -> dict[str, str]:
        """Degrade the (painted) image, restore it and draw the clip beside the untouched one.

        Args:
            session: The image.
            painted: The painted image, or None.
            degradation: What to do to it.
            first: The browser does not have the untouched clip yet.
        """
        restoration = session.restoration
        fed = degradation(restoration.image if painted is None else painted)
        touched = painted is not None or degradation != Degradation()
        after = self.explorer.replay(restoration, fed) if touched else restoration.frames
        changed = change(restoration.frames, after)
        figures = degraded_quality(degradation, after, restoration.frames, session.original)
        before = sheet(restoration.frames)
        return {
            "played": restore.played(
                before=before if first else replace(before, address=""),
                after=sheet(after),
                heat=sheet(restore.heat(changed)),
                change=changed,
                fps=restoration.fps,
                fed=data_address(png(fed), "png") if degradation != Degradation() else "",
                touched=touched,
            ),
            "figures": restore.figures(figures, *session.bounds, touched=touched),
            "links": self._links(session, fed if touched else None),
        }

    def _links(self, session: RestorationSession, fed: np.ndarray | None) -> str:
        """Link the clip, and the changed image, which plays when it is dropped in again."""
        info, path = session.restoration.info, self._file(session, "restored.mp4")
        links = [("Restored clip, MP4", ResultStore.address(path), path.name)]
        if fed is not None:
            path = self._file(session, "changed.png")
            # A photograph stays one: it must not say of itself that it was distilled.
            if info is None or info.size != fed.shape[:2]:
                save_image(path, fed)
            else:
                save_distilled(path, fed, info)
            links.append(("Changed image, PNG", ResultStore.address(path), path.name))
        return fragments.downloads(links)

    @staticmethod
    def _file(session: RestorationSession, name: str) -> Path:
        return session.folder / f"{Path(session.title).stem[:80] or 'image'}-{name}"
