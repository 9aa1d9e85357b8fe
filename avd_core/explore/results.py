"""The frozen results of an explorer.

An exploration has stages, one class each, from `ExplorationStage` to the complete `Exploration`, so that a page can
show the first pictures while the last ones are computed. `Exploration.save` writes files.

Axes: T frames, H, W; the last axis is RGB. Frames and images are uint8.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from avd_core import __version__
from avd_core.analysis.metrics import Quality
from avd_core.atomic_io import plain_json, staged_folder, write_json
from avd_core.explore.parts import Realism, Recognition, Refined, Saliency
from avd_core.explore.requests import ExploreRequest
from avd_core.media.distilled_png import DistilledInfo, save_distilled, save_image
from avd_core.media.video import Clip
from avd_core.media.writer import write_mp4
from avd_core.removal import is_report, remove_files

if TYPE_CHECKING:  # importing the classifiers takes seconds, which distilling and restoring avoid
    from avd_core.classifiers.loading import Prediction

GAP, GAP_LEVEL = 4, 32  # pixels (even, for 4:2:0) and grey level between the two halves of a comparison


@dataclass(frozen=True)
class Distilled:
    """A clip's distilled image, with the metadata for its file."""

    clip: Clip
    image: np.ndarray
    info: DistilledInfo

    def save(self, path: str | Path) -> Path:
        """Write the PNG, which `Explorer.restore` reads."""
        return save_distilled(path, self.image, self.info)


@dataclass(frozen=True)
class SavedExploration:
    """The files of one exploration."""

    folder: Path
    distilled: Path
    restored: Path
    comparison: Path
    cam: Path
    report: Path
    frames: tuple[Path, ...]
    cam_video: Path | None = None


@dataclass(frozen=True, kw_only=True)
class ExplorationStage:
    """An exploration whose clip is read; each later stage is a subclass that adds its results.

    Attributes:
        stage: "clip", "distilled", "restored" (with quality and realism), "recognised" or "complete".
        request: the request.
        clip: the sampled frames.
        checkpoint: the model's name.
        fingerprint: of its weights.
        guide: `guide_target` and `guide_strength` of its `ModelConfig`.
        through_jpeg: its `trained_through_jpeg`.
        seconds: duration of each step, without waiting for locks: load, decode, encode, restore, quality, realism,
            classify, saliency.
    """

    stage: ClassVar[str] = "clip"
    request: ExploreRequest
    clip: Clip
    checkpoint: str
    fingerprint: str
    guide: tuple[str, float] = ("middle", 0.5)
    through_jpeg: bool = False
    seconds: dict[str, float]

    @property
    def complete(self) -> bool:
        """Whether it is the last stage, an `Exploration`."""
        return isinstance(self, Exploration)

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the user about what was cropped, enlarged, damaged, short, or replaced."""
        if self.request.size is None or not self.enlarged:
            return tuple(self.clip.notes)
        source = self.clip.source
        enlarged = f"The video is {source.width} x {source.height}: it was enlarged, which adds no detail."
        return (*self.clip.notes, enlarged)

    @property
    def enlarged(self) -> bool:
        """Whether the frames are larger than the file's own pictures."""
        source = self.clip.source
        return min(self.clip.frames.shape[1:3]) > min(source.width, source.height)


@dataclass(frozen=True, kw_only=True)
class DistilledStage(ExplorationStage):
    """An exploration with its image.

    Attributes:
        distilled: (H, W, 3), the distilled image.
        refined: effect of refinement; None without it.
    """

    stage: ClassVar[str] = "distilled"
    distilled: np.ndarray
    refined: Refined | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        if self.refined is None:
            return super().notes
        refined = (
            f"The image was refined by {self.refined.steps} steps against the model's own critic, so its realism "
            "score says little."
        )
        return (*super().notes, refined)

    @property
    def info(self) -> DistilledInfo:
        """Metadata for a PNG of the distilled image."""
        count, height, width, _ = self.clip.frames.shape
        refined = self.refined.steps if self.refined else 0
        return DistilledInfo(self.checkpoint, self.fingerprint, count, self.clip.fps, (height, width), refined)


@dataclass(frozen=True, kw_only=True)
class RestoredStage(DistilledStage):
    """An exploration with its restored clip.

    Attributes:
        restored: (T, H, W, 3), decoded from the 8-bit distilled image.
        quality: of the restored clip.
        realism: rating of the image by the critic.
    """

    stage: ClassVar[str] = "restored"
    restored: np.ndarray
    quality: Quality
    realism: Realism

    def comparison(self) -> np.ndarray:
        """The original beside the restored clip: (T, H, 2 W + gap, 3)."""
        count, height = self.clip.frames.shape[:2]
        gap = np.full((count, height, GAP, 3), GAP_LEVEL, np.uint8)
        return np.concatenate([self.clip.frames, gap, self.restored], axis=2)


@dataclass(frozen=True, kw_only=True)
class RecognisedStage(RestoredStage):
    """An exploration whose image is classified.

    Attributes:
        recognition: the classifier's predictions.
    """

    stage: ClassVar[str] = "recognised"
    recognition: Recognition

    @property
    def notes(self) -> tuple[str, ...]:
        notice = self.recognition.notice
        return (*super().notes, notice) if notice else super().notes


@dataclass(frozen=True, kw_only=True)
class Exploration(RecognisedStage):
    """A complete exploration.

    Attributes:
        saliency: where the classifier finds its evidence.
    """

    stage: ClassVar[str] = "complete"
    saliency: Saliency

    def report(self) -> dict[str, Any]:
        """Return all figures, as plain JSON values."""
        source, (count, height, width, _) = self.clip.source, self.clip.frames.shape
        realism, recognition, saliency = self.realism, self.recognition, self.saliency
        values = {
            "version": __version__,
            "clip": {
                "name": self.request.clip.name,  # without its folder, since reports are shared
                "container": source.container,
                "codec": source.codec,
                "width": source.width,
                "height": source.height,
                "fps": source.fps,
                "seconds": source.seconds,
                "window": {"start": self.clip.start, "seconds": self.clip.seconds},
                "times": self.clip.times,
            },
            "checkpoint": self.checkpoint,
            "fingerprint": self.fingerprint,
            "guide_target": self.guide[0],
            "frames": count,
            "size": [height, width],
            "enlarged": self.enlarged,
            "refined": dataclasses.asdict(self.refined) if self.refined else None,
            "fps": self.clip.fps,
            **dataclasses.asdict(self.quality),
            "realism": {
                "logit": realism.logit,
                "percentile_among_real": realism.percentile_among_real,
                "percentile_among_distilled": realism.percentile_among_distilled,
                "at_the_end": realism.at_the_end,
                "own_frames": realism.own_frames,
            },
            "classifier": recognition.classifier,
            "notice": recognition.notice,
            "topk": _listed(recognition.topk),
            "refusal": recognition.topk[0].refusal,
            "middle_frame": {
                "topk": _listed(recognition.frame),
                "refusal": recognition.frame[0].refusal if recognition.frame else None,
                "rank_in_image": recognition.rank_of_frame,
            },
            "saliency": _described(saliency),
            "seconds": self.seconds,
            "notes": self.notes,
        }
        return plain_json(values)

    def save(self, folder: str | Path, save_frames: bool = False) -> SavedExploration:
        """Write `distilled.png`, `restored.mp4`, `comparison.mp4`, `cam.png` and `report.json` to `folder`.

        Also `cam.mp4`, the saliency maps of the restored frames, if they were computed; and with `save_frames`
        `frames/original_NN.png` and `frames/restored_NN.png`, counted from 00.

        Raises:
            OutputError: the folder cannot be written; it is left as it was.
        """
        folder = Path(folder)
        files = {name: folder / file for name, file in _FILES.items()}
        frames: list[str] = []
        with staged_folder(folder) as staging:
            save_distilled(staging / _FILES["distilled"], self.distilled, self.info)
            write_mp4(staging / _FILES["restored"], self.restored, self.clip.fps)
            write_mp4(staging / _FILES["comparison"], self.comparison(), self.clip.fps)
            save_image(staging / _FILES["cam"], self.saliency.overlay)
            if self.saliency.frames:
                write_mp4(staging / CAM_VIDEO, self.saliency.frames.overlay(self.restored), self.clip.fps)
            write_json(staging / _FILES["report"], self.report())
            if save_frames:
                (staging / "frames").mkdir()
                for kind, clip in (("original", self.clip.frames), ("restored", self.restored)):
                    for index, frame in enumerate(clip):
                        frames.append(f"frames/{kind}_{index:02d}.png")
                        save_image(staging / frames[-1], frame)
            if is_report(folder / _FILES["report"], "fingerprint", "saliency"):
                # Delete frames and films of an earlier exploration: beside this report they would seem to belong to it.
                remove_files(folder / "frames", re.compile(r"(original|restored)_\d{2,}\.png"))
                remove_files(folder, re.compile(re.escape(CAM_VIDEO)))
        cam_video = folder / CAM_VIDEO if self.saliency.frames else None
        return SavedExploration(folder, **files, frames=tuple(folder / name for name in frames), cam_video=cam_video)


def _listed(predictions: tuple[Prediction, ...]) -> list[dict[str, Any]]:
    return [{"label": p.label, "probability": p.probability} for p in predictions]


def _described(saliency: Saliency) -> dict[str, Any]:
    """Return the saliency's figures, without those that were not requested."""
    values: dict[str, Any] = {"method": saliency.method, "label": saliency.label}
    if saliency.faithfulness:
        values["road"] = dataclasses.asdict(saliency.faithfulness)
    if saliency.frames:
        values["frame_probabilities"] = saliency.frames.probabilities
    return values


CAM_VIDEO = "cam.mp4"
_FILES = {
    "distilled": "distilled.png",
    "restored": "restored.mp4",
    "comparison": "comparison.mp4",
    "cam": "cam.png",
    "report": "report.json",
}
