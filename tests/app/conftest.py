"""The page as a user starts it, and a real browser in front of it."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import pytest
from playwright.sync_api import expect

from app.services.explorations import Explorations, ExplorationView
from avd_core.examples import scenes
from avd_core.explore.explorer import Explorer, ExploreRequest
from scripts.screenshot import free_port, served
from tests.conftest import FAILED
from tests.repository import ROOT

ARTIFACTS = ROOT / "artifacts"
PATIENCE = 90_000  # milliseconds: the other tests run at the same time
# In the page's own process: which machines it asks for, or sends anything to.
SPY = """
import os, sys
def note(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto", "socket.sendmsg"):
        address = args[0] if event == "socket.getaddrinfo" else args[1]
        host = address[0] if isinstance(address, tuple) else address
        with open(os.environ["CALLS"], "a") as file:
            print(host.decode() if isinstance(host, bytes) else host, file=file)
sys.addaudithook(note)
"""


@pytest.fixture(scope="session")
def checkpoint(tiny_checkpoint: Path) -> str:
    """What the page runs on: the bundled checkpoint of 112 px, since pictures of 224 px cost four times as much."""
    from avd_core.networks.checkpoint import bundled

    return "robust" if "robust" in bundled() else str(tiny_checkpoint)


@pytest.fixture(scope="session")
def films() -> Path:
    """The example clips, rendered once for all test runs on this machine: that takes 23 s of one core."""
    folder = Path(tempfile.gettempdir()) / f"avd-test-films-{os.getuid()}-{scenes.renderer_version()[:12]}"
    folder.mkdir(mode=0o700, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        scenes.write_examples(folder)
    return folder


def link_films(films: Path, folder: Path) -> None:
    """Give a server's temporary folder the rendered example clips."""
    shutil.copytree(films, folder / "avd-examples", copy_function=os.link, ignore=shutil.ignore_patterns(".lock"))


@pytest.fixture(scope="session")
def environment(checkpoint: str, films: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Of the page's process: a port and a temporary folder of its own."""
    folder, spy = tmp_path_factory.mktemp("gradio"), tmp_path_factory.mktemp("spy")
    link_films(films, folder)
    (spy / "sitecustomize.py").write_text(SPY)
    (spy / "calls.txt").write_text("")
    own = {"GRADIO_SERVER_PORT": str(free_port()), "GRADIO_TEMP_DIR": str(folder), "AVD_CHECKPOINT": checkpoint}
    own |= {"PYTHONPATH": str(spy), "CALLS": str(spy / "calls.txt")}
    return {**os.environ, **own}


@pytest.fixture(scope="session")
def page_url(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a page that was started with `python app.py`; its process group ends with the session."""
    log = tmp_path_factory.mktemp("log") / "app.txt"
    with served(environment, log) as url:
        yield url
    assert "Traceback" not in log.read_text(), log.read_text()


@pytest.fixture
def page(browser, request: pytest.FixtureRequest) -> Iterator:
    """A fresh visitor at 1280 x 800; scripts may not fail, and what a failed test saw last is kept as an artifact."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=True)
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    failures: list[str] = []
    expect.set_options(timeout=PATIENCE)
    page.on("pageerror", lambda error: failures.append(str(error)))
    yield page
    if request.node.stash.get(FAILED, False):
        ARTIFACTS.mkdir(exist_ok=True)
        name = "".join(letter if letter.isalnum() else "-" for letter in request.node.name).strip("-")
        page.screenshot(path=ARTIFACTS / f"{name}.png", full_page=True)
    context.close()
    assert not failures, failures


@pytest.fixture(scope="session")
def clips(data_dir: Path | None, rendered_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A GIF, an AVI and an MP4: of a camera where there are such, else rendered ones."""
    if data_dir is not None:
        folder = data_dir / "clips"
        names = ("ucf101_CricketShot.gif", "ucf101_WallPushups.avi", "kinetics_tai_chi.mp4")
        return {Path(name).suffix: folder / name for name in names}
    folder = tmp_path_factory.mktemp("formats")
    gif, avi = folder / "rendered.gif", folder / "rendered.avi"
    return {
        ".gif": convert(rendered_clip, gif, "gif", "rgb8"),
        ".avi": convert(rendered_clip, avi, "mpeg4", "yuv420p"),
        ".mp4": rendered_clip,
    }


def convert(source: Path, target: Path, codec: str, pixels: str) -> Path:
    """The same pictures in another container."""
    import av

    with av.open(str(source)) as read, av.open(str(target), "w") as written:
        stream = written.add_stream(codec, rate=12)
        stream.width, stream.height, stream.pix_fmt = 160, 120, pixels
        for number, frame in enumerate(read.decode(video=0)):
            picture = frame.reformat(160, 120, pixels)
            picture.pts, picture.time_base = number, Fraction(1, 12)
            written.mux(stream.encode(picture))
        written.mux(stream.encode())
    return target


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Gradio's temporary folder, for one module alone."""
    with pytest.MonkeyPatch.context() as patch:
        path = tmp_path_factory.mktemp("gradio")
        patch.setenv("GRADIO_TEMP_DIR", str(path))
        yield path


@pytest.fixture(scope="session")
def explorer() -> Explorer:
    """One explorer for all modules: models are loaded once."""
    return Explorer("cpu")


@pytest.fixture(scope="module")
def explorations(folder: Path, explorer: Explorer) -> Explorations:
    """What visitors of one module explore."""
    return Explorations(explorer)


@pytest.fixture(scope="module")
def view(explorations: Explorations, rendered_clip: Path, tiny_checkpoint: Path) -> ExplorationView:
    """The rendered clip, explored."""
    *_, view = explorations.explore("my clip", ExploreRequest(rendered_clip, str(tiny_checkpoint)))
    return view


def visitor(session: str = "a", **query: str) -> SimpleNamespace:
    """A request as gradio makes it, of that session and with those parameters in its address."""
    return SimpleNamespace(session_hash=session, query_params=query)
