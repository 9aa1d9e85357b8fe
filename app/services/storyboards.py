"""Storyboards as pieces of the page, and the example storyboard."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from pathlib import Path

from app.render import fragments
from app.render import storyboard as render
from app.services.explorations import Explorations
from app.services.result_store import ResultStore
from avd_core.explore.storyboard.files import RESTORED, SHEET, ZIP, Board, save
from avd_core.explore.storyboard.panels import StoryboardMaker, StoryboardRequest
from avd_core.explore.storyboard.reader import TABLE
from avd_core.media.writer import join

# Examples of one shape, so that little of them is cropped when they follow each other.
REEL = ("cradle", "basketball", "balloons", "pinwheel", "wave")
REEL_TITLE = "Five examples in a row"
LINKS = (
    ("Strip that plays, ZIP", ZIP),
    ("Restored film, MP4", RESTORED),
    ("All images on one page, PNG", SHEET),
    ("Figures, JSON", TABLE),
)
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class NamedVideo:
    """A video file to make a strip of, which stays where it is, and its name for people."""

    path: Path
    title: str


@dataclass(frozen=True)
class StoryboardView:
    """A finished strip.

    Attributes:
        video: What it was made of.
        board: Its images and figures.
        folder: Where its files lie.
        stem: Begins the names under which they are saved.
        zipped: Whether it came as a strip's zip, without its video.
    """

    video: NamedVideo
    board: Board
    folder: Path
    stem: str
    zipped: bool = False


class ExampleStoryboard:
    """The strip that a first visitor finds: some of Explore's examples, one after the other."""

    def __init__(self, explorations: Explorations) -> None:
        self._explorations, self._joining = explorations, threading.Lock()
        self._store, self._folder = explorations.store, explorations.store.lasting_folder()
        self.strip: StoryboardView | None = None

    def video(self) -> NamedVideo:
        """Return the video to make it of; the first caller joins the examples, the others wait."""
        path = self._folder / "examples.mp4"
        with self._joining:
            if not path.exists():
                join([self._explorations.clip(name) for name in REEL], path)
        return NamedVideo(path, REEL_TITLE)

    def prepare(self, checkpoint: str) -> None:
        """Make the strip, once Explore's examples are rendered; for a background thread."""
        self._explorations.examples_rendered.wait()
        try:
            folder = self._store.lasting_folder()
            request = StoryboardRequest(self.video().path, checkpoint)
            *_, board = save(StoryboardMaker(self._explorations.explorer, request), folder)
        except ValueError as error:  # visitors who ask for it see the same sentence
            log.error("No example strip: %s", error)
        else:
            self.strip = StoryboardView(self.video(), board, folder, "examples")


def growing(board: Board, folder: Path, elapsed: float) -> dict[str, str]:
    """Draw a strip that has been in the making for `elapsed` seconds; return its pieces by slot."""
    return {
        "status": fragments.progress(render.progress_words(board, elapsed), board.share),
        "films": render.films(board, str, ""),
        "strip": render.strip(board, _addresses(folder), opens=False),
    }


def pieces(view: StoryboardView) -> dict[str, str]:
    """Draw a finished strip; return its pieces by slot."""
    board, address = view.board, _addresses(view.folder)
    return {
        "message": "",
        "status": render.summary(board, view.video.title),
        "films": render.films(board, address, view.video.title),
        "links": fragments.downloads([(title, *_named(view, name)) for title, name in LINKS]),
        "notes": fragments.notes(board.notes),
        "strip": render.strip(board, address, opens=not view.zipped),
        "cost": render.cost(board),
        "loss": render.loss(board),
    }


def _named(view: StoryboardView, name: str) -> tuple[str, str]:
    """Return address and name of a file, linked under a name that says which video it is of."""
    path = view.folder / f"{view.stem}-{name}"
    if not path.exists():
        path.hardlink_to(view.folder / name)
    return ResultStore.address(path), path.name


def _addresses(folder: Path) -> render.Address:
    return lambda name: ResultStore.address(folder / name)
