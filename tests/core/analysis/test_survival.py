"""Damages of any strength, and the curves of what survives them, on a planted decoder and on a real one."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from avd_core.analysis.degradations import DamageError, Degradation, blur, noise, through_jpeg
from avd_core.analysis.metrics import PSNR_CAP, psnr
from avd_core.analysis.survival import SWEEPS, curves, survival
from avd_core.explore.explorer import Explorer, RequestError


def scene(height: int = 64, width: int = 72) -> np.ndarray:
    blocks = np.random.default_rng(0).integers(40, 216, (height // 8, width // 8, 3), dtype=np.uint8)
    return blocks.repeat(8, 0).repeat(8, 1)


def repeated(image: np.ndarray) -> np.ndarray:
    """A decoder whose clip is known: four copies, each a little darker."""
    return np.stack([image - 10 * t for t in range(4)])


def test_wear_is_blur_then_noise_then_jpeg():
    image = scene()
    assert (Degradation()(image) == image).all()
    assert (Degradation(blur=1.5)(image) == blur(image, 1.5)).all()
    assert (Degradation(blur=1.5, noise=6, jpeg=70)(image) == through_jpeg(noise(blur(image, 1.5), 6), 70)).all()


@pytest.mark.parametrize(
    "strengths",
    [{"blur": -1}, {"blur": math.nan}, {"blur": 99}, {"noise": 1e9}, {"jpeg": 0}, {"jpeg": 101}, {"jpeg": 50.5}],
)
def test_a_strength_that_there_is_not_is_told_in_a_sentence(strengths: dict):
    with pytest.raises(DamageError, match="There is no"):
        Degradation(**strengths)


def test_what_survived_is_psnr_against_both():
    image = scene()
    undamaged, original = repeated(image), repeated(image)[::-1]
    same = survival(Degradation(), undamaged, undamaged)
    assert same.psnr_undamaged == PSNR_CAP and same.psnr_original is None
    off = survival(Degradation(noise=5), undamaged + np.uint8(3), undamaged, original)
    assert off.psnr_undamaged == pytest.approx(20 * math.log10(255 / 3))
    assert off.psnr_original == psnr(original, undamaged + np.uint8(3))


def test_every_curve_holds_every_strength_and_all_grow_together():
    image = scene()
    points = list(curves(image, repeated(image), repeated, repeated(image)))
    assert [kind for kind, *_ in points[:3]] == list(SWEEPS)
    for kind, strengths in SWEEPS.items():
        line = [(strength, survived) for name, strength, survived in points if name == kind]
        assert tuple(strength for strength, _ in line) == strengths
        assert all(getattr(survived.wear, kind) == strength for strength, survived in line)
        fall = [survived.psnr_undamaged for _, survived in line]
        assert fall == sorted(fall, reverse=True) and fall[0] > fall[-1] + 3, kind  # the stronger, the worse
        # This decoder's undamaged clip is the clip itself.
        assert fall == [survived.psnr_original for _, survived in line]


@pytest.fixture(scope="module")
def explorer() -> Explorer:
    return Explorer("cpu")


@pytest.fixture(scope="module")
def restoration(explorer: Explorer, tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory):
    path = tmp_path_factory.mktemp("picture") / "scene.png"
    Image.fromarray(scene()).save(path)
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
