"""Where the classifier looks: in the image, in every restored frame, and whether the map tells the truth.

Axes: T frames, H, W.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from app.render.fragments import card, hint, percent, seconds, signed
from avd_core.explore.results import FrameSaliency

if TYPE_CHECKING:
    from avd_core.classifiers.road import Faithfulness

TITLE = "Where it looks"
TRUE = "Is the map true?"
UNLIKELY = 0.02  # a probability that says nothing when it falls
OVER_TIME = "Where it looks, frame by frame"


def about(value: float | None) -> str:
    """How long something is going to take: 'about 4 s'."""
    if value is None:
        return "some seconds"
    return f"about {seconds(max(1, round(value)))}".replace(".0", "")


def show(distilled: str, heat: str, label: str, method: str, size: tuple[int, int], colours: Sequence[str]) -> str:
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
  aria-label="Strength of the overlay"></label>{_scale(colours)}</div>
{hint(f"What speaks for <b>{escape(label)}</b>, by {escape(method)}. Scaled to this picture’s own maximum.")}"""
    return card("saliency", TITLE, body)


def _scale(colours: Sequence[str]) -> str:
    return (
        f'<span class="scale" aria-hidden="true"><em>little</em>'
        f'<i style="background:linear-gradient(90deg,{",".join(colours)})"></i><em>much</em></span>'
    )


def offer_faithful() -> str:
    """Before the map was checked."""
    return card(
        "faithful", TRUE, hint("Does the classifier need what is hot? Take those pixels away, and ask it again.")
    )


def show_faithful(told: Faithfulness, label: str) -> str:
    """The faithfulness as a number, and what it means."""
    count, beaten = len(told.moved), sum(told.score > score for score in told.moved)
    if told.untouched < UNLIKELY:
        verdict, kind = (
            f"Nothing to judge: this class has {percent(told.untouched)} to begin with. Choose a likelier one.",
            "",
        )
    elif beaten == count:
        verdict, kind = f"Truer than all {count} copies of it that were moved elsewhere.", "good"
    elif beaten == 0:
        verdict, kind = f"Misleading: all {count} copies of it that were moved elsewhere score more.", "bad"
    else:
        verdict, kind = f"No clear case: {beaten} of {count} copies that were moved elsewhere score less.", ""
    name = f"<b>{escape(label)}</b>"
    return card(
        "faithful",
        TRUE,
        f'<p class="figure"><b class="{kind}">{signed(told.score, 3)}</b> faithfulness (ROAD)</p>'
        f'<p class="verdict">{verdict}</p>'
        + hint(
            f"{name} has {percent(told.untouched)} on the whole image. While 30 to 70 % of the pixels are taken away, "
            f"it keeps {percent(told.most_first)} on average if the hottest go first, {percent(told.least_first)} if "
            "the coldest do; the number is half the difference. The moved copies show what chance gives: "
            f"{signed(min(told.moved), 3)} to {signed(max(told.moved), 3)}."
        ),
    )


def offer_frames(label: str | None = None) -> str:
    """Before the frames were looked at."""
    what = f"What speaks for <b>{escape(label)}</b>" if label else "Where it looks"
    return card("gaze", OVER_TIME, hint(f"{what} in each restored frame, as a video on one scale."))


def show_frames(
    restored: str, heat: str, told: FrameSaliency, label: str, method: str, *, fps: float, colours: Sequence[str]
) -> str:
    """The restored clip under the heat maps of its frames, and the class's probability frame by frame.

    Args:
        restored: address of the restored clip.
        heat: address of the maps in false colours as a video, same size and rate.
        told: the maps and the probabilities.
        label: the class whose evidence is shown.
        method: the method's title.
        fps: the rate at which both play.
        colours: of the maps' scale.
    """
    count, height, width = told.maps.shape
    top, mean = max(told.probabilities), sum(told.probabilities) / count
    best, hottest = told.probabilities.index(top) + 1, int(told.maps.max(axis=(1, 2)).argmax()) + 1
    name, video = escape(label), 'muted playsinline preload="auto" tabindex="-1" aria-hidden="true"'
    words = f"Heat maps of {count} restored frames: where the classifier finds “{name}”, by {escape(method)}"
    bars = "".join(
        f'<i style="height:{100 * p / max(top, UNLIKELY):.1f}%" title="frame {k + 1}: {percent(p)}"></i>'
        for k, p in enumerate(told.probabilities)
    )
    chart = f"How sure the classifier is of {name}, frame by frame: at most {percent(top)}, in frame {best}"
    explained = (
        f"Bars: how sure the classifier is of <b>{name}</b> in each frame; at most {percent(top)}, in frame {best}. "
        f"Colours: evidence by {escape(method)}, all frames on one scale, so that they compare; hottest in frame "
        f"{hottest}."
    )
    values = escape(json.dumps([percent(p) for p in told.probabilities]))
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
    return card("gaze", OVER_TIME, body)
