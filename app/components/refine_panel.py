"""Refine the image that is shown: its cost first, a live figure, and a way out that keeps the best so far."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import gradio as gr

from app.components.long_task import LongTaskButton
from app.context import LONG, SESSION_EXPIRED, UNQUEUED, PageContext, Updates
from app.render import fragments
from app.services.background import Progress
from app.services.explorations import ExplorationView
from avd_core.explore.requests import DEFAULT_REFINE

if TYPE_CHECKING:
    from avd_core.networks.refinement import Refinement

STEP_COST = 4.0  # a step takes so many times as long as decoding an image: forward, backward, and the critic
NOTHING = fragments.problem("Refining found nothing better.", "The image is as it was.")


class RefinePanel:
    """A button below the restoration; the refined exploration replaces the one that is shown."""

    def __init__(self, context: PageContext, turns: Mapping[str, object]) -> None:
        """Lay the button out in the current context; `turns` holds the latest exploration of each session."""
        self.explorations, self.view, self.turns = context.explorations, context.view, turns
        self.running: dict[str, threading.Event] = {}  # of each session: set to end its refining
        self.task = LongTaskButton(
            "refine", f"Refine the image: {DEFAULT_REFINE} steps", "Refining the image", visible=True
        )
        self.task.cancel.value = "Stop and keep the best"

    def wire(
        self,
        slot: gr.HTML,
        outputs: Sequence[gr.components.Component],
        shown: Callable[[ExplorationView], Updates],
    ) -> None:
        """Wire the button.

        Args:
            slot: Where messages are shown.
            outputs: The outputs of the button's handler, `slot` among them.
            shown: Returns the updates that show a finished exploration.
        """
        self.message, self.shown = slot, shown
        waiting = self.task.button.click(self.task.busy, None, self.task.outputs, **UNQUEUED)
        waiting.then(self.on_refine, self.view, [*outputs], **LONG)
        self.task.cancel.click(self.on_stop, None, None, **UNQUEUED)

    def offer(self, view: ExplorationView) -> Updates:
        """Offer to refine a finished exploration; the button says about how long that takes."""
        return self.task.ready(STEP_COST * DEFAULT_REFINE * view.result.seconds.get("restore", 0.1), self.task.words)

    def on_stop(self, request: gr.Request) -> None:
        """End the visitor's refining after the step that is being made."""
        if ending := self.running.get(request.session_hash):
            ending.set()

    def on_refine(self, view: ExplorationView | None, request: gr.Request) -> Iterator[Updates]:
        """Refine the image that is shown, unless the visitor goes on to something else."""
        if view is None:
            yield {self.message: SESSION_EXPIRED} | self.task.reset()
            return
        session, gains = request.session_hash, [0.0]
        turn, ending = self.turns.get(session), threading.Event()
        self.running[session] = ending

        def work(progress: Progress) -> ExplorationView | None:
            def step(refinement: Refinement) -> bool:
                gains[0] = refinement.gain
                progress(refinement.step / refinement.steps)
                return not ending.is_set()

            return self.explorations.refine(view, DEFAULT_REFINE, step)

        def show(refined: ExplorationView | None) -> Updates:
            return (self.shown(refined) if refined else {self.message: NOTHING}) | self.task.reset()

        try:
            yield from self.task.follow(
                work,
                show,
                self.message,
                overtaken=lambda: self.turns.get(session) is not turn,
                activity=lambda: f"Refining the image: {gains[0]:+.2f} dB",
            )
        finally:
            self.running.pop(session, None)

    def leave(self, session: str) -> None:
        self.running.pop(session, None)
