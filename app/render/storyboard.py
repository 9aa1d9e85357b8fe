"""A storyboard: the strip of images, the film they give back, what that cost and what it lost."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

from app.render.fragments import card, hint, seconds, signed, ticks
from avd_core.explore.storyboard.files import ORIGINAL, RESTORED, Board, clock
from avd_core.explore.storyboard.panels import TableEntry

COST, LOSS = "What it cost", "What it lost"
PSNR = (
    "PSNR: closeness to the original pixels; 3 dB more halve the squared error, 30 dB look clean. A mean frame is a "
    "still picture that costs nothing: only what lies above it is motion brought back."
)
AS_CLAIMED = "The video is not here: these figures are those that the strip brought with it."
Address = Callable[[str], str]  # where the browser finds a file of the strip


def empty() -> str:
    """Explain the tab before there is a strip."""
    return """
<section class="cinema nothing"><ol>
  <li><b>A long video</b> is cut where its scenes change, into windows of a few seconds.</li>
  <li><b>One image</b> is distilled of each window: that is all that is kept.</li>
  <li><b>The whole video</b> plays again from the images alone, today or from a zip next year.</li></ol></section>"""


def films(board: Board | None, address: Address, name: str) -> str:
    """Draw the restored film beside the same frames of the video, where those are known; None: still being made."""
    height, width = board.size if board else (112, 152)
    shape = f'style="--w:{width};--h:{height}"'
    if board is None or not board.complete:
        panes = '<figure><figcaption><b>{}</b></figcaption><div class="media waiting"></div></figure>'
        return (
            f'<section class="cinema pending" {shape} aria-label="The film"><div class="films">'
            f'{panes.format("Original")}{panes.format("Restored")}</div><p class="hint">The film plays once all images '
            "are there.</p></section>"
        )

    def film(file: str, kind: str, title: str, words: str) -> str:
        return (
            f'<figure class="{kind}"><figcaption><b>{title}</b><span>{words}</span></figcaption>'
            f'<video class="media" src="{escape(address(file))}" width="{width}" height="{height}" muted playsinline '
            f'preload="auto" aria-label="{title}: {escape(name)}"></video></figure>'
        )

    both = film(RESTORED, "restored", "Restored", "from the images alone")
    if board.original_bytes:
        both = film(ORIGINAL, "original", "Original", f"the same frames, {board.fps:.1f} a second") + both
    total = board.end
    return f"""
<section class="cinema" {shape} aria-label="The film" data-seconds="{total:.3f}"><div class="films">{both}</div>
  <div class="controls"><button type="button" class="play" data-reel="play" aria-label="Play the whole film"><i></i>
    </button><input type="range" min="0" max="{total:.2f}" step="0.05" value="0" aria-label="Time">
    <output>0:00.0 / {clock(total)}</output>
    <button type="button" class="ghost" data-reel="rate" aria-label="Speed">1×</button></div></section>"""


def strip(board: Board, address: Address, opens: bool) -> str:
    """Draw the images in order; `opens`: the video is here, so that each window can be opened in Explore."""
    tiles = "".join(_tile(number, entry, address, opens) for number, entry in enumerate(board.entries, 1))
    height, width = board.size
    cuts = sum(entry.cut for entry in board.entries) - 1
    words = f"{_counted(len(board.entries), 'image')}, {_counted(cuts, 'cut')}"
    legend = "A bar on the left: a new shot begins. dB: how close the restored window is (PSNR, more is closer)."
    return (
        f'<section class="storyline" style="--w:{width};--h:{height}"><h2>The strip <span>{words}</span></h2>'
        f'<div class="images" role="group" aria-label="Images of the strip; arrow keys move between them">{tiles}</div>'
        f"{hint(legend)}</section>"
    )


def _tile(number: int, entry: TableEntry, address: Address, opens: bool) -> str:
    at, end = clock(entry.start), clock(entry.start + entry.seconds)
    figure = "" if entry.psnr is None else f"{entry.psnr:.1f} dB"
    image = f'<img src="{escape(address(entry.file))}" alt="" decoding="sync">'
    explore = ""
    if opens:
        explore = (
            f'<button type="button" class="open" data-open="{number}" aria-label="Open the window from {at} in '
            'Explore">Explore</button>'
        )
    return (
        f'<figure class="tile{" cut" if entry.cut else ""}" data-start="{entry.start:.4f}" '
        f'data-end="{entry.start + entry.seconds:.4f}"><button type="button" class="seek" tabindex="'
        f'{0 if number == 1 else -1}" aria-label="Image {number}, {at} to {end}{figure and ", restored at " + figure}: '
        f'play from here">{image}</button><figcaption><b>{at}</b><span>{figure}</span>{explore}</figcaption></figure>'
    )


def cost(board: Board) -> str:
    """Draw bytes of the images beside bytes of the video, in plain words whichever is smaller."""
    source, (height, width) = board.source, board.size
    images, video = board.image_bytes, board.video_bytes
    smaller = images <= video
    ratio = video / images if smaller else images / video
    verdict = (
        f'<b class="mono good">{ratio:.1f}×</b> smaller than'
        if smaller
        else f'<b class="mono bad">{ratio:.1f}×</b> larger than'
    )
    whole = "the video file" if board.whole else "the pictures of that part of the video"
    longest = max(images, video, board.original_bytes)
    rows = [("made", "the images", images), ("real", whole, video)]
    if board.original_bytes:
        rows.append(("film", "the same frames as a film", board.original_bytes))
    bars = "".join(
        f'<li class="{kind}"><span>{words}</span><em>{size(count)}</em>'
        f'<i><b style="width:{100 * count / longest:.1f}%"></b></i></li>'
        for kind, words, count in rows
    )
    sound = " with sound" if source.has_audio else ""
    fair = (
        f"Not the same thing twice: the video is {source.width}×{source.height} at {source.fps:.0f} frames a second"
        f"{sound}; the images bring back {width}×{height} at {board.fps:.1f}."
    )
    if not smaller:
        fair = f"As a way to save space this strip fails: keep the video. {fair}"
    if not board.original_bytes:
        fair = f"{AS_CLAIMED} {fair}"
    else:
        fair += " The last bar is the fair rival: those very frames as an ordinary H.264 film of high quality (CRF 16)."
    lead = f'<p class="figure"><b>{size(images)}</b> of images</p><p class="versus">{verdict} {whole}</p>'
    return card("cost", COST, f'{lead}<ul class="bars">{bars}</ul>{hint(fair)}')


def loss(board: Board) -> str:
    """Draw PSNR of every window beside what its mean frame, standing still, would reach."""
    pairs = [(e.psnr, e.psnr_mean_copy) for e in board.entries if e.psnr is not None and e.psnr_mean_copy is not None]
    least = board.worst
    if board.psnr is None or board.psnr_mean_copy is None or least is None or len(pairs) < len(board.entries):
        return card("loss", LOSS, hint("Nobody can tell: the video is not here, and the strip was restored by others."))
    gain = board.psnr - board.psnr_mean_copy
    word, kind = ("over", "good") if gain > 0 else ("against", "bad")
    marks = ticks(min(map(min, pairs)), max(made for made, _ in pairs), most=5)
    low, high = marks[0], marks[-1]

    def y(value: float) -> float:
        return 100 * (high - value) / (high - low)

    def line(figures: list[float], kind: str) -> str:
        points = " ".join(
            f"{100 * time / board.end:.2f},{y(figure):.1f}"
            for entry, figure in zip(board.entries, figures, strict=True)
            for time in (entry.start, entry.start + entry.seconds)
        )
        return f'<polyline class="{kind}" points="{points}"/>'

    lines = line([mean for _, mean in pairs], "mean") + line([made for made, _ in pairs], "made")
    rules = "".join(f'<line x1="0" x2="100" y1="{y(t):.1f}" y2="{y(t):.1f}"/>' for t in marks)
    rows = "".join(f'<span style="top:{y(t):.1f}%">{t:g}</span>' for t in marks)
    columns = "".join(
        f'<span style="left:{100 * time / board.end:.1f}%">{clock(time)[:-2]}</span>'
        for time in ticks(0, board.end)[:-1]
    )
    words = f"restored {board.psnr:.1f} dB, mean frames {board.psnr_mean_copy:.1f} dB"
    body = f"""
<p class="figure"><b>{board.psnr:.1f}</b> dB PSNR, mean of the windows</p>
<p class="versus"><b class="mono {kind}">{signed(gain, 1)} dB</b> {word} mean frames as stills · least
  <b>{least.psnr:.1f} dB</b> at {clock(least.start)}</p>
<ul class="legend"><li class="made">restored <b class="mono">{board.psnr:.1f} dB</b></li>
  <li class="mean">mean frame of each window <b class="mono">{board.psnr_mean_copy:.1f} dB</b></li></ul>
<div class="plot" role="img" aria-label="PSNR of each window: {words}"><div class="y">{rows}</div><div class="area">
  <svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true"><g class="rules">{rules}</g>{lines}</svg>
  <i class="playhead"></i></div><div class="x">{columns}</div></div>
{hint(PSNR if board.original_bytes else f"{AS_CLAIMED} {PSNR}")}"""
    return card("loss", LOSS, body)


def progress_words(board: Board, elapsed: float) -> str:
    """Say how far the work is, and how long it will still take."""
    left = elapsed * (1 - board.share) / board.share
    words = f"{_counted(len(board.entries), 'image')}, {clock(board.end)} of {clock(board.source.covered)}"
    return f"{words}, about {_wait(left)} left" if elapsed > 2 else words


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" + "s" * (count != 1)


def _wait(left: float) -> str:
    return f"{max(1, round(left))} s" if left < 90 else f"{round(left / 60)} min"


def summary(board: Board, title: str) -> str:
    """Say which video a strip shows, and how much of it."""
    part = "all" if board.whole else f"the first {seconds(board.end)} of"
    return (
        f'<p class="status"><b>{escape(title)}</b><span>{_counted(len(board.entries), "image")} for {part} '
        f"{seconds(board.source.seconds)}</span><span>checkpoint <b>{escape(board.checkpoint)}</b></span></p>"
    )


def size(count: int) -> str:
    """Write bytes as a person says them: 812 bytes, 64 kB, 1.2 MB."""
    if count < 1000:
        return f"{count} bytes"
    return f"{count / 1e3:.0f} kB" if count < 999_500 else f"{count / 1e6:.1f} MB"
