"""Serve the page: `python app.py` (GRADIO_SERVER_NAME, GRADIO_SERVER_PORT and AVD_CHECKPOINT are honoured)."""

from __future__ import annotations

import os
import sys

# Before gradio is imported: no version check and no usage counts leave this machine.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

from app.ui import build_app, launch
from avd_core.explorer import Explorer

# At module level, where `gradio app.py` and Spaces look for it.
demo = build_app(Explorer())


def main() -> None:
    port = os.environ.get("GRADIO_SERVER_PORT") or "7860"
    if not port.isdecimal() or not 0 < int(port) < 65536:
        sys.exit(f"GRADIO_SERVER_PORT is {port!r}, which is no port number.")
    try:
        launch(demo, int(port))
    except OSError:
        sys.exit(f"Port {port} is in use: stop what runs there, or set GRADIO_SERVER_PORT to another port.")


if __name__ == "__main__":
    main()
