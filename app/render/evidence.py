"""A report of evidence, one protocol at a time: its table, what follows from it, plots, and where it fails most."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from app.render import fragments
from avd_core.evidence.html_report import ablation_section, head, section, skipped_section
from avd_core.evidence.plots import confusion_plot, svg

NOTHING = """<div class="ev-none"><p>No report lies in <code>checkpoints/reports</code> yet. Make one with
<code>avd evidence</code>, or drop in a zip of your own clips.</p></div>"""
ABLATION = "ablation"


def title(evidence: Mapping[str, Any]) -> str:
    """What a report is called in a list."""
    return f"{', '.join(evidence['checkpoints'])} on {', '.join(evidence['folders'])}"


def questions(evidence: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a report answers, as choices: (the question, the protocol)."""
    asked = [(one.get("question", f"{name} (not run)"), name) for name, one in evidence["protocols"].items()]
    return [*asked, ("What does each part of the training do?", ABLATION)] if evidence.get("ablation") else asked


def overview(evidence: Mapping[str, Any]) -> str:
    """What was measured on what, and what it is not."""
    return f'<div class="evidence-report">{head(evidence, title(evidence), "h2")}</div>'


def answer(evidence: Mapping[str, Any], name: str, opens: Callable[[str], bool]) -> str:
    """One protocol; `opens` tells of which clips the footage is here: those are buttons."""
    if name == ABLATION:
        return f'<div class="evidence-report">{ablation_section(evidence["ablation"])}</div>'

    def clip(named: str) -> str:
        text = escape(named)
        if not opens(named):
            return text
        return f'<button type="button" class="ev-open" data-clip="{text}" title="Open in Explore">{text}</button>'

    told = section(name, evidence["protocols"][name], list(evidence["checkpoints"]), clip)
    return f'<div class="evidence-report">{told}</div>'


def confused(evidence: Mapping[str, Any], name: str) -> list[str]:
    """The representations of which a protocol knows what is taken for what."""
    return list(evidence["protocols"].get(name, {}).get("confusion", {}))


def confusion(evidence: Mapping[str, Any], name: str, representation: str) -> str:
    """What is taken for what in one representation's images."""
    protocol = evidence["protocols"][name]
    words = f"{representation}: what is taken for what"
    drawn = svg(lambda: confusion_plot(protocol, representation), words, f"chosen-{name}-{representation}")
    return (
        f'<div class="evidence-report"><section><figure>{drawn}<figcaption>{escape(words)}</figcaption></figure>'
        "</section></div>"
    )


def left_out(skipped: Sequence[Mapping[str, str]]) -> str:
    """The clips that could not be read."""
    return f'<div class="evidence-report">{skipped_section(skipped)}</div>' if skipped else ""


def doing(words: str, share: float, left: float | None) -> str:
    """The line above a run that goes on."""
    told = "" if left is None else f", about {fragments.seconds(max(round(left), 1)).replace('.0 s', ' s')} left"
    return fragments.progress(f"{words}{told}", share)
