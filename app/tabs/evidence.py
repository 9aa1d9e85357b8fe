"""Evidence: read a published report of what one image is worth, or measure it on clips of one's own."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from app.context import (
    LONG,
    QUIET,
    SESSION_EXPIRED,
    UNLIMITED,
    UNQUEUED,
    PageContext,
    Updates,
    by_name,
    message,
    on_click_js,
    queued_js,
)
from app.render import evidence as render
from app.render import fragments
from app.services.background import BackgroundTask, Progress
from app.services.explorations import OpenRequest
from app.services.result_store import ResultStore
from avd_core.evidence import published
from avd_core.evidence.from_zip import CLIPS_FOLDER, own_evidence
from avd_core.evidence.html_report import title_of
from avd_core.evidence.writers import write
from avd_core.media.window import Window

ID, TITLE = "evidence", "Evidence"
OWN = "own"  # among the reports' names: the one this visitor made
INTRO = """<p class="status">Does one image really carry the action? Figures with intervals, beside
what any image of a clip must beat.</p>"""


@dataclass(frozen=True, eq=False)
class OwnReport:
    """A visitor's own report; `clips` maps the names of its clips to their files."""

    evidence: Mapping[str, Any]
    clips: Mapping[str, Path]


def build(context: PageContext, frame: gr.Tab) -> EvidenceTab:
    """Lay the tab out in the current context."""
    return EvidenceTab(context, frame)


class EvidenceTab:
    """The tab for all visitors; a visitor's own report is in session state, as `OwnReport`."""

    def __init__(self, context: PageContext, frame: gr.Tab) -> None:
        self.context = context
        self.own = gr.State(None)
        # What is chosen in the two dropdowns whose choices change. Gradio reports a choice by mouse twice, and refuses
        # the second where the first has removed it from the choices (6.31); a state is never refused.
        self.chosen_question, self.chosen_matrix = gr.State(None), gr.State(None)
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
                        by_name([self.context.checkpoint]), value=self.context.checkpoint, label="Checkpoint for it",
                        min_width=130,
                    )  # fmt: skip
            slot("overview")
            slot("answer", render.NOTHING, js_on_load=on_click_js("clip"))
            self.confused = gr.Dropdown(
                [], label="What is taken for what, in the images of", visible=False, elem_id="evidence-confused",
                min_width=180,
            )  # fmt: skip
            slot("confusion")
            slot("skipped")
            slot("links")

    def _wire(self, frame: gr.Tab) -> None:
        shown = [
            *self.slots.values(),
            self.report,
            self.question,
            self.confused,
            self.own,
            self.chosen_question,
            self.chosen_matrix,
        ]
        shown += [self.upload, self.running, self.checkpoint]
        chosen = [self.report, self.chosen_question, self.own, self.chosen_matrix]
        frame.select(self.on_open, chosen, shown, **QUIET)
        # Also answers what is chosen while another answer is on its way.
        at_last = QUIET | {"trigger_mode": "always_last"}
        self.report.input(self.on_chosen, chosen, shown, **at_last)
        self.question.input(
            self.on_question, [self.report, self.question, self.own, self.chosen_matrix], shown, **at_last
        )
        compared = [self.slots["confusion"], self.slots["message"], self.chosen_matrix]
        self.confused.input(
            self.on_confused, [self.report, self.chosen_question, self.own, self.confused], compared, **at_last
        )
        self.upload.upload(None, js=queued_js("evidence-status"))
        self.upload.upload(self.on_upload, [self.upload, self.checkpoint, self.own], shown, **LONG)
        self.cancel.click(self.on_cancel, None, None, **UNQUEUED)
        outputs = [*self.context.open_outputs, self.slots["message"]]
        # Queued: of unqueued events gradio does not report that `open_request` changed.
        self.slots["answer"].click(self.on_pick, [self.report, self.own], outputs, **UNLIMITED)
        self.context.page.unload(self.on_cancel)

    # Handlers -------------------------------------------------------------------------------------------------

    def on_open(
        self, report: str | None, question: str | None, own: OwnReport | None, confused: str | None = None
    ) -> Updates:
        """Show the first report when the tab is opened, unless one is shown."""
        updates: Updates = {self.checkpoint: gr.Dropdown(by_name(self.context.checkpoints()))}
        names = self._names(own)
        if not names or report in names:
            return updates
        return updates | self.on_report(next(iter(names)), question, own, confused)

    def on_report(
        self, report: str | None, question: str | None, own: OwnReport | None, confused: str | None = None
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
        return self.on_question(report, first, own, confused) | {
            self.report: gr.Dropdown(choices, value=report, visible=True),
            self.question: gr.Dropdown(questions, value=first, visible=True),
            self.slots["overview"]: render.overview(evidence),
            self.slots["skipped"]: render.left_out(evidence["skipped"]),
        }

    def on_chosen(self, *chosen: Any) -> Updates:
        """Show a chosen report; do not set its dropdown, where another may have been chosen meanwhile."""
        return {slot: value for slot, value in self.on_report(*chosen).items() if slot is not self.report}

    def on_question(
        self, report: str | None, question: str | None, own: OwnReport | None, confused: str | None = None
    ) -> Updates:
        """Show the answer; keep the chosen confusion matrix where the other question has it too."""
        try:
            evidence = self._evidence(report, own)
            answer = render.answer(evidence, question or "", lambda clip: self._clip(report, own, clip) is not None)
        except (ValueError, KeyError) as error:
            return {self.slots["message"]: message(ValueError(str(error)), "Choose another one.")}
        others = [name for name in render.confused(evidence, question) if name not in evidence["checkpoints"]]
        kept = confused in others
        drawn = render.confusion(evidence, question, confused) if kept and question and confused else ""
        # A dropdown that is not shown keeps its value, which gradio refuses beside choices that lack it (6.31).
        matrices = gr.Dropdown(others, value=confused if kept else None, visible=True) if others else None
        return {
            self.slots["message"]: "",
            self.slots["answer"]: answer,
            self.question: gr.update(value=question),  # else an answer about the report may come between
            self.confused: matrices or gr.Dropdown(visible=False),
            self.slots["confusion"]: drawn,
            self.chosen_question: question,
            self.chosen_matrix: confused if kept else None,
        }

    def on_confused(self, report: str | None, question: str, own: OwnReport | None, name: str | None) -> Updates:
        try:
            evidence = self._evidence(report, own)
            picture = render.confusion(evidence, question, name) if name else ""
            return {self.slots["confusion"]: picture, self.slots["message"]: "", self.chosen_matrix: name}
        except (ValueError, KeyError) as error:
            return {self.slots["message"]: message(ValueError(str(error)), "Choose another one.")}

    def on_pick(self, report: str | None, own: OwnReport | None, event: gr.EventData) -> Updates:
        try:
            clip = self._clip(report, own, str(event.value))
        except ValueError:
            clip = None
        if clip is None:
            return {
                self.slots["message"]: SESSION_EXPIRED
                if report == OWN
                else fragments.problem("This clip is not here.", "")
            }
        return self.context.open(OpenRequest(clip, Path(str(event.value)).name, Window(whole=True))) | {
            self.slots["message"]: ""
        }

    def on_upload(
        self, archive: str | None, checkpoint: str, own: OwnReport | None, request: gr.Request
    ) -> Iterator[Updates]:
        begun = time.monotonic()
        state = {"words": "Unpacking"}

        def measure(progress: Progress) -> tuple[Path, Any]:
            folder = self.context.explorations.store.folder()

            def report(activity: str, done: int, total: int) -> None:
                words = activity.capitalize()
                state["words"] = f"{words} {done} of {total}" if activity == "reading" else words
                # Reading takes nearly all the time.
                share = done / max(total, 1)
                progress(0.9 * share if activity == "reading" else 0.9 + 0.1 * share)

            outcome = own_evidence(archive or "", folder, checkpoint=checkpoint, progress=report)
            write(folder / "report", outcome)
            return folder, outcome

        work = self.turns[request.session_hash] = BackgroundTask(measure)
        yield {self.slots["message"]: "", self.slots["status"]: render.status_line("Unpacking", 0, None)} | self._entry(
            False
        )
        try:
            for share in work.shares():
                past = time.monotonic() - begun
                left = past / share * (1 - share) if share > 0.05 else None
                yield {self.slots["status"]: render.status_line(state["words"], share, left)}
                if self.turns.get(request.session_hash) is not work:
                    work.stop()
                    yield {self.slots["status"]: INTRO} | self._entry(True)
                    return
            folder, outcome = work.result()
        except Exception as error:
            words = message(error, "Drop in another zip, with a folder for each class.")
            yield {self.slots["status"]: INTRO, self.slots["message"]: words} | self._entry(True)
            return
        finally:
            work.stop()
        mine = OwnReport(outcome.evidence, _clips(folder, outcome.evidence))
        links = [("Report, HTML", ResultStore.address(folder / "report" / "report.html"), "report.html")]
        links += [("Figures, JSON", ResultStore.address(folder / "report" / "evidence.json"), "evidence.json")]
        yield (
            self.on_report(OWN, None, mine)
            | self._entry(True)
            | {self.own: mine, self.slots["status"]: INTRO, self.slots["links"]: fragments.downloads(links)}
        )

    def on_cancel(self, request: gr.Request) -> None:
        """Stop the work when it next reports its progress."""
        work = self.turns.pop(request.session_hash, None)
        if work is not None:
            work.stop()

    # What handlers answer -------------------------------------------------------------------------------------

    def _names(self, own: OwnReport | None) -> dict[str, str]:
        mine = {OWN: f"Yours: {title_of(own.evidence)}"} if own else {}
        return mine | published.names()

    def _evidence(self, report: str | None, own: OwnReport | None) -> Mapping[str, Any]:
        if report == OWN:
            if own is None:
                raise published.ReportError("This page was left alone for long.")
            return own.evidence
        paths = published.published()
        if report not in paths:
            raise published.ReportError("There is no such report.")
        return published.read_report(paths[report])

    def _clip(self, report: str | None, own: OwnReport | None, clip: str) -> Path | None:
        if report == OWN:
            path = own.clips.get(clip) if own else None
            return path if path is not None and path.is_file() else None
        return published.footage(self._evidence(report, own), clip)

    def _entry(self, open: bool) -> Updates:
        """Show the drop zone, or in its place the button that stops the work."""
        return {self.upload: gr.File(value=None, visible=open), self.running: gr.Row(visible=not open)}


def _clips(folder: Path, evidence: Mapping[str, Any]) -> dict[str, Path]:
    """Map the names of clips in a visitor's own report to where they lie."""
    return {name: folder / CLIPS_FOLDER / place for name, place in evidence.get("places", {}).items()}
