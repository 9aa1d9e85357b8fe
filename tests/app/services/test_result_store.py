"""Results and uploads are deleted after the stated time, and nothing else ever is."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

import pytest
from gradio_client import Client, handle_file

from app.services.result_store import ResultStore
from app.ui import build_app, launch_options
from avd_core.explore.explorer import Explorer
from scripts.screenshot import free_port


def test_shelf_deletes_what_is_outdated_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    store = ResultStore(60)
    old, new = store.folder(), store.folder()
    upload, fresh, examples = tmp_path / ("a" * 64), tmp_path / ("b" * 64), tmp_path / "avd-examples"
    broken_off = tmp_path / "tmpzeg_hbho"
    broken_off.write_bytes(b"half a clip")
    os.utime(broken_off, (time.time() - 61,) * 2)
    for path in (upload, fresh, examples):
        path.mkdir()
    for path in (old, upload, examples):
        (path / "clip.mp4").write_bytes(b"0")
        os.utime(path, (time.time() - 61,) * 2)
    store.sweep()
    assert not any(path.exists() for path in (old, upload, broken_off))
    assert all(path.exists() for path in (new, fresh, examples))


def test_addresses_cannot_be_guessed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    names = {ResultStore().folder().name for _ in range(50)}
    assert len(names) == 50 and all(len(name) >= 21 for name in names), "128 bits, 6 a letter"
    assert (ResultStore().folder().stat().st_mode & 0o077) == 0


def test_uploads_and_results_are_gone_after_the_stated_time(
    tmp_path: Path, rendered_clip: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
):
    """The whole page with the time set to seconds: what a visitor gave and what they got are both deleted."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    monkeypatch.setenv("AVD_CHECKPOINT", str(tiny_checkpoint))
    page = build_app(Explorer("cpu"), keep=2)
    _, url, _ = page.launch(server_port=free_port(), prevent_thread_lock=True, quiet=True, **launch_options())
    try:
        client = Client(url, verbose=False, download_files=False, analytics_enabled=False)
        image, _ = client.predict(clip=handle_file(rendered_clip), api_name="/distill")
        kept = [path for path in (tmp_path / "gradio").rglob("*") if path.is_file()]
        assert {path.name for path in kept} >= {rendered_clip.name, "distilled.png"}
        opener = build_opener(ProxyHandler({}))
        assert opener.open(image["url"]).read()[:4] == b"\x89PNG"
        # The sweep is what the page starts last, beside itself.
        threading.Thread(target=page.preparations[-1], daemon=True).start()
        end = time.monotonic() + 20
        while [path for path in kept if path.exists()] and time.monotonic() < end:
            time.sleep(0.2)
        assert not [path for path in kept if path.exists()]
    finally:
        page.close(verbose=False)
