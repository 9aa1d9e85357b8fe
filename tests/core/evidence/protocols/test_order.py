"""Order: found in an image that encodes it, not found where it is not."""

from __future__ import annotations

import dataclasses

import numpy as np

from avd_core.evidence.protocols import order


def figures(report, column: str = "random features") -> dict[str, float]:
    return {name: one["mean"] for name, one in report.summary["figures"][column].items()}


def test_order_is_found_in_an_image_that_encodes_it(plant, scorer):
    report = order.measure(plant(lambda frames: frames[-1]), [scorer], damage="shift")
    told = figures(report)
    assert told["planted"] == 1 and told["ordered frames"] == 1
    assert told["middle"] == told["mean"] == 0.5  # exactly: nothing in them turns round
    assert figures(report, "random features, shift")["planted"] == 1
    beaten = {d["against"]: d["verdict"] for d in report.summary["differences"] if "," not in d["measured"]}
    assert beaten["middle"] == beaten["mean"] == "beats"
    assert {row["representation"] for row in report.rows} == {"planted", "ordered frames", "middle", "mean", "random"}


def test_order_is_not_found_where_it_is_not(plant, scorer):
    told = figures(order.measure(plant(lambda frames: np.sort(frames, axis=0)[-1]), [scorer], damage="shift"))
    assert told["planted"] == 0.5


def test_without_clips_to_fit_on_other_groups_serve(plant, scorer):
    cache = plant(lambda frames: frames[-1])
    cache.baselines = ("middle",)
    cache.entries = tuple(dataclasses.replace(entry, part="test") for entry in cache.entries[:12])
    report = order.measure(cache, [scorer], damage="shift")
    assert figures(report)["planted"] == 1 and len(report.rows) == 12 * 3 * 2
