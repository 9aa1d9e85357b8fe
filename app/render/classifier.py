"""What a classifier sees in the image, where it looks (also frame by frame), and whether its map is faithful.

Axes: T frames, H, W.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from app.render.fragments import card, first_guess, hint, ordinal, percent, seconds, signed
from avd_core.classifiers.names import titled, without_labels
from avd_core.explore.parts import FrameSaliency, Recognition

if TYPE_CHECKING:
    from avd_core.classifiers.road import Faithfulness

RECOGNITION = "What a classifier sees"
SALIENCY = "Where it looks"
FAITHFULNESS = "Is the map true?"
FRAMES = "Where it looks, frame by frame"
UNLIKELY = 0.02  # a probability that says nothing when it falls


def recognition_card(recognition: Recognition) -> str:
    """Draw the classifier's best guesses for the distilled image, and its first one for the clip's middle frame."""
    rows = "".join(
        f'<li><span>{escape(guess.label)}</span><em class="mono">{percent(guess.probability)}</em>'
        f'<i><b style="width:{100 * guess.probability:.1f}%"></b></i></li>'
        for guess in recognition.topk
    )
    note = f'<p class="notice">{escape(recognition.notice)}</p>' if recognition.notice else ""
    name = f"<b>{escape(titled(without_labels(recognition.classifier)))}</b>"
    explanation = hint(f"What {name} takes the image for, if it were a photograph; bars are probabilities.")
    refusal = recognition.topk[0].refusal
    none = f'<p class="conclusion"><b>{refusal.capitalize()}.</b> Nearest:</p>' if refusal else ""
    body = f'{none}<ol class="bars">{rows}</ol>{_agreement(recognition)}{note}{explanation}'
    return card("recognition", RECOGNITION, body)


def _agreement(recognition: Recognition) -> str:
    """Say whether the image's guesses hold the middle frame's first one."""
    if not recognition.frame:
        return ""
    first, rank, count = recognition.frame[0], recognition.rank_of_frame, len(recognition.topk)
    everything = sum(guess.probability for guess in recognition.topk) > 0.999  # of few labels, all are among the five
    if first.refusal:
        same, kept = bool(recognition.topk[0].refusal), ""
    elif everything and rank:
        same, kept = rank == 1, f"The image puts that {ordinal(rank)} of {count}."
    else:
        same = rank is not None
        kept = f"The image keeps that, {ordinal(rank)} of its five." if rank else "That is not among the image’s five."
    return (
        f'<p class="agreement {"kept" if same else "lost"}">The clip’s middle frame by itself: '
        f"{first_guess(first)}. <em>{kept}</em></p>"
    )


def about(value: float | None) -> str:
    """Say how long something will take: 'about 4 s'; None: it is not known."""
    if value is None:
        return "some seconds"
    return f"about {seconds(max(1, round(value)))}".replace(".0", "")


def saliency_card(
    distilled: str, heat: str, label: str, method: str, size: tuple[int, int], colours: Sequence[str]
) -> str:
    """Draw the distilled image under a heat map; the browser mixes the two, so the strength needs no server.

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
  aria-label="Strength of the overlay"></label>{_scale(colours)}</div>
{hint(f"What speaks for <b>{escape(label)}</b>, by {escape(method)}. Scaled to this picture’s own maximum.")}"""
    return card("saliency", SALIENCY, body)


def _scale(colours: Sequence[str]) -> str:
    return (
        f'<span class="scale" aria-hidden="true"><em>little</em>'
        f'<i style="background:linear-gradient(90deg,{",".join(colours)})"></i><em>much</em></span>'
    )


def faithfulness_offer() -> str:
    """Say what the check of the map would tell."""
    return card(
        "faithfulness",
        FAITHFULNESS,
        hint("Does the classifier need what is hot? Take those pixels away, and ask it again."),
    )


def faithfulness_card(faithfulness: Faithfulness, label: str) -> str:
    """Draw the faithfulness as a number, with what it means."""
    count, beaten = len(faithfulness.moved), sum(faithfulness.score > score for score in faithfulness.moved)
    if faithfulness.untouched < UNLIKELY:
        conclusion, kind = (
            f"Nothing to judge: this class has {percent(faithfulness.untouched)} to begin with. Choose a likelier one.",
            "",
        )
    elif beaten == count:
        conclusion, kind = f"Truer than all {count} copies of it that were moved elsewhere.", "good"
    elif beaten == 0:
        conclusion, kind = f"Misleading: all {count} copies of it that were moved elsewhere score more.", "bad"
    else:
        conclusion, kind = f"No clear case: {beaten} of {count} copies that were moved elsewhere score less.", ""
    name = f"<b>{escape(label)}</b>"
    return card(
        "faithfulness",
        FAITHFULNESS,
        f'<p class="figure"><b class="{kind}">{signed(faithfulness.score, 3)}</b> faithfulness (ROAD)</p>'
        f'<p class="conclusion">{conclusion}</p>'
        + hint(
            f"{name} has {percent(faithfulness.untouched)} on the whole image. While 30 to 70 % of the pixels are "
            f"taken away, it keeps {percent(faithfulness.most_first)} on average if the hottest go first, "
            f"{percent(faithfulness.least_first)} if the coldest do; the number is half the difference. The moved "
            "copies show what chance gives: "
            f"{signed(min(faithfulness.moved), 3)} to {signed(max(faithfulness.moved), 3)}."
        ),
    )


def frames_offer(label: str | None = None) -> str:
    """Say what looking at every frame would tell."""
    what = f"What speaks for <b>{escape(label)}</b>" if label else "Where it looks"
    return card("frame-saliency", FRAMES, hint(f"{what} in each restored frame, as a video on one scale."))


def frames_card(
    restored: str, heat: str, saliency: FrameSaliency, label: str, method: str, *, fps: float, colours: Sequence[str]
) -> str:
    """Draw the restored clip under the heat maps of its frames, and the class's probability frame by frame.

    Args:
        restored: address of the restored clip.
        heat: address of the maps in false colours as a video, same size and rate.
        saliency: the maps and the probabilities.
        label: the class whose evidence is shown.
        method: the method's title.
        fps: the rate at which both play.
        colours: of the maps' scale.
    """
    count, height, width = saliency.maps.shape
    top, mean = max(saliency.probabilities), sum(saliency.probabilities) / count
    best, hottest = saliency.probabilities.index(top) + 1, int(saliency.maps.max(axis=(1, 2)).argmax()) + 1
    name, video = escape(label), 'muted playsinline preload="auto" tabindex="-1" aria-hidden="true"'
    words = f"Heat maps of {count} restored frames: where the classifier finds “{name}”, by {escape(method)}"
    bars = "".join(
        f'<i style="height:{100 * p / max(top, UNLIKELY):.1f}%" title="frame {k + 1}: {percent(p)}"></i>'
        for k, p in enumerate(saliency.probabilities)
    )
    chart = f"How sure the classifier is of {name}, frame by frame: at most {percent(top)}, in frame {best}"
    explained = (
        f"Bars: how sure the classifier is of <b>{name}</b> in each frame; at most {percent(top)}, in frame {best}. "
        f"Colours: evidence by {escape(method)}, all frames on one scale, so that they compare; hottest in frame "
        f"{hottest}."
    )
    values = escape(json.dumps([percent(p) for p in saliency.probabilities]))
    body = f"""
<div class="over-time" data-frames="{count}" data-fps="{fps:.4f}" data-values="{values}">
  <div class="player"><div class="cam moving" style="--w:{width};--h:{height}" role="img" aria-label="{words}">
    <video src="{escape(restored)}" {video}></video><video class="heat" src="{escape(heat)}" {video}></video></div>
    <div class="transport"><button type="button" class="play" data-act="play" aria-label="Play"><i></i></button>
      <input type="range" class="scrub" min="0" max="{count - 1}" step="1" value="0" aria-label="Frame of the overlay">
      <output>1 / {count}</output></div></div>
  <div class="said"><p class="figure"><b data-whole="{percent(mean)}">{percent(mean)}</b>
    <span data-whole="on average">on average</span></p>
    <div class="probabilities" role="img" aria-label="{chart}"><div>{bars}</div>
      <p aria-hidden="true"><span>1</span><span>frame →</span><span>{count}</span></p></div>
    {_scale(colours)}{hint(explained)}</div>
</div>"""
    return card("frame-saliency", FRAMES, body)
