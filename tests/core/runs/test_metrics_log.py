"""Metrics as they grow: each line once, half lines later, and everything again after a resume."""

from __future__ import annotations

import pytest

from avd_core.runs.metrics_log import MOST, Curve
from avd_core.runs.run import Run


def test_what_grows_is_read_once(tmp_path):
    run = Run(tmp_path)
    curve = Curve(run.metrics_file)
    assert curve.read() == [] and curve.seconds_left(10) is None
    run.append_metrics({"step": 1, "recon_loss": 0.5, "seconds": 2.0})
    assert [line["step"] for line in curve.read()] == [1]
    with run.metrics_file.open("a") as file:
        file.write('{"step": 2, "rec')
    assert len(curve.read()) == 1, "half a line waits"
    with run.metrics_file.open("a") as file:
        file.write('on_loss": 0.4, "seconds": 4.0}\n')
    assert [line["step"] for line in curve.read()] == [1, 2]
    assert curve.seconds_left(10) == pytest.approx(8 * 3.0) and curve.seconds_left(10, most=7.0) == pytest.approx(1.0)
    run.forget_metrics_after(1)
    assert [line["step"] for line in curve.read()] == [1]
    run.append_metrics({"step": 2, "adv_loss_g": 1.0, "seconds": 1.0})
    curve.read()
    assert curve.points("adv_loss_g") == [(2, 1.0)] and curve.points("recon_loss") == [(1, 0.5)]


def test_a_long_run_is_thinned_to_what_a_plot_shows(tmp_path):
    run = Run(tmp_path)
    run.metrics_file.write_text("".join(f'{{"step": {n}, "recon_loss": {n % 2}}}\n' for n in range(1, 5001)))
    curve = Curve(run.metrics_file)
    curve.read()
    points = curve.points("recon_loss")
    assert len(points) <= MOST and points[-1][0] == 5000
    assert all(0.4 <= value <= 0.6 for _, value in points)
