"""How much of the clip came back, frame by frame, beside what a still picture reaches."""

from __future__ import annotations

import json
from typing import Any

from app.render.fragments import macros, ticks
from avd_core.analysis.metrics import Quality

TITLE = "Restoration"
_HTML = macros("quality.html")
_HINTS = {
    "psnr": "PSNR: closeness to the original pixels. 3 dB more halve the squared error; 30 dB look clean.",
    "ssim": "SSIM: how well local structure survives, up to 1 (identical).",
}
_SERIES = {
    "": ("made", "restored"),
    "_middle_copy": ("middle", "middle frame repeated"),
    "_mean_copy": ("mean", "mean frame repeated"),
}


def card(quality: Quality, fps: float) -> str:
    """Draw PSNR and SSIM of every frame beside two still pictures; a switch shows one or the other."""
    return _HTML.card(TITLE, [_metric(quality, "psnr", " dB", 1), _metric(quality, "ssim", "", 3)], fps)


def _metric(quality: Quality, metric: str, unit: str, digits: int) -> dict[str, Any]:
    def gain(copy: str) -> float:
        return round(getattr(quality, metric) - getattr(quality, metric + copy), digits) + 0.0  # no negative zero

    lines = {suffix: quality.per_frame[metric + suffix] for suffix in _SERIES}
    frames = len(lines[""])
    known = [value for line in lines.values() for value in line if value is not None]
    # Around the middle the middle frame's copy is nearly perfect: it may leave the plot, or it would flatten the rest.
    moving = [value for suffix in ("", "_mean_copy") for value in lines[suffix] if value is not None]
    marks = ticks(min(known, default=0), max(moving, default=1))
    low, high = marks[0], marks[-1]

    def y(value: float) -> float:
        return 100 * (high - value) / (high - low)

    step = 1 if frames <= 8 else 3 if frames <= 18 else 5
    values = {key or "restored": [v and round(v, digits) for v in line] for key, line in lines.items()}
    return {
        "name": metric,
        "unit": unit,
        "digits": digits,
        "hint": _HINTS[metric],
        "whole": f"{getattr(quality, metric):.{digits}f}",
        "over_middle": gain("_middle_copy"),
        "over_mean": gain("_mean_copy"),
        "rows": [(y(mark), f"{mark:g}") for mark in marks],
        "columns": [(f"{100 * (k + 0.5) / frames:.2f}", k + 1) for k in range(0, frames, step)],
        "per_frame": json.dumps(values),
        "lines": [
            {
                "kind": kind,
                "suffix": suffix,
                "words": words,
                "whole": f"{getattr(quality, metric + suffix):.{digits}f}",
                # None means identical frames: infinitely good, so the line leaves through the top there.
                "points": " ".join(
                    f"{100 * (k + 0.5) / frames:.2f},{-6 if value is None else y(value):.2f}"
                    for k, value in enumerate(lines[suffix])
                ),
            }
            for suffix, (kind, words) in reversed(_SERIES.items())
        ],
    }
