"""Results as HTML: every function takes numbers and addresses and returns a self-contained piece of the page.

Plots are drawn as an SVG stretched over the plot area (``preserveAspectRatio="none"``, strokes that do not scale) with
HTML labels around it: so the text keeps its size from a phone to a wall, the colours are CSS variables that follow
light and dark, and no figure library is needed. Nothing here imports gradio. What a person typed or a file said is
escaped.

Axis legend: T frames, H, W.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
from PIL import Image

from avd_core.exploration import Realism
from avd_core.metrics import Quality
from avd_core.realism import Calibration

REALISM, RESTORATION = "Realism", "Restoration"
RECOGNITION, SALIENCY = "What a classifier sees", "Where it looks"
HEADER = """
<header class="masthead">
  <svg class="mark" viewBox="0 0 44 32" aria-hidden="true">
    <rect x="1" y="3" width="20" height="20"/><rect x="5" y="6" width="20" height="20"/>
    <rect x="9" y="9" width="20" height="20"/><rect class="one" x="21" y="9" width="22" height="22"/>
  </svg>
  <div><h1>One realistic image that carries a whole clip</h1>
  <p><b>AVD Explorer</b> distils the frames of a video into a single picture, then restores the motion from that
  picture alone.</p></div>
  <button class="theme-switch" type="button" data-act="theme" aria-label="Switch between light and dark"><i></i>
  </button>
</header>"""


# --- words ------------------------------------------------------------------------------------------------------


def ordinal(percentile: float) -> str:
    """63.2 -> '63rd'; the ends are not rounded to 0 or 100 unless they are."""
    if 0 < percentile < 1:
        return "<1st"
    if 99 < percentile < 100:
        return ">99th"
    number = round(percentile)
    suffix = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"


def seconds(value: float) -> str:
    """Seconds as a person says them: '0.04 s', '2.1 s', '1 min 5 s'."""
    if value >= 60:
        minutes, rest = divmod(round(value), 60)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{value:.2f} s" if value < 0.995 else f"{value:.1f} s"


def _signed(value: float, digits: int) -> str:
    return f"{value:+.{digits}f}".replace("-", "−")


def _card(kind: str, title: str, body: str) -> str:
    return f'<section class="card {kind}" aria-label="{escape(title)}"><h2>{escape(title)}</h2>{body}</section>'


def waiting(kind: str, title: str) -> str:
    """A card whose figures are still being computed; its place is kept."""
    return _card(f"{kind} pending", title, '<div class="waiting"></div>')


def _hint(text: str) -> str:
    return f'<p class="hint">{text}</p>'


# --- the clip, its image, and what came back --------------------------------------------------------------------


def stage(
    *,
    size: tuple[int, int],
    frames: int,
    fps: float,
    original: str | None = None,
    distilled: str | None = None,
    restored: str | None = None,
) -> str:
    """The three pictures with one transport; an address that is None is drawn as a pane still at work.

    Args:
        size: (H, W) of the pictures in pixels.
        frames: T, the frames the image carries.
        fps: rate at which they play in real time.
        original: address of the sampled frames as a video.
        distilled: address of the PNG.
        restored: address of the restored video.
    """
    height, width = size
    picture = f'width="{width}" height="{height}"'

    def video(address: str | None, kind: str, words: str) -> str:
        if address is None:
            return '<div class="media waiting"></div>'
        return (
            f'<video class="media {kind}" src="{escape(address)}" {picture} muted playsinline preload="auto" '
            f'aria-label="{words}"></video>'
        )

    image = '<div class="media waiting"></div>'
    if distilled is not None:
        words = f"The distilled image: one picture that carries {frames} frames of the clip"
        image = f'<img class="media" id="distilled" src="{escape(distilled)}" {picture} alt="{words}">'
    still = "" if original and restored else " disabled"
    return f"""
<section class="stage" style="--w:{width};--h:{height}" data-frames="{frames}" data-fps="{fps:.4f}"
  aria-label="Original clip, distilled image, restored clip">
  <figure class="pane"><figcaption><b>Original</b><span>{frames} frames, {seconds(frames / fps)}</span></figcaption>
    <div class="box">{video(original, "original", "The original clip, as the encoder sees it")}</div></figure>
  <figure class="pane hero"><figcaption><b>Distilled image</b>
    <span>all the decoder gets · {width}×{height}</span></figcaption>
    <div class="box">{image}</div></figure>
  <figure class="pane"><figcaption><b>Restored</b><span>from the image alone</span></figcaption>
    <div class="box">{video(restored, "restored", "The clip restored from the distilled image")}</div></figure>
  <div class="transport">
    <button type="button" class="play" data-act="play" aria-label="Pause"{still}><i></i></button>
    <input type="range" class="scrub" min="0" max="{frames - 1}" step="1" value="0" aria-label="Frame"{still}>
    <output>1 / {frames}</output>
    <button type="button" class="ghost" data-act="pixels" aria-pressed="false"
      title="Show every pixel as a square, at a whole multiple of its size">Pixels</button>
  </div>
</section>"""


def progress(words: str, share: float) -> str:
    """The line above the pictures while something is being done; `share` of it (0 to 1) is through."""
    return (
        f'<p class="status busy" role="status">{escape(words)}'
        f'<span class="bar"><i style="width:{100 * min(max(share, 0.03), 1):.0f}%"></i></span></p>'
    )


def nothing() -> str:
    """The same line when there is no result."""
    return '<p class="status">Nothing to show yet: drop in a clip, or try an example.</p>'


def facts(name: str, *, frames: int, start: float, length: float, total: float, checkpoint: str) -> str:
    """The same line for a finished result: which clip, which window of it in seconds, which checkpoint."""
    window = f"{start:.1f}–{start + length:.1f} s of {seconds(total)}"
    if length >= total - 0.05:
        window = f"all {seconds(total)}"
    return (
        f'<p class="status"><b>{escape(name)}</b><span>{frames} frames from {window}</span>'
        f"<span>checkpoint <b>{escape(checkpoint)}</b></span></p>"
    )


def problem(sentence: str, advice: str) -> str:
    """A message that stays until it is closed: what went wrong and what to do next."""
    return (
        f'<div class="problem" role="alert"><p><b>{escape(sentence)}</b> {escape(advice)}</p>'
        '<button type="button" data-act="dismiss" aria-label="Close this message">×</button></div>'
    )


# --- realism ----------------------------------------------------------------------------------------------------


def realism(told: Realism, calibration: Calibration | None, patches: str, size: tuple[int, int]) -> str:
    """Where the image stands among real frames, by the checkpoint's own critic.

    Args:
        told: the critic's scores; only their places on the axis are shown, never the numbers.
        calibration: the reference scores; None where the checkpoint has none.
        patches: address of the image tinted by `patch_map`.
        size: (H, W) of that picture.
    """
    picture = f"""
<figure class="patches" style="--w:{size[1]};--h:{size[0]}"><img src="{escape(patches)}"
  alt="The distilled image, tinted by how real the critic finds each part of it against the rest">
  <figcaption><i class="more">more</i> / <i class="less">less real</i></figcaption></figure>"""
    percentile = told.percentile_among_real
    if calibration is None or percentile is None:
        return _card("realism", REALISM, picture + _hint(
            "This checkpoint carries no reference scores, so its critic’s score of the whole image cannot be told in "
            "a way that means something. The small picture compares its parts with each other."
        ))  # fmt: skip
    own = "–".join(dict.fromkeys(ordinal(share) for share in (min(told.own_frames), max(told.own_frames))))
    lead = f"""{picture}
<p class="figure"><b>{ordinal(percentile)}</b> percentile of real frames</p>
<p class="versus">this clip’s own frames: <b class="mono">{own}</b></p>"""
    hint = _hint(
        f"To the critic trained beside this model the image looks more real than {_share(percentile)} of real video "
        "frames. The clip’s own frames are the fair comparison: it also reacts to content. A hint, not proof."
    )
    return _card("realism", REALISM, lead + _realism_plot(told, calibration) + hint)


def patch_map(image: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Tints an image by the critic's score of each patch, against the image's own mean: blue above, copper below.

    Args:
        image: uint8 (H, W, 3).
        scores: (h, w).

    Returns:
        uint8 (H, W, 3); full colour two standard deviations from the mean.
    """
    height, width = image.shape[:2]
    scaled = Image.fromarray(scores.astype(np.float32)).resize((width, height), Image.Resampling.BICUBIC)
    offset = np.clip((np.asarray(scaled) - scores.mean()) / (2 * scores.std() + 1e-6), -1, 1)[..., None]
    colour = np.where(offset > 0, (70, 140, 210), (205, 95, 40))
    grey = image.mean(axis=2, keepdims=True) * 0.9
    strength = 0.75 * np.abs(offset)
    return (grey * (1 - strength) + colour * strength).clip(0, 255).astype(np.uint8)


def _realism_plot(told: Realism, calibration: Calibration) -> str:
    real, distilled = np.asarray(calibration.real), np.asarray(calibration.distilled)
    scores = [told.logit, *told.own_logits]
    # The axis is the critic's score, told as percentiles of real frames: its ends hold all but the rarest references.
    ends = np.concatenate([np.quantile(real, [0.005, 0.995]), np.quantile(distilled, [0.02, 0.98]), scores])
    low, high = float(ends.min()), float(ends.max())
    low, high = low - 0.04 * (high - low or 1), high + 0.04 * (high - low or 1)
    grid = np.linspace(low, high, 121)

    def at(score: float) -> float:
        return 100 * min(max((score - low) / (high - low), 0.0), 1.0)

    def curve(scores: np.ndarray) -> str:
        density = _density(scores, grid)
        points = zip(np.linspace(0, 100, len(grid)), 100 - 92 * density / density.max(), strict=True)
        return " ".join(f"{x:.2f},{y:.2f}" for x, y in points)

    shapes = (
        f'<polygon class="real" points="0,100 {curve(real)} 100,100"/>'
        f'<polyline class="real" points="{curve(real)}"/><polyline class="made" points="{curve(distilled)}"/>'
    )
    ticks, last = "", -100.0
    for share in (5, 25, 50, 75, 95):
        x = at(float(np.quantile(real, share / 100)))
        if x - last > 8:
            ticks, last = ticks + f'<span style="left:{x:.1f}%">{share}</span>', x
    own = "".join(f'<i class="own" style="left:{at(score):.2f}%"></i>' for score in told.own_logits)
    x = at(told.logit)
    side = "left" if x > 70 else "right"
    words = (
        f"The image stands at the {ordinal(told.percentile_among_real)} percentile of {len(real)} real frames; "
        f"for comparison the scores of {len(distilled)} distilled images"
    )
    return f"""
<div class="plot dense" role="img" aria-label="{escape(words)}"><div class="area">
  <svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">{shapes}</svg>
  {own}<i class="marker {side}" style="left:{x:.2f}%"><em>this image</em></i></div>
  <div class="x">{ticks}</div><p class="axis">percentile among real frames →</p></div>
<ul class="legend"><li class="real">{len(real)} real frames</li><li class="made">{len(distilled)} distilled images</li>
  <li class="own">this clip’s frames</li></ul>"""


def _density(scores: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Gaussian kernel density with Silverman's bandwidth, at the grid's points, up to a factor."""
    spread = min(scores.std(), (np.quantile(scores, 0.75) - np.quantile(scores, 0.25)) / 1.34) or scores.std()
    width = max(0.9 * spread * len(scores) ** -0.2, 0.01 * (grid[-1] - grid[0]))
    return np.exp(-0.5 * ((grid[:, None] - scores) / width) ** 2).sum(axis=1)


# --- restoration ------------------------------------------------------------------------------------------------

_SERIES = {
    "": ("made", "restored"),
    "_middle_copy": ("middle", "middle frame repeated"),
    "_mean_copy": ("mean", "mean frame repeated"),
}


def restoration(quality: Quality, fps: float) -> str:
    """PSNR or SSIM of every frame, beside the two still pictures that cost nothing; a switch shows one or the other."""
    switch = "".join(
        f'<button type="button" data-act="metric" value="{metric}" aria-pressed="false">{metric.upper()}</button>'
        for metric in ("psnr", "ssim")
    )
    below = "The grey lines need no motion at all: only what lies above both counts."
    hints = {
        "psnr": "PSNR: closeness to the original pixels. 3 dB more halve the squared error; 30 dB look clean.",
        "ssim": "SSIM: how well local structure survives, up to 1 (identical).",
    }
    body = "".join(
        f'<div class="metric {metric}">{_lead(quality, metric, *unit)}{_quality_plot(quality, metric, fps, *unit)}'
        f"{_hint(f'{hints[metric]} {below}')}</div>"
        for metric, unit in (("psnr", (" dB", 1)), ("ssim", ("", 3)))
    )
    return _card(
        "restoration", RESTORATION, f'<div class="switch" role="group" aria-label="Measure">{switch}</div>{body}'
    )


def _lead(quality: Quality, metric: str, unit: str, digits: int) -> str:
    whole = getattr(quality, metric)

    def gain(copy: str, what: str) -> str:
        value = round(whole - getattr(quality, metric + copy), digits) + 0.0  # no negative zero
        word, kind = ("over", "good") if value > 0 else ("against", "bad" if value < 0 else "")
        return f'<b class="mono {kind}">{_signed(value, digits)}{unit}</b> {word} {what}'

    return (
        f'<p class="figure"><b>{whole:.{digits}f}</b>{unit} {metric.upper()}</p><p class="versus">'
        f"{gain('_middle_copy', 'the middle frame')} · {gain('_mean_copy', 'the mean frame')}</p>"
    )


def _quality_plot(quality: Quality, metric: str, fps: float, unit: str, digits: int) -> str:
    lines = {suffix: quality.per_frame[metric + suffix] for suffix in _SERIES}
    frames = len(lines[""])
    known = [value for line in lines.values() for value in line if value is not None]
    # Near its own place the middle frame's copy is nearly perfect: it may leave the plot, and not flatten the rest.
    moving = [value for suffix in ("", "_mean_copy") for value in lines[suffix] if value is not None]
    ticks = _ticks(min(known, default=0), max(moving, default=1))
    low, high = ticks[0], ticks[-1]

    def y(value: float) -> float:
        return 100 * (high - value) / (high - low)

    shapes, legend = "", ""
    for suffix in reversed(_SERIES):
        kind, words = _SERIES[suffix]
        # None means identical frames: infinitely good, so the line leaves through the top there.
        points = [
            f"{100 * (k + 0.5) / frames:.2f},{-6 if v is None else y(v):.2f}" for k, v in enumerate(lines[suffix])
        ]
        shapes += f'<polyline class="{kind}" points="{" ".join(points)}"/>'
        whole = getattr(quality, metric + suffix)
        legend = (
            f'<li class="{kind}" data-line="{suffix}">{words} <b class="mono">{whole:.{digits}f}{unit}</b></li>'
            + legend
        )
    rows = "".join(f'<span style="top:{y(t):.1f}%">{t:g}</span>' for t in ticks)
    rules = "".join(f'<line x1="0" x2="100" y1="{y(t):.1f}" y2="{y(t):.1f}"/>' for t in ticks)
    step = 1 if frames <= 8 else 3 if frames <= 18 else 5
    columns = "".join(
        f'<span style="left:{100 * (k + 0.5) / frames:.2f}%">{k + 1}</span>' for k in range(0, frames, step)
    )
    values = escape(
        json.dumps({key or "restored": [v and round(v, digits) for v in line] for key, line in lines.items()})
    )
    words = ", ".join(
        f"{text} {getattr(quality, metric + suffix):.{digits}f}{unit}" for suffix, (_, text) in _SERIES.items()
    )
    return f"""
<ul class="legend">{legend}</ul>
<div class="plot timeline" role="img" aria-label="{metric.upper()} of each frame: {words}" data-values="{values}"
  data-fps="{fps:.4f}" data-unit="{unit}" title="Click to go to a frame"><div class="y">{rows}</div><div class="area">
  <svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true"><g class="rules">{rules}</g>{shapes}</svg>
  <i class="playhead"></i></div><div class="x">{columns}</div>
  <p class="axis">frame →</p><p class="axis up">{metric.upper()}{"," if unit else ""}{unit}</p></div>"""


def _ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers that hold low and high between the first and the last, at most ``most`` of them."""
    span = max(high - low, 1e-3)
    for exponent in range(-6, 7):
        for factor in (1, 2, 5):
            step = factor * 10.0**exponent
            first, last = math.floor(low / step), math.ceil(high / step)
            if last - first + 1 <= most and step * most >= span:
                return [round(k * step, 6) for k in range(first, max(last, first + 1) + 1)]
    return [low, high]


# --- recognition and where it looks -----------------------------------------------------------------------------


def recognition(classifier: str, topk: Sequence[tuple[str, float]], notice: str | None) -> str:
    """The image classifier's best guesses for the distilled image.

    Args:
        classifier: the name of the one in use.
        topk: (label, probability) best first.
        notice: a sentence when it is not the one that was asked for.
    """
    rows = "".join(
        f'<li><span>{escape(label)}</span><em class="mono">{_percent(share)}</em>'
        f'<i><b style="width:{100 * share:.1f}%"></b></i></li>'
        for label, share in topk
    )
    note = f'<p class="notice">{escape(notice)}</p>' if notice else ""
    hint = _hint(
        f"What <b>{escape(classifier)}</b> takes the image for, if it were a photograph; bars are probabilities."
    )
    return _card("recognition", RECOGNITION, f'<ol class="bars">{rows}</ol>{note}{hint}')


def _share(percentile: float) -> str:
    return _percent(percentile / 100) if percentile < 99.5 or percentile == 100 else "over 99 %"


def _percent(share: float) -> str:
    return "<1 %" if 0 < share < 0.01 else f"{100 * share:.0f} %"


def saliency(distilled: str, heat: str, label: str, method: str, size: tuple[int, int], colours: Sequence[str]) -> str:
    """The distilled image under a heat map; the browser mixes the two, so the strength needs no server.

    Args:
        distilled: address of the image.
        heat: address of the map in false colours, same size.
        label: the class whose evidence is shown.
        method: the method's title.
        size: (H, W).
        colours: of the map's scale, from nothing to the most.
    """
    height, width = size
    words = f"Heat map: where the classifier finds “{label}”, by {method}"
    body = f"""
<div class="cam" style="--w:{width};--h:{height}" role="img" aria-label="{escape(words)}">
  <img src="{escape(distilled)}" alt=""><img class="heat" src="{escape(heat)}" alt=""></div>
<div class="strength"><label>Overlay<input type="range" min="0" max="100" value="50" data-act="strength"
  aria-label="Strength of the overlay"></label>
  <span class="scale" aria-hidden="true"><em>little</em>
    <i style="background:linear-gradient(90deg,{",".join(colours)})"></i><em>much</em></span></div>
<p class="hint">What speaks for <b>{escape(label)}</b>. Scaled to this picture’s own maximum.</p>"""
    return _card("saliency", SALIENCY, body)


# --- the rest ---------------------------------------------------------------------------------------------------


def downloads(links: Sequence[tuple[str, str, str]]) -> str:
    """Links that save files.

    Args:
        links: (title, address, name to save under).
    """
    items = "".join(
        f'<a href="{escape(address)}" download="{escape(name)}">{escape(title)}</a>' for title, address, name in links
    )
    return f'<nav class="downloads" aria-label="Downloads"><span>Save</span>{items}</nav>'


def notes(sentences: Sequence[str]) -> str:
    """What a person should know about the clip: cropped, damaged, shortened."""
    lines = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return f'<ul class="notes">{lines}</ul>' if lines else ""


def details(timings: Mapping[str, float], fingerprint: str) -> str:
    """How long each step took, and which weights did it."""
    # What was loaded already took no time, and needs no place.
    steps = " · ".join(f"{escape(n)} <b>{seconds(value)}</b>" for n, value in timings.items() if value >= 0.005)
    return (
        f'<div class="timings"><p>{steps} · together <b>{seconds(sum(timings.values()))}</b></p>'
        f"<p>weights <b>{escape(fingerprint)}</b></p></div>"
    )


def tiles(examples: Sequence[tuple[str, str, str, str | None]]) -> str:
    """Example clips as buttons that move when pointed at.

    Args:
        examples: (name, title, one line, address of the clip or None while it is being rendered).
    """
    items = ""
    for name, title, line, address in examples:
        picture = '<video class="waiting"></video>'
        if address:
            # The fragment shows a moment in which something happens instead of the first frame.
            source = f'src="{escape(address)}#t=0.7"'
            picture = (
                f'<video {source} muted loop playsinline preload="metadata" tabindex="-1" aria-hidden="true"></video>'
            )
        items += (
            f'<button type="button" data-example="{escape(name)}" title="{escape(line)}">{picture}'
            f"<span>{escape(title)}</span></button>"
        )
    group = f'<div class="tiles" role="group" aria-label="Example clips">{items}</div>'
    return f'<p class="rail-title">Or try an example</p>{group}'


def preview(address: str, name: str, total: float, window: tuple[float, float], shown: float) -> str:
    """The visitor's own clip, playable whatever its format was, with the window in use marked on its time line.

    Args:
        address: of the transcoded clip.
        name: the uploaded file's name.
        total: its length in seconds.
        window: (start, end) in seconds.
        shown: how many seconds of it the preview plays at most.
    """
    left, right = (100 * min(max(t / total, 0), 1) for t in window)
    mark = f'<i style="left:{left:.1f}%;width:{max(right - left, 1):.1f}%"></i>'
    length = seconds(total) if total <= shown else f"{seconds(total)}; plays the first {seconds(shown)}"
    return (
        f'<figure class="preview"><video src="{escape(address)}" controls muted playsinline preload="metadata" '
        f'aria-label="Your clip"></video><div class="window" aria-hidden="true">{mark}</div>'
        f"<figcaption><b>{escape(name)}</b><span>{length}</span></figcaption></figure>"
    )
