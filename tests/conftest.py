"""What every test may ask for: real clips where there are some, a rendered one always, a tiny checkpoint.

Two variables and nothing else decide: `AVD_DATA` (the folder of real clips) and `TORCH_HOME` (the ImageNet
weights). Without them the tests use clips that our own code renders and the bundled classifier.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

# Before anything imports gradio, torch or the Hub's client; child processes inherit all of it.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["MPLBACKEND"] = "Agg"
# More threads than cores make small networks slower; two suit CI's machine and change no result.
os.environ.setdefault("OMP_NUM_THREADS", "2")

from scripts.screenshot import FLAGS
from tests import chromium
from tests.hub_server import HubServer

FAILED = pytest.StashKey[bool]()  # of a test whose set-up or call has failed, for the fixtures that end after it


@pytest.fixture(scope="session", autouse=True)
def runs_of_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Fine-tuning runs of tests lie in a folder of their own, and never in the user's."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("runs")
        patch.setenv("AVD_RUNS", str(folder))
        yield folder


@pytest.fixture(autouse=True)
def ordinary_priority() -> Iterator[None]:
    """Undo what SVT-AV1 does to whoever encodes as root: real time for ever, for its children too."""
    yield
    if hasattr(os, "sched_setscheduler") and os.sched_getscheduler(0) != os.SCHED_OTHER:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


@pytest.fixture(scope="session")
def data_dir() -> Path | None:
    """The folder of real clips, or None where `AVD_DATA` is unset."""
    named = os.environ.get("AVD_DATA")
    if not named:
        return None
    assert Path(named).is_dir(), f"AVD_DATA names {named}, which is no folder"
    return Path(named)


@pytest.fixture(scope="session")
def rendered_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An mp4 of two moving seconds that our own code renders (120 x 160, 12 frames a second)."""
    from avd_core.examples import scenes
    from avd_core.media import writer

    name = next(iter(scenes.SCENES))
    frames = scenes.render(name, seed=0, frames=24, size=(120, 160), fps=12)
    return writer.write_mp4(tmp_path_factory.mktemp("clips") / "rendered.mp4", frames, 12)


@pytest.fixture(scope="session")
def real_clip(data_dir: Path | None, rendered_clip: Path) -> Path:
    """A clip that a camera took (AVI, 320 x 240), or the rendered one where there is none."""
    return rendered_clip if data_dir is None else data_dir / "clips" / "ucf101_WallPushups.avi"


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an untrained `tiny` checkpoint, the same weights every time."""
    import torch

    from avd_core.config import PRESETS
    from avd_core.networks.avd import AVD

    folder = tmp_path_factory.mktemp("checkpoints") / "tiny"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        AVD(PRESETS["tiny"]).save_pretrained(folder)
    return folder


@pytest.fixture
def hub_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A small Hub on this machine, which the real client of this process takes for the Hub; nobody is signed in."""
    import huggingface_hub
    from huggingface_hub import constants

    server = HubServer()
    settings = {
        "ENDPOINT": server.url, "HUGGINGFACE_CO_URL_TEMPLATE": server.url + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_OFFLINE": False, "HF_HUB_DISABLE_XET": True, "HF_HUB_DISABLE_PROGRESS_BARS": True,
        "HF_HUB_CACHE": str(tmp_path / "hub-cache"), "HF_TOKEN_PATH": str(tmp_path / "no-token"),
    }  # fmt: skip
    for name, value in settings.items():
        monkeypatch.setattr(constants, name, value)
    monkeypatch.setenv("no_proxy", "*")
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    huggingface_hub.close_session()  # one that knows a proxy, or the server of another test
    yield server
    server.close()


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """The browser of the browser tests. Without one they fail: a skip would pass for a check."""
    return chromium.find() or pytest.fail(chromium.HOW_TO_GET_IT, pytrace=False)


@pytest.fixture(scope="session")
def browser(chromium_path: str):
    """One Chromium for all tests."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path, args=FLAGS)
        yield browser
        browser.close()


def _may_skip(reason: object) -> bool:
    """Outside CI any test may skip; in CI only one whose reason names a variable that is really unset."""
    unset = [name for name in ("AVD_DATA", "TORCH_HOME") if not os.environ.get(name)]
    return not os.environ.get("CI") or any(name in str(reason) for name in unset)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    excused = hasattr(report, "wasxfail") or (_may_skip(report.longrepr) and not item.get_closest_marker("browser"))
    if report.skipped and not excused:
        report.outcome, report.longrepr = "failed", f"skipped, which CI does not let pass: {report.longrepr}"
    if report.failed:
        item.stash[FAILED] = True
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    report = yield
    if report.skipped and not _may_skip(report.longrepr):
        report.outcome, report.longrepr = "failed", f"{collector.nodeid} skipped whole: {report.longrepr}"
    return report
