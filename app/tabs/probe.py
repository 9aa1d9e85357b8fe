"""Probe: what does the image know of time? The clip in Explore, in other orders, each through its image and back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import gradio as gr

from app.context import RESULT_KEPT, SHORT, PageContext, Updates, calls_off, message
from app.render import fragments, probe
from app.render.sprites import jpeg, sheet
from app.services.explorations import ExplorationView, facts
from app.services.result_store import ResultStore
from avd_core.atomic_io import write_json
from avd_core.explore.time_probe import TimeProbe, probe_time
from avd_core.media.distilled_png import save_distilled

ID, TITLE = "probe", "Probe"
ABOUT = (
    '<p class="status">The same frames in other orders, each distilled into an image of its own and restored from it: '
    "does the order reach the image?</p>"
)
NOT_YET = "Explore is still at work on its first clip: what its image knows of time comes right after that."


def build(context: PageContext, frame: gr.Tab) -> ProbeTab:
    """Lays the tab out in the current context."""
    return ProbeTab(context, frame)


class ProbeTab:
    """One page's Probe tab; what a visitor has probed is in the session's state."""

    def __init__(self, context: PageContext, frame: gr.Tab) -> None:
        self.context, self.explorations = context, context.explorations
        with gr.Column(elem_id="probe-page"):
            with gr.Row(elem_id="probe-bar"):
                gr.HTML(ABOUT, apply_default_css=False)
                self.again = gr.Button("Shuffle anew", elem_id="probe-again")
                self.cancel = gr.Button("Cancel", interactive=False, elem_id="probe-cancel")
            self.message = gr.HTML("", elem_id="probe-message", apply_default_css=False)
            self.result = gr.HTML(probe.nothing(NOT_YET), elem_id="probe-result", apply_default_css=False)
            self.links = gr.HTML(fragments.downloads([]), elem_id="probe-links", apply_default_css=False)
        self.probed, self.seed = gr.State(None), gr.State(0)  # the Visit that is shown, and the seed of its shuffle
        # Opened before Explore had anything: looks again until it has.
        self.patience = gr.Timer(1, active=False)

        shown = [self.message, self.result, self.links, self.probed, self.seed, self.cancel, self.patience]
        # Whoever comes back with another clip while the last one is still being probed is served after it.
        opening = SHORT | {"trigger_mode": "always_last"}
        opened = gr.on(
            [frame.select, self.patience.tick], self._on_open, [context.view, self.probed, self.seed], shown, **opening
        )
        again = self.again.click(self._on_again, [context.view, self.seed], shown, **SHORT)
        calls_off(self.cancel, [opened, again], self._on_cancel, self.probed, shown)

    def _on_open(self, view: ExplorationView | None, probed: ExplorationView | None, seed: int) -> Iterator[Updates]:
        """Whoever comes back to the clip that was probed finds it as it was left."""
        if view is None:
            yield {self.patience: gr.Timer(active=True)}
        elif _same(view, probed):
            yield {self.patience: gr.Timer(active=False)}
        else:
            yield from self._probed(view, seed)

    def _on_again(self, view: ExplorationView | None, seed: int) -> Iterator[Updates]:
        if view is None:
            yield {self.patience: gr.Timer(active=True)}
        else:
            yield from self._probed(view, seed + 1)

    def _on_cancel(self, probed: ExplorationView | None) -> Updates:
        said = fragments.problem("Stopped.", "Open this tab again, or shuffle anew, to go on.")
        return {self.message: said, self.cancel: gr.Button(interactive=False), self.probed: None}

    def _probed(self, view: ExplorationView, seed: int) -> Iterator[Updates]:
        """One order after the other; on failure the last result stays."""
        yield {self.message: "", self.cancel: gr.Button(interactive=True), self.patience: gr.Timer(active=False)}
        done: Updates = {self.cancel: gr.Button(interactive=False)}
        request, clip = view.result.request, view.result.clip
        try:
            folder, pictures = self.explorations.store.folder(), {}
            explorer = self.explorations.explorer
            for known in probe_time(explorer, clip, request.checkpoint, request.classifier, seed):
                pictures[known.plays[-1].variant] = self._saved(known, folder, request.clip.stem)
                yield {self.result: facts(view.title, view.result) + probe.show(known, pictures)}
        except Exception as error:
            yield done | {self.message: message(error, RESULT_KEPT)}
            return
        figures = write_json(folder / f"{request.clip.stem[:80]}-probe.json", known.report())
        links = fragments.downloads([("Figures, JSON", ResultStore.address(figures), figures.name)])
        yield done | {self.links: links, self.probed: view, self.seed: seed}

    @staticmethod
    def _saved(known: TimeProbe, folder: Path, stem: str) -> probe.Pictures:
        """What there is to see of the newest variant, as files; its image plays when it is dropped into Restore."""
        play = known.plays[-1]

        def saved(kind: str, data: bytes) -> str:
            path = folder / f"{play.variant}-{kind}.jpg"
            path.write_bytes(data)
            return ResultStore.address(path)

        image = save_distilled(folder / f"{stem[:80]}-{play.variant}.png", play.image, known.info())
        return probe.Pictures(
            ResultStore.address(image),
            saved("difference", jpeg(probe.difference(play, known.plays[0]))),
            sheet(play.restored, lambda data: saved("restored", data)),
        )


def _same(view: ExplorationView, probed: ExplorationView | None) -> bool:
    """Whether what would be probed is what is shown: the same frames under the same classifier."""
    if probed is None:
        return False
    asked, shown = view.result, probed.result
    return asked.clip is shown.clip and asked.request.classifier == shown.request.classifier
