"""Folders of finished results, for the browser to fetch and for a stated time only.

Gradio serves what lies in its own temporary folder, and removes from it only what its own components put there. So
the folders lie in there, each under a name nobody can guess, and are swept here.
"""

from __future__ import annotations

import re
import secrets
import shutil
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

from gradio.utils import get_upload_folder

KEEP_HOURS = 6
SWEEP_SECONDS = 600
# Gradio's folders, named by a digest of what is in them, and the files of uploads that were broken off.
_UPLOAD = re.compile(r"[0-9a-f]{64}|tmp[a-z0-9_]{8}")


class ResultStore:
    """Hands out folders and forgets them.

    Args:
        seconds: how long they are kept.
    """

    def __init__(self, seconds: float = KEEP_HOURS * 3600) -> None:
        self.seconds = seconds
        self.parent = Path(get_upload_folder()).resolve()
        self.root = self.parent / "avd-results"
        self.root.mkdir(parents=True, exist_ok=True)

    def folder(self) -> Path:
        """A new empty folder."""
        path = self.root / secrets.token_urlsafe(16)
        path.mkdir(mode=0o700)
        return path

    def sweep(self) -> None:
        """Removes what is outdated, also what an earlier server left: results, and what gradio was given.

        Gradio deletes what came to the server that runs, see `delete_cache`; a server that was killed leaves it all.
        """
        shared = self.parent == Path(tempfile.gettempdir()).resolve()  # then such files may be anybody's
        given = [path for path in self.parent.iterdir() if not shared and _UPLOAD.fullmatch(path.name)]
        for path in [*self.root.iterdir(), *given]:
            try:
                if time.time() - path.stat().st_mtime <= self.seconds:
                    continue
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink()
            except FileNotFoundError:  # another server's sweep was faster
                continue

    def keep_swept(self, every: float = SWEEP_SECONDS) -> None:
        """Sweeps now and again, for ever: for a thread that ends with the server."""
        while True:
            self.sweep()
            time.sleep(every)

    @staticmethod
    def address(path: str | Path) -> str:
        """Where the browser finds a file of a folder; relative, so that it also holds behind a proxy's prefix."""
        return f"gradio_api/file={quote(str(path))}"
