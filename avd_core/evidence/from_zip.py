"""Run the quick protocols on a user's own clips: a zip with a folder for each class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from avd_core.data.clip_files import gather
from avd_core.data.clip_sets import Clips, EvidenceError
from avd_core.evidence import runner
from avd_core.evidence.clip_reader import Skipped
from avd_core.evidence.runner import Outcome, Plan, Progress, Request
from avd_core.media.archives import ArchiveLimits

PROTOCOLS = ("restoration", "agreement", "recognition")
REPRESENTATIONS = ("middle", "mean", "dynamic", "motion-history", "codec", "random")
LIMITS = ArchiveLimits(max_files=120)
CLIPS_FOLDER, WORK_FOLDER = "clips", "work"


def own_evidence(
    archive: str | Path,
    folder: str | Path,
    *,
    checkpoint: str,
    classifier: str = runner.SCORERS[0],
    progress: Progress = lambda doing, done, total: None,
) -> Outcome:
    """Measure one checkpoint on the clips of a zip that has a folder for each class.

    The result has one more entry than other reports, `places`: the path of each clip below `CLIPS_FOLDER`, by name.

    Recognition is cross-validated over single clips, because their people and source videos are unknown. Clips of one
    recording on both sides make it too optimistic, and the report says so.

    Args:
        archive: the zip, of at most 120 clips.
        folder: an existing empty folder for the unpacked clips and computed arrays.
        checkpoint: a bundled name or a folder.
        classifier: name of the classifier.
        progress: called with the activity, the steps done and the steps in all; may raise to stop.

    Raises:
        ValueError: the zip holds fewer than two readable clips, or the checkpoint or classifier cannot be loaded.
    """
    place = Path(folder) / CLIPS_FOLDER
    place.mkdir()
    progress("unpacking", 0, 1)
    found = gather([archive], place, LIMITS)
    name = Path(archive).stem
    titles = [f"{source.label}/{source.title}" if source.label else source.title for source in found.sources]
    twice = {title for title in titles if titles.count(title) > 1}
    clips = Clips(
        folder=place,
        part="all",
        paths=tuple(source.clip for source in found.sources),
        groups=None,
        labels=tuple(source.label or "no class" for source in found.sources),
        names=tuple(f"{t} ({number})" if t in twice else t for number, t in enumerate(titles, 1)),
    )
    models = runner.load_models([checkpoint])
    scorers = runner.load_scorers([classifier])
    plan = Plan(
        [clips], models, Request(scorers, damages=()), PROTOCOLS, "all", representations=REPRESENTATIONS, workers=0
    )
    skipped: list[Skipped] = []
    outcome = runner.collect(plan, Path(folder) / WORK_FOLDER, progress, skipped.append)
    if outcome.evidence["clips"] < 2:
        raise EvidenceError("Evidence needs at least two clips that can be read.")
    about = (
        f"Measured on {outcome.evidence['clips']} clips of {name}. No people or source videos are known, so clips of "
        "one recording may stand on both sides. This is not a result on UCF101, HMDB51 or Kinetics."
    )
    left_out: list[dict[str, Any]] = [{"clip": "", "reason": sentence} for sentence in found.sentences]
    places = {clips.name(number): path.relative_to(place).as_posix() for number, path in enumerate(clips.paths)}
    changed = {"folders": [name], "about": about, "skipped": [*outcome.evidence["skipped"], *left_out]}
    return Outcome({**outcome.evidence, **changed, "places": places}, outcome.reports)
