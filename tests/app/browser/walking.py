"""How a visitor walks through the page: what the browser tests of all tabs share."""

from __future__ import annotations

from pathlib import Path

from tests.app.conftest import ARTIFACTS

FINISHED = "#status .status:not(.busy)"
# How much the grey levels of a picture or a video spread, 0 to 128.
SPREAD = """(element) => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 64, height: 64 });
  const pen = canvas.getContext("2d");
  pen.drawImage(element, 0, 0, 64, 64);
  const grey = [];
  const pixels = pen.getImageData(0, 0, 64, 64).data;
  for (let i = 0; i < pixels.length; i += 4) grey.push((pixels[i] + pixels[i + 1] + pixels[i + 2]) / 3);
  const mean = grey.reduce((a, b) => a + b) / grey.length;
  return Math.sqrt(grey.reduce((a, b) => a + (b - mean) ** 2, 0) / grey.length);
}"""


def opened(page, url: str, query: str = "") -> None:
    """The page with its first example finished."""
    page.goto(url + query)
    page.wait_for_selector("#links a", timeout=180_000)  # the very first visitor waits for imports and a film
    page.wait_for_function("() => document.querySelector('#distilled')?.complete")


def upload(page, clip: Path) -> None:
    """Drops a clip in and waits until all of its result is there."""
    page.locator("#upload input[type=file]").set_input_files(clip)
    page.wait_for_function(
        "(name) => document.querySelector('#status .status:not(.busy) b')?.textContent === name", arg=clip.name
    )


def painted(page, query: str, above: float = 5) -> None:
    """Waits until what the selector finds first is no blank: a video may still be seeking."""
    page.wait_for_function(
        f"([query, above]) => {{ const it = document.querySelector(query); return it && ({SPREAD})(it) > above; }}",
        arg=[query, above],
    )


def in_step(page, times: str, frame: float) -> None:
    """Waits until all videos have moved, a second has gone, and they are still within a frame of each other.

    Args:
        page: where they play.
        times: JavaScript that gives their times.
        frame: seconds of one.
    """
    page.wait_for_function(
        """([times, frame, begun, before]) => {
          const all = eval(times)();
          const moved = all.every((time, i) => time !== before[i]);
          return moved && performance.now() - begun > 1000 && Math.max(...all) - Math.min(...all) <= frame;
        }""",
        arg=[times, frame, page.evaluate("performance.now()"), page.evaluate(times)],
    )


def pressed_at_once(page, button: str) -> None:
    """Presses a button as soon as it is there: on a busy machine a mouse may come too late to stop short work."""
    page.wait_for_function(
        "(button) => { const it = document.querySelector(button); it?.click(); return it; }", arg=button
    )


def wide(page) -> int:
    """How many pixels hang over the screen, to be scrolled sideways."""
    return page.evaluate("document.documentElement.scrollWidth - window.innerWidth")


def go(page, title: str) -> None:
    """Opens the tab of that title."""
    page.get_by_role("tab", name=title, exact=True).click()


def look(page, name: str) -> None:
    """Sees the page as it is, dark on a phone, then wide and light: nothing may hang over, pictures are kept."""
    ARTIFACTS.mkdir(exist_ok=True)
    for kind, dark, width, height in (("phone", True, 390, 844), ("wide", False, 1280, 800)):
        page.evaluate("(dark) => document.body.classList.toggle('dark', dark)", dark)
        page.set_viewport_size({"width": width, "height": height})
        page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        page.screenshot(path=ARTIFACTS / f"{name}-{kind}.png", full_page=True)
        assert wide(page) <= 0, f"{name} hangs over at {width} px"
