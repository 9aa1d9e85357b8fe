"""Fine-tune: train a checkpoint on one's own clips; a run goes on when the page is closed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr

from app.components.draft_panel import DraftPanel
from app.components.runs_panel import RunsPanel
from app.components.training_options import TrainingOptions
from app.context import (
    SHORT,
    UNLIMITED,
    PageContext,
    Updates,
    by_name,
    message,
)
from app.render import finetune as render
from app.render import fragments
from app.services import auth
from app.services.finetuning import Draft
from avd_core.runs.limits import TuneLimits
from avd_core.runs.registry import new_secret, owner_of
from avd_core.training.finetune import LENGTHS, FineTune, command, prepare, presets, recipe, size_for

ID, TITLE = "finetune", "Fine-tune"


def build(context: PageContext, frame: gr.Tab) -> FinetuneTab:
    """Lay the tab out in the current context."""
    return FinetuneTab(context, frame)


class FinetuneTab:
    """The tab for all visitors; a visitor's runs are known by the secret that their browser keeps."""

    def __init__(self, context: PageContext, frame: gr.Tab) -> None:
        self.context, self.finetuning = context, context.finetuning
        self.secret = context.secret
        self.fitted = gr.State(False)  # whether the steps have been fitted to the length, or are being
        self._lay_out()
        self._wire(frame)

    @property
    def limits(self) -> TuneLimits:
        return self.finetuning.registry.limits

    def prepare(self) -> None:
        """Advance the queues for ever; for a background thread."""
        self.finetuning.keep_going()

    def _lay_out(self) -> None:
        self.slots: dict[str, gr.HTML] = {}

        def slot(name: str, value: str = "", **options: Any) -> None:
            self.slots[name] = gr.HTML(value, elem_id=f"tune-{name}", apply_default_css=False, **options)

        with gr.Column(elem_id="tune"):
            slot("message", "" if self.limits.on else render.off())
            with gr.Row(elem_id="tune-entry"):
                self.drafts = DraftPanel(self.context)
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
            self.drafts.lay_out_clips()
            self.options = TrainingOptions()
            self.runs = RunsPanel(self.context, self.slots["message"])
            gr.HTML(render.terms(self.limits), elem_id="tune-terms", apply_default_css=False)

    def _wire(self, frame: gr.Tab) -> None:
        run, shown = [self.secret, self.runs.chosen], self.runs.outputs
        fitted = [
            self.fitted,
            self.slots["estimate"],
            self.slots["message"],
            self.options.command,
            *self.options.fields.values(),
        ]
        form = {
            self.drafts.draft,
            self.fitted,
            self.init,
            self.length,
            self.device,
            self.name,
            *self.options.fields.values(),
        }

        self.context.page.load(
            self.on_load, run, [*shown, self.secret, self.context.own_checkpoints, self.init, self.device], **UNLIMITED
        )
        frame.select(self.on_select, [*run, self.context.own_checkpoints, self.init], [*shown, self.init], **UNLIMITED)

        added, held = self.drafts.wire(self.slots["message"], self.start)
        for event in added:
            event.then(self.on_first_fit, form, fitted, **SHORT)
        held.then(self.on_command, form, [self.options.command, self.slots["message"]], **UNLIMITED)
        for change in (self.init.input, self.length.input, self.device.input):
            change(self.on_fit, form, fitted, **(SHORT | {"trigger_mode": "always_last"}))
        for control in (self.name, *self.options.fields.values()):
            control.change(
                self.on_command, form, [self.options.command, self.slots["message"]],
                **(UNLIMITED | {"trigger_mode": "always_last"}),
            )  # fmt: skip
        self.options.wire(self.slots["message"], self.context.explorations.store)
        self.start.click(self.on_start, form | {self.secret}, [*shown, self.secret], **UNLIMITED)
        self.runs.wire()

    # Options --------------------------------------------------------------------------------------------------

    def on_first_fit(self, values: dict) -> Iterator[Updates]:
        """Fit the number of steps, the first time only: later it would undo what the visitor has changed."""
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

    def _request(self, values: dict) -> FineTune:
        draft, seconds = values[self.drafts.draft] or Draft(), LENGTHS[values[self.length]].seconds
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
        """List the lengths that the limits allow; always the shortest, though it may be cut short."""
        allowed = [name for name, length in LENGTHS.items() if length.seconds <= self.limits.seconds]
        shown = allowed or list(LENGTHS)[:1]
        return [(f"{LENGTHS[name].title} · {fragments.seconds(LENGTHS[name].seconds)}", name) for name in shown]
