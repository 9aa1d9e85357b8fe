"""Links and remembered settings: what is read, what is refused, what is never said."""

from __future__ import annotations

from urllib.parse import parse_qsl

import pytest

from app.services.deep_links import Choices, DeepLink, resolve
from avd_core.media.window import Window

OFFER = Choices(("wave", "cradle"), ("base", "paper"), ("explore", "compare"), ("net", "action"), ("gradcam", "slow"))


def test_visitor_who_asks_for_nothing_gets_the_first_of_all():
    link = resolve({}, {}, OFFER)
    assert link == DeepLink("wave", "base", tab="explore", classifier="net", method="gradcam")
    assert link.query(OFFER) == ""


@pytest.mark.parametrize(
    "query",
    [
        {"example": "cradle"},
        {"example": "wave", "start": "0.5", "seconds": "1.25"},
        {"example": "cradle", "start": "0.5"},
        {"example": "cradle", "whole": "1", "checkpoint": "paper"},
        {"checkpoint": "paper"},
    ],
)
def test_link_is_read_as_it_was_written(query: dict[str, str]):
    link = resolve(query | {"tab": "compare", "__theme": "dark"}, {}, OFFER)
    assert link.problems == () and link.tab == "compare"
    assert dict(parse_qsl(link.query(OFFER))) == query


def test_link_to_a_clip_of_ones_own_says_nothing_of_it():
    own = DeepLink(None, "paper", Window(1.0, 2.0))
    assert own.query(OFFER) == "checkpoint=paper"


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"example": "<script>"}, "The link asks for the example “<script>”, which is not here."),
        ({"checkpoint": "../../etc"}, "The link asks for the checkpoint “../../etc”, which is not here."),
        ({"checkpoint": "owner/name"}, "The link asks for the checkpoint “owner/name”, which is not here."),
        ({"tab": ""}, "The link asks for the tab “”, which is not here."),
        ({"tab": "x" * 5000}, "The link asks for the tab “" + "x" * 59 + "…”, which is not here."),
        *(
            (window, "The link asks for a part of the clip that cannot be.")
            for window in (
                {"start": "-1"}, {"start": "nan"}, {"seconds": "inf"}, {"seconds": "0"}, {"start": "soon"},
                {"whole": "1", "start": "1"},
            )
        ),
    ],
)  # fmt: skip
def test_what_a_link_asks_in_vain_is_one_sentence(query: dict[str, str], sentence: str):
    link = resolve(query, {}, OFFER)
    assert link.problems == (sentence,)
    assert link == DeepLink("wave", "base", Window(), "explore", "net", "gradcam", (sentence,))


@pytest.mark.parametrize(
    "remembered",
    [None, "text", 7, [], {"checkpoint": "gone"}, {"classifier": ["net"]}, {"method": {"a": 1}}, {"checkpoint": None}],
)
def test_outdated_or_hostile_settings_are_passed_over(remembered: object):
    assert resolve({}, remembered, OFFER) == resolve({}, {}, OFFER)


def test_settings_are_restored_and_a_link_goes_first():
    remembered = {"checkpoint": "paper", "classifier": "action", "method": "slow"}
    link = resolve({}, remembered, OFFER)
    assert (link.checkpoint, link.classifier, link.method) == ("paper", "action", "slow")
    assert resolve({"checkpoint": "base"}, remembered, OFFER).checkpoint == "base"
