"""Folders of finished results, for the browser to fetch and for a stated time only.

Gradio serves what lies in its own temporary folder, and removes from it only what its own components put there. So
the folders lie in there, each under a name nobody can guess, and are swept here.
"""

from __future__ import annotations

import secrets
import shutil
import time
from pathlib import Path
from urllib.parse import quote

from gradio.utils import get_upload_folder

KEEP_HOURS = 6


class Shelf:
    """Hands out folders and forgets them after `KEEP_HOURS`."""

    def __init__(self) -> None:
        self.parent = Path(get_upload_folder()).resolve()
        self.root = self.parent / "avd-results"
        self.root.mkdir(parents=True, exist_ok=True)

    def folder(self) -> Path:
        """A new empty folder; outdated ones go, also those that an earlier server left."""
        for path in self.root.iterdir():
            try:
                outdated = time.time() - path.stat().st_mtime > KEEP_HOURS * 3600
            except FileNotFoundError:  # another server's sweep was faster
                continue
            if outdated:
                shutil.rmtree(path, ignore_errors=True)
        path = self.root / secrets.token_urlsafe(16)
        path.mkdir(mode=0o700)
        return path

    @staticmethod
    def address(path: str | Path) -> str:
        """Where the browser finds a file of a folder; relative, so that it also holds behind a proxy's prefix."""
        return f"gradio_api/file={quote(str(path))}"
