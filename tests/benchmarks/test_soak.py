"""A short soak of the page as it is really served; and what a soak finds is found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.reliability import soak
from scripts.screenshot import served
from tests.app.conftest import films, link_films  # noqa: F401


@pytest.fixture
def rendered(films: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """The server finds its example clips: rendering them would take a core for as long as the soak."""

    def with_films(environment: dict[str, str], log: Path):
        link_films(films, Path(environment["GRADIO_TEMP_DIR"]))
        return served(environment, log)

    monkeypatch.setattr(soak, "served", with_films)


@pytest.mark.usefixtures("rendered")
def test_a_few_clients_at_once_get_their_own_and_nothing_is_left():
    findings = soak.soak(12, [3], "tiny")
    findings.found = [words for words in findings.found if "resident memory" not in words]  # it is still warming up
    assert findings.found == []
    assert sum(map(len, findings.seconds.values())) >= 3 and findings.files[2] == 0


def test_an_answer_of_another_clip_is_found(tmp_path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(soak, "Client", lambda *_, **__: None)
    visitor = soak.Visitor("", 5, tmp_path, "tiny")
    visitor.check_film(visitor.clip.read_bytes())
    other = soak.make_clip(tmp_path / "other.mp4", soak.LEVELS[6])
    with pytest.raises(soak.MixedUp, match="of colour"):
        visitor.check_film(other.read_bytes())
    with pytest.raises(soak.MixedUp, match="asked for"):
        visitor.check_window({"start": 0.12, "seconds": 1.0})


def test_memory_that_grows_is_seen():
    findings = soak.Findings(memory=[(float(second), 100 + second) for second in range(101)])
    assert findings.resident(0.25, 0.4) == pytest.approx(132, abs=1)
    assert findings.resident(0.85, 1.0) > soak.GROWTH * findings.resident(0.25, 0.4)
    assert len({tuple(level) for level in soak.LEVELS}) == 32 and np.ptp(soak.LEVELS) > 100
