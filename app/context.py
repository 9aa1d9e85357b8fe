"""The desk: what the tabs of one page share. A tab knows the desk, and no other tab.

Explore lays the clip it shows on the desk (`Desk.visit`), where Compare and Probe find it; any tab can have a clip
opened in Explore (`Desk.open`). What belongs to one visitor is in session state; the desk itself serves them all.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr

from app.render import fragments
from app.services import deep_links
from app.services.deep_links import Choices, DeepLink
from app.services.explorations import Explorations
from app.services.finetuning import FinetuneService
from app.services.history import History
from avd_core.examples import scenes
from avd_core.media.window import MOST_MOTION, Window

# How events run. A first picture never waits behind somebody's long work: each kind has a queue of its own.
QUIET = {"show_progress": "hidden", "api_visibility": "private"}
# More than there are cores: an exploration that waits only for its preview must keep nobody from a first picture.
FIRST = QUIET | {"concurrency_id": "first", "concurrency_limit": 6, "trigger_mode": "multiple"}
LONG = QUIET | {"concurrency_id": "long", "concurrency_limit": 1, "trigger_mode": "once"}
# A few seconds of work: it holds up nobody's first picture, and waits for nobody's storyboard.
SHORT = QUIET | {"concurrency_id": "short", "concurrency_limit": 1, "trigger_mode": "once"}
RESULT_KEPT = "Nothing else changed: below is still your last result."
SESSION_EXPIRED = fragments.problem("This page was left alone for long.", "Please drop the clip in again.")
EXPLORE = "explore"  # the id of the tab that opens clips

Updates = dict[Any, Any]
log = logging.getLogger(__name__)
_numbers = itertools.count()


def calls_off(button: gr.Button, works: list, handler: Callable[..., Updates], inputs: Any, outputs: list) -> None:
    """Wires a way out of long work: the works end, and `handler` answers how the page is left.

    It answers twice, since the last word of the work may be under way yet and arrive after the first answer: then the
    page seemed to be at work for ever.
    """
    first = button.click(handler, inputs, outputs, cancels=works, **QUIET, queue=False)
    first.then(handler, inputs, outputs, **QUIET, queue=False)


@dataclass(frozen=True)
class OpenRequest:
    """A clip that a tab wants opened in Explore.

    Attributes:
        clip: a video file that stays where it is.
        title: its name for people.
        window: the part of it.
        checkpoint: None is the one chosen in Explore.
        classifier: likewise.
        method: likewise, a key of `saliency.METHODS`.
    """

    clip: Path
    title: str
    window: Window = MOST_MOTION
    checkpoint: str | None = None
    classifier: str | None = None
    method: str | None = None
    number: int = field(default_factory=lambda: next(_numbers))  # the same clip opened again is news too


class PageContext:
    """What tabs share; built inside the page, before them.

    Attributes:
        page: the page they stand on.
        visits: clips on their way through the explorer, `visits.explorer`.
        checkpoint: the one that is chosen at first.
        visit: the `ExplorationView` that Explore shows this visitor, or None.
        opening: the `OpenRequest` wanted last, or None.
        tabs: the tabs' frame.
        names: the tabs' ids, in their order.
        recents: what each visitor looked at last.
        remembered: what the visitor's browser remembers, once `REMEMBERED` has asked it.
        regrets: says what a link asked for in vain.
        tuning: everybody's fine-tuning runs.
        secret: kept by the visitor's browser; whoever holds it holds the runs.
        mine: the checkpoints that this visitor trained and wants in every tab.
        landing: the tab that a link wants open, as soon as there is something to see.
    """

    REMEMBERED = "() => [window.door.remembered()]"
    tabs: gr.Tabs

    def __init__(self, page: gr.Blocks, explorations: Explorations, checkpoint: str) -> None:
        self.page, self.explorations, self.checkpoint = page, explorations, checkpoint
        self.names = [EXPLORE]
        self.recents = History(explorations.store.seconds)
        self.tuning = FinetuneService(explorations.explorer, explorations.store)
        self.mine = gr.State(())
        # Outside of every tab: what stands in one that is not open has not read the browser's store (gradio 6.31).
        self.secret = gr.BrowserState(None, storage_key="avd-finetune", secret=self.tuning.browser_secret())
        self.view, self.opening, self.landing = gr.State(None), gr.State(None), gr.State(None)
        self.remembered = gr.JSON(visible=False)
        self.regrets = gr.HTML(visible=False, elem_id="regrets", apply_default_css=False)

    def open(self, opening: OpenRequest) -> Updates:
        """What a handler answers to have a clip opened in Explore; `opened` names the outputs it needs."""
        return {self.opening: opening, self.tabs: gr.Tabs(selected=EXPLORE)}

    def checkpoints(self, mine: Iterable[str] = ()) -> list[tuple[str, str]]:
        """What a visitor can choose among: the page's own, those that are loaded, and what the visitor trained."""
        return named(dict.fromkeys([self.checkpoint, *self.explorations.explorer.checkpoints(), *mine]))

    def offer(self, classifiers: Iterable[str] = (), methods: Iterable[str] = ()) -> Choices:
        """What a link can ask for and a browser remember."""
        checkpoints = dict.fromkeys([self.checkpoint, *self.explorations.explorer.checkpoints()])
        return Choices(tuple(scenes.SCENES), tuple(checkpoints), tuple(self.names), tuple(classifiers), tuple(methods))

    def arrive(self, remembered: Any, offer: Choices, request: gr.Request) -> tuple[DeepLink, Updates]:
        """Somebody opens the page; what to open for them is in the updates, if it is not what everybody sees first.

        The outputs it needs are `arrived`.
        """
        known = remembered if isinstance(remembered, dict) else {}
        self.recents.meet(str(request.session_hash), known.get("visitor"))
        arrival = deep_links.arrive(request.query_params, known, offer)
        updates: Updates = {self.landing: arrival.tab if arrival.tab != self.names[0] else None}
        if arrival.regrets:
            told = fragments.problem(" ".join(arrival.regrets), "All else is as usual.")
            updates[self.regrets] = gr.HTML(told, visible=True)
        usual = offer.classifiers[0], offer.methods[0]
        if arrival.query(offer) or (arrival.classifier, arrival.method) != usual:
            clip, title = self.explorations.clip(arrival.example), scenes.SCENES[arrival.example].title
            look = (arrival.checkpoint, arrival.classifier, arrival.method)
            updates[self.opening] = OpenRequest(clip, title, arrival.window, *look)
        return arrival, updates

    @property
    def arrived(self) -> list[Any]:
        """The outputs of a handler that answers with `arrive`."""
        return [self.landing, self.regrets, self.opening]

    @property
    def opened(self) -> list[Any]:
        """The outputs of a handler that answers with `open`."""
        return [self.opening, self.tabs]


def message(error: Exception, advice: str) -> str:
    """What a person can act on comes from the core as a ValueError; all else is our fault, and logged."""
    if isinstance(error, ValueError):
        return fragments.problem(str(error), advice)
    log.error("a handler failed", exc_info=error)
    return fragments.problem("Something broke here, and it was not your clip.", f"Please try again. {advice}")


def named(checkpoints: Iterable[str]) -> list[tuple[str, str]]:
    """Choices that show a folder's name instead of its path."""
    return [(Path(checkpoint).name, checkpoint) for checkpoint in checkpoints]
