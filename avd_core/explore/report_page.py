"""An exploration to read, to print, to pass on: one HTML file that needs nothing else, and a zip of it and all files.

Pictures and videos lie in it as data, plots as SVG; it has no script and asks no network (its own policy forbids it).
Every number stands in a `<data>` element that carries the exact value and says where report.json has it.

Axes: T frames, H, W.
"""

from __future__ import annotations

import base64
import io
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from avd_core.atomic_io import staged_file
from avd_core.explore.line_plot import line_plot
from avd_core.explore.results import Exploration
from avd_core.media.writer import write_mp4

STORED = {".png", ".mp4"}  # compressed already
TYPES = {".png": "image/png", ".mp4": "video/mp4"}
ERROR_GAIN = 8  # an error of 3 in 255 would be black
JPEG_QUALITY = 90  # the frames of the contact sheet; those in the folder beside it are exact

_STYLE = Path(__file__).with_suffix(".css").read_text(encoding="utf-8")
_POLICY = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"
_COPIES = {
    "made": ("", "restored"),
    "middle": ("_middle_copy", "middle frame copied"),
    "mean": ("_mean_copy", "mean frame copied"),
}


def write_bundle(exploration: Exploration, path: str | Path) -> Path:
    """Write a zip of all that `Exploration.save` writes, every frame too, with `original.mp4` and `report.html`.

    Args:
        exploration: a finished one.
        path: the zip; it appears whole or not at all.

    Raises:
        OutputError: the place cannot be written.
    """
    path = Path(path)
    with tempfile.TemporaryDirectory(prefix="avd-") as name, staged_file(path) as staging:
        folder = Path(name) / "everything"
        saved = exploration.save(folder, save_frames=True)
        write_mp4(folder / "original.mp4", exploration.clip.frames, exploration.clip.fps)
        shown = {"distilled": saved.distilled, "cam": saved.cam, "comparison": saved.comparison}
        page = report_page(exploration.report(), shown, exploration.clip.frames, exploration.restored)
        (folder / "report.html").write_text(page, encoding="utf-8", errors="replace")
        with zipfile.ZipFile(staging, "w") as archive:
            for file in sorted(folder.rglob("*.*")):
                how = zipfile.ZIP_STORED if file.suffix in STORED else zipfile.ZIP_DEFLATED
                archive.write(file, file.relative_to(folder), how)
    return path


def report_page(
    report: Mapping[str, Any], files: Mapping[str, Path], original: np.ndarray, restored: np.ndarray
) -> str:
    """Draw the page.

    Args:
        report: `Exploration.report()`; every number of the page is one of its values.
        files: what is shown as it is: "distilled", "cam" (PNG) and "comparison" (MP4).
        original: the frames that were distilled, uint8 (T, H, W, 3).
        restored: what came back of them.
    """
    number = _Numbers(report)
    name = escape(report["clip"]["name"])
    pictures = {key: _embedded(TYPES[path.suffix], path.read_bytes()) for key, path in files.items()}
    body = [
        _head(report, number),
        _stage(report, pictures, number),
        _restoration(report, number),
        _frames(original, restored, number),
        f'<div class="two">{_recognition(report, number)}{_saliency(report, pictures)}</div>',
        f'<div class="two">{_realism(report, number)}{_facts(report, number)}</div>',
    ]
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}"><link rel="icon" href="data:,">
<title>{name} · AVD Explorer</title><style>{_STYLE}</style></head>
<body>{"".join(body)}</body></html>
"""


class _Numbers:
    """Figures of a report as people read them, each with its exact value and its place in report.json."""

    def __init__(self, report: Mapping[str, Any]) -> None:
        self._report = report

    def __call__(self, path: str, form: str = "", factor: float = 1) -> str:
        value: Any = self._report
        for key in path.split("/"):
            value = value[int(key)] if isinstance(value, Sequence) else value[key]
        if value is None:
            return "–"
        return f'<data value="{value!r}" data-of="{escape(path)}">{value * factor:{form}}</data>'


def _head(report: Mapping[str, Any], number: _Numbers) -> str:
    return f"""<header><h1>{escape(report["clip"]["name"])}</h1>
<p>One realistic image that carries {number("frames")} frames of this clip, and what came back from it alone.</p>
</header>"""


def _stage(report: Mapping[str, Any], pictures: Mapping[str, str], number: _Numbers) -> str:
    width, height = number("size/1"), number("size/0")
    return f"""<section class="stage"><figure><img src="{pictures["distilled"]}" alt="The distilled image">
<figcaption><b>The distilled image</b>, {width} × {height}: all the decoder gets</figcaption></figure>
<figure><video src="{pictures["comparison"]}" controls autoplay loop muted playsinline
  aria-label="The original clip on the left, the restored one on the right"></video>
<figcaption><b>Original</b>, left, beside <b>restored</b> from the image, right</figcaption></figure></section>"""


def _restoration(report: Mapping[str, Any], number: _Numbers) -> str:
    rows, key = "", ""
    for kind, (suffix, words) in _COPIES.items():
        figures = f"<td>{number('psnr' + suffix, '.1f')} dB</td><td>{number('ssim' + suffix, '.3f')}</td>"
        rows += f'<tr class="{kind}"><th scope="row">{words}</th>{figures}</tr>'
        key += f'<li class="{kind}">{words}</li>'
    plots = "".join(
        "<figure>"
        + line_plot(
            f"{metric.upper()} of each frame",
            unit,
            {kind: report["per_frame"][metric + suffix] for kind, (suffix, _) in _COPIES.items()},
        )
        + "</figure>"
        for metric, unit in (("psnr", "PSNR, dB"), ("ssim", "SSIM"))
    )
    return f"""<section><h2>How much came back</h2>
<table><thead><tr><th></th><th scope="col">PSNR</th><th scope="col">SSIM</th></tr></thead>{rows}</table>
<p>PSNR tells how close the pixels are: 3 dB more halve the squared error. SSIM tells how well local structure survives,
up to 1. The two copies are still pictures that need no motion at all: only what lies above both counts.</p>
<ul class="key">{key}</ul><div class="two">{plots}</div></section>"""


def _frames(original: np.ndarray, restored: np.ndarray, number: _Numbers) -> str:
    error = np.abs(original.astype(np.int16) - restored) * ERROR_GAIN
    cells = ""
    for k, pictures in enumerate(zip(original, restored, error.clip(0, 255).astype(np.uint8), strict=True)):
        kinds = ("original", "restored", f"error times {ERROR_GAIN}")
        shown = "".join(
            f'<img src="{_jpeg(picture)}" alt="Frame {k + 1}, {kind}">'
            for picture, kind in zip(pictures, kinds, strict=True)
        )
        cells += f"<figure>{shown}<figcaption>{k + 1} · {number(f'per_frame/psnr/{k}', '.1f')} dB</figcaption></figure>"
    return f"""<section class="frames"><h2>Frame by frame</h2>
<p>From above: the original, the restored frame, and the error between them, {ERROR_GAIN} times as strong.</p>
<div class="sheet">{cells}</div></section>"""


def _recognition(report: Mapping[str, Any], number: _Numbers) -> str:
    rows = "".join(
        f"<li>{escape(guess['label'])}<span>{number(f'topk/{k}/probability', '.1f', 100)} %</span>"
        f'<i style="--share:{100 * guess["probability"]:.1f}%"></i></li>'
        for k, guess in enumerate(report["topk"])
    )
    notice = f"<p>{escape(report['notice'])}</p>" if report["notice"] else ""
    refusal = f"<p><b>{escape(report['refusal'].capitalize())}.</b> Nearest:</p>" if report["refusal"] else ""
    return f"""<section><h2>What a classifier sees</h2>{refusal}<ol class="bars">{rows}</ol>{notice}
<p>What <b>{escape(report["classifier"])}</b> takes the image for, if it were a photograph.</p></section>"""


def _saliency(report: Mapping[str, Any], pictures: Mapping[str, str]) -> str:
    label, method = escape(report["saliency"]["label"]), escape(report["saliency"]["method"])
    return f"""<section><h2>Where it looks</h2><figure class="narrow"><img src="{pictures["cam"]}"
  alt="Heat map over the image"></figure><p>What speaks for <b>{label}</b>, by {method}.</p></section>"""


def _realism(report: Mapping[str, Any], number: _Numbers) -> str:
    realism = report["realism"]
    own, percentile = realism["own_frames"], realism["percentile_among_real"]
    if percentile is None:
        told = "<p>This checkpoint carries no reference scores to tell realism by.</p>"
    else:
        marks = "".join(f'<i style="left:{share:.2f}%"></i>' for share in own)
        low, high = (f"realism/own_frames/{own.index(end)}" for end in (min(own), max(own)))
        scale = "".join(f'<span style="left:{share}%">{share}</span>' for share in (0, 25, 50, 75, 100))
        end = f" It looks {realism['at_the_end']}." if realism["at_the_end"] else ""
        told = f"""<p><b>{number("realism/percentile_among_real", ".1f")}</b>: the percentile of the image among real
frames, as the model’s own critic scores them.{end} Among this model’s distilled images of other clips at this size:
<b>{number("realism/percentile_among_distilled", ".1f")}</b>. This clip’s own frames: {number(low, ".1f")} to
{number(high, ".1f")}.</p>
<div class="rank" role="img" aria-label="The image, copper, and the clip’s frames, blue, among real frames">{marks}
<i class="made" style="left:{percentile:.2f}%"></i>{scale}</div><p>A hint, not proof: the critic was trained beside the
model and reacts to content too. The clip’s own frames, blue, are the fair comparison.</p>"""
    return f"<section><h2>Realism</h2>{told}</section>"


def _facts(report: Mapping[str, Any], number: _Numbers) -> str:
    clip = report["clip"]
    size = f"{number('clip/width')} × {number('clip/height')}, {number('clip/seconds', '.2f')} s"
    rate = f", {number('clip/fps', '.4g')} frames a second" if clip["fps"] else ""
    window = f"{number('clip/window/seconds', '.2f')} s from {number('clip/window/start', '.2f')} s on"
    times = " · ".join(f"{escape(step)} {number(f'seconds/{step}', '.2f')} s" for step in report["seconds"])
    rows = {
        "file": f"{escape(clip['container'])}, {escape(clip['codec'])}, {size}{rate}",
        "window": f"{window}; {number('frames')} frames at {number('fps', '.3g')} a second",
        "checkpoint": f"{escape(report['checkpoint'])}, weights <code>{escape(report['fingerprint'])}</code>",
        "times": times,
        "made by": f"AVD Explorer {escape(report['version'])}",
        "play it again": "<code>avd restore distilled.png --out again.mp4</code>",
    }
    listed = "".join(f"<dt>{term}</dt><dd>{told}</dd>" for term, told in rows.items())
    notes = "".join(f"<p>{escape(note)}</p>" for note in report["notes"])
    return f"<section><h2>Facts</h2><dl>{listed}</dl>{notes}</section>"


def _embedded(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _jpeg(picture: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=JPEG_QUALITY)
    return _embedded("image/jpeg", file.getvalue())
