"""The desk: what the tabs of one page share. A tab knows the desk, and no other tab.

Explore lays the clip it shows on the desk (`Desk.visit`), where Compare and Probe find it; any tab can have a clip
opened in Explore (`Desk.open`). What belongs to one visitor is in session state; the desk itself serves them all.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr

from app.render import parts
from app.visits import Visits

# How events run. A first picture never waits behind somebody's long work: each kind has a queue of its own.
QUIET = {"show_progress": "hidden", "api_visibility": "private"}
# More than there are cores: an exploration that waits only for its preview must keep nobody from a first picture.
FIRST = QUIET | {"concurrency_id": "first", "concurrency_limit": 6, "trigger_mode": "multiple"}
LONG = QUIET | {"concurrency_id": "long", "concurrency_limit": 1, "trigger_mode": "once"}
# A few seconds of work: it holds up nobody's first picture, and waits for nobody's storyboard.
SHORT = QUIET | {"concurrency_id": "short", "concurrency_limit": 1, "trigger_mode": "once"}
KEPT = "Nothing else changed: below is still your last result."
FORGOTTEN = parts.problem("This page was left alone for long.", "Please drop the clip in again.")
EXPLORE = "explore"  # the id of the tab that opens clips

Updates = dict[Any, Any]
log = logging.getLogger(__name__)
_numbers = itertools.count()


@dataclass(frozen=True)
class Opening:
    """A clip that a tab wants opened in Explore.

    Attributes:
        clip: a video file that stays where it is.
        title: its name for people.
        start: where the window begins, in seconds; with `seconds`, its length. None: the part with the most motion.
        whole: take the whole clip.
        checkpoint: None is the one chosen in Explore.
    """

    clip: Path
    title: str
    start: float | None = None
    seconds: float | None = None
    whole: bool = False
    checkpoint: str | None = None
    number: int = field(default_factory=lambda: next(_numbers))  # the same clip opened again is news too


class Desk:
    """What tabs share; built inside the page, before them.

    Attributes:
        page: the page they stand on.
        visits: clips on their way through the explorer, `visits.explorer`.
        checkpoint: the one that is chosen at first.
        visit: the `Visit` that Explore shows this visitor, or None.
        opening: the `Opening` wanted last, or None.
        tabs: the tabs' frame.
    """

    tabs: gr.Tabs

    def __init__(self, page: gr.Blocks, visits: Visits, checkpoint: str) -> None:
        self.page, self.visits, self.checkpoint = page, visits, checkpoint
        self.visit, self.opening = gr.State(None), gr.State(None)

    def open(self, opening: Opening) -> Updates:
        """What a handler answers to have a clip opened in Explore; `opened` names the outputs it needs."""
        return {self.opening: opening, self.tabs: gr.Tabs(selected=EXPLORE)}

    @property
    def opened(self) -> list[Any]:
        """The outputs of a handler that answers with `open`."""
        return [self.opening, self.tabs]


def message(error: Exception, advice: str) -> str:
    """What a person can act on comes from the core as a ValueError; all else is our fault, and logged."""
    if isinstance(error, ValueError):
        return parts.problem(str(error), advice)
    log.error("a handler failed", exc_info=error)
    return parts.problem("Something broke here, and it was not your clip.", f"Please try again. {advice}")


def named(checkpoints: Iterable[str]) -> list[tuple[str, str]]:
    """Choices that show a folder's name instead of its path."""
    return [(Path(checkpoint).name, checkpoint) for checkpoint in checkpoints]
