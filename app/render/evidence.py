"""A report of evidence, one protocol at a time: its table, what follows from it, plots, and where it fails most."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from app.render import fragments
from avd_core.evidence.html_report import ablation_section, head, section, skipped_section, title_of
from avd_core.evidence.plots import confusion_plot, svg

_HTML = fragments.macros("evidence.html")
NOTHING = Markup("""<div class="ev-none"><p>No report lies in <code>checkpoints/reports</code> yet. Make one with
<code>avd evidence</code>, or drop in a zip of your own clips.</p></div>""")
ABLATION = "ablation"


def questions(evidence: Mapping[str, Any]) -> list[tuple[str, str]]:
    """List what a report answers, as choices: (the question, the protocol)."""
    choices = [(one.get("question", f"{name} (not run)"), name) for name, one in evidence["protocols"].items()]
    return [*choices, ("What does each part of the training do?", ABLATION)] if evidence.get("ablation") else choices


def overview(evidence: Mapping[str, Any]) -> str:
    """Describe what was measured, on which clips, and its limits."""
    return _HTML.report(head(evidence, title_of(evidence), "h2"))


def answer(evidence: Mapping[str, Any], name: str, opens: Callable[[str], bool]) -> str:
    """Draw the protocol `name`; a clip for which `opens` is true, as its footage is here, becomes a button."""
    if name == ABLATION:
        return _HTML.report(ablation_section(evidence["ablation"]))

    def clip(named: str) -> str:
        return _HTML.clip(named, opens(named))

    return _HTML.report(section(name, evidence["protocols"][name], list(evidence["checkpoints"]), clip))


def confused(evidence: Mapping[str, Any], name: str | None) -> list[str]:
    """List the representations for which a protocol has a confusion matrix."""
    return list(evidence["protocols"].get(name or "", {}).get("confusion", {}))


def confusion(evidence: Mapping[str, Any], name: str, representation: str) -> str:
    """Draw one representation's confusion matrix."""
    protocol = evidence["protocols"][name]
    words = f"{representation}: what is taken for what"
    drawn = svg(lambda: confusion_plot(protocol, representation), words, f"chosen-{name}-{representation}")
    return _HTML.report(_HTML.figure(drawn, words))


def left_out(skipped: Sequence[Mapping[str, str]]) -> str:
    """List the clips that could not be read."""
    return _HTML.report(skipped_section(skipped)) if skipped else ""


def status_line(words: str, share: float, left: float | None) -> str:
    """Say how far a run is; `left` in seconds, None while it cannot be estimated."""
    remaining = "" if left is None else f", about {fragments.seconds(max(round(left), 1)).replace('.0 s', ' s')} left"
    return fragments.progress(f"{words}{remaining}", share)
