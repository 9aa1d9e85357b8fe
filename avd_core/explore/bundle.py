"""Everything about one clip in one file: a zip with pictures, videos, figures and a page to read them on."""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path

from avd_core.atomic_io import staged_file
from avd_core.explore.report_page import report_page
from avd_core.explore.results import Exploration
from avd_core.media.writer import write_mp4

STORED = {".png", ".mp4"}  # compressed already


def write_bundle(exploration: Exploration, path: str | Path) -> Path:
    """Writes a zip of all that `Exploration.save` writes, every frame too, with `original.mp4` and `report.html`.

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
        (folder / "report.html").write_text(page, encoding="utf-8")
        with zipfile.ZipFile(staging, "w") as archive:
            for file in sorted(folder.rglob("*.*")):
                how = zipfile.ZIP_STORED if file.suffix in STORED else zipfile.ZIP_DEFLATED
                archive.write(file, file.relative_to(folder), how)
    return path
