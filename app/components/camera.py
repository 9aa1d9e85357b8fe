"""Record a clip with the visitor's camera: a button, and the recorder that it opens."""

from __future__ import annotations

import gradio as gr

from app.context import UNQUEUED, Updates

OPEN, CLOSE = "Record with your camera", "Close the camera"


class CameraRecorder:
    """A small button beside the drop zone, and a recorder that it shows and hides.

    Attributes:
        video: The recorder. Its `stop_recording` event comes once the clip is uploaded; its value is then the path.
            Handlers need `preprocess=False`: gradio would remove the sound with ffmpeg, though there is none (to record
            sound, it would ask for the microphone).
        frame: The column around the recorder; call its `render` where it is to stand.
    """

    def __init__(self, name: str) -> None:
        """Lay the button out in the current context; `name` begins the ids of the elements."""
        self.button = gr.Button(OPEN, size="sm", elem_id=f"{name}-button")
        self.open = gr.State(False)
        with gr.Column(visible=False, render=False, elem_id=f"{name}-video") as self.frame:
            self.video = gr.Video(
                sources=["webcam"],
                include_audio=False,
                webcam_options=gr.WebcamOptions(mirror=False),
                label="Your camera",
                height=320,
            )

    def wire(self) -> None:
        """Let the button open and close the recorder, once both have been rendered."""
        self.button.click(self.toggle, self.open, self.outputs, **UNQUEUED)

    @property
    def outputs(self) -> list[gr.Button | gr.Column | gr.Video | gr.State]:
        return [self.button, self.frame, self.video, self.open]

    def toggle(self, is_open: bool) -> Updates:
        """Open the recorder, or close it and forget what it shows."""
        if is_open:
            return self.closed()
        return {self.button: gr.Button(CLOSE), self.frame: gr.Column(visible=True), self.open: True}

    def closed(self) -> Updates:
        """Close the recorder."""
        return {self.button: gr.Button(OPEN), self.frame: gr.Column(visible=False), self.video: None, self.open: False}
