"""Clips on their way through the explorer: every step knows more, and files are never mixed up."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest

from app.services import exploration_view
from app.services.explorations import Explorations, ExplorationView
from avd_core.analysis.motion_pictures import guide_picture
from avd_core.analysis.spectrum import look_beneath
from avd_core.examples import scenes
from avd_core.explore.explorer import ExploreRequest
from avd_core.media import video

SLOTS = {
    *("status", "trim", "stage", "links", "realism", "restoration", "recognition", "saliency", "spectrum", "details"),
    *("attribution", "preview"),
}


def addresses(view: ExplorationView) -> set[Path]:
    """Every file that the pieces of the page point at."""
    return {
        Path(unquote(address))
        for piece in view.pieces.values()
        for address in re.findall(r'(?:src|href)="gradio_api/file=([^"#]+)', piece)
    }


def test_exploring_tells_more_at_every_step(explorations: Explorations, rendered_clip: Path, tiny_checkpoint: Path):
    steps = list(explorations.explore("my clip", ExploreRequest(rendered_clip, str(tiny_checkpoint))))
    # The finished result may come once more, when its preview has become ready.
    stages = list(dict.fromkeys(step.result.stage for step in steps))
    assert stages == ["clip", "distilled", "restored", "recognised", "complete"]
    steps = list({step.result.stage: step for step in steps}.values())
    known = [step.pieces["stage"].count("gradio_api") for step in steps]
    assert known == [1, 2, 4, 4, 4], "the pictures appear as they are made"
    assert all("busy" in step.pieces["status"] for step in steps[:-1])
    last = steps[-1]
    assert set(last.pieces) >= SLOTS and "busy" not in last.pieces["status"] and "my clip" in last.pieces["status"]
    assert not any("waiting" in piece for piece in last.pieces.values())
    for path in addresses(last):
        assert path.is_file() and path.stat().st_size > 0, path


def test_displayed_image_is_the_file_that_restores(
    explorations: Explorations, view: ExplorationView, tiny_checkpoint: Path
):
    (address,) = re.findall(r'id="distilled" src="gradio_api/file=([^"]+)"', view.pieces["stage"])
    restored = explorations.explorer.restore(unquote(address), checkpoint=str(tiny_checkpoint))
    assert np.array_equal(restored.frames, view.result.restored) and not restored.notes


def test_preview_plays_what_was_dropped(view: ExplorationView):
    info = video.probe(view.playable)
    assert info.codec == "h264" and info.seconds == pytest.approx(2.0, abs=0.2)


def test_looking_anew_touches_nothing_else(explorations: Explorations, view: ExplorationView):
    label = view.result.recognition.topk[2].label
    anew = explorations.explain(view, method="gradcam", target=label)
    assert anew.result.saliency.label == label and label in anew.pieces["saliency"]
    unchanged = ("stage", "status", "realism", "restoration", "spectrum", "trim", "preview", "notes")
    assert all(anew.pieces[name] == view.pieces[name] for name in unchanged)
    assert anew.pieces["links"] != view.pieces["links"], "an example's files belong to every visitor"
    assert all(path.is_file() for path in addresses(anew) | addresses(view))
    with pytest.raises(ValueError, match="no such class"):
        explorations.explain(view, method="gradcam", target="no such class")


@pytest.mark.parametrize(("target", "shown"), [("middle", ", the nearest"), ("multiple-exposure", "its target")])
def test_an_image_is_compared_with_what_it_is_trained_to_look_like(
    view: ExplorationView, target: str, shown: str, tmp_path: Path
):
    result = dataclasses.replace(view.result, guide=(target, 0.5))
    piece = exploration_view.publish(result, tmp_path, None)["spectrum"]
    reference = guide_picture(result.clip.frames, *result.guide) if target != "middle" else None
    hidden = look_beneath(result.distilled, result.clip.frames, reference)
    assert f"<b>{hidden.psnr:.1f}</b> dB PSNR to" in piece and shown in piece
    assert ("show the movement" in piece) is (target != "middle") is not ("It looks like frame" in piece)


def test_example_is_explored_once(explorations: Explorations, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch):
    name = next(iter(scenes.SCENES))
    request = ExploreRequest(explorations.clip(name), str(tiny_checkpoint))
    first = list(explorations.example(name, request))
    assert first[-1].result.complete and len(first) == 5
    again = list(explorations.example(name, request))
    assert len(again) == 1 and again[0] is first[-1]
    assert scenes.SCENES[name].title in explorations.tiles() and "examples" in explorations.tiles()
