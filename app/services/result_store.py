"""Folders of finished results, for the browser to fetch and for a stated time only.

They lie in the server's workspace, where gradio serves files from, each under a name nobody can guess. Gradio itself
removes only what its own components put there, so what is outdated is swept here: the whole workspace is this server's.
"""

from __future__ import annotations

import logging
import secrets
import stat
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

from app.services import workspace
from avd_core.removal import remove

KEEP_HOURS = 6
SWEEP_SECONDS = 60
BROKEN_OFF_SECONDS = 300  # an upload that has received nothing for so long is over
RESULTS, LASTING, EXAMPLES = "results", "lasting", "examples"
log = logging.getLogger(__name__)


class ResultStore:
    """Hand out folders and delete them later.

    Args:
        seconds: How long they are kept.

    Attributes:
        workspace: Where all of it lies.
        root: The folder of the folders.
        examples: The folder of the example clips that the browser is given.
    """

    def __init__(self, seconds: float = KEEP_HOURS * 3600) -> None:
        self.seconds = seconds
        self.workspace = workspace.claim()
        self.root, self.examples = self._made(RESULTS), self._made(EXAMPLES)

    def folder(self) -> Path:
        """Make an empty folder that is deleted after the stated time."""
        path = self.root / secrets.token_urlsafe(16)
        path.mkdir(mode=0o700)
        return path

    def lasting_folder(self) -> Path:
        """Make an empty folder that lasts as long as the server."""
        return Path(tempfile.mkdtemp(dir=self._made(LASTING)))

    @property
    def rendered_examples(self) -> Path:
        """Where the rendered example clips are kept for every later server."""
        return self.workspace.base / "avd-examples"

    def sweep(self) -> None:
        """Delete outdated results and uploads, and uploads that were broken off."""
        uploads = [
            path
            for path in self.workspace.path.iterdir()
            if path.name not in (RESULTS, LASTING, EXAMPLES, workspace.MARKER)
        ]
        for path in [*self.root.iterdir(), *uploads]:
            try:
                found = path.lstat()
                age, is_folder = time.time() - found.st_mtime, stat.S_ISDIR(found.st_mode)
                if age > (self.seconds if is_folder else min(self.seconds, BROKEN_OFF_SECONDS)):
                    remove(path, owner=self.workspace.path, marker=workspace.MARKER)
            except FileNotFoundError:  # gradio was faster
                continue

    def keep_swept(self, every: float = SWEEP_SECONDS) -> None:
        """Sweep for ever, on a daemon thread."""
        while True:
            try:
                self.sweep()
            except OSError:
                log.exception("outdated results could not be swept")
            time.sleep(every)

    def _made(self, name: str) -> Path:
        folder = self.workspace.path / name
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    @staticmethod
    def address(path: str | Path) -> str:
        """Return where the browser finds a file; relative, so that it also holds behind a proxy's prefix."""
        return f"gradio_api/file={quote(str(path))}"
