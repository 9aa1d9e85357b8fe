"""What reels show, for the browser tests of every tab that has some."""

from __future__ import annotations

# The mean level of what is drawn, 0 to 255; of nothing yet, 0.
MEAN = """(canvas) => {
  if (!canvas?.getContext) return 0;
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let sum = 0;
  for (let i = 0; i < data.length; i += 4) sum += data[i] + data[i + 1] + data[i + 2];
  return (4 * sum) / (3 * data.length);
}"""


def drawn(page, reels: str, above: float = 5) -> None:
    """Waits until all that the selector finds show something of at least that mean level."""
    page.wait_for_function(
        f"""([reels, above]) => {{
          const all = [...document.querySelectorAll(reels)];
          return all.length && all.every((reel) => ({MEAN})(reel) > above);
        }}""",
        arg=[reels, above],
    )


def stand_at(page, group: str, frame: int) -> None:
    """Stops the group at a frame, counted from 0."""
    page.locator(f"{group} .where").fill(str(frame))
    page.wait_for_function(
        "([group, at]) => document.querySelector(`${group} output`)?.innerText.startsWith(at)",
        arg=[group, f"{frame + 1} /"],
    )
