"""Storyboards on their way to the browser: strips and their pieces of the page, and the example of one."""

from __future__ import annotations

import logging
import tempfile
import threading
import time
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
class Video:
    """What a strip is made of: a file that stays where it is, and its name for people."""

    path: Path
    title: str


@dataclass(frozen=True)
class Shown:
    """A finished strip: its files' `folder`, what their names begin with, and whether it came as a zip."""

    video: Video
    board: Board
    folder: Path
    stem: str
    zipped: bool = False


class Example:
    """The strip that a first visitor finds: some of Explore's examples, one after the other."""

    def __init__(self, explorations: Explorations) -> None:
        self._visits, self._joining = explorations, threading.Lock()
        # Not on the shelf: the example stays as long as the server.
        self._lasting = tempfile.TemporaryDirectory(prefix="avd-", dir=explorations.store.parent)
        self.strip: Shown | None = None

    def video(self) -> Video:
        """The film of it; whoever asks first has it made, the others wait."""
        path = Path(self._lasting.name) / "examples.mp4"
        with self._joining:
            if not path.exists():
                join([self._visits.clip(name) for name in REEL], path)
        return Video(path, REEL_TITLE)

    def prepare(self, checkpoint: str) -> None:
        """Makes the strip, once Explore's examples are rendered; for a background thread."""
        while self._visits.missing:
            time.sleep(0.5)
        try:
            folder = Path(tempfile.mkdtemp(dir=self._lasting.name))
            request = StoryboardRequest(self.video().path, checkpoint)
            *_, board = save(StoryboardMaker(self._visits.explorer, request), folder)
        except ValueError as error:  # visitors who ask for it are told the same
            log.error("No example strip: %s", error)
        else:
            self.strip = Shown(self.video(), board, folder, "examples")


def growing(board: Board, folder: Path, elapsed: float) -> dict[str, str]:
    """The pieces of a strip that is being made since `elapsed` seconds, by slot."""
    return {
        "status": fragments.progress(render.progress(board, elapsed), board.share),
        "films": render.films(board, str, ""),
        "strip": render.strip(board, _addresses(folder), opens=False),
    }


def pieces(shown: Shown) -> dict[str, str]:
    """The pieces of a finished strip, by slot."""
    board, address = shown.board, _addresses(shown.folder)
    return {
        "message": "",
        "status": render.facts(board, shown.video.title),
        "films": render.films(board, address, shown.video.title),
        "links": fragments.downloads([(title, *_named(shown, name)) for title, name in LINKS]),
        "notes": fragments.notes(board.notes),
        "strip": render.strip(board, address, opens=not shown.zipped),
        "cost": render.cost(board),
        "loss": render.loss(board),
    }


def _named(shown: Shown, name: str) -> tuple[str, str]:
    """The address of a file under a name that says which video it is of: browsers save it so."""
    path = shown.folder / f"{shown.stem}-{name}"
    if not path.exists():
        path.hardlink_to(shown.folder / name)
    return ResultStore.address(path), path.name


def _addresses(folder: Path) -> render.Address:
    return lambda name: ResultStore.address(folder / name)
