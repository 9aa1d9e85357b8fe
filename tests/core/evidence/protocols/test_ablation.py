"""Ablations: seeds together, mean and range."""

from __future__ import annotations

import pytest

from avd_core.evidence.protocols.ablation import ablation, ablation_table, variants
from avd_core.evidence.published import published, read_report


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
    means = {"a-seed0": 0.5, "a-seed1": 0.7, "b": 0.2, "c-seed0": 0.1, "c-seed1": 0.1, "middle": 0.9}
    figures = {name: {"mean": mean} for name, mean in means.items()}
    protocols = {
        "recognition": {"figures": {"eye": figures}, "scale": 100, "unit": "%"},
        "realism": {"not_measured": "x"},
    }
    found = ablation([name for name in means if name != "middle"], protocols)
    a, b, _ = found["rows"]
    assert (a["variant"], a["seeds"]) == ("a", 2)
    assert [a["mean"], a["low"], a["high"]] == pytest.approx([60, 50, 70]) and b["mean"] == pytest.approx(20)
    lines = ablation_table(found).splitlines()
    assert lines[1].split() == ["a", "(2", "seeds)", "60.0", "[50.0,", "70.0]"] and lines[2].split() == ["b", "20.0"]


@pytest.mark.parametrize(
    "names",
    [["a"], ["base", "exposure"], ["a-seed0", "b-seed0"], ["a-seed0", "a-seed1"], ["a-seed0", "a-seed1", "base"]],
)
def test_without_two_variants_of_several_seeds_there_is_no_ablation(names):
    protocols = {"recognition": {"figures": {"eye": {name: {"mean": 0.5} for name in names}}}}
    assert ablation(names, protocols) is None


def test_of_the_bundled_reports_one_is_an_ablation_and_says_so():
    """What each report holds is what this code makes of its figures."""
    held = {name: read_report(path) for name, path in published().items()}
    made = {name: ablation(list(one["checkpoints"]), one["protocols"]) for name, one in held.items()}
    assert [name for name, table in made.items() if table] == ["losses-left-out"]
    assert {name: one["ablation"] for name, one in held.items()} == made
