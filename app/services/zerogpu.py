"""Training on ZeroGPU, where a process has a GPU for a minute at most and only while a request is open.

So a run is trained in chunks, each in a forked process of its own, over the run directory: it resumes, trains, saves,
and leaves the run `paused`. The open page requests the next chunk; when it is closed the run stays paused. Where there
is no ZeroGPU a chunk is a plain function call.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from avd_core.devices import default_device, on_zerogpu
from avd_core.runs.run import Run, RunError

GPU_SECONDS = 60  # that a chunk requests: what a visitor's quota is charged at most
TRAINING_SECONDS = 40.0  # of these for loading and training; the others are for saving


def with_gpu(function: Callable[..., None]) -> Callable[..., None]:
    """Wrap a function to run with a GPU where there is ZeroGPU: in a fork, arguments pickled."""
    if not on_zerogpu():
        return function
    import spaces

    return spaces.GPU(duration=GPU_SECONDS)(function)


@with_gpu  # when the page starts: ZeroGPU looks for such functions then
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
    with run.held():
        pass  # and not by another process
    while True:
        try:
            chunk(str(run.folder), seconds)
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


def _paused(run: Run, why: str) -> dict[str, Any]:
    """Mark a run that lost its process; it resumes from what was saved last."""
    try:
        with run.held():
            run.write_state("paused", step=run.state()["step"], error=why)
            run.log(f"paused: {why}")
    except RunError:  # another process has gone on with it meanwhile
        pass
    return run.state()


def _sentence(error: Exception) -> str:
    """Return an error's text without the HTML of gradio's errors."""
    text = re.sub(r"<[^>]*>", "", str(getattr(error, "message", "") or error))
    return " ".join(text.split()) or type(error).__name__
