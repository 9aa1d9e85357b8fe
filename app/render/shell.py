"""What stands around the tabs: recent results, the link to everything in a zip, and the line about privacy."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from PIL import Image

from app.render.fragments import macros

_HTML = macros("shell.html")
SIDE = 96  # pixels of a thumbnail's short side, at most
# After the downloads: what is made only on request.
EXPORT_BUTTONS = Markup("""<button type="button" data-export="1">Everything, ZIP</button>
<button type="button" data-act="copy-link"
  title="Opens the same example, part, checkpoint and tab; a clip of your own is not in it">Copy link</button>""")


def history(items: Sequence[tuple[str, str, str, np.ndarray, bool]]) -> str:
    """Draw the results to go back to; nothing if there is no other than the one that is shown.

    Args:
        items: (key, title, one line, distilled image, whether it is the one that is shown), the latest first.
    """
    if len(items) < 2:
        return ""
    return _HTML.history([(key, title, line, _thumbnail(image), shown) for key, title, line, image, shown in items])


def bundle_link(address: str, name: str) -> str:
    """Link a file that is ready; the page's script saves it at once."""
    return _HTML.bundle_link(address, name)


def address(query: str, own: bool = False) -> str:
    """Carry the query for the address bar to static/shell.js; `own`: the clip is a visitor's, and not in it."""
    return _HTML.address(query, own)


def privacy(hours: float) -> str:
    """Write the page's last line: what is kept, and for how long."""
    return _HTML.privacy(hours)


def _thumbnail(image: np.ndarray) -> str:
    picture, file = Image.fromarray(image), io.BytesIO()
    picture.thumbnail((2 * SIDE, SIDE))
    picture.save(file, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
