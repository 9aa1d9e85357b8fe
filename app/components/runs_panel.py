"""A visitor's fine-tuning runs: the list of them, one as it goes, and what can be done to it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from app.context import QUIET, OpenRequest, PageContext, Updates, message
from app.render import finetune as render
from app.render import fragments
from app.services import auth
from app.services.compute import ComputeBackends
from app.services.finetuning import RunView
from avd_core.media.window import Window
from avd_core.runs.registry import RunRecord, owner_of

TICK = 1.5  # seconds between two looks at a run
REMEMBERED = 1000  # sessions of which is known what they were told last
CHOOSE = """element.addEventListener("click", (event) => {
  const card = event.target.closest("[data-run]");
  if (card) trigger("click", { key: card.dataset.run });
});"""
SLOTS = ("status", "failure", "losses", "previews", "verdict", "log", "links")
ACTIONS = {
    "use": "Open in Explore with it", "stop": "Stop", "save": "Save now", "preview": "Preview now",
    "resume": "Resume", "delete": "Delete",
}  # fmt: skip
EACH = QUIET | {"concurrency_limit": None}
AT_ONCE = QUIET | {"queue": False}


class RunsPanel:
    """Laid out in the current context, for all visitors; a visitor's runs are known by the secret of their browser.

    Args:
        desk: with everybody's runs.
        told: where what went wrong is said.
    """

    def __init__(self, context: PageContext, told: gr.HTML) -> None:
        self.context, self.tuning, self.secret, self.message = context, context.tuning, context.secret, told
        self.places = ComputeBackends(context.tuning)
        self.told: OrderedDict[str, dict[str, str]] = OrderedDict()  # of each session what it shows
        self.chosen = gr.State(None)
        self._lay_out()

    def _lay_out(self) -> None:
        self.slots: dict[str, gr.HTML] = {}

        def slot(name: str, value: str = "", **options: Any) -> None:
            self.slots[name] = gr.HTML(value, elem_id=f"tune-{name}", apply_default_css=False, **options)

        slot("runs", render.NO_RUNS, js_on_load=CHOOSE)
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
            slot("verdict")
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
        self.timer = gr.Timer(TICK, active=False)
        self.seen = [*(self.slots[name] for name in (*SLOTS, "runs")), self.panel, self.chosen, self.timer]
        self.seen += [*self.actions.values(), self.sharing, self.message]

    def wire(self) -> None:
        """Connects what is laid out; after everything else of the tab is."""
        known = [self.secret, self.chosen]
        self.context.page.unload(self._leave)
        self.timer.tick(self._on_tick, known, self.seen, **AT_ONCE)
        self.slots["runs"].click(self._on_choose, self.secret, self.seen, **EACH)
        for name in ("stop", "save", "preview"):
            # Never in a queue: a Stop that waits for its turn is none.
            self.actions[name].click(getattr(self, f"_on_{name}"), known, self.seen, **AT_ONCE)
        for name in ("resume", "delete"):  # these may have to ask the Hub
            self.actions[name].click(getattr(self, f"_on_{name}"), known, self.seen, **EACH)
        opened = [*self.context.opened, self.context.mine, self.message]
        self.actions["use"].click(self._on_use, known, opened, **EACH)
        self.push.click(self._on_push, [*known, self.repo, self.private], self.slots["pushed"], **EACH)

    # Handlers -------------------------------------------------------------------------------------------------

    def _on_tick(self, secret: Any, chosen: str | None, request: gr.Request) -> Updates:
        return self.shown(owner_of(secret), chosen, request)

    def _on_choose(self, secret: Any, card: gr.EventData, request: gr.Request) -> Updates:
        return self.shown(owner_of(secret), str(card.key), request, anew=True)

    def _on_stop(self, secret: Any, chosen: str | None, request: gr.Request) -> Updates:
        return self._done(secret, chosen, request, self.tuning.queue.stop)

    def _on_save(self, secret: Any, chosen: str | None, request: gr.Request) -> Updates:
        return self._done(secret, chosen, request, lambda ticket: self.tuning.home.run(ticket).request("save"))

    def _on_preview(self, secret: Any, chosen: str | None, request: gr.Request) -> Updates:
        return self._done(secret, chosen, request, lambda ticket: self.tuning.home.run(ticket).request("preview"))

    def _on_resume(
        self, secret: Any, chosen: str | None, request: gr.Request, signed_in: gr.OAuthToken | None = None
    ) -> Iterator[Updates]:
        owner = owner_of(secret)
        try:
            ticket = self.tuning.home.find(owner, chosen)
            steps = self.places.resume(ticket, auth.token_of(signed_in))
        except Exception as error:
            yield self.shown(owner, chosen, request, anew=True) | {self.message: message(error, "")}
            return
        yield from self.going(steps, owner, chosen, request)

    def _on_delete(
        self, secret: Any, chosen: str | None, request: gr.Request, signed_in: gr.OAuthToken | None = None
    ) -> Updates:
        token = auth.token_of(signed_in)
        return self._done(secret, chosen, request, lambda ticket: self.places.delete(ticket, token))

    def _on_use(self, secret: Any, chosen: str | None) -> Updates:
        """The checkpoint is there in every tab, and Explore opens the held-out clip with it."""
        try:
            ticket = self.tuning.home.find(owner_of(secret), chosen)
            name, clip = self.tuning.offer(ticket), self.tuning.judged_clips(ticket)[0]
        except Exception as error:
            return {self.message: message(error, "")}
        opening = OpenRequest(clip.clip, clip.title, Window(whole=True), name, self.tuning.head(ticket))
        mine = self.tuning.checkpoints(owner_of(secret))
        return self.context.open(opening) | {self.context.mine: mine, self.message: ""}

    def _on_push(
        self, secret: Any, chosen: str | None, repo: str, private: bool, signed_in: gr.OAuthToken | None = None
    ) -> Iterator[Updates]:
        yield {self.slots["pushed"]: fragments.progress("Pushing the checkpoint", 0.3)}
        try:
            ticket = self.tuning.home.find(owner_of(secret), chosen)
            address = self.places.push(ticket, repo.strip(), private=private, token=auth.token_of(signed_in))
        except Exception as error:
            yield {self.slots["pushed"]: message(error, "The checkpoint is still here.")}
            return
        yield {self.slots["pushed"]: render.pushed(address, repo.strip())}

    # What handlers answer -------------------------------------------------------------------------------------

    def going(
        self, steps: Iterator[None], owner: str | None, chosen: str | None, request: gr.Request
    ) -> Iterator[Updates]:
        """Shows a run after each piece of work that only goes on while somebody watches."""
        try:
            for _ in steps:
                yield self.shown(owner, chosen, request) | {self.message: ""}
        except Exception as error:
            yield self.shown(owner, chosen, request, anew=True) | {self.message: message(error, "")}
            return
        yield self.shown(owner, chosen, request, anew=True) | {self.message: ""}

    def shown(self, owner: str | None, chosen: str | None, request: gr.Request, anew: bool = False) -> Updates:
        """The visitor's runs, and the one chosen, or else the latest; of what has not changed nothing."""
        tickets = self.tuning.home.of(owner)
        ticket = next((one for one in tickets if one.key == chosen), tickets[0] if tickets else None)
        watch = self.tuning.watch(ticket) if ticket else None
        pieces = {"runs": self.tuning.runs(owner, ticket.key if ticket else None)}
        pieces |= watch.pieces if watch else dict.fromkeys(SLOTS, "")
        before = {} if anew else self.told.get(str(request.session_hash), {})
        self.told[str(request.session_hash)] = pieces
        while len(self.told) > REMEMBERED:
            self.told.popitem(last=False)
        updates: Updates = {self.slots[name]: piece for name, piece in pieces.items() if before.get(name) != piece}
        updates[self.chosen] = ticket.key if ticket else None
        active = any(self.tuning.changes(one) for one in tickets)  # after the watch, which may have begun to judge
        pieces["state"] = f"{watch.look.status if watch else ''} {active}"  # what the buttons hang on
        if before.get("state") != pieces["state"]:
            updates |= {self.panel: gr.Column(visible=watch is not None), self.timer: gr.Timer(active=active)}
            updates |= self._buttons(watch)
        return updates

    def _buttons(self, watch: RunView | None) -> Updates:
        """Only what can be done is there to be clicked."""
        status = watch.look.status if watch else ""
        over = watch is not None and watch.over
        here = watch is not None and self.places.answers(watch.ticket)
        visible = {
            "use": over and watch.has_checkpoint,
            "stop": status in ("queued", "running"),
            "save": status == "running" and here,
            "preview": status == "running" and here,
            "resume": over and status != "done",
            "delete": watch is not None,
        }
        updates: Updates = {button: gr.Button(visible=bool(visible[name])) for name, button in self.actions.items()}
        return updates | {self.sharing: gr.Accordion(visible=bool(visible["use"]))}

    def _done(self, secret: Any, chosen: str | None, request: gr.Request, act: Callable[[RunRecord], None]) -> Updates:
        """Does something to one of the visitor's own runs; another's is none."""
        try:
            act(self.tuning.home.find(owner_of(secret), chosen))
            told = ""
        except Exception as error:
            told = message(error, "")
        return self.shown(owner_of(secret), chosen, request, anew=True) | {self.message: told}

    def _leave(self, request: gr.Request) -> None:
        self.told.pop(str(request.session_hash), None)
