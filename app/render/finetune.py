"""Fine-tuning: clips to train on, runs, and what one of them is doing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from app.render.fragments import card, hint, progress, seconds, signed, ticks
from avd_core.runs.limits import TuneLimits
from avd_core.runs.process import Look
from avd_core.training.finetune_clips import TakenClip, divide

NO_CLIPS = """<div class="tune-nothing"><p>Drop in clips of one kind, or a zip with a folder for each class. Some
moments of them, or some clips, are kept back, to judge by.</p></div>"""
NO_RUNS = '<p class="hint">No run yet. A run goes on when this page is closed, and is found here again.</p>'
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
    "zerogpu": "ZeroGPU is quicker. It lends its GPU for calls of at most 60 s, each charged to your daily quota, and "
    "goes on only while this page is open: close it and the run pauses, saved; <b>Resume</b> goes on. Without quota "
    "the run goes on on this Space’s CPU.",
    "jobs": "A rented machine is quicker. It costs your Hugging Face account by the minute, and takes your clips, "
    "packed, to a private repository of yours.",
}
SHARING = """<p class="hint">Weights, config, the figures behind the percentile and a card that tells the training; no
clips. With your own token: signed in here on a Space, or that of this machine (<code>hf auth login</code>).</p>"""
# Terms that are drawn, with the class of their line; the others are given as numbers.
DRAWN = {"recon_loss": ("made", "Restoration"), "guide_loss": ("real", "Distance to the middle frame")}
AS_NUMBERS = {
    "gain_over_mean": "dB over the mean frame, in training",
    "adv_loss_g": "adversarial loss",
    "critic_gap": "critic’s gap",
}


def clips(taken: Sequence[TakenClip], held_out: frozenset[int], coming: int = 0) -> str:
    """The clips as thumbnails; a click moves one between training and judging."""
    if not taken and not coming:
        return NO_CLIPS
    cards = ""
    for number, clip in enumerate(taken):
        held, title = number in held_out, escape(clip.source.title)
        cards += (
            f'<button type="button" class="tune-clip" data-hold="{number}" aria-pressed="{str(held).lower()}" '
            f'title="{title}: {"held out to judge by" if held else "trained on"}; click to change">'
            f'<img src="data:image/jpeg;base64,{clip.thumbnail}" alt=""><b>{title}</b>'
            f"<span>{escape(clip.source.label) or '&nbsp;'}</span>{'<em>held out</em>' if held else ''}</button>"
        )
    cards += '<div class="tune-clip waiting"></div>' * coming
    return f'<div class="tune-clips" role="group" aria-label="Clips">{cards}</div>'


def counted(taken: Sequence[TakenClip], held_out: frozenset[int]) -> str:
    """How many there are of what."""
    if not taken:
        return ""
    number = "1 clip" if len(taken) == 1 else f"{len(taken)} clips"
    division = divide(taken, held_out)
    if not division.apart:
        words = "too short to hold a moment back: the moment that judges is no other than those before it"
        return f'<p class="status"><b>{number}</b><span>{words}. Longer clips, or more, tell more</span></p>'
    if not held_out:
        each = len(division.choosing)
        roles = "one chooses the weights, the other judges" if each == 1 else f"{each} choose the weights, {each} judge"
        words = f"trained on, but for {2 * each} moments that are kept back: {roles}"
        return f'<p class="status"><b>{number}</b><span>{words}</span></p>'
    classes = {clip.source.label for clip in taken} - {""}
    named = f"<span>{len(classes)} classes</span>" if len(classes) > 1 else ""
    trained = len(taken) - len(held_out)
    return (
        f'<p class="status"><b>{number}</b><span>{trained} to train on, {len(held_out)} held out to judge by'
        f"</span>{named}</p>"
    )


def estimate(step: float | None, batch: int, steps: int, device: str, length: float, size: int, place: str = "") -> str:
    """What the training will take here, as measured, and what is different elsewhere.

    Args:
        step: seconds, None before they are known.
        batch: clips a step.
        steps: in all.
        device: of this machine, that it was measured on.
        length: of the training in seconds.
        size: short side in pixels that it is for.
        place: where it is to run.
    """
    if step is None:
        return hint("How fast it is here is measured once there are clips.")
    step_words = "under 0.1 s" if step < 0.1 else seconds(step)
    where = "this machine’s GPU" if device == "cuda" else "this machine’s CPU"
    return hint(
        f"Measured on {where}: <b>{step_words}</b> a step of {batch} clips, so <b>{steps} steps</b> in about "
        f"<b>{seconds(round(length))}</b>, and some seconds to start and to calibrate. It is trained and judged at "
        f"<b>{size} px</b>. {ELSEWHERE.get(place, '')}"
    )


def pushed(address: str, repo: str) -> str:
    """Say where a pushed checkpoint is, and how others load it."""
    return hint(
        f'<b>Pushed.</b> <a href="{escape(address)}" target="_blank" rel="noopener">{escape(repo)}</a> loads by that '
        f"name: <code>AVD_CHECKPOINT={escape(repo)}</code>, or <code>--checkpoint {escape(repo)}</code>."
    )


def command(text: str) -> str:
    """The same from a shell."""
    return (
        f'<div class="tune-command"><pre tabindex="0">{escape(text)}</pre>'
        '<button type="button" class="ghost" data-tune="copy">Copy</button></div>'
    )


def runs(items: Sequence[tuple[str, str, Look, int]], chosen: str | None, steps: Mapping[str, int]) -> str:
    """A person's runs, the latest first.

    Args:
        items: (key, name, how it is doing, how many come before it).
        chosen: the key of the one that is shown.
        steps: of each run in all, by key.
    """
    if not items:
        return NO_RUNS
    cards = ""
    for key, name, look, before in items:
        share = 100 * look.step / max(1, steps.get(key, 1))
        words = f"waiting, {before} before it" if look.status == "queued" and before else WORDS[look.status]
        cards += (
            f'<button type="button" class="tune-run {look.status}" data-run="{escape(key)}"'
            f"{' aria-current=true' if key == chosen else ''}><b>{escape(name)}</b><span>{words}</span>"
            f'<i><u style="width:{share:.0f}%"></u></i></button>'
        )
    return f'<div class="tune-runs" role="group" aria-label="Your runs">{cards}</div>'


def status_line(name: str, look: Look, steps: int, left: float | None, before: int) -> str:
    """The line above a run."""
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
    return (
        f'<p class="status"><b>{escape(name)}</b><span>{WORDS[look.status]}</span>'
        f"<span>step {look.step} of {steps}</span></p>"
    )


def failure(look: Look) -> str:
    """Why a run failed, and what there is to do."""
    if look.status != "failed":
        return ""
    return (
        f'<div class="problem" role="alert"><p><b>{escape(look.error or "It failed without a reason.")}</b> '
        "What was saved last is still there: Resume goes on from it.</p></div>"
    )


def moved(why: str) -> str:
    """Say why a run that was to have a GPU is on the CPU; nothing for "", which is any other run."""
    if not why:
        return ""
    return (
        f'<div class="problem" role="status"><p><b>{escape(why)}</b> The run goes on on this Space’s CPU, which is '
        "slower. After a stop, Resume asks for the GPU again.</p></div>"
    )


def losses(lines: Mapping[str, Sequence[tuple[int, float]]], latest: Mapping[str, float]) -> str:
    """The losses over the steps, on a plain scale and on a logarithmic one; a switch shows one or the other."""
    switch = (
        '<div class="switch" role="group" aria-label="Scale">'
        '<button type="button" data-tune="plain" aria-pressed="true">Plain</button>'
        '<button type="button" data-tune="log" aria-pressed="false">Log</button></div>'
    )
    known = {name: points for name, points in lines.items() if points}
    if not known:
        return card("tune-losses", "Loss", switch + '<p class="hint">The first step is still to come.</p>')
    legend = "".join(
        f'<li class="{DRAWN[name][0]}">{DRAWN[name][1]} <b class="mono">{points[-1][1]:.4f}</b></li>'
        for name, points in known.items()
    )
    numbers = " · ".join(
        f"<b>{signed(latest[name] + 0.0, 2)}</b> {words}" for name, words in AS_NUMBERS.items() if name in latest
    )
    body = f'<ul class="legend">{legend}</ul>{_plot(known, False)}{_plot(known, True)}'
    return card("tune-losses", "Loss", switch + body + hint(numbers))


def _plot(lines: Mapping[str, Sequence[tuple[int, float]]], log: bool) -> str:
    def scaled(value: float) -> float:
        return math.log10(max(value, 1e-6)) if log else value

    values = [scaled(value) for points in lines.values() for _, value in points]
    marks = ticks(min(values), max(values)) if log else ticks(0, max(values))
    low, high = marks[0], marks[-1]
    last = max(10, *(points[-1][0] for points in lines.values()))

    def y(value: float) -> float:
        return 100 * (high - value) / (high - low)

    shapes = "".join(
        f'<polyline class="{DRAWN[name][0]}" points="'
        + " ".join(f"{100 * step / last:.2f},{y(scaled(value)):.2f}" for step, value in points)
        + '"/>'
        for name, points in reversed(list(lines.items()))
    )
    rows = "".join(f'<span style="top:{y(t):.1f}%">{10**t if log else t:.2g}</span>' for t in marks)
    rules = "".join(f'<line x1="0" x2="100" y1="{y(t):.1f}" y2="{y(t):.1f}"/>' for t in marks)
    columns = "".join(
        f'<span style="left:{100 * part}%">{round(part * last)}</span>' for part in (0, 0.25, 0.5, 0.75, 1)
    )
    words = "Losses over the steps, logarithmic" if log else "Losses over the steps"
    return f"""
<div class="plot tune-plot {"tune-by-power" if log else "tune-by-value"}" role="img" aria-label="{words}">
  <div class="y">{rows}</div><div class="area"><svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">
  {rules}{shapes}</svg></div><div class="x">{columns}</div><p class="axis">step →</p></div>"""


def previews(items: Sequence[tuple[int, str]]) -> str:
    """The held-out clip at stages of the training.

    Args:
        items: (step, address of a picture: three frames, the image, the same three restored).
    """
    if not items:
        return card("tune-previews", "Held-out clip", '<p class="hint">The first preview is still to come.</p>')
    rows = ""
    for step, address in items:
        when = f"step {step}" if step else "before"
        words = f"Three frames, their image and the frames restored from it, {when}"
        rows += f'<li><span>{when}</span><img src="{address}" alt="{words}"></li>'
    titles = "".join(f"<i>{words}</i>" for words in ("first, middle, last frame", "image", "restored"))
    head = f"<li class=head aria-hidden=true><span></span><p>{titles}</p></li>"
    return card("tune-previews", "Held-out clip", f'<ol class="tune-stages">{head}{rows}</ol>')


def log(lines: Sequence[str], memory: int | None, device: str) -> str:
    """The tail of the log."""
    used = f"{memory / 2**30:.2f} GB of {'GPU' if device == 'cuda' else ''} memory at most" if memory else ""
    text = escape("\n".join(lines)) or "Nothing yet."
    return card("tune-log", "Log", f'<pre tabindex="0">{text}</pre>{hint(used) if used else ""}')


def off() -> str:
    """Where the operator has turned it off."""
    return (
        '<div class="problem" role="alert"><p><b>Fine-tuning is turned off on this server.</b> On your own machine it '
        "is not, and the command line does it too: <code>python -m avd_core train</code>.</p></div>"
    )


def terms(limits: TuneLimits) -> str:
    """What is kept, for how long, and how much there may be."""
    days = limits.hours / 24
    most = f"{limits.seconds / 3600:g} hours" if limits.seconds >= 7200 else seconds(limits.seconds)
    kept = f"{days:g} days" if days >= 2 else f"{limits.hours} hours"
    return hint(
        f"A run holds its clips until you delete it, at most {kept} after it has ended; only this browser can open it. "
        f"Up to {limits.clips} clips, {limits.steps:,} steps and {most} of training a run, "
        f"{limits.runs} runs a person, {limits.active} of them waiting or running."
    )
