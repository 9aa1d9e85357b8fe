"""Calibration: percentiles by hand, round trip, and what is refused."""

from __future__ import annotations

import pytest

from avd_core.networks.calibration import Calibration


def test_percentiles_by_hand():
    calibration = Calibration(real=(3.0, 1.0, 2.0, 4.0), distilled=(0.0,))
    assert calibration.real == (1.0, 2.0, 3.0, 4.0)
    assert [calibration.percentile_among_real(x) for x in (0.0, 1.0, 2.5, 9.0)] == [0.0, 12.5, 50.0, 100.0]


def test_round_trip(tmp_path):
    calibration = Calibration.from_scores([0.123456, -1], [2])
    (tmp_path / "calibration.json").write_text(calibration.to_json())
    assert Calibration.from_json(tmp_path / "calibration.json") == calibration


def test_each_size_has_its_own_references(tmp_path):
    large = Calibration((5.0, 6.0), (4.0, 8.0))
    calibration = Calibration((1.0, 2.0), (0.0,), {112: Calibration((1.0, 2.0), (0.0,)), 224: large})
    (tmp_path / "calibration.json").write_text(calibration.to_json())
    assert Calibration.from_json(tmp_path / "calibration.json") == calibration
    assert calibration.at(224) is large and calibration.at(200) is large
    assert calibration.at(112).real == calibration.at(64).real == (1.0, 2.0)
    assert large.at(112) is large, "without sizes there is one reference for all"
    assert large.percentile_among_distilled(5.0) == 50.0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        '{"real": [], "distilled": [1]}',
        '{"real": [NaN], "distilled": [1]}',
        '{"real": "abc"}',
        "[]",
        '{"real": [1], "distilled": [1], "sizes": {"x": {}}}',
        '{"real": [1], "distilled": [1], "sizes": [1]}',
        '{"real": [1], "distilled": [1], "sizes": {"0": {"real": [1], "distilled": [1]}}}',
    ],
)
def test_a_broken_calibration_is_refused(tmp_path, text):
    (tmp_path / "calibration.json").write_text(text)
    with pytest.raises(ValueError, match=r"calibration|Calibration"):
        Calibration.from_json(tmp_path / "calibration.json")
