"""Intervals against the textbook, and verdicts that planted cases confirm."""

from __future__ import annotations

import numpy as np
import pytest

from avd_core.analysis.intervals import (
    bootstrap,
    listed,
    resolution,
    scoreboard,
    scoreboard_table,
    sentences,
    verdict,
)


def test_the_interval_agrees_with_the_textbook():
    values = np.random.default_rng(0).normal(3, 2, 400)
    interval = bootstrap(values)
    half = 1.96 * values.std() / 20
    assert interval.mean == pytest.approx(values.mean()) and (interval.over, interval.units) == ("clips", 400)
    assert interval.low == pytest.approx(values.mean() - half, abs=0.02)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.02)
    assert bootstrap(values) == interval and bootstrap(values, seed=1) != interval


def test_clips_of_one_group_are_no_independent_witnesses():
    rng = np.random.default_rng(0)
    people = [str(i // 20) for i in range(160)]
    values = rng.normal(size=8).repeat(20) + rng.normal(0, 0.01, 160)
    by_group, by_clip = bootstrap(values, people), bootstrap(values)
    assert (by_group.over, by_group.units) == ("groups", 8)
    assert by_group.high - by_group.low > 3 * (by_clip.high - by_clip.low)
    assert bootstrap(values, [str(i // 40) for i in range(160)]).over == "clips"  # four groups allow no resampling


def test_groups_of_unequal_size_keep_the_mean_over_clips():
    values, groups = np.array([0.0] * 9 + [10.0] * 5), list("aaaaaaaaa") + list("bcdef")
    interval = bootstrap(values, groups)
    assert interval.mean == pytest.approx(50 / 14) and interval.low <= interval.mean <= interval.high


def test_verdict_words():
    assert verdict(bootstrap(np.ones(5))) == "beats"
    assert verdict(bootstrap(-np.ones(5))) == "loses to"
    assert verdict(bootstrap(np.zeros(5))) == "cannot be told from"


def planted_board(lower_is_better: bool = False) -> dict:
    rng = np.random.default_rng(0)
    base = rng.normal(0, 1, 100)
    columns = {
        column: {"ours": base, "worse": base - 0.5 + noise, "same": base + noise - noise.mean(), "better": base + 1}
        for column, noise in (("one", rng.normal(0, 0.5, 100)), ("two", rng.normal(0, 0.5, 100)))
    }
    return scoreboard(columns, ["ours"], lower_is_better=lower_is_better)


def test_a_scoreboard_says_who_wins_in_every_column():
    verdicts = {(d["measured"], d["against"]): d["verdict"] for d in planted_board()["differences"]}
    words = {"worse": "beats", "same": "cannot be told from", "better": "loses to"}
    assert verdicts == {(column, name): word for column in ("one", "two") for name, word in words.items()}


def test_where_less_is_better_the_verdict_turns_and_the_figure_does_not():
    up, down = planted_board(), planted_board(lower_is_better=True)
    verdicts = {d["against"]: d["verdict"] for d in down["differences"]}
    assert verdicts == {"worse": "loses to", "same": "cannot be told from", "better": "beats"}
    assert [d["corrected"] for d in up["differences"]] == [d["corrected"] for d in down["differences"]]


def test_too_few_groups_to_resample_are_told_one_by_one():
    values = {"ours": np.array([1.0, 0, 1, 1]), "theirs": np.array([0.0, 0, 0, 1])}
    board = scoreboard({"x": values}, ["ours"], ["b", "a", "a", "b"])
    assert board["figures"]["x"]["ours"]["over"] == "clips"
    assert board["groups"]["a"] == {"clips": 2, "figures": {"x": {"ours": 0.5, "theirs": 0.0}}}
    table = [line.split() for line in scoreboard_table(board).split("\n\n")[-1].splitlines()]
    assert table[1:] == [["ours", "50.0", "100.0"], ["theirs", "0.0", "50.0"]]
    many = scoreboard({"x": {"ours": np.arange(6.0)}}, ["ours"], list("abcdef"))
    assert many["figures"]["x"]["ours"]["over"] == "groups" and "by group" not in scoreboard_table(many)


def test_two_contenders_are_compared_once_and_every_comparison_counts():
    values = {name: np.arange(10.0) for name in "abcd"}
    board = scoreboard({"x": values}, ["a", "b"])
    assert board["comparisons"] == len(board["differences"]) == 3 + 2
    assert board["corrected_level"] == pytest.approx(1 - 0.05 / 5)


def test_the_scoreboards_table_is_aligned_and_names_every_verdict():
    text = scoreboard_table(planted_board())
    lines = text.split("\n\n")[0].splitlines()
    assert [line.split()[0] for line in lines] == ["one", "ours", "worse", "same", "better"]
    assert len({len(line) for line in lines}) == 1
    assert "  one: ours beats worse (" in text and "; loses to better (-100.0)." in text


def test_of_twenty_that_differ_by_chance_alone_none_is_called_better_or_worse():
    """Uncorrected, some of them would be: that is what the correction is for."""
    rng = np.random.default_rng(2)
    base = rng.normal(size=60)
    rows = {"ours": base, **{f"same {n}": base + rng.normal(0, 0.3, 60) for n in range(20)}}
    board = scoreboard({"x": rows}, ["ours"])
    assert board["comparisons"] == 20
    assert {one["verdict"] for one in board["differences"]} == {"cannot be told from"}
    fooled = [one for one in board["differences"] if one["interval"]["low"] > 0 or one["interval"]["high"] < 0]
    assert fooled, "without the correction a difference by chance would pass for a verdict"


def test_a_sentence_names_each_verdict_with_the_interval_it_follows_from():
    board = planted_board() | {"scale": 100, "digits": 1}
    one, two = sentences(board)
    assert one.startswith("one: ours beats worse (+") and "; cannot be told from same (" in one
    assert one.endswith("; loses to better (-100.0 [-100.0, -100.0]).") and two.startswith("two: ours ")
    judged = next(d["corrected"] for d in board["differences"] if d["against"] == "worse")
    assert f"[{100 * judged['low']:+.1f}, {100 * judged['high']:+.1f}]" in one
    assert [listed(list("abc")[:n]) for n in (1, 2, 3)] == ["a", "a and b", "a, b and c"]


def test_the_clips_of_unseen_groups_stand_beside_all_of_them():
    values = {"ours": np.array([1.0, 1, 1, 0, 1, 0, 0, 1]), "theirs": np.zeros(8)}
    unseen = np.array([True] * 6 + [False] * 2)
    board = scoreboard({"x": values}, ["ours"], list("abcdefgg"), unseen=unseen)
    alone = scoreboard({"x": {name: one[:6] for name, one in values.items()}}, ["ours"], list("abcdef"))
    assert board["unseen"] == {"clips": 6, "figures": alone["figures"]}
    assert board["figures"]["x"]["ours"]["mean"] == pytest.approx(5 / 8)
    said, _, table = scoreboard_table(board).partition("The 6 clips of people or source videos")
    assert "62.5 [" in said and "66.7 [" in table
    assert "unseen" not in alone and "fitted on" not in scoreboard_table(alone)


def test_the_smallest_difference_that_could_have_been_shown_is_half_the_corrected_interval():
    board = planted_board()
    (worse,) = [d for d in board["differences"] if (d["measured"], d["against"]) == ("one", "worse")]
    half = (worse["corrected"]["high"] - worse["corrected"]["low"]) / 2
    told = resolution(board, scale=1, digits=3)
    assert f"{half:.3f}" in told and "0.000" in told, "to a constant difference the board is exact"
    assert told in scoreboard_table(board, scale=1, digits=3)
    # A difference of that size is just told from nothing, a smaller one is not.
    noise = np.random.default_rng(1).normal(0, 0.5, 100)
    for factor, words in ((1.2, "beats"), (0.8, "cannot be told from")):
        shifted = noise - noise.mean()
        probed = scoreboard({"x": {"ours": shifted, "theirs": np.zeros(100)}}, ["ours"])
        smallest = np.diff([probed["differences"][0]["corrected"][end] for end in ("low", "high")])[0] / 2
        moved = scoreboard({"x": {"ours": shifted + factor * smallest, "theirs": np.zeros(100)}}, ["ours"])
        assert moved["differences"][0]["verdict"] == words
