"""The service: steps in order, one set of weights, many people at once, images that play as what they are."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image, PngImagePlugin

from avd_core.analysis.metrics import quality
from avd_core.config import PRESETS
from avd_core.explore.explorer import Explorer, ExploreRequest, RequestError
from avd_core.media.distilled_png import read_distilled, save_distilled
from avd_core.media.video import VideoError
from avd_core.media.window import Window
from avd_core.media.writer import write_mp4
from avd_core.networks.avd import AVD
from avd_core.networks.calibration import Calibration

# Without ImageNet weights at hand the bundled classifier does; no test goes to the network.
CLASSIFIER = "mobilenet_v2" if os.environ.get("TORCH_HOME") else "action"


@pytest.fixture(scope="module")
def explorer() -> Explorer:
    return Explorer(device="cpu")


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory) -> Path:
    """A second checkpoint: other weights, other sampling, and reference scores."""
    torch.manual_seed(7)
    config = dataclasses.replace(PRESETS["tiny"], frames=12)
    calibration = Calibration(real=(-3.0, -1.0, 1.0, 3.0), distilled=(-5.0, -4.0))
    model = AVD(config, name="calibrated", calibration=calibration)
    return model.save_pretrained(tmp_path_factory.mktemp("checkpoints") / "calibrated")


def request_for(clip: Path, checkpoint: Path, **options) -> ExploreRequest:
    return ExploreRequest(clip, str(checkpoint), classifier=CLASSIFIER, **options)


@pytest.fixture(scope="module")
def exploration(explorer, rendered_clip, tiny_checkpoint):
    return explorer.explore(request_for(rendered_clip, tiny_checkpoint, whole=True))


def test_an_exploration_holds_everything(exploration, tiny_checkpoint):
    frames = exploration.clip.frames
    assert exploration.complete and exploration.checkpoint == "tiny"
    assert exploration.fingerprint == AVD.from_pretrained(tiny_checkpoint).fingerprint
    assert frames.shape == exploration.restored.shape == (8, 64, *frames.shape[2:])
    assert exploration.distilled.shape == frames.shape[1:] and exploration.distilled.dtype == np.uint8
    assert exploration.quality == quality(frames, exploration.restored)
    assert len(exploration.recognition.topk) == 5
    assert exploration.saliency.map.shape == exploration.distilled.shape[:2]
    assert exploration.saliency.label == exploration.recognition.topk[0].label
    assert exploration.saliency.overlay.shape == exploration.distilled.shape
    assert {"decode", "encode", "restore", "classify", "saliency"} <= exploration.seconds.keys()
    assert all(seconds >= 0 for seconds in exploration.seconds.values())


def test_the_restored_clip_comes_from_the_8_bit_image(exploration, tiny_checkpoint):
    model = AVD.from_pretrained(tiny_checkpoint)
    image = torch.from_numpy(exploration.distilled).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        expected = ((model.decode(image) + 1) * 127.5).round()[0].permute(1, 2, 3, 0).numpy()
    assert np.abs(exploration.restored.astype(float) - expected).max() <= 1  # rounding of a half


def test_steps_come_in_order_and_hold_no_lock(explorer, rendered_clip, tiny_checkpoint, exploration):
    request = request_for(rendered_clip, tiny_checkpoint, whole=True)
    stages = []
    for step in explorer.explore_steps(request):
        stages.append(step.stage)
        # Somebody else's whole exploration fits between any two steps; a held lock would hang here.
        explorer.distill(rendered_clip, checkpoint=str(tiny_checkpoint))
        explorer.recognise(exploration.distilled, CLASSIFIER)
        assert step.complete == (step.stage == "complete")
        with pytest.raises(dataclasses.FrozenInstanceError):
            step.restored = None
    assert stages == ["clip", "distilled", "restored", "recognised", "complete"]


def test_realism_is_a_percentile_where_there_are_reference_scores(explorer, rendered_clip, calibrated, exploration):
    realism = explorer.explore(request_for(rendered_clip, calibrated)).realism
    model = AVD.from_pretrained(calibrated)
    assert realism.percentile_among_real == model.calibration.percentile_among_real(realism.logit)
    assert realism.percentile_among_distilled == model.calibration.percentile_among_distilled(realism.logit)
    assert len(realism.own_frames) == 12 and all(0 <= percentile <= 100 for percentile in realism.own_frames)
    assert realism.map.mean() == pytest.approx(realism.logit, abs=1e-4)
    assert explorer.models.checkpoint(str(calibrated)).model.calibration == model.calibration

    without = exploration.realism
    assert without.percentile_among_real is None and without.own_frames == () and len(without.own_logits) == 8


def test_own_frames_are_scored_one_by_one(explorer, rendered_clip, tiny_checkpoint, exploration):
    model = AVD.from_pretrained(tiny_checkpoint)
    for frame, score in zip(exploration.clip.frames, exploration.realism.own_logits, strict=True):
        image = torch.from_numpy(frame).permute(2, 0, 1)[None] / 127.5 - 1
        assert model.realism(image).item() == pytest.approx(score, abs=1e-4)


def test_five_people_at_once_get_their_own_results(tmp_path, explorer, tiny_checkpoint, calibrated):
    clips = []
    for seed in range(5):
        scene = np.random.default_rng(seed).integers(0, 256, (12, 20, 3), dtype=np.uint8).repeat(6, 0).repeat(6, 1)
        moving = np.stack([np.roll(scene, 3 * t, axis=1) for t in range(16)])
        clips.append(write_mp4(tmp_path / f"{seed}.mp4", moving, 8))
    requests = [request_for(clip, (tiny_checkpoint, calibrated)[i % 2]) for i, clip in enumerate(clips)]
    alone = [explorer.explore(request) for request in requests]

    crowd, barrier = Explorer(device="cpu"), threading.Barrier(5)  # nothing is loaded yet

    def explore(request: ExploreRequest):
        barrier.wait()
        return crowd.explore(request)

    with ThreadPoolExecutor(5) as pool:
        together = list(pool.map(explore, requests))
    for one, other in zip(alone, together, strict=True):
        assert one.request == other.request and one.fingerprint == other.fingerprint
        assert (one.distilled == other.distilled).all() and (one.restored == other.restored).all()
        assert one.recognition == other.recognition and one.saliency.label == other.saliency.label
        assert np.abs(one.saliency.map - other.saliency.map).max() < 1e-3


def test_a_retrained_folder_is_seen(tmp_path, rendered_clip, tiny_checkpoint):
    folder = Path(shutil.copytree(tiny_checkpoint, tmp_path / "mine"))
    explorer = Explorer(device="cpu")
    before = explorer.distill(rendered_clip, checkpoint=str(folder)).info
    torch.manual_seed(1)
    AVD(PRESETS["tiny"]).save_pretrained(folder)
    os.utime(folder / "model.safetensors", (1, 1))
    after = explorer.distill(rendered_clip, checkpoint=str(folder)).info
    assert before.fingerprint != after.fingerprint == AVD.from_pretrained(folder).fingerprint


def test_saving_writes_every_file(tmp_path, exploration):
    saved = exploration.save(tmp_path / "new" / "out", save_frames=True)
    assert sorted(path.name for path in saved.folder.iterdir()) == [
        "cam.png", "comparison.mp4", "distilled.png", "frames", "report.json", "restored.mp4",
    ]  # fmt: skip
    assert [path.name for path in sorted(saved.folder.glob("frames/*"))] == [
        f"{kind}_{index:02d}.png" for kind in ("original", "restored") for index in range(8)
    ]
    for kind, clip in (("original", exploration.clip.frames), ("restored", exploration.restored)):
        for index, frame in enumerate(clip):
            with Image.open(saved.folder / "frames" / f"{kind}_{index:02d}.png") as picture:
                assert (np.asarray(picture) == frame).all()
    image, info = read_distilled(saved.distilled)
    assert (image == exploration.distilled).all() and info == exploration.info
    height, width = exploration.distilled.shape[:2]
    for path, expected in ((saved.restored, width), (saved.comparison, 2 * width + 4)):
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            assert (stream.codec_context.width, stream.codec_context.height) == (expected, height)
            assert len(list(container.decode(stream))) == 8
    with Image.open(saved.cam) as picture:
        assert picture.size == (width, height)


def test_looking_closer_adds_what_was_asked_and_nothing_else(tmp_path, explorer, exploration):
    plain = exploration.report()
    assert plain["saliency"].keys() == {"method", "label"} and exploration.save(tmp_path).cam_video is None
    first = exploration.recognition.frame[0].label
    seen = [prediction.label for prediction in exploration.recognition.topk]
    assert plain["middle_frame"]["topk"][0]["label"] == first
    assert plain["middle_frame"]["rank_in_image"] == (seen.index(first) + 1 if first in seen else None)
    closer = explorer.add_saliency_details(exploration, frames=True, road=True)
    told = json.loads(json.dumps(closer.report(), allow_nan=False))["saliency"]
    assert told["road"]["score"] == pytest.approx((told["road"]["least_first"] - told["road"]["most_first"]) / 2)
    assert len(told["frame_probabilities"]) == 8 and len(told["road"]["moved"]) == 5
    saved = closer.save(tmp_path)
    with av.open(str(saved.cam_video)) as container:
        assert len(list(container.decode(video=0))) == 8
    exploration.save(tmp_path)
    assert not (tmp_path / "cam.mp4").exists(), "the frames of an earlier look would be taken for this one's"


def test_saving_again_leaves_no_frames_of_an_earlier_clip(tmp_path, exploration):
    exploration.save(tmp_path, save_frames=True)
    (tmp_path / "frames" / "mine.png").write_text("mine")
    (tmp_path / "notes.txt").write_text("mine")
    exploration.save(tmp_path)
    assert [path.name for path in (tmp_path / "frames").iterdir()] == ["mine.png"]
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_the_report_has_what_the_issue_names(exploration):
    report = json.loads(json.dumps(exploration.report(), allow_nan=False))
    height, width = exploration.distilled.shape[:2]
    assert (report["checkpoint"], report["frames"], report["size"]) == ("tiny", 8, [height, width])
    for figure in ("psnr", "psnr_middle_copy", "psnr_mean_copy", "ssim", "ssim_middle_copy", "ssim_mean_copy"):
        assert report[figure] == pytest.approx(getattr(exploration.quality, figure))
        assert len(report["per_frame"][figure]) == 8
    assert report["per_frame"]["psnr_middle_copy"][4] is None
    assert report["realism"].keys() == {
        *("logit", "percentile_among_real", "percentile_among_distilled", "at_the_end", "own_frames")
    }
    assert report["classifier"] == exploration.recognition.classifier
    assert [entry.keys() for entry in report["topk"]] == [{"label", "probability"}] * 5
    assert {"decode", "encode", "restore", "classify", "saliency"} <= report["seconds"].keys()
    assert report["clip"]["name"] == exploration.request.clip.name
    assert str(exploration.request.clip.parent) not in json.dumps(report)


def test_a_saved_image_restores_to_the_very_frames(tmp_path, explorer, exploration, tiny_checkpoint):
    path = exploration.save(tmp_path).distilled
    restoration = explorer.restore(path)  # the checkpoint is loaded, so its fingerprint is found
    assert (restoration.frames == exploration.restored).all()
    assert restoration.fps == pytest.approx(exploration.clip.fps) and restoration.note == ""
    assert restoration.checkpoint == "tiny"


def test_an_unknown_fingerprint_is_told_and_a_known_one_is_not(
    tmp_path, monkeypatch, exploration, tiny_checkpoint, calibrated
):
    # Two bundled checkpoints, one of them the default.
    for name, folder in (("base", calibrated), ("second", tiny_checkpoint)):
        shutil.copytree(folder, tmp_path / "bundled" / name)
    monkeypatch.setattr("avd_core.networks.checkpoint.BUNDLED_FOLDER", tmp_path / "bundled")
    explorer = Explorer(device="cpu")
    assert explorer.checkpoints() == ["base", "second"]
    path = exploration.save(tmp_path / "out").distilled

    # Made by "tiny", which goes by "second" here: the weights decide.
    known = explorer.restore(path)
    assert (known.checkpoint, known.note) == ("second", "") and (known.frames == exploration.restored).all()

    info = dataclasses.replace(exploration.info, fingerprint="0" * 12, checkpoint="second")
    foreign = explorer.restore(save_distilled(tmp_path / "foreign.png", known.image, info))
    assert foreign.checkpoint == "base" and "not here" in foreign.note and "000000000000" in foreign.note
    assert len(foreign.frames) == 12  # as base restores, over the same time
    assert len(foreign.frames) / foreign.fps == pytest.approx(8 / exploration.clip.fps)

    asked = explorer.restore(path, checkpoint="base", fps=30)
    assert asked.checkpoint == "base" and "as asked" in asked.note and asked.fps == 30

    Image.new("RGB", (300, 200), "green").save(tmp_path / "photo.jpg")
    photo = explorer.restore(tmp_path / "photo.jpg")
    assert photo.checkpoint == "base" and "does not say that it was distilled" in photo.note
    assert photo.frames.shape == (12, 200, 296, 3) and photo.fps == 3.0


@pytest.mark.parametrize("name", ["../mine", "owner/name", "mine"])
def test_metadata_opens_no_folder_and_no_address(tmp_path, monkeypatch, exploration, tiny_checkpoint, calibrated, name):
    shutil.copytree(calibrated, tmp_path / "bundled" / "base")
    monkeypatch.setattr("avd_core.networks.checkpoint.BUNDLED_FOLDER", tmp_path / "bundled")
    shutil.copytree(tiny_checkpoint, tmp_path / "here" / "mine")  # what the image was really made by
    (tmp_path / "here" / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "here" / "sub" if name.startswith("..") else tmp_path / "here")
    monkeypatch.setattr("avd_core.networks.checkpoint.download_files", lambda *args: pytest.fail("the Hub was asked"))
    chunks = PngImagePlugin.PngInfo()
    for key, value in (exploration.info.to_text() | {"avd:checkpoint": name}).items():
        chunks.add_text(key, value)
    Image.fromarray(exploration.distilled).save(tmp_path / "image.png", pnginfo=chunks)
    restoration = Explorer(device="cpu").restore(tmp_path / "image.png")
    assert restoration.checkpoint == "base" and restoration.note


def test_requests_that_contradict_themselves_are_refused(tmp_path, explorer, rendered_clip, exploration):
    with pytest.raises(VideoError, match="whole"):
        ExploreRequest(rendered_clip, whole=True, start=1.0)
    with pytest.raises(TypeError, match="window or start"):
        ExploreRequest(rendered_clip, window=Window(), start=1.0)
    path = exploration.save(tmp_path).distilled
    for fps in (0.0, -1.0, float("nan"), 1e6):
        with pytest.raises(RequestError, match="cannot be played"):
            explorer.restore(path, fps=fps)


def test_a_target_class_is_explained_by_name(explorer, exploration):
    label = explorer.models.classifier(CLASSIFIER).model.labels[-1]
    saliency = explorer.saliency(exploration.distilled, CLASSIFIER, target=label)
    assert saliency.label == label and np.isfinite(saliency.map).all()
    with pytest.raises(ValueError, match="no class"):
        explorer.saliency(exploration.distilled, CLASSIFIER, target="no such thing at all")


def test_what_cannot_be_had_is_told_at_once(explorer, tiny_checkpoint):
    with pytest.raises(ValueError, match="no checkpoint"):
        explorer.warm_up("nonesuch")
    with pytest.raises(ValueError, match="no classifier"):
        explorer.warm_up(str(tiny_checkpoint), "nonesuch")


def test_contributions_are_those_of_the_checkpoint(explorer, tiny_checkpoint):
    clip = np.random.default_rng(1).integers(0, 256, (16, 32, 32, 3), dtype=np.uint8)
    frames = clip[: AVD.from_pretrained(tiny_checkpoint).config.frames]
    maps = np.stack(list(explorer.contributions(frames, str(tiny_checkpoint))))
    assert maps.shape == frames.shape[:3] and maps.max() > 0


@pytest.fixture(scope="module")
def restoration(explorer: Explorer, tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory):
    path = tmp_path_factory.mktemp("picture") / "scene.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 72, 3), np.uint8)).save(path)
    return explorer.restore(path, checkpoint=str(tiny_checkpoint))


def test_the_same_decoder_plays_the_changed_image(explorer: Explorer, restoration, tiny_checkpoint: Path):
    assert (explorer.replay(restoration, restoration.image) == restoration.frames).all()
    changed = restoration.image.copy()
    changed[:32] = 0
    again = explorer.replay(restoration, changed)
    assert again.shape == restoration.frames.shape and (again != restoration.frames).any()
    with pytest.raises(RequestError, match="size"):
        explorer.replay(restoration, changed[:-8])


def test_a_decoder_that_is_gone_is_told_and_no_other_stands_in(restoration):
    with pytest.raises(RequestError, match="drop the image in again"):
        Explorer("cpu").replay(restoration, restoration.image)
