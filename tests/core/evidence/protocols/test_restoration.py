"""Restoration's table: planted cases, the correction, the sentences."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from avd_core.analysis.intervals import bootstrap, verdict
from avd_core.evidence.feature_cache import FeatureCache
from avd_core.evidence.protocols.restoration import Row, measure, summarise, table


def row(name: str, difference: float, group: str | None = None, noise: float = 0.0) -> Row:
    return Row(name, group, "planted", 64, 64, 25 + difference, 25 + noise, 25, 0.8 + difference / 100, 0.8, 0.8)


def planted(differences, groups=None) -> dict:
    groups = groups if groups is not None else [None] * len(differences)
    rows = [row(str(i), d, g) for i, (d, g) in enumerate(zip(differences, groups, strict=True))]
    return summarise(rows)["checkpoints"]["planted"]["differences"][0]


def test_planted_verdicts():
    rng = np.random.default_rng(0)
    assert planted(rng.normal(0.5, 1, 100))["verdict"] == "beats"
    assert planted(rng.normal(-0.5, 1, 100))["verdict"] == "loses to"
    assert planted(rng.normal(0, 1, 100))["verdict"] == "cannot be told from"
    assert "too few clips" in planted(rng.normal(5, 0.1, 4))["verdict"]


def test_the_sentence_follows_from_the_interval():
    wins = planted(np.random.default_rng(0).normal(0.5, 1, 100))
    judged = wins["corrected"]
    assert wins["sentence"] == (
        f"planted beats copying the middle frame in PSNR: +{judged['mean']:.2f} dB "
        f"[+{judged['low']:.2f}, +{judged['high']:.2f}]."
    )
    assert judged["low"] < wins["interval"]["low"] < wins["interval"]["high"] < judged["high"]


def test_the_difference_is_paired():
    # The clips differ by 20 dB among themselves, the two ways by a steady half: unpaired, nothing could be said.
    rng = np.random.default_rng(0)
    rows = []
    for index in range(20):
        hard = rng.uniform(-10, 10)
        rows.append(Row(str(index), None, "x", 64, 64, 25.5 + hard, 25 + hard, 25 + hard, 0.8, 0.8, 0.8))
    assert summarise(rows)["checkpoints"]["x"]["differences"][0]["verdict"] == "beats"


def test_chance_over_many_comparisons_rarely_passes_for_a_win():
    """Five times twenty checkpoints that differ from a copy by chance alone."""
    rows = [row(str(i), 0, noise=i % 2) for i in range(6)]
    named = [dataclasses.replace(entry, checkpoint=str(number)) for number in range(20) for entry in rows]
    summary = summarise(named)
    assert summary["comparisons"] == 80 and summary["corrected_level"] == pytest.approx(1 - 0.05 / 80)

    rng = np.random.default_rng(1)
    level = summary["corrected_level"]
    said = [verdict(bootstrap(rng.normal(size=40), level=level)) for _ in range(100)]
    assert said.count("cannot be told from") >= 98  # uncorrected, five of a hundred would be wrong


def test_the_table_is_aligned_and_ends_in_the_verdicts():
    rng = np.random.default_rng(0)
    groups = [str(i % 3) for i in range(30)]
    summary = summarise([row(str(i), d, g) for i, (d, g) in enumerate(zip(rng.normal(1, 1, 30), groups, strict=True))])
    blocks = table(summary).split("\n\n")
    for block in blocks[:-1]:
        assert len({len(line) for line in block.splitlines()}) == 1
    assert [line.split()[0] for line in blocks[1].splitlines()] == ["group", "0", "1", "2"]
    assert blocks[-1].count("planted ") == 4 and "beats" in blocks[-1] and "over 4 comparisons" in blocks[-1]


def test_a_checkpoint_is_compared_with_the_codec_on_the_same_frames_through_the_same_file():
    rng = np.random.default_rng(0)
    ours = [row(str(i), 3 + d) for i, d in enumerate(rng.normal(0, 0.2, 30))]
    codec = [dataclasses.replace(entry, checkpoint="codec", psnr=entry.psnr + 1) for entry in ours]
    worn = [dataclasses.replace(entry, through="jpeg-90") for entry in ours]
    fewer_frames = [dataclasses.replace(entry, checkpoint="other", psnr_mean_copy=24.0) for entry in ours]
    summary = summarise([*ours, *codec, *worn, *fewer_frames])
    against = {name: {one["against"] for one in two["differences"]} for name, two in summary["checkpoints"].items()}
    copies = {"middle_copy", "mean_copy"}
    assert against.pop("planted") == copies | {"codec"} and set(map(frozenset, against.values())) == {frozenset(copies)}
    assert summary["comparisons"] == 2 * (3 + 3 * 2)
    said = [one["sentence"] for one in summary["checkpoints"]["planted"]["differences"] if one["against"] == "codec"]
    assert said[0].startswith("planted loses to the codec in PSNR: -1.00 dB [-1.00, -1.00].")
    assert "planted - the codec" in table(summary)


def test_the_codec_is_measured_beside_the_checkpoints(cache: FeatureCache):
    summary = measure(cache, damages=["jpeg-90"]).summary
    assert set(summary["checkpoints"]) == {"tiny", "codec", "tiny through jpeg-90", "codec through jpeg-90"}
    whole, worn = (summary["checkpoints"][name]["figures"] for name in ("codec", "codec through jpeg-90"))
    assert whole["psnr"]["mean"] > whole["psnr_mean_copy"]["mean"] + 1
    assert worn["psnr"]["mean"] == pytest.approx(worn["psnr_middle_copy"]["mean"], abs=1), (
        "a middle frame is left, itself worn"
    )
    cache.baselines = ("middle",)
    assert set(measure(cache, damages=[]).summary["checkpoints"]) == {"tiny"}


def test_clips_of_people_on_one_side_stand_by_themselves(shared: FeatureCache):
    report = measure(shared, damages=())
    ours = [entry for entry in report.rows if entry["checkpoint"] == "tiny"]
    alone = [entry["psnr"] for entry in ours if "/p5_" in entry["clip"]]
    found = report.summary["unseen"]
    assert found["clips"] == len(alone) == 4
    assert found["figures"]["PSNR, dB"]["tiny"]["mean"] == pytest.approx(np.mean(alone))
    assert f"{np.mean(alone):.3f} [" in report.text.partition("stand on no other side")[2]
