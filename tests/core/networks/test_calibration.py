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


@pytest.mark.parametrize(
    "text", ["", "{}", '{"real": [], "distilled": [1]}', '{"real": [NaN], "distilled": [1]}', '{"real": "abc"}', "[]"]
)
def test_a_broken_calibration_is_refused(tmp_path, text):
    (tmp_path / "calibration.json").write_text(text)
    with pytest.raises(ValueError, match=r"calibration|Calibration"):
        Calibration.from_json(tmp_path / "calibration.json")
