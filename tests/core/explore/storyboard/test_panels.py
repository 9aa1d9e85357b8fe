"""Panels of a strip: what their windows give by themselves, made without holding up anybody."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from avd_core.explore.explorer import Explorer
from avd_core.explore.storyboard.panels import StoryboardMaker, StoryboardRequest
from avd_core.explore.storyboard.windows import StoryboardError
from avd_core.media.window import Window


def test_panels_hold_what_their_windows_give(explorer: Explorer, film: Path, tiny_checkpoint: Path):
    maker = StoryboardMaker(explorer, StoryboardRequest(film, str(tiny_checkpoint), 8.0))
    panels = list(maker)
    assert [panel.number for panel in panels] == list(range(1, len(panels) + 1)) and maker.checkpoint == "tiny"
    for panel in panels:
        alone = explorer.distill(film, checkpoint=str(tiny_checkpoint), window=Window(panel.start, panel.seconds))
        assert np.array_equal(panel.image, alone.image) and panel.info == alone.info
        restored = explorer.restore_image(panel.image, panel.info)
        assert np.array_equal(panel.restored, restored.frames) and not restored.notes
        error = ((panel.frames.astype(float) - panel.restored) ** 2).mean()
        still = ((panel.frames.astype(float) - np.rint(panel.frames.mean(axis=0))) ** 2).mean()
        assert panel.psnr == pytest.approx(10 * np.log10(255**2 / error))
        assert panel.psnr_mean_copy == pytest.approx(10 * np.log10(255**2 / still))


def test_a_strip_being_made_holds_up_nobody(explorer: Explorer, film: Path, tiny_checkpoint: Path):
    panels = iter(StoryboardMaker(explorer, StoryboardRequest(film, str(tiny_checkpoint), 2.0)))
    next(panels)
    other = threading.Thread(target=explorer.distill, args=(film,), kwargs={"checkpoint": str(tiny_checkpoint)})
    other.start()
    other.join(30)
    assert not other.is_alive()
    panels.close()


def test_only_lengths_that_were_offered_are_taken(film: Path):
    with pytest.raises(StoryboardError, match="2, 4, 8 s"):
        StoryboardRequest(film, seconds=3.0)
