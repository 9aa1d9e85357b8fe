"""The page without a browser: what is wired, what is open to programs, what is recorded and served."""

from __future__ import annotations

import inspect
from pathlib import Path

from app import api
from app.services.result_store import KEEP_HOURS
from app.ui import build_app, launch_options
from avd_core.explore.explorer import Explorer


def test_page_is_built_without_asking_the_explorer(folder: Path):
    class Untouched:
        def __getattr__(self, name: str):
            raise AssertionError(f"{name} was asked for")

    page = build_app(Untouched())
    events = [event for event in page.config["dependencies"] if event["backend_fn"]]
    assert len(events) >= 8
    for event in events:
        if event["api_name"] not in api.NAMES:
            assert event["api_visibility"] == "private", f"{event['api_name']} is open to any script"
    assert page.delete_cache[1] == KEEP_HOURS * 3600
    assert not page.analytics_enabled and page.preparations


def test_uploads_of_clips_take_files_of_any_name():
    """With `file_types` the browser drops other files without a word; the readers say what they are."""
    shown = [component["props"] for component in build_app(Explorer("cpu")).config["components"]]
    uploads = {"upload", "story-upload", "batch-upload", "tune-upload"}
    limits = {props["elem_id"]: props.get("file_types") for props in shown if props.get("elem_id") in uploads}
    assert limits == dict.fromkeys(uploads)


def test_handlers_take_at_most_five_inputs():
    """More come as one dict; only the endpoints for programs list theirs."""
    events = [
        event for event in build_app(Explorer("cpu")).fns.values() if event.fn and event.api_name not in api.NAMES
    ]
    assert len(events) > 50
    for event in events:
        assert event.inputs_as_dict or len(event.inputs) <= 5, event.fn
        parameters = inspect.signature(event.fn).parameters.values()
        assert len([one for one in parameters if not str(one.annotation).startswith("gr.")]) <= 5, event.fn


def test_nothing_is_recorded_and_nothing_but_results_is_served():
    options = launch_options()
    assert options["run_history"] is False and options["enable_monitoring"] is False and options["share"] is False
    assert options["max_file_size"] and "allowed_paths" not in options
    repository = Path(__file__).resolve().parents[2]
    assert str(repository) in options["blocked_paths"]
    look = options["head"] + "".join(path.read_text() for path in options["css_paths"])
    assert "http" not in look.replace("http://www.w3.org/2000/svg", ""), "the page asks another machine"
