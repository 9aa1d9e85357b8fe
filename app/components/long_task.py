"""A button for work that takes a while: what it will cost, how far it is, and a way out."""

from __future__ import annotations

import gradio as gr

from app.context import Updates
from app.render import fragments, saliency


class Job:
    """A button for something that takes a while; at work its place is taken by the progress and a way out."""

    def __init__(self, name: str, words: str, doing: str) -> None:
        self.words, self.doing = words, doing
        with gr.Row(elem_classes="job", visible=name in ("check", "through"), elem_id=f"{name}-job") as self.row:
            self.button = gr.Button(words, size="sm", elem_id=f"{name}-button")
            self.line = gr.HTML(visible=False, apply_default_css=False)
            self.cancel = gr.Button("Cancel", size="sm", visible=False, elem_id=f"{name}-cancel")

    @property
    def outputs(self) -> list[gr.Row | gr.Button | gr.HTML]:
        return [self.row, self.button, self.line, self.cancel]

    def busy(self, share: float | None = None) -> Updates:
        line = fragments.progress("Waiting for its turn" if share is None else self.doing, share or 0)
        return {
            self.button: gr.Button(visible=False),
            self.line: gr.HTML(line, visible=True),
            self.cancel: gr.Button(visible=True),
        }

    def idle(self, seconds: float | None = None, words: str | None = None, timed: bool = True) -> Updates:
        label = f"{words or self.words} · {saliency.about(seconds)}" if timed else words
        return self.free() | {self.button: gr.Button(label, visible=True)}

    def free(self) -> Updates:
        """After a cancel or a failure: the button as it was."""
        return {
            self.button: gr.Button(visible=True),
            self.line: gr.HTML(visible=False),
            self.cancel: gr.Button(visible=False),
        }
