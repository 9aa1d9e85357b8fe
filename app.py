"""Serve the page: `python app.py` (GRADIO_SERVER_NAME, GRADIO_SERVER_PORT and AVD_CHECKPOINT are honoured)."""

from __future__ import annotations

import os
import signal
import sys

# Before gradio is imported: no version check and no usage counts leave this machine.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

PORT = os.environ.get("GRADIO_SERVER_PORT") or "7860"
if not PORT.isdecimal() or not 0 < int(PORT) < 65536:  # before gradio reads it, which stumbles over a word
    sys.exit(f"GRADIO_SERVER_PORT is {PORT!r}, which is no port number.")

from app.services.memory import give_back_freed  # noqa: E402
from app.services.workspace import WorkspaceError, claim  # noqa: E402
from avd_core.media.containment.contained import PROCESSES, ContainmentError, start_as_set  # noqa: E402

give_back_freed()  # before there are threads

try:
    start_as_set(PROCESSES)
except ContainmentError as error:
    sys.exit(str(error))

try:
    workspace = claim()  # before gradio is imported, which reads GRADIO_TEMP_DIR
except WorkspaceError as error:
    sys.exit(str(error))

from app.http_guard import GuardError  # noqa: E402
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
    signal.signal(signal.SIGTERM, end)
    try:
        launch(demo, int(PORT))
    except GuardError as error:
        sys.exit(str(error))
    except OSError:
        name = os.environ.get("GRADIO_SERVER_NAME")
        unless = f" (or {name} is no address of this machine)" if name else ""
        sys.exit(f"Port {PORT} is in use{unless}: stop what runs there, or set GRADIO_SERVER_PORT to another port.")


def end(number: int, frame: object) -> None:
    """Remove the temporary files, then end as the signal would have ended the process."""
    workspace.close()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


if __name__ == "__main__":
    main()
