"""A checkpoint has the interface of the still representations, and its image plays."""

from __future__ import annotations

import numpy as np

from avd_core.networks.avd import AVD
from avd_core.networks.inference import distiller, restore


def test_a_clip_becomes_one_image_and_the_image_a_clip(tiny_checkpoint):
    model = AVD.from_pretrained(tiny_checkpoint)
    clip = np.random.default_rng(0).integers(0, 256, (model.config.frames, 64, 72, 3), dtype=np.uint8)
    image = distiller(model)(clip)
    assert image.shape == (64, 72, 3) and image.dtype == np.uint8
    frames = restore(model, image)
    assert frames.shape == clip.shape and frames.dtype == np.uint8
    assert (distiller(model)(clip) == image).all() and (restore(model, image) == frames).all()
