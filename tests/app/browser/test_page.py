"""The page in a real Chromium: started as a user starts it, seen as a stranger sees it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from avd_core.explore.explorer import Explorer, ExploreRequest
from tests.app.browser.walking import FINISHED, in_step, look, opened, painted, upload, wide
from tests.app.conftest import ARTIFACTS
from tests.repository import ROOT

pytestmark = pytest.mark.browser

PLAYS = """() => [...document.querySelectorAll("video.original, video.restored, video.error")]
  .every((v) => v.videoWidth > 0 && v.currentTime > 0.5)"""

# How often anything of the stage and the plots is written within a second, were it only what stands there already.
WRITTEN = """() => new Promise((done) => {
  let count = 0;
  const observer = new MutationObserver((records) => { count += records.length; });
  for (const one of document.querySelectorAll(".stage, .metric"))
    observer.observe(one, { subtree: true, childList: true, attributes: true, characterData: true });
  setTimeout(() => done(count + observer.takeRecords().length), 1000);
})"""


def picture(page, url: str, folder: Path) -> Path:
    """The distilled image as the browser has it, saved."""
    source = page.locator("#distilled").evaluate("(image) => image.currentSrc")
    path = folder / "saved.png"
    path.write_bytes(page.request.get(urljoin(url, source)).body())
    return path


def test_first_visitor_sees_a_finished_example(page, page_url: str):
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    opened(page, page_url)
    page.wait_for_function(PLAYS)
    pictures = ("#distilled", "video.original", "video.restored", "video.error", ".cam .heat", ".patches img")
    for query in (*pictures, ".strip img", ".trio figure:nth-child(1) img", ".trio figure:nth-child(2) img"):
        painted(page, query)
    assert "One realistic image" in page.inner_text("h1")
    expect(page.locator(".bars li")).to_have_count(5)
    expect(page.locator(".timeline:visible polyline")).to_have_count(3)
    assert all(image.get_attribute("alt") is not None for image in page.locator("img").all())
    # All of the stage is on the first screen, and nothing is asked of any other machine.
    box = page.locator(".stage").bounding_box()
    assert box["y"] + box["height"] <= 800
    assert {urlsplit(url).hostname for url in asked if not url.startswith(("data:", "blob:"))} == {"127.0.0.1"}


@pytest.mark.parametrize("kind", [".gif", ".avi", ".mp4"])
def test_clip_goes_through_and_its_image_restores(
    page, page_url: str, clips: dict[str, Path], checkpoint: str, kind: str, tmp_path: Path
):
    clip = clips[kind]
    opened(page, page_url)
    upload(page, clip)
    page.wait_for_function(PLAYS)
    for query in ("#distilled", "video.original", "video.restored"):
        painted(page, query)
    preview = page.locator(".preview video")
    preview.evaluate("(video) => video.play()")
    page.wait_for_function("() => document.querySelector('.preview video').currentTime > 0.3")
    assert preview.evaluate("(video) => video.videoWidth") > 0

    # What the browser shows is, to the byte, the file that plays: nothing on the way may touch a pixel.
    explorer = Explorer("cpu")
    expected = explorer.explore(ExploreRequest(clip, checkpoint))
    shown = picture(page, page_url, tmp_path)
    restored = explorer.restore(shown)
    assert restored.fingerprint == expected.fingerprint and not restored.notes
    assert np.array_equal(restored.image, expected.distilled)
    assert np.array_equal(restored.frames, expected.restored)
    assert restored.fps == pytest.approx(expected.clip.fps)

    with page.expect_download() as download:
        page.get_by_role("link", name="Image, PNG").click()
    assert download.value.suggested_filename == f"{clip.stem}-distilled.png"
    assert Path(download.value.path()).read_bytes() == shown.read_bytes()
    with page.expect_download() as download:
        page.get_by_role("link", name="Figures, JSON").click()
    report = json.loads(Path(download.value.path()).read_text())
    assert f"{report['psnr']:.1f}" == page.inner_text(".restoration .figure b")
    assert report["topk"][0]["label"] == page.inner_text(".bars li:first-child span")


def test_clips_of_other_kinds_go_through(page, page_url: str, data_dir: Path | None, rendered_clip: Path):
    others = [rendered_clip] if data_dir is None else sorted((data_dir / "clips").glob("*.[mw][ek][vb]*"))
    opened(page, page_url)
    for clip in others:
        upload(page, clip)
        assert page.inner_text("#message").strip() == "", clip.name
        painted(page, "#distilled")


def test_what_is_no_video_is_told_and_nothing_is_lost(page, page_url: str, rendered_clip: Path, tmp_path: Path):
    opened(page, page_url)
    upload(page, rendered_clip)
    before = page.locator("#distilled").get_attribute("src")
    letter = tmp_path / "holiday.mp4"
    letter.write_text("Dear all, the weather is fine.\n")
    page.locator("#upload input[type=file]").set_input_files(letter)
    page.wait_for_selector(".problem")
    message = page.inner_text(".problem")
    assert "holiday.mp4" in message and "MP4" in message
    page.wait_for_selector(FINISHED)
    assert page.locator("#distilled").get_attribute("src") == before
    assert rendered_clip.name in page.inner_text("#status") and rendered_clip.name in page.inner_text("#preview")
    page.get_by_role("button", name="Close this message").click()
    expect(page.locator(".problem")).to_be_hidden()
    page.locator("#upload input[type=file]").set_input_files(letter.rename(tmp_path / "holiday.txt"))
    page.wait_for_function("() => document.querySelector('.problem')?.textContent.includes('holiday.txt')")
    upload(page, Path(shutil.copy(rendered_clip, tmp_path / "no suffix")))  # and the page works on


def chosen(page) -> list[float]:
    """The window between the handles, in seconds."""
    return [float(handle.get_attribute("aria-valuenow")) for handle in page.locator(".trim .handle").all()]


def distill(page, window: str) -> None:
    """Asks for the part between the handles and waits for it."""
    page.get_by_role("button", name="Distill this part").click()
    page.wait_for_function("(window) => document.querySelector('#status')?.innerText.includes(window)", arg=window)
    page.wait_for_selector(FINISHED)


def test_window_is_trimmed_on_the_filmstrip(page, page_url: str, clips: dict[str, Path]):
    opened(page, page_url)
    upload(page, clips[".avi"])
    page.wait_for_selector(".strip img")
    strip = page.locator(".strip")
    box, total = strip.bounding_box(), float(page.locator(".trim").get_attribute("data-total"))
    button = page.get_by_role("button", name="Distill this part")
    expect(button).to_be_disabled()  # nothing has been moved yet

    def drag(query: str, seconds: float, within: float = 0.5) -> None:
        handle = page.locator(query).bounding_box()
        page.mouse.move(handle["x"] + within * handle["width"], box["y"] + 20)
        page.mouse.down()
        page.mouse.move(box["x"] + seconds / total * box["width"], box["y"] + 25, steps=4)
        page.mouse.up()

    drag(".handle.from", 0.5)
    drag(".handle.to", 1.5)
    assert chosen(page) == pytest.approx([0.5, 1.5], abs=0.11)
    assert page.get_by_label("From", exact=True).input_value() == f"{chosen(page)[0]:.1f}"
    drag(".handle.from", 9)  # a handle stops before the other
    assert chosen(page)[0] == pytest.approx(chosen(page)[1] - 0.1)
    page.get_by_label("From", exact=True).fill("0.5")
    page.keyboard.press("Enter")
    page.get_by_label("to", exact=True).fill("1.5")
    page.keyboard.press("Enter")
    assert chosen(page) == [0.5, 1.5]
    # The part between the handles moves whole, and a press beside it fetches it.
    drag(".chosen", 1.5)
    assert chosen(page) == pytest.approx([1.0, 2.0], abs=0.11)
    page.mouse.click(box["x"] + 2, box["y"] + 20)
    assert chosen(page) == [0.0, 1.0]
    page.locator(".handle.to").focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Shift+ArrowRight")
    assert chosen(page) == [0.0, 1.9]
    page.keyboard.press("Home")
    assert chosen(page) == [0.0, 0.1]
    page.locator(".handle.to").press("End")
    assert chosen(page)[1] == pytest.approx(total, abs=0.06)
    page.locator(".handle.from").press("PageUp")
    page.get_by_label("to", exact=True).fill("2")
    page.get_by_label("to", exact=True).blur()
    distill(page, "1.0–2.0 s")
    expect(button).to_be_disabled()
    assert chosen(page) == [1.0, 2.0]
    page.get_by_role("button", name="Whole clip").click()
    distill(page, "from all")


def test_filmstrip_is_trimmed_by_touch(browser, page_url: str):
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = context.new_page()
    opened(page, page_url)
    page.wait_for_selector(".strip img")
    box, handle = (page.locator(query).bounding_box() for query in (".strip", ".handle.from"))
    touch = context.new_cdp_session(page)
    y = handle["y"] + 10 - page.evaluate("scrollY")
    for kind, x in (("touchStart", handle["x"] + 5), ("touchMove", box["x"] + box["width"] / 2), ("touchEnd", None)):
        points = [] if x is None else [{"x": x, "y": y}]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    total = float(page.locator(".trim").get_attribute("data-total"))
    assert chosen(page)[0] == pytest.approx(total / 2, abs=0.15)
    context.close()


def test_frames_that_pixels_draw_on_are_shown_when_asked_for(page, page_url: str):
    opened(page, page_url)
    page.get_by_role("button", name="Show it").click()
    page.wait_for_selector(".drawn img")
    page.wait_for_function("() => document.querySelector('.drawn img').complete")
    painted(page, ".drawn img")
    assert page.locator(".bars-up i").count() == int(page.locator(".stage").get_attribute("data-frames"))
    page.locator(".attribution").scroll_into_view_if_needed()
    look(page, "explore")


def test_looking_anew_changes_only_the_overlay(page, page_url: str):
    opened(page, page_url)
    pictures = """() => ["#distilled", "video.restored", ".heat"]
      .map((query) => document.querySelector(query).getAttribute("src"))"""
    distilled, restored, heat = page.evaluate(pictures)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "queue/join" in request.url else None)
    page.get_by_label("Method").click()
    page.get_by_role("option").nth(1).click()
    page.wait_for_function("(old) => document.querySelector('.heat').getAttribute('src') !== old", arg=heat)
    assert page.evaluate(pictures)[:2] == [distilled, restored]
    # Any class can be asked for; it is found by typing.
    heat = page.evaluate(pictures)[2]
    label = page.inner_text(".bars li:nth-child(3) span")
    page.get_by_label("Evidence for").fill("")
    page.get_by_label("Evidence for").press_sequentially(label)
    page.get_by_role("option", name=label, exact=True).first.click()
    page.wait_for_function("(old) => document.querySelector('.heat').getAttribute('src') !== old", arg=heat)
    assert label in page.inner_text("#saliency .hint")
    assert page.evaluate(pictures)[:2] == [distilled, restored]
    # Gradio says a choice by mouse twice, and the emptied box once; each look is noted once for the link. Letters ask
    # nothing.
    assert len(asked) <= 7, "typing asks the server"


def test_strength_pixels_and_measure_need_no_server(page, page_url: str):
    opened(page, page_url)
    page.wait_for_function("() => document.querySelector('#address [data-query]')")  # the last event of a first visit
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "queue" in request.url else None)
    page.get_by_label("Strength of the overlay").fill("80")
    assert page.locator(".heat").evaluate("(image) => getComputedStyle(image).opacity") == "0.8"
    page.get_by_role("button", name="Pixels").click()
    image = page.locator("#distilled")
    assert image.evaluate("(image) => getComputedStyle(image).imageRendering") == "pixelated"
    assert image.evaluate("(image) => image.getBoundingClientRect().width % image.naturalWidth") == 0
    page.get_by_role("button", name="SSIM").click()
    expect(page.locator(".metric.ssim")).to_be_visible()
    expect(page.locator(".metric.psnr")).to_be_hidden()
    assert not asked


def test_one_transport_moves_all_videos(page, page_url: str):
    opened(page, page_url)
    page.wait_for_function(PLAYS)
    page.get_by_label("Frame", exact=True).fill("5")
    times = """() => ['original', 'restored', 'error']
      .map((kind) => document.querySelector(`video.${kind}`).currentTime)"""
    page.wait_for_function("() => document.querySelector('.transport output')?.textContent.startsWith('6 /')")
    first, *others = page.evaluate(times)
    assert others == pytest.approx([first] * 2, abs=1e-3)
    # Standing still, the plot tells the values of that very frame.
    values = json.loads(page.locator(".metric.psnr .timeline").get_attribute("data-values"))
    assert f"{values['restored'][5]:.1f}" in page.inner_text(".metric.psnr .legend .made b")
    button = page.locator(".play")
    button.focus()
    page.keyboard.press("Space")
    page.wait_for_function(f"(from) => ({times})()[0] !== from", arg=first)
    frame = 1 / float(page.locator(".stage").get_attribute("data-fps"))
    in_step(page, times, frame)
    # A click in the plot goes to that frame, and the line in it stands there.
    plot = page.locator(".metric.psnr .area")
    box = plot.bounding_box()
    plot.click(position={"x": box["width"] * 9.5 / 16, "y": 40})
    page.wait_for_function("() => document.querySelector('.transport output')?.textContent.startsWith('10 /')")
    assert page.evaluate(times) == pytest.approx([9.5 * frame] * 3, abs=1e-3)
    line = page.locator(".metric.psnr .playhead").bounding_box()
    assert line["x"] - box["x"] == pytest.approx(box["width"] * 9.5 / 16, abs=1.5)
    assert page.evaluate(WRITTEN) == 0, "a page that stands still costs its visitor's processor nothing"


def test_class_is_chosen_by_keyboard(page, page_url: str):
    opened(page, page_url)
    box = page.locator("#target input")
    other = page.locator(".bars li:nth-child(3) span").inner_text()
    box.fill(other)
    box.press("Enter")
    page.wait_for_function("(label) => document.querySelector('#saliency')?.textContent.includes(label)", arg=other)


def test_two_visitors_do_not_meet(page, browser, page_url: str, clips: dict[str, Path]):
    other = browser.new_page()
    for visitor in (page, other):
        opened(visitor, page_url)
    page.locator("#upload input[type=file]").set_input_files(clips[".avi"])
    other.locator("#upload input[type=file]").set_input_files(clips[".gif"])
    for visitor, clip in ((page, clips[".avi"]), (other, clips[".gif"])):
        visitor.wait_for_function(
            "(name) => document.querySelector('#status .status:not(.busy) b')?.textContent === name", arg=clip.name
        )
    assert page.locator("#distilled").get_attribute("src") != other.locator("#distilled").get_attribute("src")
    assert clips[".avi"].name in page.inner_text("#preview")
    other.close()


def test_example_is_one_click(page, page_url: str):
    opened(page, page_url)
    tile = page.locator("[data-example]").nth(1)
    title = tile.inner_text().strip()
    tile.click()
    page.wait_for_function(
        "(title) => document.querySelector('#status .status:not(.busy) b')?.textContent === title",
        arg=title,
        timeout=180_000,
    )
    page.wait_for_function(PLAYS)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_page_fits_light_and_dark_wide_and_narrow(page, page_url: str, theme: str):
    # Both open it: one theme on a desk and turned to a phone's size, the other the other way round.
    sizes = [(1280, 800), (390, 844)][:: -1 if theme == "dark" else 1]
    page.set_viewport_size(dict(zip(("width", "height"), sizes[0], strict=True)))
    opened(page, page_url, f"?__theme={theme}")
    ARTIFACTS.mkdir(exist_ok=True)
    for width, height in sizes:
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_function(PLAYS)
        assert wide(page) <= 0, f"the page is wider than a screen of {width} px"
        screen = ARTIFACTS / f"first-screen-{theme}-{width}.png"
        page.screenshot(path=screen)
        brightness = np.asarray(Image.open(screen).convert("L"))[4, 4]
        assert (brightness < 64) == (theme == "dark"), "the theme did not follow"


def test_results_are_served_and_nothing_else(page, page_url: str):
    for path in (ROOT / "app.py", ROOT / "checkpoints" / "README.md", Path("/etc/passwd"), Path(sys.executable)):
        assert page.request.get(f"{page_url}gradio_api/file={path}").status == 403, path
    assert page.request.get(f"{page_url}monitoring").status in (403, 404)


def test_busy_port_is_an_error(page_url: str, environment: dict[str, str]):
    done = subprocess.run(
        [sys.executable, "app.py"], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode != 0
    assert environment["GRADIO_SERVER_PORT"] in done.stderr and "in use" in done.stderr
    assert "Traceback" not in done.stderr and len(done.stderr.strip().splitlines()) == 1
