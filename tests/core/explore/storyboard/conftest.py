"""A film, and the finished storyboard of another."""

from __future__ import annotations

from pathlib import Path

import pytest

from avd_core.explore.explorer import Explorer
from avd_core.explore.storyboard.files import Board, save
from avd_core.explore.storyboard.panels import StoryboardMaker, StoryboardRequest
from tests.core.explore.storyboard.films import write_film


@pytest.fixture(scope="package")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shots of 2, 7.5, 1 and 4.2 seconds."""
    return write_film(tmp_path_factory.mktemp("films") / "film.mp4", [40, 150, 20, 84])


@pytest.fixture(scope="package")
def explorer(tiny_checkpoint: Path) -> Explorer:
    explorer = Explorer("cpu")
    explorer.warm_up(str(tiny_checkpoint))
    return explorer


@pytest.fixture(scope="package")
def made(explorer: Explorer, tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Board]:
    """The folder of a finished storyboard of three windows, and what it says."""
    folder = tmp_path_factory.mktemp("made")
    film = write_film(tmp_path_factory.mktemp("film") / "film.mp4", [40, 60])
    boards = list(save(StoryboardMaker(explorer, StoryboardRequest(film, str(tiny_checkpoint), 2.0)), folder))
    assert [len(board.entries) for board in boards] == [1, 2, 3, 3]
    assert [board.complete for board in boards] == [False, False, False, True]
    assert 0 < boards[0].share < boards[1].share < boards[-1].share == 1
    return folder, boards[-1]
