"""A labelled set that is quick to make, for the tests of the action classifier and of the command that trains it."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def falls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with one set: seven rendered clips, one of them damaged."""
    from avd_core.data import synthetic
    from avd_core.media import writer

    data = tmp_path_factory.mktemp("data")
    for number, (label, person) in enumerate(
        (label, person) for label in ("fall", "adl") for person in ("Subject_1__x", "Subject_2__x", "Subject_3__x")
    ):
        frames = synthetic.random_scene(number, frames=10, size=(72, 96))
        (data / "falls" / label).mkdir(parents=True, exist_ok=True)
        writer.write_mp4(data / "falls" / label / f"{person}__01.mp4", frames, 10)
    (data / "falls" / "fall" / "Subject_4__x__02.mp4").write_bytes(b"no video")
    return data
