"""Ablations: seeds together, mean and range."""

from __future__ import annotations

import pytest

from avd_core.evidence.protocols.ablation import ablation, ablation_table, variants


def test_checkpoints_that_differ_by_their_seed_are_one_variant():
    names = ["full-seed0", "full-seed1", "no-adversary_s2", "no-adversary_s10", "base", "class5"]
    assert variants(names) == {
        "full": ["full-seed0", "full-seed1"],
        "no-adversary": ["no-adversary_s2", "no-adversary_s10"],
        "base": ["base"],
        "class5": ["class5"],
    }
    assert variants(["seed0"]) == {"seed0": ["seed0"]}


def test_of_several_seeds_the_mean_stands_with_their_range():
    figures = {name: {"mean": mean} for name, mean in (("a-seed0", 0.5), ("a-seed1", 0.7), ("b", 0.2), ("middle", 0.9))}
    protocols = {
        "recognition": {"figures": {"eye": figures}, "scale": 100, "unit": "%"},
        "realism": {"not_measured": "x"},
    }
    found = ablation(["a-seed0", "a-seed1", "b"], protocols)
    a, b = found["rows"]
    assert (a["variant"], a["seeds"]) == ("a", 2)
    assert [a["mean"], a["low"], a["high"]] == pytest.approx([60, 50, 70]) and b["mean"] == pytest.approx(20)
    lines = ablation_table(found).splitlines()
    assert lines[1].split() == ["a", "(2", "seeds)", "60.0", "[50.0,", "70.0]"] and lines[2].split() == ["b", "20.0"]
    assert ablation(["a"], protocols) is None
