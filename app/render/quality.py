"""How much of the clip came back, frame by frame, beside what a still picture reaches."""

from __future__ import annotations

import json
from html import escape

from app.render import fragments
from app.render.fragments import hint, signed, ticks
from avd_core.analysis.metrics import Quality

TITLE = "Restoration"


_SERIES = {
    "": ("made", "restored"),
    "_middle_copy": ("middle", "middle frame repeated"),
    "_mean_copy": ("mean", "mean frame repeated"),
}


def card(quality: Quality, fps: float) -> str:
    """Draw PSNR and SSIM of every frame beside two still pictures; a switch shows one or the other."""
    switch = "".join(
        f'<button type="button" data-act="metric" value="{metric}" aria-pressed="false">{metric.upper()}</button>'
        for metric in ("psnr", "ssim")
    )
    below = "The grey lines need no motion at all: only what lies above both counts."
    hints = {
        "psnr": "PSNR: closeness to the original pixels. 3 dB more halve the squared error; 30 dB look clean.",
        "ssim": "SSIM: how well local structure survives, up to 1 (identical).",
    }
    body = "".join(
        f'<div class="metric {metric}">{_lead(quality, metric, *unit)}{_plot(quality, metric, fps, *unit)}'
        f"{hint(f'{hints[metric]} {below}')}</div>"
        for metric, unit in (("psnr", (" dB", 1)), ("ssim", ("", 3)))
    )
    switch = f'<div class="switch" role="group" aria-label="Measure">{switch}</div>'
    return fragments.card("restoration", TITLE, switch + body)


def _lead(quality: Quality, metric: str, unit: str, digits: int) -> str:
    whole = getattr(quality, metric)

    def gain(copy: str, what: str) -> str:
        value = round(whole - getattr(quality, metric + copy), digits) + 0.0  # no negative zero
        word, kind = ("over", "good") if value > 0 else ("against", "bad" if value < 0 else "")
        return f'<b class="mono {kind}">{signed(value, digits)}{unit}</b> {word} {what}'

    return (
        f'<p class="figure"><b>{whole:.{digits}f}</b>{unit} {metric.upper()}</p><p class="versus">'
        f"{gain('_middle_copy', 'the middle frame')} · {gain('_mean_copy', 'the mean frame')}</p>"
    )


def _plot(quality: Quality, metric: str, fps: float, unit: str, digits: int) -> str:
    lines = {suffix: quality.per_frame[metric + suffix] for suffix in _SERIES}
    frames = len(lines[""])
    known = [value for line in lines.values() for value in line if value is not None]
    # Near its own place the middle frame's copy is nearly perfect: it may leave the plot, and not flatten the rest.
    moving = [value for suffix in ("", "_mean_copy") for value in lines[suffix] if value is not None]
    marks = ticks(min(known, default=0), max(moving, default=1))
    low, high = marks[0], marks[-1]

    def y(value: float) -> float:
        return 100 * (high - value) / (high - low)

    shapes, legend = "", ""
    for suffix in reversed(_SERIES):
        kind, words = _SERIES[suffix]
        # None means identical frames: infinitely good, so the line leaves through the top there.
        points = [
            f"{100 * (k + 0.5) / frames:.2f},{-6 if v is None else y(v):.2f}" for k, v in enumerate(lines[suffix])
        ]
        shapes += f'<polyline class="{kind}" points="{" ".join(points)}"/>'
        whole = getattr(quality, metric + suffix)
        legend = (
            f'<li class="{kind}" data-line="{suffix}">{words} <b class="mono">{whole:.{digits}f}{unit}</b></li>'
            + legend
        )
    rows = "".join(f'<span style="top:{y(t):.1f}%">{t:g}</span>' for t in marks)
    rules = "".join(f'<line x1="0" x2="100" y1="{y(t):.1f}" y2="{y(t):.1f}"/>' for t in marks)
    step = 1 if frames <= 8 else 3 if frames <= 18 else 5
    columns = "".join(
        f'<span style="left:{100 * (k + 0.5) / frames:.2f}%">{k + 1}</span>' for k in range(0, frames, step)
    )
    values = escape(
        json.dumps({key or "restored": [v and round(v, digits) for v in line] for key, line in lines.items()})
    )
    words = ", ".join(
        f"{text} {getattr(quality, metric + suffix):.{digits}f}{unit}" for suffix, (_, text) in _SERIES.items()
    )
    return f"""
<ul class="legend">{legend}</ul>
<div class="plot timeline" role="img" aria-label="{metric.upper()} of each frame: {words}" data-values="{values}"
  data-fps="{fps:.4f}" data-unit="{unit}" title="Click to go to a frame"><div class="y">{rows}</div><div class="area">
  <svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true"><g class="rules">{rules}</g>{shapes}</svg>
  <i class="playhead"></i></div><div class="x">{columns}</div>
  <p class="axis">frame →</p><p class="axis up">{metric.upper()}{"," if unit else ""}{unit}</p></div>"""
