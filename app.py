"""Serve the page: `python app.py` (GRADIO_SERVER_NAME, GRADIO_SERVER_PORT and AVD_CHECKPOINT are honoured)."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

# Before gradio is imported: no version check and no usage counts leave this machine.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

# A folder of our own for clips and results, closed to other users of this machine: what is outdated in it is deleted.
if not os.environ.get("GRADIO_TEMP_DIR"):
    folder = Path(tempfile.gettempdir()) / f"avd-explorer-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        sys.exit(f"{folder} belongs to somebody else: set GRADIO_TEMP_DIR to a folder of your own.")
    os.environ["GRADIO_TEMP_DIR"] = str(folder)

PORT = os.environ.get("GRADIO_SERVER_PORT") or "7860"
if not PORT.isdecimal() or not 0 < int(PORT) < 65536:  # before gradio reads it, which stumbles over a word
    sys.exit(f"GRADIO_SERVER_PORT is {PORT!r}, which is no port number.")

from app.ui import build_app, launch  # noqa: E402
from avd_core.explore.explorer import Explorer  # noqa: E402
from avd_core.runs.limits import LimitError  # noqa: E402
from avd_core.runs.registry import RegistryError  # noqa: E402

# At module level, where `gradio app.py` and Spaces look for it.
try:
    demo = build_app(Explorer())
except (RegistryError, LimitError) as error:
    sys.exit(str(error))


def main() -> None:
    try:
        launch(demo, int(PORT))
    except OSError:
        name = os.environ.get("GRADIO_SERVER_NAME")
        unless = f" (or {name} is no address of this machine)" if name else ""
        sys.exit(f"Port {PORT} is in use{unless}: stop what runs there, or set GRADIO_SERVER_PORT to another port.")


if __name__ == "__main__":
    main()
