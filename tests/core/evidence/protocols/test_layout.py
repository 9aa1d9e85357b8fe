"""Layout: boxes and masks by hand, torchvision's own networks behind our interface, and not run without them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from avd_core.evidence.protocols import layout
from avd_core.evidence.protocols.layout import LayoutNetworks, boxes_f1, same_mask
from avd_core.evidence.report import NotMeasurable


def test_boxes_by_hand():
    one, other = [1, 0, 0, 10, 10], [1, 0, 0, 10, 6]  # an overlap of 0.6
    far, cat = [1, 50, 50, 60, 60], [2, 0, 0, 10, 10]
    f1 = lambda a, b: boxes_f1(np.array(a, float).reshape(-1, 5), np.array(b, float).reshape(-1, 5))  # noqa: E731
    assert f1([one], [one]) == f1([one], [other]) == 1
    assert f1([one], [cat]) == f1([one], [far]) == f1([one], []) == 0
    assert f1([one, far], [other]) == pytest.approx(2 / 3)
    assert f1([one], [one, other]) == pytest.approx(2 / 3), "each is matched once"
    assert np.isnan(f1([], [one]))


def test_masks_by_hand():
    reference = np.array([[0, 1], [1, 2]])
    assert same_mask(reference, reference) == 1
    assert same_mask(reference, np.array([[3, 1], [0, 2]])) == 0.5
    assert np.isnan(same_mask(np.zeros((2, 2)), reference))


class Bright(torch.nn.Module):
    """As torchvision's detectors answer: a box around what is bright, of class 1."""

    def forward(self, images):
        found = []
        for image in images:
            rows, columns = torch.nonzero(image.mean(dim=0) > 0.5, as_tuple=True)
            if len(rows):
                box = torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]).float()[None]
            else:
                box = torch.zeros(0, 4)
            count = len(box)
            found.append({"boxes": box, "labels": torch.ones(count, dtype=torch.int64), "scores": torch.ones(count)})
        return found


class BrightMask(torch.nn.Module):
    """As torchvision's segmenters answer: class 1 where it is bright."""

    def forward(self, image):
        bright = (image.mean(dim=1, keepdim=True) > 0.2).float()
        return {"out": torch.cat([1 - bright, bright], dim=1)}


def test_a_copy_keeps_the_layout_and_a_mirrored_one_does_not(plant):
    cache = plant(lambda frames: frames[len(frames) // 2][:, ::-1])
    for number, entry in enumerate(cache.entries):
        frames = entry.frames[cache.sampling]
        frames[:] = 20
        frames[:, 8:20, 4 : 20 + number % 5] = 250
    cache.baselines = ("middle", "mean", "random")
    report = layout.measure(cache, networks=LayoutNetworks(Bright(), BrightMask()))
    assert list(report.summary["figures"]) == ["boxes, F1", "mask, same class"]
    for rows in report.summary["figures"].values():
        assert rows["middle"]["mean"] == rows["adjacent"]["mean"] == rows["mean"]["mean"] == 1
        assert rows["planted"]["mean"] == 0 and rows["random"]["mean"] < 1
    against = {d["against"]: d["verdict"] for d in report.summary["differences"] if d["measured"] == "boxes, F1"}
    assert against["middle"] == "loses to"
    assert report.summary["comparisons"] == len(report.summary["differences"]) == 2 * 4


def test_torchvisions_own_networks_answer_as_expected():
    from torchvision import models

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        networks = [
            models.get_model(name, weights=None, weights_backbone=None).eval()
            for name in (layout.DETECTOR, layout.SEGMENTER)
        ]
    found = LayoutNetworks(*networks).detect(np.random.default_rng(0).integers(0, 256, (64, 88, 3), dtype=np.uint8))
    assert found["boxes"].ndim == 2 and found["boxes"].shape[1] == 5 and found["mask"].shape == (64, 88)


def test_without_their_weights_it_is_not_run(cache):
    assert layout.requirements(cache, networks="the download failed") == []
    with pytest.raises(NotMeasurable, match=r"cannot be had \(the download failed\)"):
        layout.measure(cache, networks="the download failed")
