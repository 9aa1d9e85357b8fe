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
    cache = plant(lambda frames: frames[0])
    cache.entries = tuple(dataclasses.replace(entry, label="same") for entry in cache.entries)
    with pytest.raises(NotMeasurable, match="two classes"):
        recognition.measure(cache, [scorer], damage="shift")


def test_people_on_both_sides_are_left_out_beside_the_official_figures(shared, scorer):
    shared.contenders, shared.baselines = ("middle",), ("mean", "random")
    report = recognition.measure(shared, [scorer], damage="jpeg-75+shift")
    rows = [row for row in report.rows if (row["representation"], row["through"]) == ("random", "png")]
    alone = [row["label"] == row["said"] for row in rows if row["clip"].split("/p")[1][0] == "5"]
    assert len(rows) == 8 and len(alone) == 4
    found = report.summary["unseen"]
    assert found["clips"] == 4 and found["figures"]["random features"]["random"]["mean"] == np.mean(alone)
    assert "The 4 clips of people or source videos that stand on no other side" in report.text
