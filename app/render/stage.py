"""The clip, its image, what came back and what did not, and the clips to choose from.

Axes: T frames, H, W.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from app.render.fragments import seconds
from avd_core.analysis.spectrum import TIMES


def stage(
    *,
    size: tuple[int, int],
    frames: int,
    fps: float,
    original: str | None = None,
    distilled: str | None = None,
    restored: str | None = None,
    error: str | None = None,
) -> str:
    """Draw the four pictures with one transport; an address that is None is drawn as a pane still at work.

    Args:
        size: (H, W) of the pictures in pixels.
        frames: T, the frames the image carries.
        fps: rate at which they play in real time.
        original: address of the sampled frames as a video.
        distilled: address of the PNG.
        restored: address of the restored video.
        error: address of their difference as a video, amplified.
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
    still = "" if original and restored and error else " disabled"
    return f"""
<section class="stage" style="--w:{width};--h:{height}" data-frames="{frames}" data-fps="{fps:.4f}"
  aria-label="Original clip, distilled image, restored clip, error">
  <figure class="pane"><figcaption><b>Original</b><span>{frames} frames, {seconds(frames / fps)}</span></figcaption>
    <div class="box">{video(original, "original", "The original clip, as the encoder sees it")}</div></figure>
  <figure class="pane hero"><figcaption><b>Distilled image</b>
    <span>all the decoder gets, {width}×{height}</span></figcaption>
    <div class="box">{image}</div></figure>
  <figure class="pane"><figcaption><b>Restored</b><span>from the image alone</span></figcaption>
    <div class="box">{video(restored, "restored", "The clip restored from the distilled image")}</div></figure>
  <figure class="pane error"><figcaption><b>Error ×{TIMES}</b><span>grey: came back the same</span></figcaption>
    <div class="box">{video(error, "error", "What the restored clip has more or less than the original")}</div></figure>
  <div class="transport">
    <button type="button" class="play" data-act="play" aria-label="Pause"{still}><i></i></button>
    <input type="range" class="scrub" min="0" max="{frames - 1}" step="1" value="0" aria-label="Frame"{still}>
    <output>1 / {frames}</output>
    <button type="button" class="ghost" data-act="pixels" aria-pressed="false"
      title="Show every pixel as a square, at a whole multiple of its size">Pixels</button>
  </div>
</section>"""


def tiles(examples: Sequence[tuple[str, str, str, str | None]]) -> str:
    """Draw example clips as buttons that move when pointed at.

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
    return f'<div class="tiles" role="group" aria-label="Example clips"><p>or try an example</p>{items}</div>'


def preview(address: str, name: str, total: float, shown: float) -> str:
    """Draw the visitor's own clip, playable whatever its format was.

    Args:
        address: of the transcoded clip.
        name: the uploaded file's name.
        total: its length in seconds.
        shown: how many seconds of it the preview plays at most.
    """
    length = seconds(total) if total <= shown else f"{seconds(total)}; plays the first {seconds(shown)}"
    return (
        f'<figure class="preview"><button type="button" data-act="preview" aria-label="Play your clip, or stop it" '
        f'title="Play"><video src="{escape(address)}" muted loop playsinline preload="metadata" tabindex="-1"></video>'
        f"<i></i></button><figcaption><b>{escape(name)}</b><span>{length}</span></figcaption></figure>"
    )
