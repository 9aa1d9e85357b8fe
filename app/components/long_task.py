"""A button for work that takes a while: what it will cost, how far it is, and a way out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import gradio as gr

from app.context import RESULT_KEPT, Updates, message
from app.render import classifier, fragments
from app.services.background import BackgroundTask, Progress

Result = TypeVar("Result")


class LongTaskButton:
    """A button for work that takes a while; during the work, its progress and a cancel button take its place."""

    def __init__(self, name: str, words: str, activity: str, visible: bool = False) -> None:
        """Lay the button out in the current context.

        Args:
            name: Begins the ids of its elements.
            words: On the button.
            activity: In the status line during the work.
            visible: Whether it is there from the start.
        """
        self.words, self.activity = words, activity
        with gr.Row(elem_classes="long-task", visible=visible, elem_id=f"{name}-task") as self.row:
            self.button = gr.Button(words, size="sm", elem_id=f"{name}-button")
            self.line = gr.HTML(visible=False, apply_default_css=False)
            self.cancel = gr.Button("Cancel", size="sm", visible=False, elem_id=f"{name}-cancel")

    @property
    def outputs(self) -> list[gr.Row | gr.Button | gr.HTML]:
        return [self.row, self.button, self.line, self.cancel]

    def follow(
        self,
        work: Callable[[Progress], Result],
        show: Callable[[Result], Updates],
        message_slot: gr.HTML,
        overtaken: Callable[[], bool],
        activity: Callable[[], str] | None = None,
    ) -> Iterator[Updates]:
        """Run `work` in the background; yield its progress, then its result or an error.

        The work stops when this generator is closed, as Gradio does when its event is cancelled.

        Args:
            work: Called with a function that takes the share (0 to 1) that is done.
            show: Turns its result into updates.
            message_slot: Where an error is shown.
            overtaken: Whether the visitor has gone on to something else; nothing more is shown then.
            activity: The words of the status line at this moment; None: the usual ones.
        """
        task = BackgroundTask(work)
        try:
            for share in task.shares():
                if overtaken():
                    return
                yield self.busy(share, activity and activity())
            result = task.result()
            if not overtaken():
                yield show(result)
        except Exception as error:
            if not overtaken():
                yield {message_slot: message(error, RESULT_KEPT)} | self.reset()
        finally:
            task.stop()

    def busy(self, share: float | None = None, activity: str | None = None) -> Updates:
        """Show the progress.

        Args:
            share: Of the work that is done, 0 to 1; None: the work has not begun.
            activity: The words of the status line; None: the usual ones.
        """
        line = fragments.progress("Waiting for its turn" if share is None else activity or self.activity, share or 0)
        return {
            self.button: gr.Button(visible=False),
            self.line: gr.HTML(line, visible=True),
            self.cancel: gr.Button(visible=True),
        }

    def ready(self, seconds: float | None = None, words: str | None = None, timed: bool = True) -> Updates:
        """Show the button.

        Args:
            seconds: How long the work will take; None: not known, "some seconds".
            words: On the button; None: the usual ones.
            timed: Whether the button says how long the work will take.
        """
        words = words or self.words
        label = f"{words} · {classifier.about(seconds)}" if timed else words
        return self.reset() | {self.button: gr.Button(label, visible=True)}

    def reset(self) -> Updates:
        """Show the button as it was, after a cancel or a failure."""
        return {
            self.button: gr.Button(visible=True),
            self.line: gr.HTML(visible=False),
            self.cancel: gr.Button(visible=False),
        }
