"""The page: `build_app(explorer)`, and `launch(page, port)`."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import gradio as gr
import matplotlib.pyplot  # noqa: F401 - whole before gradio, at each event, sets its backend: grad-cam imports it in a thread

from app import theme
from app.api import Api
from app.context import PageContext
from app.http_guard import HttpGuard, allowed_hosts, min_free_bytes
from app.page import Page
from app.render import fragments
from app.services.explorations import Explorations
from app.services.result_store import KEEP_HOURS, SWEEP_SECONDS
from app.services.workspace import claim
from app.shell import PageShell
from app.tabs import batch, compare, evidence, explore, finetune, probe, restore, storyboard
from avd_core.explore.explorer import DEFAULT_CHECKPOINT, Explorer
from avd_core.runs.registry import default_home

# In the order of the page. Each has an ID, a TITLE and build(context, its frame).
TABS = (explore, compare, restore, probe, storyboard, evidence, batch, finetune)
MAX_UPLOAD = "300mb"


def build_app(explorer: Explorer, keep: float = KEEP_HOURS * 3600) -> gr.Blocks:
    """Build the page around one explorer, which all visitors share.

    Args:
        explorer: Does the computing; used by event handlers alone, so that a page is built before anything is loaded.
        keep: Seconds after which clips and results are deleted.
    """
    claim()  # before the first component, which asks where gradio's files lie
    built = []
    sweep = min(SWEEP_SECONDS, keep)
    with Page(title="AVD Explorer", analytics_enabled=False, delete_cache=(sweep, keep), fill_width=True) as page:
        gr.HTML(fragments.HEADER)
        context = PageContext(
            page, Explorations(explorer, keep), os.environ.get("AVD_CHECKPOINT") or DEFAULT_CHECKPOINT
        )
        context.names, frames = [tab.ID for tab in TABS], []
        with gr.Tabs(elem_id="tabs", overflow_behavior="wrap") as context.tabs:
            for tab in TABS:
                with gr.Tab(tab.TITLE, id=tab.ID, elem_id=f"{tab.ID}-tab") as frame:
                    frames.append(frame)
                    built.append(tab.build(context, frame))
        PageShell(context, built[0], frames)
        Api(context)
    # Nothing skips the queue: without it, direct calls of any event are answered at once, in any number.
    page.queue(max_size=64, api_open=False)
    page.preparations = [tab.prepare for tab in built if hasattr(tab, "prepare")]
    page.preparations.append(lambda: context.explorations.store.keep_swept(sweep))
    return page


def launch(page: gr.Blocks, port: int) -> None:
    """Serve the page until it is interrupted, and prepare what its tabs show first.

    Raises:
        OSError: Something else listens on `port`; by itself gradio would take the next one.
        GuardError: An environment variable of the guard makes no sense.
    """
    name = os.environ.get("GRADIO_SERVER_NAME")
    page.launch(server_name=name, server_port=port, prevent_thread_lock=True, **launch_options())
    for prepare in page.preparations:
        # Daemons: stopping the server does not wait for films to be rendered.
        threading.Thread(target=prepare, daemon=True).start()
    page.block_thread()


def launch_options() -> dict[str, object]:
    """Return the arguments of ``launch()``: the look, the guard, nothing recorded, nothing served but results."""
    folder = claim().path
    guard = {"folder": folder, "hosts": allowed_hosts(), "min_free": min_free_bytes(folder)}
    return {
        "theme": theme.theme(),
        "css_paths": theme.CSS_PATHS,
        "head": theme.HEAD,
        "footer_links": [],
        "run_history": False,
        "enable_monitoring": False,
        "ssr_mode": False,
        "share": False,
        "max_file_size": MAX_UPLOAD,
        "app_kwargs": {"middleware": [(HttpGuard, (), guard)]},
        # A session keeps its last result, about 3 MB, until an hour after its tab was closed.
        "state_session_capacity": 500,
        # Results live in the temporary folder; nothing beside the code may be served.
        "blocked_paths": [str(Path(__file__).resolve().parent.parent), str(default_home())],
    }
