"""Write an exploration as one self-contained HTML file, and as a zip of it and all other files.

Pictures and videos are embedded as data, plots as SVG. The page has no script and loads nothing from the network, which
its own policy forbids. Each number is in a `<data>` element with the exact value and its place in report.json.

Axes: T frames, H, W.
"""

from __future__ import annotations

import base64
import io
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from PIL import Image

from avd_core.atomic_io import staged_file
from avd_core.explore.line_plot import line_plot
from avd_core.explore.results import Exploration
from avd_core.media.writer import write_mp4
from avd_core.templates import TEMPLATES

STORED = {".png", ".mp4"}  # compressed already
TYPES = {".png": "image/png", ".mp4": "video/mp4"}
ERROR_GAIN = 8  # unscaled, an error of 3 in 255 would look black
JPEG_QUALITY = 90  # the frames of the contact sheet; those in the folder beside it are exact

_STYLE = Markup(Path(__file__).with_suffix(".css").read_text(encoding="utf-8"))
_COPIES = {
    "made": ("", "restored"),
    "middle": ("_middle_copy", "middle frame copied"),
    "mean": ("_mean_copy", "mean frame copied"),
}


def write_bundle(exploration: Exploration, path: str | Path) -> Path:
    """Write a zip of all that `Exploration.save` writes, every frame too, with `original.mp4` and `report.html`.

    Args:
        exploration: a complete one.
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
    """Render the page.

    Args:
        report: `Exploration.report()`; every number of the page is one of its values.
        files: contents of the files "distilled", "cam" (PNG) and "comparison" (MP4).
        original: the frames that were distilled, uint8 (T, H, W, 3).
        restored: the restored frames, uint8 (T, H, W, 3).
    """
    own = report["realism"]["own_frames"]
    return TEMPLATES.get_template("explore/report_page.html").render(
        report=report,
        number=_Numbers(report),
        style=_STYLE,
        pictures={key: _embedded(TYPES[path.suffix], path.read_bytes()) for key, path in files.items()},
        copies=_COPIES,
        plots=_plots(report["per_frame"]),
        error_gain=ERROR_GAIN,
        frames=_frames(original, restored),
        own_low=f"realism/own_frames/{own.index(min(own))}" if own else "",
        own_high=f"realism/own_frames/{own.index(max(own))}" if own else "",
    )


class _Numbers:
    """Formats figures of a report, each with its exact value and its place in report.json."""

    def __init__(self, report: Mapping[str, Any]) -> None:
        self._report = report

    def __call__(self, path: str, form: str = "", factor: float = 1) -> Markup:
        value: Any = self._report
        for key in path.split("/"):
            value = value[int(key)] if isinstance(value, Sequence) else value[key]
        if value is None:
            return Markup("–")
        return Markup('<data value="{!r}" data-of="{}">{}</data>').format(value, path, format(value * factor, form))


def _plots(per_frame: Mapping[str, Sequence[float | None]]) -> list[Markup]:
    return [
        line_plot(
            f"{metric.upper()} of each frame",
            unit,
            {kind: per_frame[metric + suffix] for kind, (suffix, _) in _COPIES.items()},
        )
        for metric, unit in (("psnr", "PSNR, dB"), ("ssim", "SSIM"))
    ]


def _frames(original: np.ndarray, restored: np.ndarray) -> list[dict[str, str]]:
    """Return the pictures of each frame as data addresses, by kind."""
    error = (np.abs(original.astype(np.int16) - restored) * ERROR_GAIN).clip(0, 255).astype(np.uint8)
    return [
        {"original": _jpeg(frame), "restored": _jpeg(back), f"error times {ERROR_GAIN}": _jpeg(off)}
        for frame, back, off in zip(original, restored, error, strict=True)
    ]


def _embedded(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _jpeg(picture: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=JPEG_QUALITY)
    return _embedded("image/jpeg", file.getvalue())
