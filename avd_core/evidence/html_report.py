"""Render evidence.json as one self-contained HTML file: question, method, table and verdicts of each protocol.

Plots are inline SVG. The page has no script and loads nothing from the network (its own policy forbids it). Every
sentence is derived from the intervals of evidence.json, the only input.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from avd_core.analysis.intervals import UNSEEN, resolution, sentences
from avd_core.evidence.plots import plots, svg
from avd_core.evidence.protocols.ablation import range_cell

_STYLE = Path(__file__).with_suffix(".css").read_text(encoding="utf-8")
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
OURS = "ours"

Clip = Callable[[str], str]  # a clip's name as HTML


def evidence_page(evidence: Mapping[str, Any]) -> str:
    """Render the whole page of the content of an evidence.json."""
    contenders = list(evidence["checkpoints"])
    title = f"Evidence: {', '.join(contenders)} on {', '.join(evidence['folders'])}"
    body = [
        head(evidence, title),
        *(section(name, protocol, contenders) for name, protocol in evidence["protocols"].items()),
        ablation_section(evidence.get("ablation")),
        skipped_section(evidence["skipped"]),
    ]
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}"><link rel="icon" href="data:,">
<title>{escape(title)}</title><style>{_STYLE}</style></head>
<body><main class="evidence">{"".join(body)}</main></body></html>
"""


def head(evidence: Mapping[str, Any], title: str, tag: str = "h1") -> str:
    """Render the header: clips, split, checkpoints and classifiers, and what the result is not."""
    limit = (
        f", at most {evidence['limit']} of each class of the {evidence['clips_available']} there are"
        if evidence["limit"]
        else ""
    )
    groups = f" of {evidence['groups']} people or source videos" if evidence["groups"] else ""
    splits = (
        f"{', '.join(map(str, evidence['splits']))}, part {evidence['part']}"
        if evidence["splits"]
        else "none, all clips"
    )
    used = ", ".join(
        f"{escape(name)} <code>{escape(one['fingerprint'])}</code> ({one['frames']} frames, {one['size']} px)"
        for name, one in evidence["checkpoints"].items()
    )
    lost = [f"{evidence['missing']} of the lists are not in the folder"] if evidence["missing"] else []
    lost += [f"{len(evidence['skipped'])} cannot be read"] if evidence["skipped"] else []
    rows = {
        "clips": f"{evidence['clips']}{groups}{escape(limit)}" + (f"; {'; '.join(lost)}" if lost else ""),
        **({"on both sides": _on_both_sides(shared)} if (shared := evidence.get("shared_groups")) else {}),
        "split": escape(splits)
        + (f"; {evidence['clips_to_fit_on']} clips to fit on" if evidence["clips_to_fit_on"] else ""),
        "checkpoints": used,
        "classifiers": escape(", ".join(evidence["scorers"]) or "none"),
        "made by": f"AVD Explorer {escape(evidence['version'])}, <code>avd evidence</code>",
    }
    listed = "".join(f"<dt>{term}</dt><dd>{description}</dd>" for term, description in rows.items())
    return f"""<header><{tag}>{escape(title)}</{tag}><p class="about">{escape(evidence["about"])}</p><dl>{listed}</dl>
<p>In brackets stand 95 % bootstrap intervals, over groups from five groups on. A verdict follows from the interval of
the <em>paired</em> difference, clip by clip, widened for the number of comparisons: all verdicts of a table together
are wrong with a probability of at most 5 %.</p></header>"""


def section(name: str, protocol: Mapping[str, Any], contenders: Sequence[str], clip: Clip = escape) -> str:
    """Render one protocol: question, method, tables, verdicts, plots and the worst clips."""
    if "not_measured" in protocol:
        why = escape(protocol["not_measured"])
        return f'<section id="protocol-{escape(name)}"><h2>{escape(name)}</h2><p>Not run, because {why}.</p></section>'
    parts = [
        f"<h2>{escape(protocol['question'])}</h2><p>{escape(protocol['how'])}</p>",
        table(protocol, contenders) if protocol.get("figures") else "",
        unseen(protocol, contenders),
        curves_table(protocol) if protocol.get("curves") else "",
        verdicts(protocol),
        void(protocol),
    ]
    drawn = [(key, words, svg(draw, words, f"{name}-{key}")) for key, words, draw in plots(name, protocol, contenders)]
    parts += [f"<figure>{picture}<figcaption>{escape(words)}</figcaption></figure>" for _, words, picture in drawn]
    parts.append(failures(protocol, clip))
    return f'<section id="protocol-{escape(name)}">{"".join(parts)}</section>'


def table(protocol: Mapping[str, Any], contenders: Sequence[str]) -> str:
    """Render the table of figures: a row for each representation, a column for each measurement."""
    columns, scale, digits = protocol["figures"], protocol.get("scale", 1), protocol.get("digits", 2)
    unit = f", {protocol['unit']}" if protocol.get("unit") else ""
    names = dict.fromkeys(name for rows in columns.values() for name in rows)
    heads = "".join(f'<th scope="col">{escape(column)}{escape(unit)}</th>' for column in columns)
    body = ""
    for name in names:
        cells = "".join(f"<td>{_cell(rows.get(name), scale, digits)}</td>" for rows in columns.values())
        kind = f' class="{OURS}"' if any(name == one or name.startswith(f"{one} ") for one in contenders) else ""
        body += f'<tr{kind}><th scope="row">{escape(name)}</th>{cells}</tr>'
    chance = protocol.get("chance")
    notes = [f"Guessing: {chance * scale:.{digits}f}{protocol.get('unit', '')}."] if chance is not None else []
    notes += [f"In brackets: {protocol['spread']}."] if protocol.get("spread") else []
    note = f'<p class="note">{escape(" ".join(notes))}</p>' if notes else ""
    return f'<div class="wide"><table><thead><tr><th></th>{heads}</tr></thead><tbody>{body}</tbody></table></div>{note}'


def unseen(protocol: Mapping[str, Any], contenders: Sequence[str]) -> str:
    """Render the figures of the clips whose groups are in one part of the split only; empty if all are."""
    found = protocol.get("unseen")
    if not found:
        return ""
    heading = escape(UNSEEN.format(clips=found["clips"]))
    return f"<h3>{heading}</h3>{table({**protocol, 'figures': found['figures']}, contenders)}"


def curves_table(protocol: Mapping[str, Any]) -> str:
    """Render figures by degradation, one table for each measurement."""
    words, tables = protocol["words"], ""
    for measured, lines in protocol["curves"].items():
        heads = "".join(f'<th scope="col">{escape(word)}</th>' for word in words.values())
        body = "".join(
            f'<tr><th scope="row">{escape(name)}</th>'
            + "".join(f"<td>{_cell(line[damage], 1, 1)}</td>" for damage in words)
            + "</tr>"
            for name, line in lines.items()
        )
        tables += (
            f'<div class="wide"><table><thead><tr><th>{escape(measured)}</th>{heads}</tr></thead>'
            f"<tbody>{body}</tbody></table></div>"
        )
    return tables


def verdicts(protocol: Mapping[str, Any]) -> str:
    """Render the verdicts, or nothing if there are none."""
    if not protocol.get("differences"):
        return ""
    level, count = protocol["corrected_level"], protocol["comparisons"]
    items = "".join(f"<li>{_with_verdicts_bold(sentence)}</li>" for sentence in sentences(protocol))
    could = escape(resolution(protocol, scale=protocol.get("scale", 1), digits=protocol.get("digits", 2)))
    return (
        f'<h3>What follows</h3><ul class="verdicts">{items}</ul><p class="note">Paired differences in brackets with '
        f"their intervals at {level:.2%}, which is 95 % over {count} comparisons. {could}</p>"
    )


def void(protocol: Mapping[str, Any]) -> str:
    """Render why a critic's figures are void, or nothing if they are valid."""
    if protocol.get("valid", True):
        return ""
    doubts = "; ".join(protocol["doubts"])
    return f'<p class="void"><b>These figures are void:</b> {escape(doubts)}.</p>'


def failures(protocol: Mapping[str, Any], clip: Clip = escape) -> str:
    """List the worst clips of each contender."""
    parts = ""
    for name, clips in protocol.get("failures", {}).items():
        if clips:
            items = "".join(f"<li>{clip(one['clip'])} <span>{escape(one['why'])}</span></li>" for one in clips)
            parts += f"<h3>Where {escape(name)} fails most</h3><ol class='failures'>{items}</ol>"
    return parts


def ablation_section(found: Mapping[str, Any] | None) -> str:
    """Render the ablation table: a row for each variant of the training, seeds together."""
    if not found:
        return ""
    columns = list(dict.fromkeys((row["protocol"], row["measured"]) for row in found["rows"]))
    cells = {(row["protocol"], row["measured"], row["variant"]): range_cell(row) for row in found["rows"]}
    heads = "".join(f'<th scope="col">{escape(f"{one}: {measured}")}</th>' for one, measured in columns)
    body = ""
    for variant, members in found["variants"].items():
        seeds = f" <span>{len(members)} seeds</span>" if len(members) > 1 else ""
        row = "".join(f"<td>{cells.get((*column, variant), '')}</td>" for column in columns)
        body += f'<tr><th scope="row">{escape(variant)}{seeds}</th>{row}</tr>'
    return f"""<section id="protocol-ablation"><h2>What does each part of the training do?</h2>
<p>The figures of the protocols above, one row for each way to train; in brackets the range over seeds, where there are
several.</p>
<div class="wide"><table>
<thead><tr><th></th>{heads}</tr></thead><tbody>{body}</tbody></table></div></section>"""


def skipped_section(skipped: Sequence[Mapping[str, str]]) -> str:
    """List the clips that cannot be read, each with its reason."""
    if not skipped:
        return ""
    items = "".join(f"<li>{escape(one['clip'])} <span>{escape(one['reason'])}</span></li>" for one in skipped)
    listed = f'<ul class="failures">{items}</ul>'
    return f'<section id="protocol-skipped"><h2>Clips that cannot be read</h2>{listed}</section>'


def _on_both_sides(shared: Mapping[str, int]) -> str:
    return (
        f"{shared['groups']} people or source videos, with {shared['clips']} of the clips that report and "
        f"{shared['clips_to_fit_on']} of those to fit on; the figures without them stand beside the official ones"
    )


def _cell(interval: Mapping[str, Any] | None, scale: float, digits: int) -> str:
    if interval is None:
        return ""
    mean, low, high = (f"{interval[key] * scale:.{digits}f}".replace("-", "−") for key in ("mean", "low", "high"))
    return f"<b>{mean}</b> <span>[{low}, {high}]</span>"


def _with_verdicts_bold(sentence: str) -> str:
    text = escape(sentence)
    for verdict in ("beats", "loses to", "cannot be told from", "has too few"):
        text = text.replace(f" {verdict} ", f" <b>{verdict}</b> ")
    return text
