"""Fine-tune: train a checkpoint on one's own clips; a run goes on without the page, and is found again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from app.components.runs_panel import RunsPanel
from app.components.training_options import TrainingOptions
from app.context import (
    LONG,
    SESSION_EXPIRED,
    SHORT,
    UNLIMITED,
    UNQUEUED,
    PageContext,
    Updates,
    by_name,
    message,
    on_click_js,
)
from app.render import finetune as render
from app.render import fragments
from app.services import auth
from app.services.finetuning import Draft
from avd_core.data.clip_files import Gathered, Source, gather
from avd_core.examples import scenes
from avd_core.media.archives import ArchiveLimits
from avd_core.media.clip_names import CLIP_SUFFIXES
from avd_core.runs.limits import LimitError
from avd_core.runs.registry import new_secret, owner_of
from avd_core.training.finetune import LENGTHS, FineTune, command, prepare, presets, recipe, size_for
from avd_core.training.finetune_clips import hold_out, take

ID, TITLE = "finetune", "Fine-tune"


def build(context: PageContext, frame: gr.Tab) -> FinetuneTab:
    """Lay the tab out in the current context."""
    return FinetuneTab(context, frame)


class FinetuneTab:
    """The tab for all visitors; a visitor's runs are known by the secret that their browser keeps."""

    def __init__(self, context: PageContext, frame: gr.Tab) -> None:
        self.context, self.finetuning = context, context.finetuning
        self.limits = self.finetuning.registry.limits
        self.secret = context.secret
        self.draft = gr.State(None)
        self.fitted = gr.State(False)  # whether the length has been fitted, or is being
        self._lay_out()
        self._wire(frame)

    def prepare(self) -> None:
        """Move the queues on as long as the server lives; for a background thread."""
        self.finetuning.keep_going()

    def _lay_out(self) -> None:
        self.slots: dict[str, gr.HTML] = {}

        def slot(name: str, value: str = "", **options: Any) -> None:
            self.slots[name] = gr.HTML(value, elem_id=f"tune-{name}", apply_default_css=False, **options)

        with gr.Column(elem_id="tune"):
            slot("message", render.off() if not self.limits.on else "")
            with gr.Row(elem_id="tune-entry"):
                with gr.Column(elem_id="tune-drop", min_width=240):
                    self.upload = gr.File(
                        file_types=[*sorted(CLIP_SUFFIXES), ".zip"], file_count="multiple", label="Clips or a zip",
                        show_label=False, height=128, elem_id="tune-upload",
                    )  # fmt: skip
                    with gr.Row(elem_classes="tune-files"):
                        self.examples = gr.Button("Take the examples", size="sm", elem_id="tune-examples")
                        self.clear = gr.Button("Clear", size="sm", elem_id="tune-clear")
                with gr.Column(elem_id="tune-choices", min_width=280):
                    with gr.Row():
                        self.init = gr.Dropdown(
                            by_name([self.context.checkpoint]), value=self.context.checkpoint, label="Start from",
                            elem_id="tune-init", min_width=130,
                        )  # fmt: skip
                        self.name = gr.Textbox(
                            "my-clips", label="Name", max_length=40, elem_id="tune-name", min_width=130
                        )
                        self.device = gr.Dropdown([("CPU", "cpu")], value="cpu", label="Runs on", min_width=110)
                    self.length = gr.Radio(
                        self._lengths(), value=self._lengths()[0][1], label="Length", elem_id="tune-length"
                    )
                    slot("estimate", render.estimate(None, 0, 0, "cpu", 0, 0))
                    self.start = gr.Button("Start", variant="primary", interactive=False, elem_id="tune-start")
            slot("count")
            slot("clips", render.NO_CLIPS, js_on_load=on_click_js("hold"))
            slot("notes")
            self.options = TrainingOptions()
            self.runs = RunsPanel(self.context, self.slots["message"])
            gr.HTML(render.terms(self.limits), elem_id="tune-terms", apply_default_css=False)

    def _wire(self, frame: gr.Tab) -> None:
        run, shown = [self.secret, self.runs.chosen], self.runs.outputs
        drafted = [self.slots[name] for name in ("message", "count", "clips", "notes")]
        drafted += [self.draft, self.upload, self.examples, self.start]
        fitted = [
            self.fitted,
            self.slots["estimate"],
            self.slots["message"],
            self.options.command,
            *self.options.fields.values(),
        ]
        form = {self.draft, self.fitted, self.init, self.length, self.device, self.name, *self.options.fields.values()}

        self.context.page.load(
            self.on_load, run, [*shown, self.secret, self.context.own_checkpoints, self.init, self.device], **UNLIMITED
        )
        frame.select(self.on_select, [*run, self.context.own_checkpoints, self.init], [*shown, self.init], **UNLIMITED)

        for event, handler, first in (
            (self.upload.upload, self.on_upload, self.upload),
            (self.examples.click, self.on_examples, None),
        ):
            taken = event(handler, [*([first] if first else []), self.draft], drafted, **LONG)
            taken.then(self.on_first_fit, form, fitted, **SHORT)
        self.clear.click(self.on_clear, self.draft, drafted, **UNQUEUED)
        self.slots["clips"].click(self.on_hold, self.draft, drafted, **UNLIMITED).then(
            self.on_command, form, [self.options.command, self.slots["message"]], **UNLIMITED
        )
        for change in (self.init.input, self.length.input, self.device.input):
            change(self.on_fit, form, fitted, **(SHORT | {"trigger_mode": "always_last"}))
        for control in (self.name, *self.options.fields.values()):
            control.change(
                self.on_command, form, [self.options.command, self.slots["message"]],
                **(UNLIMITED | {"trigger_mode": "always_last"}),
            )  # fmt: skip
        self.options.load.upload(
            self.on_config, self.options.load, [self.slots["message"], *self.options.fields.values()], **UNLIMITED
        )
        self.options.save.click(
            self.on_save_config,
            set(self.options.fields.values()),
            [self.options.save, self.slots["message"]],
            **UNQUEUED,
        )

        self.start.click(self.on_start, form | {self.secret}, [*shown, self.secret], **UNLIMITED)
        self.runs.wire()

    # Clips ----------------------------------------------------------------------------------------------------

    def on_upload(self, files: list[str] | None, draft: Draft | None, request: gr.Request) -> Iterator[Updates]:
        limits = ArchiveLimits(max_files=self.limits.clips)
        yield from self._taken(lambda folder: gather(files or [], folder, limits), draft)

    def on_examples(self, draft: Draft | None, request: gr.Request) -> Iterator[Updates]:
        clips = ((self.context.explorations.clip(name), scene.title) for name, scene in scenes.SCENES.items())
        yield from self._taken(lambda _: Gathered(tuple(Source(clip, title) for clip, title in clips)), draft)

    def _taken(self, find: Callable[[Path], Gathered], draft: Draft | None) -> Iterator[Updates]:
        """Read the clips that come, and add them to those that are there."""
        draft = draft or Draft()
        words = fragments.progress("Looking for clips", 0.02)
        yield {self.slots["message"]: "", self.slots["count"]: words, self.upload: gr.File(value=None, visible=False),
               self.examples: gr.Button(interactive=False), self.start: gr.Button(interactive=False)}  # fmt: skip
        sentence = ""
        try:
            folder = self.context.explorations.store.folder()
            found = find(folder)
            if len(found.sources) + len(draft.clips) > self.limits.clips:
                raise LimitError(f"At most {self.limits.clips} clips are trained on here.")
            draft = replace(draft, skipped=(*draft.skipped, *found.told))
            shown = time.monotonic()
            for number, one in enumerate(take(found.sources, folder / "taken")):
                draft = draft.with_clip(one)
                if time.monotonic() - shown > 0.5:
                    shown = time.monotonic()
                    left = len(found.sources) - number - 1
                    line = fragments.progress(
                        f"Read {number + 1} of {len(found.sources)} clips", 1 - left / (left + number + 1)
                    )
                    yield {self.slots["count"]: line, self.slots["clips"]: render.clips(draft.clips, frozenset(), left)}
            draft = replace(draft, held_out=hold_out(draft.clips))
        except Exception as error:
            sentence = message(error, "Drop in other clips.")
        yield self._drafted(draft) | {
            self.slots["message"]: sentence,
            self.upload: gr.File(value=None, visible=True),
            self.examples: gr.Button(interactive=True),
        }

    def on_clear(self, draft: Draft | None) -> Updates:
        return self._drafted(Draft())

    def on_hold(self, draft: Draft | None, card: gr.EventData) -> Updates:
        if draft is None:
            return {self.slots["message"]: SESSION_EXPIRED}
        return self._drafted(draft.toggled(int(card.value)))

    def _drafted(self, draft: Draft) -> Updates:
        return {
            self.draft: draft,
            self.slots["count"]: render.counted(draft.clips, draft.held_out),
            self.slots["clips"]: render.clips(draft.clips, draft.held_out),
            self.slots["notes"]: fragments.notes(draft.skipped[:12]),
            self.start: gr.Button(interactive=bool(draft.clips and self.limits.on)),
        }

    # Options --------------------------------------------------------------------------------------------------

    def on_first_fit(self, values: dict) -> Iterator[Updates]:
        """Fit the number of steps once: a later fit would undo what the visitor has changed since."""
        if values[self.fitted]:
            yield self.on_command(values)
        else:
            yield from self.on_fit(values)

    def on_fit(self, values: dict) -> Iterator[Updates]:
        """Measure the step time here, and set the number of steps that fit the chosen length."""
        yield {self.fitted: True, self.slots["estimate"]: fragments.hint("Measuring how fast it is here …")}
        length, init, device = LENGTHS[values[self.length]], values[self.init], values[self.device]
        try:
            train = recipe(1, init)
            here = self.runs.backends.local_device(device)
            step_time = self.finetuning.step_time(init, train, here)
            train = recipe(min(self.limits.steps, step_time.steps_in(length.seconds)), init)
            steps = train["steps"]
            seconds, size = steps * step_time.seconds, size_for(length.seconds, device, init)
            estimate = render.estimate(step_time.seconds, step_time.batch_size, steps, here, seconds, size, device)
        except Exception as error:
            nothing = render.estimate(None, 0, 0, "cpu", 0, 0)
            yield {self.slots["message"]: message(error, "Choose another start."), self.slots["estimate"]: nothing}
            return
        command = self.on_command(values | {self.options.fields[name]: value for name, value in train.items()})
        yield {self.slots["estimate"]: estimate, self.slots["message"]: ""} | command | self.options.updates(train)

    def on_command(self, values: dict) -> Updates:
        try:
            return {self.options.command: render.command(command(self._request(values))), self.slots["message"]: ""}
        except ValueError as error:
            return {self.slots["message"]: message(error, "Change it in Advanced.")}

    def on_config(self, path: str) -> Updates:
        try:
            return self.options.updates(self.options.read(path)) | {self.slots["message"]: ""}
        except ValueError as error:
            return {self.slots["message"]: message(error, "Nothing was changed.")}

    def on_save_config(self, values: dict) -> Updates:
        try:
            path = self.options.write(
                self.options.values(values), self.context.explorations.store.folder() / "train-config.json"
            )
        except Exception as error:
            return {self.slots["message"]: message(error, "Change it, then save.")}
        return {self.options.save: gr.DownloadButton(value=str(path)), self.slots["message"]: ""}

    def _request(self, values: dict) -> FineTune:
        draft, seconds = values[self.draft] or Draft(), LENGTHS[values[self.length]].seconds
        return FineTune(
            values[self.name], values[self.init], draft.clips, draft.held_out, self.options.values(values),
            values[self.device], float(min(seconds * 1.5, self.limits.seconds)),
            size_for(seconds, values[self.device], values[self.init]),
        )  # fmt: skip

    # Runs -----------------------------------------------------------------------------------------------------

    def on_load(self, secret: Any, chosen: str | None, request: gr.Request) -> Updates:
        """Find a visitor's runs by their browser's secret; give a new browser one."""
        secret = secret if owner_of(secret) else new_secret()
        owner = owner_of(secret)
        own, backends = self.finetuning.checkpoints(owner), self.runs.backends.choices()
        return self.runs.updates(owner, chosen, request, everything=True) | {
            self.secret: secret,
            self.context.own_checkpoints: own,
            self.init: gr.Dropdown(self._starts(own)),
            self.device: gr.Dropdown(backends, value=backends[0][1]),
        }

    def on_select(
        self, secret: Any, chosen: str | None, own: tuple[str, ...], init: str, request: gr.Request
    ) -> Updates:
        starts = gr.Dropdown(self._starts(own), value=init)
        return self.runs.updates(owner_of(secret), chosen, request, everything=True) | {self.init: starts}

    def on_start(self, values: dict, request: gr.Request, signed_in: gr.OAuthToken | None = None) -> Iterator[Updates]:
        secret = values[self.secret] if owner_of(values[self.secret]) else new_secret()
        owner = owner_of(secret)
        assert owner is not None, "a new secret is somebody's"
        try:
            record = prepare(self._request(values), self.finetuning.registry, owner)
            steps = self.runs.backends.start(record, auth.token_of(signed_in))
        except Exception as error:
            yield {self.slots["message"]: message(error, "Nothing was started.")}
            return
        for updates in self.runs.follow(steps, owner, record.key, request):
            yield updates | {self.secret: secret}

    # What handlers answer -------------------------------------------------------------------------------------

    def _starts(self, own: tuple[str, ...]) -> list[tuple[str, str]]:
        """List what a training can start from."""
        scratch = [(f"nothing, as {name.partition(':')[2]}", name) for name in presets()]
        return [*by_name(self.context.checkpoints(own)), *scratch]

    def _lengths(self) -> list[tuple[str, str]]:
        """List how long a training may be here; the shortest always, if need be cut short."""
        allowed = [name for name, length in LENGTHS.items() if length.seconds <= self.limits.seconds]
        shown = allowed or list(LENGTHS)[:1]
        return [(f"{LENGTHS[name].title} · {fragments.seconds(LENGTHS[name].seconds)}", name) for name in shown]
