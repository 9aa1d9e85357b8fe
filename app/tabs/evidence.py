"""Evidence: read a published report of what one image is worth, or measure it on clips of one's own."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from app.context import LONG, QUIET, SESSION_EXPIRED, OpenRequest, PageContext, Updates, message, named
from app.render import evidence as render
from app.render import fragments
from app.services.background import BackgroundTask
from app.services.result_store import ResultStore
from avd_core.evidence import published
from avd_core.evidence.from_zip import CLIPS_FOLDER, own_evidence
from avd_core.evidence.writers import write
from avd_core.media.window import Window

ID, TITLE = "evidence", "Evidence"
OWN = "own"  # among the reports' names: the one this visitor made
PICK = """element.addEventListener("click", (event) => {
  const clip = event.target.closest("[data-clip]");
  if (clip) trigger("click", { clip: clip.dataset.clip });
});"""
QUEUED = """() => {
  const line = document.querySelector("#evidence-status .status");
  if (line) line.textContent = "Waiting for its turn…";
}"""
INTRO = """<p class="status">Does one image really carry the action? Figures with intervals, beside
what any image of a clip must beat.</p>"""


@dataclass(frozen=True, eq=False)
class Own:
    """A run of one's own: its report, and where its clips lie by name."""

    evidence: Mapping[str, Any]
    clips: Mapping[str, Path]


def build(context: PageContext, frame: gr.Tab) -> EvidenceTab:
    """Lays the tab out in the current context."""
    return EvidenceTab(context, frame)


class EvidenceTab:
    """One page's evidence; a visitor's own run is in the session's state, as `Own`."""

    def __init__(self, context: PageContext, frame: gr.Tab) -> None:
        self.context = context
        self.own = gr.State(None)
        # What is chosen in the two dropdowns whose choices change. Gradio says a choice by mouse twice, and the second
        # time refuses what the first has taken out of the choices meanwhile (6.31); a state is never refused.
        self.asked, self.beside = gr.State(None), gr.State(None)
        self.turns: dict[str, BackgroundTask] = {}
        self._lay_out()
        self._wire(frame)

    def _lay_out(self) -> None:
        self.slots: dict[str, gr.HTML] = {}

        def slot(name: str, value: str = "", **options: Any) -> None:
            self.slots[name] = gr.HTML(value, elem_id=f"evidence-{name}", apply_default_css=False, **options)

        with gr.Column(elem_id="evidence"):
            slot("message")
            with gr.Row(elem_classes="entry", equal_height=False):
                with gr.Column(scale=6, min_width=280, elem_classes="settings"):
                    slot("status", INTRO)
                    self.report = gr.Dropdown([], label="Report", visible=False, elem_id="evidence-report")
                    self.question = gr.Dropdown([], label="Question", visible=False, elem_id="evidence-question")
                with gr.Column(scale=4, min_width=260):
                    self.upload = gr.File(
                        file_types=[".zip"], label="A zip of your own", show_label=False, height=112,
                        elem_id="evidence-upload",
                    )  # fmt: skip
                    with gr.Row(visible=False, elem_id="evidence-running") as self.running:
                        self.cancel = gr.Button("Cancel", elem_id="evidence-cancel")
                    self.checkpoint = gr.Dropdown(
                        named([self.context.checkpoint]), value=self.context.checkpoint, label="Checkpoint for it",
                        min_width=130,
                    )  # fmt: skip
            slot("overview")
            slot("answer", render.NOTHING, js_on_load=PICK)
            self.confused = gr.Dropdown(
                [], label="What is taken for what, in the images of", visible=False, elem_id="evidence-confused",
                min_width=180,
            )  # fmt: skip
            slot("confusion")
            slot("skipped")
            slot("links")

    def _wire(self, frame: gr.Tab) -> None:
        shown = [*self.slots.values(), self.report, self.question, self.confused, self.own, self.asked, self.beside]
        shown += [self.upload, self.running, self.checkpoint]
        chosen = [self.report, self.asked, self.own, self.beside]
        frame.select(self._on_open, chosen, shown, **QUIET)
        # What is chosen while an answer is under way is answered, too.
        at_last = QUIET | {"trigger_mode": "always_last"}
        self.report.input(self._on_chosen, chosen, shown, **at_last)
        self.question.input(self._on_question, [self.report, self.question, self.own, self.beside], shown, **at_last)
        compared = [self.slots["confusion"], self.slots["message"], self.beside]
        self.confused.input(self._on_confused, [self.report, self.asked, self.own, self.confused], compared, **at_last)
        self.upload.upload(None, js=QUEUED)
        self.upload.upload(self._on_upload, [self.upload, self.checkpoint, self.own], shown, **LONG)
        self.cancel.click(self._on_cancel, None, None, queue=False, **QUIET)
        outputs = [*self.context.opened, self.slots["message"]]
        # In the queue: of events outside of it gradio does not tell that `opening` changed.
        self.slots["answer"].click(self._on_pick, [self.report, self.own], outputs, **QUIET, concurrency_limit=None)
        self.context.page.unload(self._on_cancel)

    # Handlers -------------------------------------------------------------------------------------------------

    def _on_open(
        self, report: str | None, question: str | None, own: Own | None, confused: str | None = None
    ) -> Updates:
        """The tab was opened: the first report shows, unless one does."""
        checkpoints = dict.fromkeys([self.context.checkpoint, *self.context.explorations.explorer.checkpoints()])
        updates: Updates = {self.checkpoint: gr.Dropdown(named(checkpoints))}
        names = self._names(own)
        if not names or report in names:
            return updates
        return updates | self._on_report(next(iter(names)), question, own, confused)

    def _on_report(
        self, report: str | None, question: str | None, own: Own | None, confused: str | None = None
    ) -> Updates:
        try:
            names = self._names(own)
            evidence = self._evidence(report, own)
        except ValueError as error:
            return {self.slots["message"]: message(error, "Choose another one.")}
        questions = render.questions(evidence)
        known = [name for _, name in questions]
        first = question if question in known else known[0]
        choices = [(label, name) for name, label in names.items()]
        return self._on_question(report, first, own, confused) | {
            self.report: gr.Dropdown(choices, value=report, visible=True),
            self.question: gr.Dropdown(questions, value=first, visible=True),
            self.slots["overview"]: render.overview(evidence),
            self.slots["skipped"]: render.left_out(evidence["skipped"]),
        }

    def _on_chosen(self, *chosen: Any) -> Updates:
        """Another report was chosen; by now it may be a third one, which an answer must not take back."""
        return {slot: value for slot, value in self._on_report(*chosen).items() if slot is not self.report}

    def _on_question(
        self, report: str | None, question: str | None, own: Own | None, confused: str | None = None
    ) -> Updates:
        """What was chosen to be shown beside it stays, where the other question knows it too."""
        try:
            evidence = self._evidence(report, own)
            answer = render.answer(evidence, question or "", lambda clip: self._clip(report, own, clip) is not None)
        except (ValueError, KeyError) as error:
            return {self.slots["message"]: message(ValueError(str(error)), "Choose another one.")}
        others = [name for name in render.confused(evidence, question) if name not in evidence["checkpoints"]]
        kept = confused in others
        # A dropdown that is not shown keeps its value, which gradio refuses beside choices that lack it (6.31).
        beside = gr.Dropdown(others, value=confused if kept else None, visible=True) if others else None
        return {
            self.slots["message"]: "",
            self.slots["answer"]: answer,
            self.question: gr.update(value=question),  # else an answer about the report may come between
            self.confused: beside or gr.Dropdown(visible=False),
            self.slots["confusion"]: render.confusion(evidence, question, confused) if kept else "",
            self.asked: question,
            self.beside: confused if kept else None,
        }

    def _on_confused(self, report: str | None, question: str, own: Own | None, name: str | None) -> Updates:
        try:
            evidence = self._evidence(report, own)
            picture = render.confusion(evidence, question, name)
            return {self.slots["confusion"]: picture, self.slots["message"]: "", self.beside: name}
        except (ValueError, KeyError) as error:
            return {self.slots["message"]: message(ValueError(str(error)), "Choose another one.")}

    def _on_pick(self, report: str | None, own: Own | None, event: gr.EventData) -> Updates:
        try:
            clip = self._clip(report, own, str(event.clip))
        except ValueError:
            clip = None
        if clip is None:
            return {
                self.slots["message"]: SESSION_EXPIRED
                if report == OWN
                else fragments.problem("This clip is not here.", "")
            }
        return self.context.open(OpenRequest(clip, Path(str(event.clip)).name, Window(whole=True))) | {
            self.slots["message"]: ""
        }

    def _on_upload(
        self, archive: str | None, checkpoint: str, own: Own | None, request: gr.Request
    ) -> Iterator[Updates]:
        begun = time.monotonic()
        state = {"words": "Unpacking"}
        folder = self.context.explorations.store.folder()

        def measure(tell):
            def told(doing: str, done: int, total: int) -> None:
                state["words"] = f"{doing.capitalize()} {done} of {total}" if doing == "reading" else doing.capitalize()
                # Reading takes nearly all the time.
                tell(0.9 * done / max(total, 1) if doing == "reading" else 0.9 + 0.1 * done / max(total, 1))

            outcome = own_evidence(archive or "", folder, checkpoint=checkpoint, tell=told)
            write(folder / "report", outcome)
            return outcome

        work = self.turns[request.session_hash] = BackgroundTask(measure)
        yield {self.slots["message"]: "", self.slots["status"]: render.doing("Unpacking", 0, None)} | self._entry(False)
        try:
            for share in work.shares():
                past = time.monotonic() - begun
                left = past / share * (1 - share) if share > 0.05 else None
                yield {self.slots["status"]: render.doing(state["words"], share, left)}
                if self.turns.get(request.session_hash) is not work:
                    work.stop()
                    yield {self.slots["status"]: INTRO} | self._entry(True)
                    return
            outcome = work.result()
        except Exception as error:
            told = message(error, "Drop in another zip, with a folder for each class.")
            yield {self.slots["status"]: INTRO, self.slots["message"]: told} | self._entry(True)
            return
        finally:
            work.stop()
        mine = Own(outcome.evidence, _clips(folder, outcome.evidence))
        links = [("Report, HTML", ResultStore.address(folder / "report" / "report.html"), "report.html")]
        links += [("Figures, JSON", ResultStore.address(folder / "report" / "evidence.json"), "evidence.json")]
        yield (
            self._on_report(OWN, None, mine)
            | self._entry(True)
            | {self.own: mine, self.slots["status"]: INTRO, self.slots["links"]: fragments.downloads(links)}
        )

    def _on_cancel(self, request: gr.Request) -> None:
        """The work sees it when it next tells how far it is."""
        work = self.turns.pop(request.session_hash, None)
        if work is not None:
            work.stop()

    # What handlers answer -------------------------------------------------------------------------------------

    def _names(self, own: Own | None) -> dict[str, str]:
        mine = {OWN: f"Yours: {render.title(own.evidence)}"} if own else {}
        return mine | {name: name.replace("-", " ") for name in published.published()}

    def _evidence(self, report: str | None, own: Own | None) -> Mapping[str, Any]:
        if report == OWN:
            if own is None:
                raise published.ReportError("This page was left alone for long.")
            return own.evidence
        paths = published.published()
        if report not in paths:
            raise published.ReportError("There is no such report.")
        return published.read_report(paths[report])

    def _clip(self, report: str | None, own: Own | None, clip: str) -> Path | None:
        if report == OWN:
            path = own.clips.get(clip) if own else None
            return path if path is not None and path.is_file() else None
        return published.footage(self._evidence(report, own), clip)

    def _entry(self, open: bool) -> Updates:
        """The drop zone, or in its place the button that stops the work."""
        return {self.upload: gr.File(value=None, visible=open), self.running: gr.Row(visible=not open)}


def _clips(folder: Path, evidence: Mapping[str, Any]) -> dict[str, Path]:
    """Where the clips lie that a run of one's own names."""
    return {name: folder / CLIPS_FOLDER / place for name, place in evidence.get("places", {}).items()}
