"""Limits from the environment: what is set holds, what makes no sense stops the server."""

from __future__ import annotations

import dataclasses

import pytest

from avd_core.runs.limits import LimitError, TuneLimits, variable


def test_what_is_set_holds_and_the_rest_is_by_default():
    limits = TuneLimits.from_environment({"AVD_TUNE_CLIPS": " 12 ", "AVD_TUNE": "0", "AVD_TUNE_DISK": ""})
    assert (limits.clips, limits.on) == (12, 0)
    assert dataclasses.replace(limits, clips=TuneLimits().clips, on=1) == TuneLimits()


@pytest.mark.parametrize("value", ["many", "-3", "1.5", "0"])
def test_a_limit_that_makes_no_sense_is_refused(value):
    with pytest.raises(LimitError, match="AVD_TUNE_RUNS"):
        TuneLimits.from_environment({"AVD_TUNE_RUNS": value})


def test_every_limit_has_a_variable_of_its_own():
    names = [variable(field.name) for field in dataclasses.fields(TuneLimits)]
    assert len(set(names)) == len(names) and names[0] == "AVD_TUNE"
