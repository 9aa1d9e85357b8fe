"""A button for work that takes a while: what it will cost, how far it is, and a way out."""

from __future__ import annotations

import gradio as gr

from app.context import Updates
from app.render import classifier, fragments


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

    def busy(self, share: float | None = None, activity: str | None = None) -> Updates:
        """Show the progress, with another `activity` than usual where it is given; None: the work has not begun."""
        line = fragments.progress("Waiting for its turn" if share is None else activity or self.activity, share or 0)
        return {
            self.button: gr.Button(visible=False),
            self.line: gr.HTML(line, visible=True),
            self.cancel: gr.Button(visible=True),
        }

    def ready(self, seconds: float | None = None, words: str | None = None, timed: bool = True) -> Updates:
        """Show the button, with the time the work will take unless it is not `timed`; None: some seconds."""
        label = f"{words or self.words} · {classifier.about(seconds)}" if timed else words
        return self.reset() | {self.button: gr.Button(label, visible=True)}

    def reset(self) -> Updates:
        """Show the button as it was, after a cancel or a failure."""
        return {
            self.button: gr.Button(visible=True),
            self.line: gr.HTML(visible=False),
            self.cancel: gr.Button(visible=False),
        }
