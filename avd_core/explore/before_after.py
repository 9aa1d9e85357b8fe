"""Compare clips before and after a fine-tune: both checkpoints, under one classifier and one critic.

The critic is that from before the fine-tune, which was not trained against the images it rates. Restorations are
compared with the clip's mean frame, which a still picture would reach.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from avd_core.analysis.metrics import psnr
from avd_core.analysis.motion_pictures import guide_picture
from avd_core.data.clip_files import Source
from avd_core.explore.realism import realism_percentile
from avd_core.explore.requests import DEFAULT_CLASSIFIER, ExploreRequest
from avd_core.explore.results import DistilledStage, RecognisedStage
from avd_core.media.window import Window
from avd_core.runs.run import Run

if TYPE_CHECKING:
    from avd_core.explore.explorer import Explorer

WHOLE = Window(whole=True)


@dataclass(frozen=True)
class BeforeAfter:
    """One clip before and after a training.

    Attributes:
        title: of the clip, as shown to users.
        label: its class; empty if it has none.
        before, after: explorations up to the recognition, of the same window and size.
        realism: percentile of the image among real frames, before and after, by the critic from before; None if that
            has no reference scores.
    """

    title: str
    label: str
    before: RecognisedStage
    after: RecognisedStage
    realism: tuple[float, float] | None

    @property
    def gains(self) -> tuple[float, float]:
        """Restoration gain over the clip's mean frame in dB, before and after."""
        before, after = (one.quality.psnr - one.quality.psnr_mean_copy for one in (self.before, self.after))
        return before, after

    @property
    def image_psnrs(self) -> tuple[float, float]:
        """PSNR in dB of the distilled image against its guide target, before and after."""
        target = guide_picture(self.before.clip.frames, *self.before.guide)
        before, after = (psnr(one.distilled, target) for one in (self.before, self.after))
        return before, after


@dataclass(frozen=True)
class Moment:
    """A part of a clip to compare two checkpoints on.

    Attributes:
        source: the clip.
        window: the part of it.
        size: short side in pixels; None as in `ExploreRequest`.
    """

    source: Source
    window: Window = WHOLE
    size: int | None = None


def before_and_after(
    explorer: Explorer, before: str, after: str, moments: Iterable[Moment], classifier: str = DEFAULT_CLASSIFIER
) -> Iterator[BeforeAfter]:
    """Explore one moment after the other with two checkpoints; yield the comparisons.

    Args:
        before, after: checkpoints, as `ExploreRequest` takes them.

    Raises:
        ValueError: a checkpoint cannot be loaded, or a clip cannot be read.
    """
    for moment in moments:
        first, last = (_explored(explorer, moment, name, classifier) for name in (before, after))
        realism = _realism(explorer, before, first, last)
        yield BeforeAfter(moment.source.title, moment.source.label, first, last, realism)


def _explored(explorer: Explorer, moment: Moment, checkpoint: str, classifier: str) -> RecognisedStage:
    request = ExploreRequest(moment.source.clip, checkpoint, moment.window, classifier, size=moment.size)
    return next(step for step in explorer.explore_steps(request) if isinstance(step, RecognisedStage))


def _realism(
    explorer: Explorer, critic: str, first: DistilledStage, last: DistilledStage
) -> tuple[float, float] | None:
    loaded = explorer.models.checkpoint(critic)
    with loaded.lock:
        before, after = (realism_percentile(loaded.model, one.distilled) for one in (first, last))
    return None if before is None or after is None else (before, after)


def initial_checkpoint(run: Run) -> str:
    """Return the checkpoint that a run started from; for a start from nothing, save its initial weights first."""
    config = run.config()
    if config.get("init"):
        return str(config["init"])
    folder = run.folder / "start"
    if not folder.exists():
        import torch

        from avd_core.config import ModelConfig
        from avd_core.networks.avd import AVD

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(config["train"]["seed"]))
            AVD(ModelConfig.from_dict(config["model"])).save_pretrained(folder)
    return str(folder)
