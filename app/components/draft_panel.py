"""The clips to fine-tune on: dropped in, shown as thumbnails, some of them held out of the training."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import gradio as gr
from gradio.events import Dependency

from app.context import LONG, SESSION_EXPIRED, UNLIMITED, UNQUEUED, PageContext, Updates, message, on_click_js
from app.render import finetune as render
from app.render import fragments
from app.services.finetuning import Draft
from avd_core.data.clip_files import Gathered, gather
from avd_core.media.archives import ArchiveLimits
from avd_core.runs.limits import LimitError
from avd_core.training.finetune_clips import hold_out, take

UPDATE_SECONDS = 0.5  # between two states of the growing list


class DraftPanel:
    """Collect the clips of the next run; the drop zone is laid out where this is constructed.

    Attributes:
        draft: State: the visitor's `Draft`, or None.
    """

    def __init__(self, context: PageContext) -> None:
        self.explorations, self.finetuning = context.explorations, context.finetuning
        self.draft = gr.State(None)
        with gr.Column(elem_id="tune-drop", min_width=240):
            self.upload = gr.File(
                file_count="multiple", label="Clips or a zip", show_label=False, height=128, elem_id="tune-upload"
            )  # fmt: skip
            with gr.Row(elem_classes="tune-files"):
                self.examples = gr.Button("Take the examples", size="sm", elem_id="tune-examples")
                self.clear = gr.Button("Clear", size="sm", elem_id="tune-clear")

    def lay_out_clips(self) -> None:
        """Lay the thumbnails out in the current context, with their count above and notes about files below."""
        self.count = gr.HTML(elem_id="tune-count", apply_default_css=False)
        self.clips = gr.HTML(
            render.NO_CLIPS, elem_id="tune-clips", apply_default_css=False, js_on_load=on_click_js("hold")
        )
        self.notes = gr.HTML(elem_id="tune-notes", apply_default_css=False)

    def wire(self, message_slot: gr.HTML, start: gr.Button) -> tuple[list[Dependency], Dependency]:
        """Wire what is laid out; errors go to `message_slot`, and `start` is active while there are clips.

        Returns:
            The events that add clips, and the one that moves a clip into or out of the held-out ones.
        """
        self.message, self.start = message_slot, start
        outputs = [self.message, self.count, self.clips, self.notes, self.draft, self.upload, self.examples, self.start]
        added = [
            self.upload.upload(self.on_upload, [self.upload, self.draft], outputs, **LONG),
            self.examples.click(self.on_examples, self.draft, outputs, **LONG),
        ]
        self.clear.click(self.on_clear, None, outputs, **UNQUEUED)
        return added, self.clips.click(self.on_hold, self.draft, outputs, **UNLIMITED)

    # Handlers -------------------------------------------------------------------------------------------------

    def on_upload(self, files: list[str] | None, draft: Draft | None) -> Iterator[Updates]:
        limits = ArchiveLimits(max_files=self.finetuning.registry.limits.clips)
        yield from self._added(lambda folder: gather(files or [], folder, limits), draft)

    def on_examples(self, draft: Draft | None) -> Iterator[Updates]:
        yield from self._added(lambda _: self.explorations.gathered_examples(), draft)

    def on_clear(self) -> Updates:
        return self._shown(Draft())

    def on_hold(self, draft: Draft | None, card: gr.EventData) -> Updates:
        if draft is None:
            return {self.message: SESSION_EXPIRED}
        return self._shown(draft.toggled(int(card.value)))

    # What handlers answer -------------------------------------------------------------------------------------

    def _added(self, find: Callable[[Path], Gathered], draft: Draft | None) -> Iterator[Updates]:
        """Add the clips that `find` unpacks into a folder, and show them as they are read."""
        draft, most = draft or Draft(), self.finetuning.registry.limits.clips
        words = fragments.progress("Looking for clips", 0.02)
        yield {self.message: "", self.count: words, self.upload: gr.File(value=None, visible=False),
               self.examples: gr.Button(interactive=False), self.start: gr.Button(interactive=False)}  # fmt: skip
        sentence = ""
        try:
            folder = self.explorations.store.folder()
            found = find(folder)
            if len(found.sources) + len(draft.clips) > most:
                raise LimitError(f"At most {most} clips are trained on here.")
            draft = replace(draft, skipped=(*draft.skipped, *found.sentences))
            shown = time.monotonic()
            for number, one in enumerate(take(found.sources, folder / "taken"), 1):
                draft = draft.with_clip(one)
                if time.monotonic() > shown + UPDATE_SECONDS:
                    shown, total = time.monotonic(), len(found.sources)
                    line = fragments.progress(f"Read {number} of {total} clips", number / total)
                    yield {self.count: line, self.clips: render.clips(draft.clips, frozenset(), total - number)}
            draft = replace(draft, held_out=hold_out(draft.clips))
        except Exception as error:
            sentence = message(error, "Drop in other clips.")
        yield self._shown(draft) | {
            self.message: sentence,
            self.upload: gr.File(value=None, visible=True),
            self.examples: gr.Button(interactive=True),
        }

    def _shown(self, draft: Draft) -> Updates:
        return {
            self.draft: draft,
            self.count: render.counted(draft.clips, draft.held_out),
            self.clips: render.clips(draft.clips, draft.held_out),
            self.notes: fragments.notes(draft.skipped[:12]),
            self.start: gr.Button(interactive=bool(draft.clips and self.finetuning.registry.limits.on)),
        }
