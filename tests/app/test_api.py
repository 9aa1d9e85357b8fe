"""The endpoints for programs, called by `gradio_client` on the page as it is really served."""

from __future__ import annotations

import errno
import json
import re
import zipfile
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from app.api import NAMES
from app.http_guard import NO_RELAY
from app.page import NOT_UPLOADED
from app.services.errors import DISK_FULL
from app.services.result_store import ResultStore
from app.ui import build_app, launch_options
from avd_core.analysis import metrics
from avd_core.cli.main import main
from avd_core.explore.comparison import CompareRequest, compare
from avd_core.explore.comparison_files import save_comparison
from avd_core.explore.explorer import Explorer
from avd_core.media import distilled_png, video
from avd_core.media.window import Window
from scripts.screenshot import free_port
from tests.repository import ROOT

ENDPOINTS = {f"/{name}" for name in NAMES}


@pytest.fixture(scope="module")
def client(page_url: str, tmp_path_factory: pytest.TempPathFactory) -> Client:
    return Client(page_url, verbose=False, download_files=tmp_path_factory.mktemp("downloads"), analytics_enabled=False)


@pytest.fixture(scope="module")
def own_page(tmp_path_factory: pytest.TempPathFactory):
    """A page in this process: what gradio logs of a hostile call is no fault of the page that all tests share."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("gradio")))
        page = build_app(Explorer("cpu"))
        _, url, _ = page.launch(server_port=free_port(), prevent_thread_lock=True, quiet=True, **launch_options())
        yield url
        page.close(verbose=False)


def test_endpoints_say_what_they_take_and_give(client: Client):
    told = client.view_api(print_info=False, return_format="dict")["named_endpoints"]
    assert told.keys() == ENDPOINTS
    for name, endpoint in told.items():
        assert len(endpoint["description"]) > 15, name
        first, *rest = endpoint["parameters"]
        assert first["python_type"]["type"] == "filepath" and not first["parameter_has_default"]
        assert all(parameter["parameter_has_default"] and len(parameter["label"]) > 10 for parameter in rest), name
        assert endpoint["returns"][0]["python_type"]["type"] == "filepath"
    names = [parameter["parameter_name"] for parameter in told["/explore"]["parameters"]]
    assert names == ["clip", "checkpoint", "start", "seconds", "whole", "classifier", "cam", "target", "size"]
    for name in ("/explore", "/distill", "/compare"):
        assert told[name]["parameters"][-1]["parameter_name"] == "size", "the newest comes last"
    types = [parameter["python_type"]["type"] for parameter in told["/explore"]["parameters"]]
    assert types == ["filepath", "str", "float", "float", "bool", "str", "str", "str", "int"]
    assert [value["label"] for value in told["/explore"]["returns"]] == [
        "distilled", "restored", "comparison", "overlay", "report"
    ]  # fmt: skip


def test_explore_answers_as_the_command_does(client: Client, real_clip: Path, checkpoint: str, tmp_path: Path):
    *files, report = client.predict(clip=handle_file(real_clip), start=0.5, seconds=1, api_name="/explore")
    arguments = ["--start", "0.5", "--seconds", "1", "--checkpoint", checkpoint]
    assert main(["explore", str(real_clip), "--out", str(tmp_path), *arguments]) == 0
    expected = json.loads((tmp_path / "report.json").read_text())
    assert report.pop("seconds").keys() == expected.pop("seconds").keys(), "the times differ, all else is the same"
    assert report == expected
    distilled, restored, comparison, overlay = map(Path, files)
    for path, name in ((distilled, "distilled.png"), (overlay, "cam.png")):
        assert path.read_bytes() == (tmp_path / name).read_bytes(), name
    for path, name in ((restored, "restored.mp4"), (comparison, "comparison.mp4")):
        # x264 with several threads does not make the same bytes twice
        ours, theirs = (video.read_clip(file, frames=16, size=64, whole=True) for file in (path, tmp_path / name))
        assert metrics.psnr(ours.frames, theirs.frames) > 40, name


def test_distilled_image_restores(client: Client, real_clip: Path):
    image, facts = client.predict(clip=handle_file(real_clip), whole=True, api_name="/distill")
    assert distilled_png.read_distilled(image)[1].fingerprint == facts["fingerprint"]
    clip, played = client.predict(image=handle_file(image), api_name="/restore")
    assert played["notes"] == [] and played["fps"] == pytest.approx(facts["fps"])
    assert {played[key] == facts[key] for key in ("checkpoint", "fingerprint", "frames", "size")} == {True}
    count, short = facts["frames"], min(facts["size"])
    shown = video.read_clip(clip, frames=count, size=short, whole=True).frames
    original = video.read_clip(real_clip, frames=count, size=short, whole=True).frames
    assert shown.shape == original.shape and metrics.psnr(original, shown) > metrics.psnr(original, original[::-1])
    _, faster = client.predict(image=handle_file(image), fps=30, api_name="/restore")
    assert faster["fps"] == 30


def test_compare_answers_as_the_command_does(client: Client, real_clip: Path, checkpoint: str, tmp_path: Path):
    window = {"start": 0.5, "seconds": 1}
    sheet, everything, report = client.predict(
        clip=handle_file(real_clip), checkpoints=checkpoint, **window, api_name="/compare"
    )
    *_, expected = compare(
        Explorer("cpu"), CompareRequest(real_clip, (checkpoint,), Window(**window), judge=checkpoint)
    )
    folder, expected = save_comparison(expected, tmp_path / "comparison"), expected.report()
    for row in report["rows"] + expected["rows"]:
        assert row.pop("seconds") > 0
    assert report == expected
    assert Path(sheet).read_bytes() == (folder / "sheet.png").read_bytes()
    with zipfile.ZipFile(everything) as archive:
        names = {path.relative_to(folder).as_posix() for path in folder.rglob("*.*")}
        assert {name for name in archive.namelist() if not name.endswith("/")} == names
    with pytest.raises(AppError, match="There is no checkpoint 'nobody/nothing' here"):
        client.predict(clip=handle_file(real_clip), checkpoints="base, nobody/nothing", api_name="/compare")


def test_size_is_the_short_side_of_every_image(client: Client, rendered_clip: Path, checkpoint: str):
    call = {"clip": handle_file(rendered_clip), "size": 64}
    image, facts = client.predict(**call, api_name="/distill")
    explored, *_ = client.predict(**call, api_name="/explore")
    _, everything, report = client.predict(**call, checkpoints=checkpoint, api_name="/compare")
    with zipfile.ZipFile(everything) as archive:
        compared = [name for name in archive.namelist() if re.fullmatch(r"images/.+\.png", name)]
        files = [image, explored, *(archive.open(name) for name in compared)]
        assert len(compared) == len(report["rows"]) > 5
        assert {Image.open(file).size for file in files} == {(88, 64)}, "120 x 160 frames, sides by eights"
    assert facts["size"] == report["size"] == [64, 88]
    with pytest.raises(AppError, match=r"^The size is 65 px; it must be a multiple of 8, 64 to 224\.$"):
        client.predict(clip=call["clip"], size=65, api_name="/compare")


def test_an_image_is_refined_and_says_so(client: Client, rendered_clip: Path):
    call = {"clip": handle_file(rendered_clip), "size": 64}
    plain, of_plain = client.predict(**call, api_name="/distill")
    image, facts = client.predict(**call, steps=3, api_name="/refine")
    assert Image.open(image).text["avd:refined"] == "3" and Path(image).read_bytes() != Path(plain).read_bytes()
    assert (of_plain["refined"], facts["refined"]) == (0, 3)
    assert client.predict(**call, steps=None, api_name="/refine")[1]["refined"] == 40, "null is the default"
    with pytest.raises(AppError, match=r"^401 refinement steps cannot be made; 0 to 400 can\.$"):
        client.predict(**call, steps=401, api_name="/refine")


def test_picture_that_was_never_distilled_plays_and_says_so(client: Client, tmp_path: Path):
    path = distilled_png.save_image(tmp_path / "photo.png", np.full((112, 152, 3), 90, np.uint8))
    _, facts = client.predict(image=handle_file(path), api_name="/restore")
    assert "does not say that it was distilled" in facts["notes"][0]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"checkpoint": "../checkpoints/base"}, "There is no checkpoint '../checkpoints/base' here; there are"),
        ({"checkpoint": "somebody/something"}, "There is no checkpoint 'somebody/something' here; there are"),
        ({"classifier": "oracle"}, "There is no classifier 'oracle' here; there are mobilenet_v2"),
        ({"cam": "xray"}, "There is no saliency method 'xray' here; there are gradcam"),
        ({"start": -1}, "The window starts at -1 s; it must start at 0 s or later."),
        ({"whole": True, "start": 1}, "The whole clip leaves no window to choose"),
    ],
)
def test_error_is_the_sentence_of_the_core(client: Client, rendered_clip: Path, wrong: dict, sentence: str):
    with pytest.raises(AppError, match="^" + sentence.replace("(", r"\(")):
        client.predict(clip=handle_file(rendered_clip), **wrong, api_name="/explore")


def test_file_that_is_no_video_is_told(client: Client, tmp_path: Path):
    letter = tmp_path / "letter.mp4"
    letter.write_text("Dear all, the weather is fine.\n")
    with pytest.raises(AppError, match=r"letter\.mp4 is a text file"):
        client.predict(clip=handle_file(letter), api_name="/distill")


def test_readme_calls_it_rightly(page_url: str, rendered_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (example,) = re.findall(r"^```py\n(.*?)^```$", (ROOT / "docs" / "usage.md").read_text(), re.M | re.S)
    (tmp_path / "clip.mp4").write_bytes(rendered_clip.read_bytes())
    monkeypatch.chdir(tmp_path)
    told: dict = {}
    exec(compile(example.replace("http://127.0.0.1:7860/", page_url), "usage.md", "exec"), told)
    assert Path(told["clip"]).suffix == ".mp4" and Path(told["images"]).suffix == ".zip"
    assert len(told["report"]["rows"]) > 5


OPENER = build_opener(ProxyHandler({}))


def posted(url: str, data: list[object], **more: object) -> tuple[int, str]:
    """Status and text of a plain HTTP call."""
    body = json.dumps({"data": data} | more).encode()
    try:
        with OPENER.open(Request(url, body, {"Content-Type": "application/json"}), timeout=60) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()


def answered(page: str, name: str, data: list[object]) -> str:
    """The events of an endpoint that is called by plain HTTP, where no client uploads what is named."""
    status, text = posted(f"{page}gradio_api/call/{name}", data)
    assert status == 200
    with OPENER.open(f"{page}gradio_api/call/{name}/{json.loads(text)['event_id']}", timeout=60) as answer:
        return answer.read().decode()


@pytest.mark.parametrize("meta", [{"_type": "gradio.FileData"}, None])
def test_files_of_the_server_and_of_other_hosts_are_out_of_reach(own_page: str, rendered_clip: Path, meta: dict | None):
    """Whatever is named and not uploaded is refused with a sentence."""
    for path in ("/etc/passwd", str(rendered_clip), "https://example.org/clip.mp4"):
        file = {"path": path} | ({"meta": meta} if meta else {})
        events = answered(own_page, "distill", [file, "base", None, None, False, None])
        assert "event: error" in events and NOT_UPLOADED in events and path not in events


def test_a_call_without_a_file_says_what_it_needs(own_page: str):
    for name, rest in (("distill", ["base", None, None, False, None]), ("restore", [None, None])):
        assert f"{name} needs a file" in answered(own_page, name, [None, *rest])


def test_nothing_skips_the_queue(own_page: str):
    """Direct calls would be answered at once, in any number, private events by their number too."""
    for route in ("run/distill", "api/distill"):
        status, text = posted(f"{own_page}gradio_api/{route}", [None, "base", None, None, False, None])
        assert status == 404 and "join the queue" in text
    with OPENER.open(f"{own_page}config") as answer:
        events = json.load(answer)["dependencies"]
    queued = [event["id"] for event in events if event["queue"] and event["backend_fn"]]
    assert len(queued) > 30
    for number in queued:
        assert posted(f"{own_page}gradio_api/run/predict", [], fn_index=number)[0] == 404, number


def test_a_host_that_is_not_ours_is_refused_in_one_line(own_page: str):
    for path in ("", "config", "gradio_api/file=/etc/passwd"):
        with pytest.raises(HTTPError) as refused:
            OPENER.open(Request(own_page + path, headers={"Host": "evil.example:7860"}))
        line = refused.value.read().decode()
        assert refused.value.code == 403 and "AVD_ALLOWED_HOSTS" in line and "\n" not in line
    with pytest.raises(HTTPError) as refused:
        OPENER.open(f"{own_page}gradio_api/file=https://example.org/x.png")
    assert refused.value.code == 403 and refused.value.read().decode() == NO_RELAY


def test_a_full_disk_is_a_sentence_without_a_path(
    own_page: str, rendered_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(store: ResultStore) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device", str(store.root / "secret"))

    monkeypatch.setattr(ResultStore, "folder", full)
    client = Client(own_page, verbose=False, download_files=tmp_path, analytics_enabled=False)
    with pytest.raises(AppError, match=f"^{DISK_FULL}$"):
        client.predict(clip=handle_file(rendered_clip), api_name="/distill")
