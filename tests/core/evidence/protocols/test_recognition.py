"""Recognition: a class that is in the picture is read off it, on people the probe has never seen."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from avd_core.evidence.protocols import recognition
from avd_core.evidence.report import NotMeasurable


def test_what_is_in_the_picture_is_recognised(plant, scorer):
    grey = lambda frames: frames.mean(axis=(0, 3), keepdims=True)[0].repeat(3, -1).astype(np.uint8)  # noqa: E731
    report = recognition.measure(plant(grey), [scorer], damage="jpeg-75+shift")
    figures = {name: one["mean"] for name, one in report.summary["figures"]["random features"].items()}
    assert figures["middle"] == figures["mean"] == figures["ordered frames"] == 1  # red or blue: a matter of colour
    assert figures["planted"] < 1 and figures["random"] < 1
    assert report.summary["figures"]["random features, jpeg-75+shift"]["mean"]["mean"] == 1
    assert report.summary["chance"] == 0.5
    people = {row["clip"].split("/p")[1][0] for row in report.rows}
    assert people == {"4", "5"}
    right = [row["label"] == row["said"] for row in report.rows if row["representation"] == "planted"][:8]
    assert np.mean(right) == figures["planted"]


def test_one_class_allows_no_recognition(plant, scorer):
    gallery = plant(lambda frames: frames[0])
    gallery.entries = tuple(dataclasses.replace(entry, label="same") for entry in gallery.entries)
    with pytest.raises(NotMeasurable, match="two classes"):
        recognition.measure(gallery, [scorer], damage="shift")
