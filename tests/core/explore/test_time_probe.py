"""The orders are what they say, planted encoders are seen through, and the files say what was measured."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from avd_core.analysis.metrics import PSNR_CAP, psnr
from avd_core.cli.main import main
from avd_core.explore.explorer import Explorer, RequestError
from avd_core.explore.parts import Recognition
from avd_core.explore.time_probe import VARIANTS, Play, TimeProbe, probe_time, time_plays
from avd_core.media.distilled_png import read_distilled
from avd_core.media.video import Clip, VideoInfo, read_clip

NOBODY = Recognition("nobody", None, ())


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    """Eight very different frames."""
    return np.random.default_rng(0).integers(0, 256, (8, 16, 24, 3), dtype=np.uint8)


def probed(frames: np.ndarray, distill, restore, seed: int = 0) -> TimeProbe:
    """The whole probe of a planted encoder and decoder."""
    source = VideoInfo(Path("planted.mp4"), "mp4", "h264", 24, 16, 8.0, 1.0, 0, False, 8, ())
    clip = Clip(frames, np.arange(8) / 8, 8.0, 0.0, 1.0, source)
    return TimeProbe(clip, "planted", "0" * 12, seed, tuple(time_plays(frames, distill, restore, nobody, seed)))


def nobody(image: np.ndarray) -> Recognition:
    return NOBODY


def of(probe: TimeProbe) -> dict[str, Play]:
    return {play.variant: play for play in probe.plays}


def test_orders_are_what_they_say():
    order = {name: variant.order(16, 0).tolist() for name, variant in VARIANTS.items()}
    assert order["forward"] == [*range(16)] and order["reversed"] == [*range(15, -1, -1)]
    assert sorted(order["shuffled"]) == [*range(16)] and order["shuffled"] not in (order["forward"], order["reversed"])
    assert order["frozen"] == [8] * 16
    assert order["faster"] == [0, 2, 4, 6, 8, 10, 12, 14] * 2
    assert order["slower"] == [4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11]
    shuffled = VARIANTS["shuffled"].order
    assert shuffled(16, 3).tolist() == shuffled(16, 3).tolist() != shuffled(16, 4).tolist()


def test_a_pair_that_keeps_everything_tells_the_direction(frames: np.ndarray):
    kept: list[np.ndarray] = []

    def distill(clip: np.ndarray) -> np.ndarray:
        kept.append(clip)
        return clip[0]

    probe = probed(frames, distill, lambda image: kept[-1])
    plays = of(probe)
    assert probe.complete and all(play.psnr_own == PSNR_CAP == play.psnr_rearranged for play in probe.plays)
    assert plays["forward"].image_psnr == PSNR_CAP and plays["forward"].image_difference == 0
    backwards = plays["reversed"]
    assert backwards.psnr_forward == backwards.psnr_backwards == psnr(frames, frames[::-1])
    assert backwards.image_difference == pytest.approx(np.abs(frames[-1].astype(float) - frames[0]).mean())
    assert probe.sentence.startswith("Yes, ") and f"{PSNR_CAP - backwards.psnr_forward:.1f} dB better" in probe.sentence


def test_a_pair_that_is_blind_to_order_does_not_tell_it(frames: np.ndarray):
    def mean(clip: np.ndarray) -> np.ndarray:
        return np.rint(clip.mean(axis=0)).astype(np.uint8)

    probe = probed(frames, mean, lambda image: np.repeat(image[None], 8, axis=0))
    plays = of(probe)
    assert plays["reversed"].image_difference == plays["shuffled"].image_difference == 0
    assert plays["reversed"].psnr_own == plays["reversed"].psnr_backwards == plays["reversed"].psnr_still
    assert probe.sentence.startswith("Hardly: ") and "0.0 dB better" in probe.sentence


def test_a_decoder_that_always_plays_backwards_does_not_tell_it(frames: np.ndarray):
    probe = probed(frames, lambda clip: clip[0], lambda image: frames[::-1])
    assert probe.sentence.startswith("No, ") and "worse" in probe.sentence


def test_a_clip_without_direction_is_told(frames: np.ndarray):
    still = np.repeat(frames[:1], 8, axis=0)
    assert "no direction" in probed(still, lambda clip: clip[0], lambda image: still).sentence
    assert replace(probed(still, lambda clip: clip[0], lambda image: still), plays=()).sentence == ""


@pytest.fixture(scope="module")
def explorer() -> Explorer:
    return Explorer("cpu")


def test_explorer_probes_step_by_step(explorer: Explorer, rendered_clip: Path, tiny_checkpoint: Path):
    clip = read_clip(rendered_clip, frames=8, size=64)
    steps = list(probe_time(explorer, clip, str(tiny_checkpoint), "action"))
    assert [len(step.plays) for step in steps] == [1, 2, 3, 4, 5, 6] and steps[-1].complete
    forward = steps[-1].plays[0]
    assert forward.recognition.topk and forward.restored.shape == clip.frames.shape
    assert forward.psnr_own == psnr(clip.frames, forward.restored) == forward.psnr_rearranged
    with pytest.raises(RequestError, match="takes 8 frames"):
        next(probe_time(explorer, replace(clip, frames=clip.frames[:4]), str(tiny_checkpoint)))


def test_the_command_writes_what_it_prints(rendered_clip: Path, tiny_checkpoint: Path, tmp_path: Path, capsys):
    words = ["probe", str(rendered_clip), "--out", str(tmp_path / "out"), "--checkpoint", str(tiny_checkpoint)]
    assert main([*words, "--classifier", "action", "--seed", "3"]) == 0
    printed = capsys.readouterr().out
    report = json.loads((tmp_path / "out" / "probe.json").read_text())
    assert report["seed"] == 3 and report["clip"] == rendered_clip.name and report["sentence"] in printed
    assert list(report["variants"]) == list(VARIANTS)
    assert len(list((tmp_path / "out").iterdir())) == 2 * len(VARIANTS) + 1
    images = {name: read_distilled(tmp_path / "out" / f"{name}.png") for name in VARIANTS}
    for name, figures in report["variants"].items():
        image, info = images[name]
        assert info is not None and info.fingerprint == report["fingerprint"]
        difference = np.abs(image.astype(float) - images["forward"][0]).mean()
        assert figures["image_difference"] == pytest.approx(difference)
        assert f"{figures['psnr_own']:.2f}" in printed and (tmp_path / "out" / f"{name}.mp4").stat().st_size > 500


@pytest.mark.parametrize(("words", "sentence"), [(["--seed", "-1"], "--seed"), (["--whole", "--start", "1"], "whole")])
def test_what_makes_no_sense_is_one_line(rendered_clip: Path, tmp_path: Path, words: list[str], sentence: str, capsys):
    assert main(["probe", str(rendered_clip), "--out", str(tmp_path / "out"), *words]) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1 and sentence in error and not (tmp_path / "out").exists()
