"""Inside a job: download a run from its repository, train it, and upload its results while it trains.

`python -m avd_core.hub.job_worker owner/name` runs in a folder of its own, with the token in `HF_TOKEN`. Small
files are uploaded every minute, weights every few; the Hub allows some hundred commits an hour. The run's log is
printed, too: the Jobs API passes on at once what a job prints.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from avd_core.hub_client import HubError, ask
from avd_core.runs.run import Run

RUN, CODE = "run", "code.zip"
"""Names of the run directory and of this code in the repository; see `avd_core.hub.job_package`."""
STOP = "stop"
"""The file in the repository that asks a job to stop, saved."""
LIGHT_EVERY = float(os.environ.get("AVD_JOB_LIGHT_EVERY", 60.0))
"""Seconds between two uploads of metrics, state, log and previews, and between two checks for a request to stop."""
HEAVY_EVERY = float(os.environ.get("AVD_JOB_HEAVY_EVERY", 300.0))
"""Seconds between two uploads of weights."""
LOOK_EVERY = 0.5
DEADLINE = 900.0
TRIES = 3
_BAR = re.compile(r"\d%\|")


class Worker:
    """Move one run between its repository and this machine.

    Args:
        repo_id: `owner/name`.
        folder: where the package is downloaded to.
    """

    def __init__(self, repo_id: str, folder: Path) -> None:
        from huggingface_hub import HfApi

        self.repo_id, self.folder = repo_id, folder
        self.run = Run(folder / RUN)
        self.api: Any = HfApi()
        self._sent: dict[str, tuple[int, int]] = {}  # size and time of change of what the repository holds
        self._printed = 0  # bytes of log.txt that were printed

    def fetch(self) -> None:
        """Download all of the package but the code, which is here already."""

        def download() -> None:
            info = self.api.model_info(self.repo_id)
            for entry in info.siblings or []:
                if entry.rfilename not in (CODE, STOP):
                    self.api.hf_hub_download(self.repo_id, entry.rfilename, revision=info.sha, local_dir=self.folder)

        ask("The run could not be fetched", download, deadline=DEADLINE)
        self.run.previews.mkdir(exist_ok=True)
        self._sent = self._files(heavy=True)

    def stop_requested(self) -> bool:
        """Return whether the repository holds the request to stop; False where the Hub does not answer."""
        try:
            return ask("", lambda: self.api.file_exists(self.repo_id, STOP))
        except HubError:
            return False

    def upload(self, *, heavy: bool) -> None:
        """Upload in one commit the files that have changed, weights only where `heavy`.

        Raises:
            HubError: the Hub did not take it.
        """
        from huggingface_hub import CommitOperationAdd

        with tempfile.TemporaryDirectory(prefix="avd-") as name:
            changed, copies = {}, []
            for path, stamp in self._files(heavy=heavy).items():
                if self._sent.get(path) == stamp:
                    continue
                copy = Path(name) / path
                copy.parent.mkdir(parents=True, exist_ok=True)
                try:
                    shutil.copy(self.folder / path, copy)
                except FileNotFoundError:  # the checkpoint is being replaced: whole the next time
                    return
                changed[path] = stamp
                copies.append(CommitOperationAdd(path, copy))
            if not copies:
                return
            message = f"Step {self.run.state()['step']}"
            ask(
                "The results could not be uploaded",
                lambda: self.api.create_commit(self.repo_id, copies, commit_message=message),
                deadline=DEADLINE,
            )
        self._sent |= changed

    def _files(self, *, heavy: bool) -> dict[str, tuple[int, int]]:
        """Return size and modification time of each file of the run, weights only where `heavy`."""
        light = [self.run.folder / "state.json", self.run.metrics_file, self.run.folder / "log.txt"]
        light += sorted(self.run.previews.glob("*.png"))
        weights = [self.run.training_state, *sorted(self.run.checkpoint.glob("*"))]
        stamps = {}
        for path in [*light, *(weights if heavy else ())]:
            try:
                stat = path.stat()
            except FileNotFoundError:
                continue
            stamps[path.relative_to(self.folder).as_posix()] = (stat.st_size, stat.st_mtime_ns)
        return stamps

    def print_log(self) -> None:
        """Print the lines that the run has logged since the last call."""
        try:
            text = (self.run.folder / "log.txt").read_bytes()
        except FileNotFoundError:
            return
        whole = text.rfind(b"\n") + 1
        print(text[self._printed : whole].decode("utf-8", "replace"), end="", flush=True)
        self._printed = max(self._printed, whole)


def work(repo_id: str, folder: Path) -> int:
    """Download, train and upload; return the trainer's exit status, or 1 if the results could not be uploaded."""
    worker = Worker(repo_id, folder)
    worker.fetch()
    trainer = subprocess.Popen(
        [sys.executable, "-m", "avd_core", "train", "--run", RUN],
        cwd=folder, stdout=subprocess.PIPE, text=True, stderr=subprocess.STDOUT,
    )  # fmt: skip
    printing = threading.Thread(target=_print_but_bars, args=(trainer.stdout,), daemon=True)
    printing.start()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: trainer.send_signal(signal.SIGTERM))
    light = heavy = time.monotonic()
    stopping = False
    while trainer.poll() is None:
        time.sleep(LOOK_EVERY)
        worker.print_log()
        now = time.monotonic()
        if now - light < LIGHT_EVERY:
            continue
        light = now
        try:
            worker.upload(heavy=now - heavy >= HEAVY_EVERY)
            heavy = now if now - heavy >= HEAVY_EVERY else heavy
        except HubError as error:  # a failed upload must not stop the training
            print(error, flush=True)
        if not stopping and worker.stop_requested():
            stopping = True  # once: a second signal could kill a trainer that is saving
            trainer.send_signal(signal.SIGTERM)
    printing.join(5)
    worker.print_log()
    for patience in (*(5.0 * number for number in range(1, TRIES)), None):
        try:
            worker.upload(heavy=True)
            break
        except HubError as error:
            print(error, flush=True)
            if patience is None:
                return 1
            time.sleep(patience)
    return trainer.returncode


def _print_but_bars(lines: Iterable[str]) -> None:
    """Print the trainer's output without its progress bar, which would add a thousand lines to the log."""
    for line in lines:
        if line.strip() and not _BAR.search(line):
            print(line, end="", flush=True)


if __name__ == "__main__":
    sys.exit(work(sys.argv[1], Path.cwd()))
