"""Compare representations of a clip as one image: single frames, averages, motion images, the codec and checkpoints.

Figures of a distilled image are meaningful only beside those of a single frame, of the mean frame, and of noise. All
representations are rated by one image classifier and by the critic of one checkpoint, whose percentile says how real an
image looks *to it*. That critic was trained against that checkpoint, so its percentile proves nothing.

The codec also hides the clip in a picture, without training. Restoration is therefore measured twice, from the image as
it is and from a JPEG of it.

Axes: T frames, H, W; the last axis is RGB. Frames and images are uint8.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from avd_core import __version__
from avd_core.analysis.agreement import TOP, hit
from avd_core.analysis.baselines import DISTILLERS
from avd_core.analysis.degradations import through_jpeg
from avd_core.analysis.intervals import aligned
from avd_core.analysis.metrics import psnr
from avd_core.atomic_io import plain_json
from avd_core.explore.models import distill_with, read_for, restore_with, sizes_of
from avd_core.explore.realism import realism_percentile
from avd_core.explore.requests import DEFAULT_CHECKPOINT, DEFAULT_CLASSIFIER, check_size
from avd_core.media.codec_image import CODEC, codec_frames, codec_image
from avd_core.media.distilled_png import DistilledInfo
from avd_core.media.video import Clip
from avd_core.media.window import MOST_MOTION, Window
from avd_core.networks.checkpoint import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor

    from avd_core.classifiers.loading import Classifier, Prediction
    from avd_core.explore.explorer import Explorer

TITLES = {
    "first": "First frame",
    "middle": "Middle frame",
    "mean": "Mean frame",
    "dynamic": "Dynamic image",
    "motion-history": "Motion history",
    "super": "Super image",
    "chronophotograph": "Chronophotograph",
    "random": "Random image",
    CODEC: "Codec",
}
# Still pictures of the scene: repeated T times they are a restoration, and of a calm clip a good one.
COPIED = ("first", "middle", "mean")
JPEG = 90  # JPEG quality for the second restoration of checkpoints' and the codec's images


@dataclass(frozen=True)
class CompareRequest:
    """A clip, and what to compare.

    Attributes:
        clip: the video file.
        checkpoints: to compare with the other representations: bundled names, folders, Hub repo ids.
        window: the part of the clip.
        classifier: name of the image classifier.
        judge: the checkpoint whose critic rates the images, and whose number of frames the baselines use.
        size: short side in pixels; None as in `ExploreRequest`, by the judge.
    """

    clip: Path
    checkpoints: tuple[str, ...] = (DEFAULT_CHECKPOINT,)
    window: Window = MOST_MOTION
    classifier: str = DEFAULT_CLASSIFIER
    judge: str = DEFAULT_CHECKPOINT
    size: int | None = None

    def __post_init__(self) -> None:
        check_size(self.size)
        object.__setattr__(self, "clip", Path(self.clip))
        object.__setattr__(self, "checkpoints", tuple(dict.fromkeys(map(str, self.checkpoints))))


@dataclass(frozen=True)
class ComparisonRow:
    """A representation with its figures.

    Attributes:
        name: a key of `TITLES`, or the checkpoint as requested.
        title: as shown to users.
        image: (H, W, 3).
        topk: the classifier's predictions for it, likeliest first, five at most.
        agreeing: number of the clip's frames whose top-1 class is among the image's top 5; None if the classifier has
            no more than five classes.
        realism: share of real reference frames that the judge's critic finds less real, 0 to 100; None if the judge has
            no reference scores.
        restored: (T, H, W, 3), decoded from `image`, or for `COPIED` the image T times; None if nothing is restored.
        psnr: of `restored` against the frames, in dB over all frames.
        per_frame: PSNR of each frame; None where the two are identical.
        psnr_jpeg: PSNR of the clip restored from a JPEG of quality `JPEG` of the image; None if it is not decoded.
        info: metadata for a PNG of a checkpoint's image; None for the others.
        notes: sentences for the user.
        seconds: time to make, rate and restore it.
    """

    name: str
    title: str
    image: np.ndarray
    topk: tuple[Prediction, ...]
    agreeing: int | None
    realism: float | None
    restored: np.ndarray | None = None
    psnr: float | None = None
    per_frame: tuple[float | None, ...] = ()
    psnr_jpeg: float | None = None
    info: DistilledInfo | None = None
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def copied(self) -> bool:
        """Whether `restored` is the image repeated T times."""
        return self.info is None and self.name in COPIED


# Keys to sort rows by, the best first; rows without the figure come last.
ORDERS: dict[str, Callable[[ComparisonRow], float | None]] = {
    "restoration": lambda row: row.psnr,
    "realism": lambda row: row.realism,
    "agreement": lambda row: row.agreeing,
    "confidence": lambda row: row.topk[0].probability,
}


@dataclass(frozen=True)
class Comparison:
    """The representations of a clip, as far as they are ready.

    Attributes:
        request: the request.
        clip: the frames that the baselines are made of and that restorations are compared with.
        planned: (name, title) of every row, in order.
        classifier: name of the classifier.
        classes: number of its classes.
        notice: a sentence if it replaces the requested classifier, else empty.
        rows: those that are ready.
        notes: sentences for the user about the clip, and about checkpoints that could not be loaded.
    """

    request: CompareRequest
    clip: Clip
    planned: tuple[tuple[str, str], ...]
    classifier: str
    classes: int
    notice: str | None
    rows: tuple[ComparisonRow, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether all rows are ready."""
        return len(self.rows) == len(self.planned)

    def ordered(self, by: str | None) -> tuple[ComparisonRow, ...]:
        """Return the rows sorted by a key of `ORDERS`; None keeps their order."""
        if by is None:
            return self.rows
        figure = ORDERS[by]
        return tuple(
            sorted(self.rows, key=lambda row: -np.inf if (value := figure(row)) is None else value, reverse=True)
        )

    def rival(self) -> str | None:
        """Compare the codec with the best checkpoint, in two sentences; None if either is missing."""
        codec = next((row for row in self.rows if row.info is None and row.name == CODEC), None)
        best = max((row for row in self.rows if row.info), key=lambda row: row.psnr or 0.0, default=None)
        if codec is None or best is None:
            return None
        return (
            f"A codec without any training, H.264 in the lowest bits of the middle frame, brings this clip back at "
            f"{codec.psnr:.1f} dB, {best.title} at {best.psnr:.1f} dB. Once the image was a JPEG of quality {JPEG}, "
            f"the codec leaves its middle frame, {codec.psnr_jpeg:.1f} dB, and {best.title} {best.psnr_jpeg:.1f} dB."
        )

    def report(self) -> dict[str, Any]:
        """Return all figures, as plain JSON values."""
        clip, (count, height, width, _) = self.clip, self.clip.frames.shape
        return plain_json(
            {
                "version": __version__,
                "clip": {
                    "name": self.request.clip.name,  # without its folder, since reports are shared
                    "seconds": clip.source.seconds,
                    "window": {"start": clip.start, "seconds": clip.seconds},
                },
                "frames": count,
                "size": [height, width],
                "classifier": self.classifier,
                "notice": self.notice,
                "judge": Path(self.request.judge).name,
                "rows": [
                    {
                        "name": Path(row.name).name,
                        "title": row.title,
                        "fingerprint": row.info and row.info.fingerprint,
                        "psnr": row.psnr,
                        "copied": row.copied,
                        "psnr_jpeg": row.psnr_jpeg,
                        "per_frame": row.per_frame,
                        "realism": row.realism,
                        "agreeing": row.agreeing,
                        "agreement": None if row.agreeing is None else row.agreeing / count,
                        "topk": [{"label": p.label, "probability": p.probability} for p in row.topk],
                        "refusal": row.topk[0].refusal,
                        "notes": row.notes,
                        "seconds": row.seconds,
                    }
                    for row in self.rows
                ],
                "notes": (*self.notes, *((self.notice,) if self.notice else ())),
                "rival": self.rival(),
            }
        )

    def table(self, by: str | None = "restoration") -> str:
        """Return the figures as aligned text."""
        count = len(self.clip.frames)
        lines = [["", "PSNR, dB", "realism", f"agreement of {count}", "seen"]]
        for row in self.ordered(by):
            restored = "-" if row.psnr is None else f"{row.psnr:.1f}{' copied' if row.copied else ''}"
            first = row.topk[0]
            lines.append(
                [
                    row.title,
                    restored,
                    "-" if row.realism is None else f"{row.realism:.0f} %",
                    "-" if row.agreeing is None else str(row.agreeing),
                    str(first),
                ]
            )
        return "\n".join(aligned(lines))


def compare(explorer: Explorer, request: CompareRequest) -> Iterator[Comparison]:
    """Compare row by row, yielding all that is ready; the first comparison has the clip and no rows.

    Models are the explorer's, and no lock is held between two yields. A checkpoint that cannot be loaded is left out
    with a note.

    Raises:
        ValueError: the clip cannot be read, or the judge or the classifier cannot be loaded.
    """
    judge, looker = explorer.models.checkpoint(request.judge), explorer.models.classifier(request.classifier)
    clip = read_for(judge.model, request.clip, request.window, request.size)
    names = [*((name, Path(name).name) for name in request.checkpoints), *TITLES.items()]
    comparison = Comparison(
        request, clip, tuple(names), looker.model.name, len(looker.model.labels), looker.model.notice, notes=clip.notes
    )
    yield comparison

    with looker.lock:
        firsts = _logits(looker.model, clip.frames).argmax(dim=1).numpy()  # (T,)
    for name, title in names:
        begun = time.perf_counter()
        try:
            made = _still(name, clip) if (name, title) in names[len(request.checkpoints) :] else None
            row = made or _distilled(explorer, name, clip, request.size)
        except CheckpointError as error:
            planned = tuple(plan for plan in comparison.planned if plan != (name, title))
            comparison = replace(comparison, planned=planned, notes=(*comparison.notes, str(error)))
            continue
        with looker.lock:
            logits = _logits(looker.model, row.image[None])  # (1, classes)
        topk = tuple(looker.model.likeliest(logits[0], TOP))
        agreeing = int(hit(logits.expand(len(firsts), -1).numpy(), firsts).sum()) if logits.shape[1] > TOP else None
        with judge.lock:
            realism = realism_percentile(judge.model, row.image)
        row = replace(row, topk=topk, agreeing=agreeing, realism=realism, seconds=time.perf_counter() - begun)
        comparison = replace(comparison, rows=(*comparison.rows, row))
        yield comparison


def _still(name: str, clip: Clip) -> ComparisonRow:
    frames = clip.frames
    if name == CODEC:
        image = codec_image(frames)
        after_jpeg = psnr(frames, codec_frames(through_jpeg(image, JPEG), len(frames)))
        row = ComparisonRow(name, TITLES[name], image, (), None, None, psnr_jpeg=after_jpeg)
        return _with_restoration(row, frames, codec_frames(image, len(frames)))
    image = np.array(DISTILLERS[name](frames))  # a writable copy: torch warns of views
    row = ComparisonRow(name, TITLES[name], image, (), None, None)
    return _with_restoration(row, frames, np.broadcast_to(image, frames.shape)) if name in COPIED else row


def _distilled(explorer: Explorer, name: str, clip: Clip, size: int | None) -> ComparisonRow:
    loaded = explorer.models.checkpoint(name)
    (count, *sides), model = clip.frames.shape[:3], loaded.model
    notes: tuple[str, ...] = ()
    if model.config.frames != count or (size is None and max(sizes_of(model)) < min(sides)):
        clip = read_for(model, clip.source.path, Window(clip.start, clip.seconds), size)
        notes = (
            f"Works on {model.config.frames} frames at {min(clip.frames.shape[1:3])} pixels of the same window; "
            "its restoration is measured there.",
        )
    image = distill_with(loaded, clip.frames)
    restored = restore_with(loaded, image)
    after_jpeg = psnr(clip.frames, restore_with(loaded, through_jpeg(image, JPEG)))
    count, height, width, _ = clip.frames.shape
    info = DistilledInfo(model.name, model.fingerprint, count, clip.fps, (height, width))
    row = ComparisonRow(name, model.name, image, (), None, None, psnr_jpeg=after_jpeg, info=info, notes=notes)
    return _with_restoration(row, clip.frames, restored)


def _with_restoration(row: ComparisonRow, frames: np.ndarray, restored: np.ndarray) -> ComparisonRow:
    per_frame = tuple(
        None if (frame == copy).all() else psnr(frame, copy) for frame, copy in zip(frames, restored, strict=True)
    )
    return replace(row, restored=restored, psnr=psnr(frames, restored), per_frame=per_frame)


def _logits(classifier: Classifier, images: np.ndarray) -> Tensor:
    """Return logits (N, classes) of images, uint8 (N, H, W, 3), on the CPU."""
    import torch

    from avd_core.networks.avd import to_tensor

    with torch.inference_mode():
        return classifier.logits(to_tensor(images)[0].transpose(0, 1)).float().cpu()
