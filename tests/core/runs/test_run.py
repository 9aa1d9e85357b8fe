"""The run directory: each step once, the state whole, a second run refused."""

from __future__ import annotations

import pytest

from avd_core.runs.run import Run, RunError


def test_a_run_is_created_once(tmp_path):
    run = Run(tmp_path / "r")
    run.create({"a": 1})
    assert run.config() == {"a": 1}
    assert run.state()["status"] == "queued"
    with pytest.raises(RunError, match="already holds a run"):
        run.create({"a": 2})


def test_nothing_there_is_told(tmp_path):
    with pytest.raises(RunError, match="holds no run"):
        Run(tmp_path).config()
    with pytest.raises(RunError, match=r"no readable state\.json"):
        Run(tmp_path).state()


def test_steps_after_the_saved_one_and_cut_lines_are_forgotten(tmp_path):
    run = Run(tmp_path)
    for step in range(1, 6):
        run.append_metrics({"step": step})
    with run.metrics_file.open("a") as file:
        file.write('{"step": 6, "re')
    run.forget_metrics_after(3)
    run.append_metrics({"step": 4})
    assert [line["step"] for line in run.metrics()] == [1, 2, 3, 4]
