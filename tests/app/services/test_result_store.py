"""Results and uploads are deleted after the stated time, and nothing else ever is."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

import pytest
from gradio_client import Client, handle_file

from app.services.result_store import BROKEN_OFF_SECONDS, ResultStore
from app.ui import build_app, launch_options
from avd_core.explore.explorer import Explorer
from scripts.screenshot import free_port


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ResultStore]:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    store = ResultStore(3600)
    yield store
    store.workspace.close()


def aged(path: Path, seconds: float) -> Path:
    """Make a file, or a folder with one, so old."""
    if not path.suffix:
        path.mkdir(exist_ok=True)
        (path / "clip.mp4").write_bytes(b"0")
    else:
        path.write_bytes(b"half a clip")
    os.utime(path, (time.time() - seconds,) * 2)
    return path


def test_what_is_outdated_is_deleted_and_nothing_else(store: ResultStore, tmp_path: Path):
    own = store.workspace.path
    old = [aged(store.folder(), 3601), aged(own / ("a" * 64), 3601)]
    broken_off = aged(own / "tmpzeg_hbho.part", BROKEN_OFF_SECONDS + 1)
    kept = [aged(store.folder(), 3599), aged(own / ("b" * 64), 3599), aged(own / "tmp_arriving.part", 1)]
    kept += [aged(store.lasting_folder(), 1e6), aged(store.examples, 1e6), aged(store.rendered_examples, 1e6)]
    # Beside the server's own folder gradio's names prove nothing: another program may work with gradio there.
    kept += [aged(tmp_path / ("c" * 64), 1e6), aged(tmp_path / "tmpabcdefgh.txt", 1e6), aged(tmp_path / "thesis", 1e6)]
    store.sweep()
    assert not any(path.exists() for path in [*old, broken_off])
    assert all(path.exists() for path in kept)


def test_addresses_cannot_be_guessed(store: ResultStore):
    names = {store.folder().name for _ in range(50)}
    assert len(names) == 50 and all(len(name) >= 21 for name in names), "128 bits, 6 a letter"
    assert (store.folder().stat().st_mode & 0o077) == 0


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
        kept = [path for path in (tmp_path / "gradio").rglob("*.*") if path.is_file() and not path.name.startswith(".")]
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
