"""Fine-tuning: clips to train on, the list of runs, and the state of one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from app.render.fragments import hint, macros, problem, progress, seconds, ticks
from avd_core.runs.limits import TuneLimits
from avd_core.runs.process import Look
from avd_core.training.finetune_clips import TakenClip, divide

_HTML = macros("finetune.html")
NO_CLIPS = Markup("""<div class="tune-nothing"><p>Drop in clips of one kind, or a zip with a folder for each class. Some
moments of them, or some clips, are kept back, to judge by.</p></div>""")
NO_RUNS = hint("No run yet. A run goes on when this page is closed, and is found here again.")
WORDS = {
    "queued": "waiting",
    "running": "training",
    "stopping": "saving and calibrating",
    "stopped": "stopped, saved",
    "paused": "paused",
    "done": "done",
    "failed": "failed",
}
ELSEWHERE = {
    "zerogpu": Markup(
        "ZeroGPU is quicker. It lends its GPU for calls of at most 60 s, each charged to your daily quota, and "
        "goes on only while this page is open: close it and the run pauses, saved; <b>Resume</b> goes on. Without "
        "quota the run goes on on this Space’s CPU."
    ),
    "jobs": "A rented machine is quicker. It costs your Hugging Face account by the minute, and takes your clips, "
    "packed, to a private repository of yours.",
}
SHARING = Markup("""<p class="hint">Weights, config, the figures behind the percentile and a card that tells the
training; no clips. With your own token: signed in here on a Space, or that of this machine
(<code>hf auth login</code>).</p>""")
# Terms that are drawn, with the class of their line; the others are given as numbers.
DRAWN = {"recon_loss": ("made", "Restoration"), "guide_loss": ("real", "Distance of the image to its target")}
AS_NUMBERS = {
    "gain_over_mean": "dB over the mean frame, in training",
    "adv_loss_g": "adversarial loss",
    "critic_gap": "critic’s gap",
}


def clips(taken: Sequence[TakenClip], held_out: frozenset[int], coming: int = 0) -> str:
    """Draw the clips as thumbnails, and `coming` empty places; a click holds a clip out, or no longer."""
    if not taken and not coming:
        return NO_CLIPS
    return _HTML.clips(taken, held_out, coming)


def counted(taken: Sequence[TakenClip], held_out: frozenset[int]) -> str:
    """Say how many clips train, choose the weights and judge."""
    if not taken:
        return ""
    number = "1 clip" if len(taken) == 1 else f"{len(taken)} clips"
    division = divide(taken, held_out)
    if not division.apart:
        words = "too short to hold a moment back: the moment that judges is no other than those before it"
        return _HTML.counted(number, f"{words}. Longer clips, or more, tell more")
    if not held_out:
        each = len(division.choosing)
        roles = "one chooses the weights, the other judges" if each == 1 else f"{each} choose the weights, {each} judge"
        words = f"trained on, but for {2 * each} moments that are kept back: {roles}"
        return _HTML.counted(number, words)
    classes = {clip.source.label for clip in taken} - {""}
    trained = len(taken) - len(held_out)
    return _HTML.counted(number, f"{trained} to train on, {len(held_out)} held out to judge by", len(classes))


def estimate(step: float | None, batch: int, steps: int, device: str, length: float, size: int, place: str = "") -> str:
    """Say how long the training will take here, as measured, and what is different elsewhere.

    Args:
        step: seconds that a step takes; None before they are known.
        batch: clips in a step.
        steps: number of steps.
        device: the device of this machine that it was measured on.
        length: of the training, in seconds.
        size: short side of the images, in pixels.
        place: the backend that is to train, a key of `ELSEWHERE` or a device.
    """
    if step is None:
        return hint("How fast it is here is measured once there are clips.")
    step_words = "under 0.1 s" if step < 0.1 else seconds(step)
    where = "this machine’s GPU" if device == "cuda" else "this machine’s CPU"
    return _HTML.estimate(where, step_words, batch, steps, seconds(round(length)), size, ELSEWHERE.get(place, ""))


def pushed(address: str, repo: str) -> Markup:
    """Say where a pushed checkpoint is, and how others load it."""
    return _HTML.pushed(address, repo)


def command(text: str) -> str:
    """Draw the command line that trains the same."""
    return _HTML.command(text)


def runs(items: Sequence[tuple[str, str, Look, int]], chosen: str | None, steps: Mapping[str, int]) -> str:
    """Draw a person's runs, the latest first.

    Args:
        items: (key, name, status, number of runs before it in the queue).
        chosen: the key of the run that is shown.
        steps: the number of steps of each run, by its key.
    """
    if not items:
        return NO_RUNS
    shown = []
    for key, name, look, before in items:
        words = f"waiting, {before} before it" if look.status == "queued" and before else WORDS[look.status]
        shown.append((key, name, look.status, words, 100 * look.step / max(1, steps.get(key, 1))))
    return _HTML.runs(shown, chosen)


def status_line(name: str, look: Look, steps: int, left: float | None, before: int) -> str:
    """Say how far a run is; `left` in seconds, None while it cannot be estimated; `before` runs wait in front of it."""
    if look.status == "queued":
        words = f"{name} waits for its turn: {before} before it" if before else f"{name} is next"
        return progress(words, 0)
    if look.status == "running":
        when = (
            "starting"
            if left is None
            else f"about {seconds(max(1, round(left))).replace('.00 s', ' s').replace('.0 s', ' s')} left"
        )
        return progress(f"{name}: step {look.step} of {steps}, {when}", look.step / max(1, steps))
    if look.status == "stopping":
        return progress(f"{name}: saving and calibrating at step {look.step}", 0.97)
    return _HTML.ended(name, WORDS[look.status], look.step, steps)


def failure(look: Look) -> str:
    """Say why a run failed, and what to do; nothing for a run that did not."""
    if look.status != "failed":
        return ""
    advice = "What was saved last is still there: Resume goes on from it."
    return problem(look.error or "It failed without a reason.", advice, close=False)


def moved(why: str) -> str:
    """Say why a run is on the CPU instead of a GPU; nothing if `why` is empty."""
    if not why:
        return ""
    advice = "The run goes on on this Space’s CPU, which is slower. After a stop, Resume asks for the GPU again."
    return problem(why, advice, role="status", close=False)


def losses(lines: Mapping[str, Sequence[tuple[int, float]]], latest: Mapping[str, float]) -> str:
    """Plot the losses over the steps, on a linear and on a logarithmic scale; a switch shows one of the two."""
    known = {name: points for name, points in lines.items() if points}
    return _HTML.losses(
        [(*DRAWN[name], points[-1][1]) for name, points in known.items()],
        [(latest[name] + 0.0, words) for name, words in AS_NUMBERS.items() if name in latest],
        [_plot(known, log) for log in (False, True)] if known else [],
    )


def _plot(lines: Mapping[str, Sequence[tuple[int, float]]], log: bool) -> dict[str, Any]:
    def scaled(value: float) -> float:
        return math.log10(max(value, 1e-6)) if log else value

    values = [scaled(value) for points in lines.values() for _, value in points]
    marks = ticks(min(values), max(values)) if log else ticks(0, max(values))
    low, high = marks[0], marks[-1]
    last = max(10, *(points[-1][0] for points in lines.values()))

    def y(value: float) -> float:
        return 100 * (high - value) / (high - low)

    return {
        "log": log,
        "rows": [(y(mark), f"{10**mark if log else mark:.2g}") for mark in marks],
        "columns": [(100 * part, round(part * last)) for part in (0, 0.25, 0.5, 0.75, 1)],
        "lines": [
            (DRAWN[name][0], " ".join(f"{100 * step / last:.2f},{y(scaled(value)):.2f}" for step, value in points))
            for name, points in reversed(list(lines.items()))
        ],
    }


def previews(items: Sequence[tuple[int, str]]) -> str:
    """Draw the held-out clip at stages of the training.

    Args:
        items: (step, address of a picture: three frames, the image, the same three restored).
    """
    return _HTML.previews(items)


def log(lines: Sequence[str], memory: int | None, device: str) -> str:
    """Draw the end of the log; `memory` in bytes, the most that was used, None if not known."""
    used = f"{memory / 2**30:.2f} GB of {'GPU' if device == 'cuda' else ''} memory at most" if memory else ""
    return _HTML.log("\n".join(lines), used)


def off() -> str:
    """Say that the operator has turned fine-tuning off."""
    advice = Markup(
        "On your own machine it is not, and the command line does it too: <code>python -m avd_core train</code>."
    )
    return problem("Fine-tuning is turned off on this server.", advice, close=False)


def terms(limits: TuneLimits) -> str:
    """Say what is kept, for how long, and what the limits are."""
    days = limits.hours / 24
    most = f"{limits.seconds / 3600:g} hours" if limits.seconds >= 7200 else seconds(limits.seconds)
    kept = f"{days:g} days" if days >= 2 else f"{limits.hours} hours"
    return hint(
        f"A run holds its clips until you delete it, at most {kept} after it has ended; only this browser can open it. "
        f"Up to {limits.clips} clips, {limits.steps:,} steps and {most} of training a run, "
        f"{limits.runs} runs a person, {limits.active} of them waiting or running."
    )
