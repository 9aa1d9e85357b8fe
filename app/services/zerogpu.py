"""Training on ZeroGPU, where a process has a GPU for a minute at most and only while a request is open.

So a run is trained in chunks: each resumes from the run directory, trains, saves, and leaves the run `paused`. The open
page requests one chunk after the other; once it is closed nothing has to be put right. Without ZeroGPU a chunk is a
plain function call.

`spaces` forks the process that asks for a GPU, and the page's own must not be forked once it has computed anything:
OpenMP hangs in a fork after it has used its threads, and the first backward pass on a CPU makes PyTorch count the GPUs,
none, a count that a fork inherits. Hence a fresh process, `python -m app.services.zerogpu`, requests the GPU for each
chunk: it imports everything and computes nothing before, and the seconds of importing are not charged.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stdout
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from avd_core.devices import default_device, on_zerogpu
from avd_core.runs.run import Run, RunError

GPU_SECONDS = 60
"""Seconds of a GPU that a chunk asks for: what a visitor's quota is charged at most."""
TRAINING_SECONDS = 40.0
"""Seconds of these that are for reading what was saved and for training; the others are for saving it again."""
HEADERS = ("x-ip-token", "x-gradio-user")
"""Of a visitor's request: whose quota is charged (Spaces adds that), and whether a page or a program asks."""


def with_gpu(function: Callable[..., None]) -> Callable[..., None]:
    """Wrap a function to run with a GPU where there is ZeroGPU: in a fork, arguments pickled."""
    if not on_zerogpu():
        return function
    import spaces

    return spaces.GPU(duration=GPU_SECONDS)(function)


@with_gpu  # also in the page's process, which never calls it: a Space without such a function does not start
def chunk(folder: str, seconds: float) -> None:
    """Train the run in `folder` for so many seconds, and save it."""
    from avd_core.training.run_trainer import train_chunk

    train_chunk(folder, seconds=seconds, device=default_device(lent=True))


def chunks(folder: str | Path, *, seconds: float = TRAINING_SECONDS) -> Iterator[dict[str, Any]]:
    """Train a run chunk by chunk, for as long as the caller requests the next state.

    Yields:
        The run's state after each chunk: `paused`, and at last `done` or `failed`. `paused` with an `error` is the
        last one, too: the quota is used up, or the GPU was taken away. The run resumes from what was saved.

    Raises:
        RunError: There is no run, or another process trains it.
    """
    run = Run(folder)
    run.config()
    with run.held():  # raises if another process trains it
        pass
    while True:
        try:
            (_call if on_zerogpu() else chunk)(str(run.folder), seconds)
            lost = None
        except Exception as error:  # of the training, whose state says so already, or of ZeroGPU
            lost = _sentence(error)
        state = run.state()
        if lost and state["status"] != "failed":
            yield _paused(run, lost)
            return
        yield state
        if state["status"] != "paused":
            return


def _call(folder: str, seconds: float) -> None:
    """Train a chunk in a process of its own, on the quota of the visitor whose request this thread serves.

    Raises:
        RunError: ZeroGPU gave no GPU or took it away, or the training failed, with its sentence.
    """
    request = {"folder": folder, "seconds": seconds, "headers": _headers()}
    done = subprocess.run(
        [sys.executable, "-m", "app.services.zerogpu"], input=json.dumps(request), stdout=subprocess.PIPE, text=True,
        cwd=Path(__file__).resolve().parents[2], check=False,
    )  # fmt: skip
    why = json.loads(done.stdout)["error"] if done.returncode == 0 else "The process that asks for a GPU was ended."
    if why:
        raise RunError(why)


def _headers() -> dict[str, str]:
    from gradio.context import LocalContext

    headers: Mapping[str, str] = getattr(LocalContext.request.get(None), "headers", None) or {}
    return {name: headers[name] for name in HEADERS if name in headers}


def _paused(run: Run, why: str) -> dict[str, Any]:
    """Mark a run that lost its process as paused; it resumes from what was saved last."""
    try:
        with run.held():
            run.write_state("paused", step=run.state()["step"], error=why)
            run.log(f"paused: {why}")
    except RunError:  # another process has gone on with it meanwhile
        pass
    return run.state()


def _sentence(error: Exception) -> str:
    """Return an error's message without HTML; gradio's errors, which `spaces` raises, have a title as well."""
    title, text = getattr(error, "title", ""), str(getattr(error, "message", "") or error)
    words = f"{title}: {text}" if title else text
    return " ".join(re.sub(r"<[^>]*>", "", words).split()) or type(error).__name__


class _Headers(dict):
    """Headers as `spaces` takes them: a dict with attributes, which a plain one has not."""


def main() -> None:
    """Ask for a GPU for one chunk: JSON from standard input, the outcome as JSON to standard output."""
    import gradio as gr
    from gradio.context import LocalContext

    request, outcome = json.load(sys.stdin), None
    with redirect_stdout(sys.stderr):  # where `spaces` prints
        import avd_core.training.run_trainer  # noqa: F401 - before the GPU is there, while it costs nothing

        LocalContext.request.set(SimpleNamespace(headers=_Headers(request["headers"])))
        try:
            chunk(request["folder"], request["seconds"])
        except gr.Error as error:  # what `spaces` has to say to a person
            outcome = _sentence(error)
        except Exception as error:
            outcome = f"ZeroGPU did not answer as expected ({type(error).__name__})."
    print(json.dumps({"error": outcome}))


if __name__ == "__main__":
    main()
