"""A visitor's fine-tuning runs: their list, the state of the chosen one, and buttons that act on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from app.context import UNLIMITED, UNQUEUED, PageContext, Updates, message, on_click_js
from app.render import finetune as render
from app.render import fragments
from app.services import auth
from app.services.compute import ComputeBackends
from app.services.explorations import OpenRequest
from app.services.finetuning import RunView
from avd_core.bounded_dict import BoundedDict
from avd_core.runs.registry import RunRecord, owner_of

POLL_SECONDS = 1.5  # between two states of a run
MAX_SESSIONS = 1000  # whose last state is remembered
SLOTS = ("status", "failure", "losses", "previews", "before-after", "log", "links")
ACTIONS = {
    "use": "Open in Explore with it", "stop": "Stop", "save": "Save now", "preview": "Preview now",
    "resume": "Resume", "delete": "Delete",
}  # fmt: skip


class RunsPanel:
    """The runs of each visitor, known by the secret of their browser; laid out where this is constructed.

    Args:
        context: What the panel shares with the tabs, all runs among it.
        message_slot: Where errors are shown.
    """

    def __init__(self, context: PageContext, message_slot: gr.HTML) -> None:
        self.context, self.finetuning, self.secret = context, context.finetuning, context.secret
        self.message = message_slot
        self.backends = ComputeBackends(context.finetuning)
        self.last_sent: BoundedDict[str, dict[str, str]] = BoundedDict(MAX_SESSIONS)  # to each session, by slot
        self.chosen = gr.State(None)
        self._lay_out()

    def _lay_out(self) -> None:
        self.slots: dict[str, gr.HTML] = {}

        def slot(name: str, value: str = "", **options: Any) -> None:
            self.slots[name] = gr.HTML(value, elem_id=f"tune-{name}", apply_default_css=False, **options)

        slot("runs", render.NO_RUNS, js_on_load=on_click_js("run"))
        with gr.Column(visible=False, elem_id="tune-run") as self.panel:
            slot("status")
            with gr.Row(elem_id="tune-actions"):
                self.actions = {
                    name: gr.Button(
                        words,
                        size="sm",
                        min_width=90,
                        elem_id=f"tune-{name}",
                        variant="primary" if name == "use" else "secondary",
                    )
                    for name, words in ACTIONS.items()
                }
            slot("failure")
            slot("before-after")
            slot("links")
            with gr.Accordion("Share it on the Hugging Face Hub", open=False, visible=False) as self.sharing:
                with gr.Row(elem_id="tune-share"):
                    self.repo = gr.Textbox(label="Repository", placeholder="your-name/my-clips", min_width=200)
                    self.private = gr.Checkbox(True, label="Private", min_width=90)
                    self.push = gr.Button("Push the checkpoint", size="sm", elem_id="tune-push", min_width=160)
                    if auth.can_sign_in():
                        gr.LoginButton(size="sm", min_width=160)
                slot("pushed", render.SHARING)
            with gr.Row(elem_classes="row"):
                with gr.Column(scale=4, min_width=280):
                    slot("losses")
                with gr.Column(scale=5, min_width=280):
                    slot("previews")
            slot("log")
        self.timer = gr.Timer(POLL_SECONDS, active=False)
        self.outputs = [*(self.slots[name] for name in (*SLOTS, "runs")), self.panel, self.chosen, self.timer]
        self.outputs += [*self.actions.values(), self.sharing, self.message]

    def wire(self) -> None:
        """Wire the panel, once the whole tab is laid out."""
        run = [self.secret, self.chosen]
        self.context.page.unload(self.leave)
        self.timer.tick(self.on_tick, run, self.outputs, **UNQUEUED)
        self.slots["runs"].click(self.on_choose, self.secret, self.outputs, **UNLIMITED)
        opened = [*self.context.open_outputs, self.context.own_checkpoints, self.message]
        handlers: dict[str, tuple[Callable[..., Any], list[Any], dict[str, Any]]] = {
            "use": (self.on_use, opened, UNLIMITED),
            # Unqueued: Stop must not wait for its turn.
            "stop": (self.on_stop, self.outputs, UNQUEUED),
            "save": (self.on_save, self.outputs, UNQUEUED),
            "preview": (self.on_preview, self.outputs, UNQUEUED),
            # These may have to wait for the Hub.
            "resume": (self.on_resume, self.outputs, UNLIMITED),
            "delete": (self.on_delete, self.outputs, UNLIMITED),
        }
        for name, (handler, outputs, options) in handlers.items():
            self.actions[name].click(handler, run, outputs, **options)
        self.push.click(self.on_push, [*run, self.repo, self.private], self.slots["pushed"], **UNLIMITED)

    # Handlers -------------------------------------------------------------------------------------------------

    def on_tick(self, secret: Any, chosen: str | None, request: gr.Request) -> Updates:
        return self.updates(owner_of(secret), chosen, request)

    def on_choose(self, secret: Any, card: gr.EventData, request: gr.Request) -> Updates:
        return self.updates(owner_of(secret), str(card.value), request, everything=True)

    def on_stop(self, secret: Any, chosen: str | None, request: gr.Request) -> Updates:
        return self._apply(self.finetuning.queue.stop, secret, chosen, request)

    def on_save(self, secret: Any, chosen: str | None, request: gr.Request) -> Updates:
        return self._apply(lambda record: self.finetuning.registry.run(record).request("save"), secret, chosen, request)

    def on_preview(self, secret: Any, chosen: str | None, request: gr.Request) -> Updates:
        return self._apply(
            lambda record: self.finetuning.registry.run(record).request("preview"), secret, chosen, request
        )

    def on_resume(
        self, secret: Any, chosen: str | None, request: gr.Request, signed_in: gr.OAuthToken | None = None
    ) -> Iterator[Updates]:
        owner = owner_of(secret)
        try:
            record = self.finetuning.registry.find(owner, chosen)
            steps = self.backends.resume(record, auth.token_of(signed_in))
        except Exception as error:
            yield self.updates(owner, chosen, request, everything=True) | {self.message: message(error, "")}
            return
        yield from self.follow(steps, owner, chosen, request)

    def on_delete(
        self, secret: Any, chosen: str | None, request: gr.Request, signed_in: gr.OAuthToken | None = None
    ) -> Updates:
        token = auth.token_of(signed_in)
        return self._apply(lambda record: self.backends.delete(record, token), secret, chosen, request)

    def on_use(self, secret: Any, chosen: str | None) -> Updates:
        """Offer the checkpoint in every tab, and have Explore open the held-out clip with it."""
        finetuning = self.finetuning
        try:
            record = finetuning.registry.find(owner_of(secret), chosen)
            name, held_out = finetuning.offer(record), finetuning.held_out_clips(record)[0]
        except Exception as error:
            return {self.message: message(error, "")}
        request = OpenRequest(
            held_out.source.clip, held_out.source.title, held_out.window, name, finetuning.head(record)
        )
        own = finetuning.checkpoints(owner_of(secret))
        return self.context.open(request) | {self.context.own_checkpoints: own, self.message: ""}

    def on_push(
        self, secret: Any, chosen: str | None, repo: str, private: bool, signed_in: gr.OAuthToken | None = None
    ) -> Iterator[Updates]:
        yield {self.slots["pushed"]: fragments.progress("Pushing the checkpoint", 0.3)}
        try:
            record = self.finetuning.registry.find(owner_of(secret), chosen)
            address = self.backends.push(record, repo.strip(), private=private, token=auth.token_of(signed_in))
        except Exception as error:
            yield {self.slots["pushed"]: message(error, "The checkpoint is still here.")}
            return
        yield {self.slots["pushed"]: render.pushed(address, repo.strip())}

    def leave(self, request: gr.Request) -> None:
        """Forget a visitor who has gone."""
        self.last_sent.pop(str(request.session_hash), None)

    # What handlers answer -------------------------------------------------------------------------------------

    def follow(
        self, steps: Iterator[None], owner: str | None, chosen: str | None, request: gr.Request
    ) -> Iterator[Updates]:
        """Show a run after each of `steps`, which a backend takes only while the page is open."""
        try:
            for _ in steps:
                yield self.updates(owner, chosen, request) | {self.message: ""}
        except Exception as error:
            yield self.updates(owner, chosen, request, everything=True) | {self.message: message(error, "")}
            return
        yield self.updates(owner, chosen, request, everything=True) | {self.message: ""}

    def updates(self, owner: str | None, chosen: str | None, request: gr.Request, everything: bool = False) -> Updates:
        """Show the visitor's runs, and the chosen one, or else the latest; only what changed, unless `everything`."""
        records = self.finetuning.registry.of(owner)
        record = next((one for one in records if one.key == chosen), records[0] if records else None)
        view = self.finetuning.view(record) if record else None
        pieces = {"runs": self.finetuning.runs(owner, record.key if record else None)}
        pieces |= view.pieces if view else dict.fromkeys(SLOTS, "")
        sent = {} if everything else self.last_sent.get(str(request.session_hash), {})
        self.last_sent[str(request.session_hash)] = pieces
        updates: Updates = {self.slots[name]: piece for name, piece in pieces.items() if sent.get(name) != piece}
        updates[self.chosen] = record.key if record else None
        # After the view, which may have begun to compare before and after.
        active = any(self.finetuning.is_changing(one) for one in records)
        pieces["state"] = f"{view.look.status if view else ''} {active}"  # what the buttons depend on
        if sent.get("state") != pieces["state"]:
            updates |= {self.panel: gr.Column(visible=view is not None), self.timer: gr.Timer(active=active)}
            updates |= self._buttons(view)
        return updates

    def _buttons(self, view: RunView | None) -> Updates:
        """Show the buttons of what can be done, and no others."""
        status = view.look.status if view else ""
        over = view is not None and view.over
        takes_requests = view is not None and self.backends.takes_requests(view.record)
        visible = {
            "use": view is not None and view.over and view.has_checkpoint,
            "stop": status in ("queued", "running"),
            "save": status == "running" and takes_requests,
            "preview": status == "running" and takes_requests,
            "resume": over and status != "done",
            "delete": view is not None,
        }
        updates: Updates = {button: gr.Button(visible=bool(visible[name])) for name, button in self.actions.items()}
        return updates | {self.sharing: gr.Accordion(visible=bool(visible["use"]))}

    def _apply(
        self, action: Callable[[RunRecord], None], secret: Any, chosen: str | None, request: gr.Request
    ) -> Updates:
        """Apply `action` to one of the visitor's own runs; another visitor's run is not found."""
        sentence = ""
        try:
            action(self.finetuning.registry.find(owner_of(secret), chosen))
        except Exception as error:
            sentence = message(error, "")
        return self.updates(owner_of(secret), chosen, request, everything=True) | {self.message: sentence}
