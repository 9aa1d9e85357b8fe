"""What the image knows of time: one clip in several orders, each with its image and what came back.

Axes: T frames, H, W.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

import numpy as np

from app.render import reels
from app.render.fragments import first_guess
from app.render.sprites import SpriteSheet
from avd_core.classifiers.names import titled
from avd_core.explore.time_probe import VARIANTS, Play, TimeProbe

AMPLIFIED = 8  # differences of a few levels are invisible
WORDS = {
    "Image": "how close this order’s image is to the forward clip’s image. Pixels go from 0 to 255; the levels are "
    "their mean difference, the picture beside shows it ×8 on grey.",
    "Restored": "how close the restored clip is to the frames that went in, in the order they went in.",
    "Forwards": "how close the same restored clip is to the clip as it was filmed. Far below “restored”: the image "
    "holds the order, not only the things.",
    "Rearranged": "what the forward image’s restored frames reach when they are just put into this order. Where "
    "“restored” stays below, the order itself was hard to keep.",
    "Mean frame": "what one blurred still picture reaches, without any motion.",
    "Seen as": "what the image classifier {classifier} takes the image for, if it were a photograph.",
}


@dataclass(frozen=True)
class Pictures:
    """Addresses of what there is to see of one variant: its image, the difference, the restored clip."""

    image: str
    difference: str
    restored: SpriteSheet


def panel(probe: TimeProbe, pictures: Mapping[str, Pictures]) -> str:
    """Draw every variant; those not yet played keep their places.

    Args:
        probe: what is known so far.
        pictures: of each variant that was played.
    """
    count, height, width, _ = probe.clip.frames.shape
    plays = {play.variant: play for play in probe.plays}
    items = ""
    for name, variant in VARIANTS.items():
        head = f"<h3>{escape(variant.title)}</h3><p>{escape(variant.about)}</p>"
        body = _variant(plays[name], probe.plays[0], pictures[name]) if name in plays else _waiting()
        items += f'<li data-variant="{name}">{head}{body}</li>'
    lead = escape(probe.sentence) or "Sending the clip through its image in six orders…"
    group = reels.group(
        "probe",
        f'<ol class="variants">{items}</ol>',
        frames=count,
        fps=probe.clip.fps,
        size=(height, width),
        words="The clip in six orders, each with its image and the clip restored from it",
    )
    recognition = probe.plays[0].recognition
    terms = "".join(
        f"<div><dt>{term}</dt><dd>{meaning.format(classifier=f'<b>{escape(titled(recognition.classifier))}</b>')}</dd></div>"
        for term, meaning in WORDS.items()
    )
    notice = f'<p class="notice">{escape(recognition.notice)}</p>' if recognition.notice else ""
    psnr = "Closeness is PSNR, in dB: 3 dB more halve the squared error, 30 dB look clean, 60 is the most shown."
    return (
        f'<p class="finding" role="status">{lead}</p>{group}'
        f'<div class="glossary"><p>{psnr}</p><dl>{terms}</dl>{notice}</div>'
    )  # fmt: skip


def nothing(words: str) -> str:
    """Say why there is nothing to see yet."""
    return f'<p class="finding">{escape(words)}</p>'


def difference(play: Play, forward: Play) -> np.ndarray:
    """Subtract the forward clip's image, amplify and draw on grey: uint8 (H, W, 3)."""
    return (128 + AMPLIFIED * (play.image.astype(np.int16) - forward.image)).clip(0, 255).astype(np.uint8)


def _variant(play: Play, forward: Play, pictures: Pictures) -> str:
    title = VARIANTS[play.variant].title.lower()
    first = play.recognition.topk[0]
    if play.variant == "forward":
        closeness = "<b>reference</b>"  # what the others are compared with
    elif np.array_equal(play.image, forward.image):
        closeness = "<b>the same</b>, pixel for pixel"
    else:
        closeness = f"<b>{play.image_psnr:.1f} dB</b> {play.image_difference:.1f} levels"
    rows = {
        "Image": closeness,
        "Restored": f"<b>{play.psnr_own:.1f} dB</b>",
        "Forwards": f"<b>{play.psnr_forward:.1f} dB</b>",
        "Rearranged": f"<b>{play.psnr_rearranged:.1f} dB</b>",
        "Mean frame": f"<b>{play.psnr_still:.1f} dB</b>",
        "Seen as": first_guess(first),
    }
    figures = "".join(f"<div><dt>{term}</dt><dd>{value}</dd></div>" for term, value in rows.items())
    height, width = play.image.shape[:2]
    size = f'width="{width}" height="{height}"'
    of_image = f"Distilled image of the clip, {escape(title)}"
    of_difference = f"Its difference to the forward clip’s image, {AMPLIFIED} times amplified"
    return f"""<div class="pair">
  <figure><a href="{escape(pictures.image)}" download="{play.variant}.png" title="Save this image">
    <img {size} src="{escape(pictures.image)}" alt="{of_image}"></a><figcaption>image</figcaption></figure>
  <figure><img {size} src="{escape(pictures.difference)}" alt="{of_difference}">
    <figcaption>difference ×{AMPLIFIED}</figcaption></figure></div>
  <figure>{reels.reel(play.variant, pictures.restored, f"The clip restored from it, {title}")}
    <figcaption>restored from the image</figcaption></figure>
  <dl>{figures}</dl>"""


def _waiting() -> str:
    picture = '<figure><div class="reel waiting"></div><figcaption>&nbsp;</figcaption></figure>'
    rows = "".join(f"<div><dt>{term}</dt><dd>…</dd></div>" for term in WORDS)
    return f'<div class="pair">{picture}{picture}</div>{picture}<dl>{rows}</dl>'
