"""The linear probe: it reads what is there, chooses without the report, and keeps every group on one side."""

from __future__ import annotations

import numpy as np
import pytest

from avd_core.evidence.protocols.linear_probe import STRENGTHS, Probe, Samples, folds, group_folds
from avd_core.evidence.report import NotMeasurable


def samples(people: range, signal: float, dims: int = 30, each: int = 10) -> Samples:
    """Two classes a `signal` apart in the first feature; every person has an offset of their own."""
    rng = np.random.default_rng(people.start)
    groups = np.repeat([str(person) for person in people], each)
    labels = np.tile([0, 1], len(groups) // 2)
    offsets = {str(p): np.random.default_rng(1000 + p).normal(0, 2, dims) for p in people}
    features = rng.normal(size=(len(groups), dims)) + [offsets[g] for g in groups]
    features[:, 0] = rng.normal(size=len(groups)) + signal * labels
    return Samples(features, labels, groups)


def test_it_reads_what_is_there_and_nothing_else():
    unseen = samples(range(50, 70), 6)
    probe = Probe(samples(range(8), 6), samples(range(8, 12), 6))
    assert (probe.predict(unseen.features) == unseen.labels).mean() > 0.95
    nothing = samples(range(50, 70), 0)
    blind = Probe(samples(range(8), 0), samples(range(8, 12), 0))
    assert abs((blind.predict(nothing.features) == nothing.labels).mean() - 0.5) < 0.12


def test_the_strength_is_chosen_on_people_that_were_not_fitted_on():
    rng = np.random.default_rng(0)
    groups = np.repeat([str(g) for g in range(6)], 10)
    labels = np.tile([0, 1], 30)
    features = rng.normal(size=(60, 200)) + 0.5 * labels[:, None] * (np.arange(200) < 6)
    chosen = Probe(Samples(features, labels, groups)).strength
    assert chosen in STRENGTHS and chosen < max(STRENGTHS)  # noise in most directions wants a firm hand


def test_no_group_is_on_two_sides():
    groups = [str(n % 7) for n in range(40)]
    seen = []
    for kept, held_out in group_folds(groups):
        assert not {groups[i] for i in kept} & {groups[i] for i in held_out}
        seen += held_out.tolist()
    assert sorted(seen) == list(range(40)) and len(group_folds(groups)) == 5 and len(group_folds(list("ab"))) == 2


def test_with_a_split_the_report_is_fitted_on_by_nobody(cache):
    (fold,) = folds(cache)
    parts = [{cache.entries[i].part for i in members} for members in (fold.fit, fold.choose, fold.report)]
    assert parts == [{"train"}, {"choose"}, {"test"}]
    cache.reported = "choose"
    (fold,) = folds(cache)
    assert {cache.entries[i].part for i in fold.fit} == {"train"} and not len(fold.choose)
    assert {cache.entries[i].part for i in fold.report} == {"choose"}


def test_without_one_it_is_a_cross_validation_by_group(cache):
    cache.reported = "train"
    with pytest.raises(NotMeasurable, match="fewer than three groups"):
        folds(cache)
