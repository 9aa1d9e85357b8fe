"""What stands around the tabs: what was looked at last, the way out with everything, and the line about privacy."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape

import numpy as np
from PIL import Image

SIDE = 96  # pixels of a thumbnail's short side, at most
# Behind the downloads: what is made only on request.
EXPORT_BUTTONS = """<button type="button" data-export="1">Everything, ZIP</button>
<button type="button" data-act="copy-link"
  title="Opens the same example, part, checkpoint and tab; a clip of your own is not in it">Copy link</button>"""


def history(items: Sequence[tuple[str, str, str, np.ndarray, bool]]) -> str:
    """Draw results to go back to; nothing where there is only the one that is shown.

    Args:
        items: (key, title, one line, distilled image, whether it is the one that is shown), the latest first.
    """
    if len(items) < 2:
        return ""
    tiles = "".join(
        f'<button type="button" data-recent="{escape(key)}" title="{escape(f"{title}, {line}")}"'
        f'{" aria-current=true" if shown else ""}><img src="{_thumbnail(image)}" alt=""><span>{escape(title)}</span>'
        f"<small>{escape(line)}</small></button>"
        for key, title, line, image, shown in items
    )
    return f'<div class="history" role="group" aria-label="Recent results"><p>Recent</p>{tiles}</div>'


def bundle_link(address: str, name: str) -> str:
    """Link a file that is ready; the page's script saves it at once."""
    return f'<a href="{escape(address)}" download="{escape(name)}" data-number="{escape(address)}">{escape(name)}</a>'


def address(query: str, own: bool = False) -> str:
    """Carry the query for the address bar; `own`: it leaves out the visitor's own clip."""
    return f'<i data-query="{escape(query)}"{" data-own" if own else ""}></i>'


def privacy(hours: float) -> str:
    """Write the page's last line: what is kept, and for how long."""
    return (
        '<p class="privacy"><b>Privacy.</b> Your clips stay on the machine that serves this page, are shown to no '
        f"other visitor, and are deleted after {hours:g} hours, those of a fine-tuning run with the run. No accounts, "
        "no tracking, nothing recorded. Your settings stay in this browser.</p>"
    )


def _thumbnail(image: np.ndarray) -> str:
    picture, file = Image.fromarray(image), io.BytesIO()
    picture.thumbnail((2 * SIDE, SIDE))
    picture.save(file, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
