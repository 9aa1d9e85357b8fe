"""What the tabs of one page share: `PageContext`, how their events run, and what they say when something fails.

A tab knows this context and no other tab. Explore puts the clip it shows into `PageContext.view`, where Compare and
Probe find it; any tab can have a clip opened in Explore (`PageContext.open`). What belongs to one visitor is in session
state; the context itself serves all visitors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import gradio as gr

from app.render import fragments
from app.services import deep_links
from app.services.deep_links import Choices, DeepLink
from app.services.errors import fault, sentence
from app.services.explorations import Explorations, OpenRequest
from app.services.finetuning import FinetuneService
from app.services.history import History
from avd_core.examples import scenes

# Options of events. Each kind of work has a queue of its own, so that a first picture never waits for long work.
QUIET = {"show_progress": "hidden", "api_visibility": "private"}
# More than there are cores: an exploration that only waits for its preview computes nothing, and must not block.
FIRST = QUIET | {"concurrency_id": "first", "concurrency_limit": 6, "trigger_mode": "multiple"}
LONG = QUIET | {"concurrency_id": "long", "concurrency_limit": 1, "trigger_mode": "once"}
# For work of a few seconds, which neither delays a first picture nor waits for a storyboard.
SHORT = QUIET | {"concurrency_id": "short", "concurrency_limit": 1, "trigger_mode": "once"}
UNLIMITED = QUIET | {"concurrency_limit": None}
UNQUEUED = QUIET | {"queue": False}
RESULT_KEPT = "Nothing else changed: below is still your last result."
SESSION_EXPIRED = fragments.problem("This page was left alone for long.", "Please drop the clip in again.")
EXPLORE = "explore"  # the id of the tab that opens clips

Updates = dict[Any, Any]


def on_click_js(attribute: str, listener: str = "element") -> str:
    """Write the script that triggers a click with the `data-ATTRIBUTE` of what was clicked on, as the event's `value`.

    Args:
        attribute: Its name without `data-`; elements with it may be replaced at any time.
        listener: Where clicks are heard: the component's own `element`, or the whole `document`.
    """
    return f"""{listener}.addEventListener("click", (event) => {{
  const target = event.target.closest("[data-{attribute}]");
  if (target) trigger("click", {{ value: target.dataset.{attribute} }});
}});"""


def queued_js(slot: str) -> str:
    """Write the script that says in the status line of `slot` that a click waits, before the server answers."""
    return f"""() => {{
  const line = document.querySelector("#{slot} .status");
  if (line) line.textContent = "Waiting for its turn…";
}}"""


def wire_cancel(button: gr.Button, works: list, handler: Callable[..., Updates], inputs: Any, outputs: list) -> None:
    """Wire a button that cancels the events `works`; `handler` returns the updates that leave the page idle.

    `handler` runs twice: an update of the cancelled work may still be on its way, arrive after the first answer, and
    leave the page busy for ever.
    """
    first = button.click(handler, inputs, outputs, cancels=works, **UNQUEUED)
    first.then(handler, inputs, outputs, **UNQUEUED)


class PageContext:
    """What tabs share; built inside the page, before them.

    Attributes:
        page: The page that holds the tabs.
        explorations: The service that explores clips, with `explorations.explorer`.
        checkpoint: The name of the default checkpoint.
        view: State: the `ExplorationView` that Explore shows this visitor, or None.
        open_request: State: the last `OpenRequest`, or None.
        tabs: The component that holds the tabs.
        names: The tabs' ids, in their order.
        history: The recent results of each visitor.
        stored_settings: The settings that the visitor's browser remembers, once `READ_SETTINGS_JS` has read them.
        link_problems: A message about what a link names and the page does not have.
        finetuning: The service that holds all visitors' fine-tuning runs.
        secret: State in the visitor's browser: the secret that gives access to their runs.
        own_checkpoints: State: the checkpoints that this visitor trained and offers to every tab.
        landing_tab: State: the tab that a link names, opened once there is something to see; or None.
    """

    READ_SETTINGS_JS = "() => [window.shell.settings()]"
    tabs: gr.Tabs

    def __init__(self, page: gr.Blocks, explorations: Explorations, checkpoint: str) -> None:
        self.page, self.explorations, self.checkpoint = page, explorations, checkpoint
        self.names = [EXPLORE]
        self.history = History(explorations.store.seconds)
        self.finetuning = FinetuneService(explorations.explorer, explorations.store)
        self.own_checkpoints = gr.State(())
        # Outside of every tab: in one that is not open it would not read the browser's store (gradio 6.31).
        self.secret = gr.BrowserState(None, storage_key="avd-finetune", secret=self.finetuning.browser_secret())
        self.view, self.open_request, self.landing_tab = gr.State(None), gr.State(None), gr.State(None)
        self.stored_settings = gr.JSON(visible=False)
        self.link_problems = gr.HTML(visible=False, elem_id="link-problems", apply_default_css=False)

    def open(self, request: OpenRequest) -> Updates:
        """Return the updates that open a clip in Explore, for a handler whose outputs include `open_outputs`."""
        return {self.open_request: request, self.tabs: gr.Tabs(selected=EXPLORE)}

    def checkpoints(self, own: Iterable[str] = ()) -> list[str]:
        """List what a visitor can choose: the page's own checkpoints, those that are loaded, and `own` ones."""
        return list(dict.fromkeys([self.checkpoint, *self.explorations.explorer.checkpoints(), *own]))

    def link_choices(self, classifiers: Iterable[str] = (), methods: Iterable[str] = ()) -> Choices:
        """List what a link can ask for and a browser remember."""
        checkpoints = self.checkpoints()
        return Choices(tuple(scenes.SCENES), tuple(checkpoints), tuple(self.names), tuple(classifiers), tuple(methods))

    def follow_link(self, stored: Any, choices: Choices, request: gr.Request) -> tuple[DeepLink, Updates]:
        """Read the link and the settings that somebody opens the page with.

        Returns:
            The link, completed by the settings, and updates for `link_outputs`. These open a clip, unless it is the
            first example with the default models.
        """
        settings = stored if isinstance(stored, dict) else {}
        self.history.identify(str(request.session_hash), settings.get("visitor"))
        link = deep_links.resolve(request.query_params, settings, choices)
        updates: Updates = {self.landing_tab: link.tab if link.tab != self.names[0] else None}
        if link.problems:
            sentences = fragments.problem(" ".join(link.problems), "All else is as usual.")
            updates[self.link_problems] = gr.HTML(sentences, visible=True)
        defaults = choices.classifiers[0], choices.methods[0]
        if link.example is not None and (link.query(choices) or (link.classifier, link.method) != defaults):
            clip, title = self.explorations.clip(link.example), scenes.SCENES[link.example].title
            models = (link.checkpoint, link.classifier, link.method)
            updates[self.open_request] = OpenRequest(clip, title, link.window, *models)
        return link, updates

    @property
    def link_outputs(self) -> list[Any]:
        """The outputs of a handler that answers with `follow_link`."""
        return [self.landing_tab, self.link_problems, self.open_request]

    @property
    def open_outputs(self) -> list[Any]:
        """The outputs of a handler that answers with `open`."""
        return [self.open_request, self.tabs]


def message(error: Exception, advice: str) -> str:
    """Draw an error: its sentence, which a person can act on; of a fault of the program only that it was logged."""
    if words := sentence(error):
        return fragments.problem(words, advice)
    words = f"Something broke here, and it was not your clip (error {fault(error)})."
    return fragments.problem(words, f"Please try again. {advice}")


def by_what_they_show(checkpoints: Iterable[str]) -> list[tuple[str, str]]:
    """Make choices that say what the image of each checkpoint shows, where that is known, beside its name."""
    from avd_core.networks.checkpoint import guide_target

    choices = []
    for name, checkpoint in by_name(checkpoints):
        target = guide_target(checkpoint)
        shown = target and ("one moment" if target == "middle" else "movement")
        choices.append((f"{shown} · {name}" if shown else name, checkpoint))
    return choices


def by_name(checkpoints: Iterable[str]) -> list[tuple[str, str]]:
    """Make choices that show a folder's name instead of its path."""
    return [(Path(checkpoint).name, checkpoint) for checkpoint in checkpoints]
