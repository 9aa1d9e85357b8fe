"""Probe: what does the image know of time? The clip in Explore, in other orders, each through its image and back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import gradio as gr

from app.context import RESULT_KEPT, SHORT, PageContext, Updates, message, wire_cancel
from app.render import fragments, probe
from app.render.sprites import jpeg, sheet
from app.services.explorations import ExplorationView, summary
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
    """Lay the tab out in the current context."""
    return ProbeTab(context, frame)


class ProbeTab:
    """The tab for all visitors; what one of them has probed is in session state."""

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
        self.probed, self.seed = gr.State(None), gr.State(0)  # the probed view, and the seed of its shuffle
        # Checks for a first clip in Explore, if the tab is opened before there is one.
        self.retry = gr.Timer(1, active=False)

        shown = [self.message, self.result, self.links, self.probed, self.seed, self.cancel, self.retry]
        # Another clip that comes while the last one is still being probed is probed after it.
        latest = SHORT | {"trigger_mode": "always_last"}
        opened = gr.on(
            [frame.select, self.retry.tick], self.on_open, [context.view, self.probed, self.seed], shown, **latest
        )
        again = self.again.click(self.on_again, [context.view, self.seed], shown, **SHORT)
        wire_cancel(self.cancel, [opened, again], self.on_cancel, self.probed, shown)

    def on_open(self, view: ExplorationView | None, probed: ExplorationView | None, seed: int) -> Iterator[Updates]:
        """Probe the clip in Explore when the tab is opened, unless that has been done."""
        if view is None:
            yield {self.retry: gr.Timer(active=True)}
        elif _same(view, probed):
            yield {self.retry: gr.Timer(active=False)}
        else:
            yield from self._probed(view, seed)

    def on_again(self, view: ExplorationView | None, seed: int) -> Iterator[Updates]:
        if view is None:
            yield {self.retry: gr.Timer(active=True)}
        else:
            yield from self._probed(view, seed + 1)

    def on_cancel(self, probed: ExplorationView | None) -> Updates:
        stopped = fragments.problem("Stopped.", "Open this tab again, or shuffle anew, to go on.")
        return {self.message: stopped, self.cancel: gr.Button(interactive=False), self.probed: None}

    def _probed(self, view: ExplorationView, seed: int) -> Iterator[Updates]:
        """Show one order after the other; on failure the last result stays."""
        yield {self.message: "", self.cancel: gr.Button(interactive=True), self.retry: gr.Timer(active=False)}
        done: Updates = {self.cancel: gr.Button(interactive=False)}
        request, clip = view.result.request, view.result.clip
        try:
            folder, pictures = self.explorations.store.folder(), {}
            explorer = self.explorations.explorer
            for probed in probe_time(explorer, clip, request.checkpoint, request.classifier, seed):
                pictures[probed.plays[-1].variant] = self._saved(probed, folder, request.clip.stem)
                yield {self.result: summary(view.title, view.result) + probe.panel(probed, pictures)}
        except Exception as error:
            yield done | {self.message: message(error, RESULT_KEPT)}
            return
        figures = write_json(folder / f"{request.clip.stem[:80]}-probe.json", probed.report())
        links = fragments.downloads([("Figures, JSON", ResultStore.address(figures), figures.name)])
        yield done | {self.links: links, self.probed: view, self.seed: seed}

    @staticmethod
    def _saved(probed: TimeProbe, folder: Path, stem: str) -> probe.VariantPictures:
        """Write what there is to see of the newest variant; its image plays when it is dropped into Restore."""
        play = probed.plays[-1]

        def saved(kind: str, data: bytes) -> str:
            path = folder / f"{play.variant}-{kind}.jpg"
            path.write_bytes(data)
            return ResultStore.address(path)

        image = save_distilled(folder / f"{stem[:80]}-{play.variant}.png", play.image, probed.info())
        return probe.VariantPictures(
            ResultStore.address(image),
            saved("difference", jpeg(probe.difference(play, probed.plays[0]))),
            sheet(play.restored, lambda data: saved("restored", data)),
        )


def _same(view: ExplorationView, probed: ExplorationView | None) -> bool:
    """Return whether the probe would be the same: the same frames under the same classifier."""
    if probed is None:
        return False
    wanted, shown = view.result, probed.result
    return wanted.clip is shown.clip and wanted.request.classifier == shown.request.classifier
