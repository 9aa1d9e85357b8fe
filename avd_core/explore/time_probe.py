"""Test what the image stores of time: distill and restore the same frames in other orders and tempos.

An image that stored only *what* is in a clip would be the same for every order of the frames, and so would the restored
clip. So each variant's image is compared with the forward clip's, and the restored clip with the variant's frames, with
the forward clip, and with the variant's frames backwards.

Axes: T frames, H, W; the last axis is RGB.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from avd_core import __version__
from avd_core.analysis.baselines import mean_frame
from avd_core.analysis.intervals import aligned
from avd_core.analysis.metrics import psnr
from avd_core.atomic_io import staged_folder, write_json
from avd_core.explore.models import distill_with, restore_with
from avd_core.explore.parts import Recognition
from avd_core.explore.requests import DEFAULT_CHECKPOINT, DEFAULT_CLASSIFIER, RequestError
from avd_core.media.distilled_png import DistilledInfo, save_distilled
from avd_core.media.video import Clip
from avd_core.media.writer import write_mp4

if TYPE_CHECKING:
    from avd_core.explore.explorer import Explorer

# Differences below this many dB are not visible, and count as none.
SLIGHT = 0.5
# Two orders closer than this look the same, so the clip has no visible direction.
ALIKE = 40.0


@dataclass(frozen=True)
class Variant:
    """An order of a clip's frames.

    Attributes:
        title: as shown to users.
        about: a line that explains it.
        order: (T, seed) -> (T,), the numbers of the clip's frames.
    """

    title: str
    about: str
    order: Callable[[int, int], np.ndarray]


def _faster(count: int, seed: int) -> np.ndarray:
    return np.arange(0, 2 * count, 2) % count


def _slower(count: int, seed: int) -> np.ndarray:
    return count // 4 + np.arange(count) // 2


VARIANTS: dict[str, Variant] = {
    "forward": Variant("Forward", "The clip as it is.", lambda count, seed: np.arange(count)),
    "reversed": Variant("Reversed", "The last frame first.", lambda count, seed: np.arange(count)[::-1]),
    "shuffled": Variant(
        "Shuffled",
        "All frames in a random order.",
        lambda count, seed: np.random.default_rng(seed).permutation(count),
    ),
    "frozen": Variant("Frozen", "The middle frame, again and again.", lambda count, seed: np.full(count, count // 2)),
    "faster": Variant("Twice as fast", "Every second frame, and then once more.", _faster),
    "slower": Variant("Half speed", "The middle half, each frame twice.", _slower),
}


@dataclass(frozen=True)
class Play:
    """A variant of a clip, distilled and restored.

    Attributes:
        variant: a key of `VARIANTS`.
        order: (T,), the numbers of the clip's frames that were distilled.
        image: (H, W, 3), the variant's distilled image.
        restored: (T, H, W, 3), restored from it.
        recognition: the classifier's predictions for the image.
        image_difference: mean absolute difference to the forward clip's image, in levels of 255.
        image_psnr: the same as PSNR in dB; `metrics.PSNR_CAP` if the two are equal.
        psnr_own: PSNR of `restored` against the variant's frames, in dB.
        psnr_forward: against the forward clip.
        psnr_backwards: against the variant's frames, backwards.
        psnr_rearranged: of the forward clip's restoration in the variant's order, against the variant's frames: what
            a decoder reaches that is given the order only.
        psnr_still: of their mean frame, against the variant's frames: what needs no order.
    """

    variant: str
    order: tuple[int, ...]
    image: np.ndarray
    restored: np.ndarray
    recognition: Recognition
    image_difference: float
    image_psnr: float
    psnr_own: float
    psnr_forward: float
    psnr_backwards: float
    psnr_rearranged: float
    psnr_still: float


FIGURES = (
    "image_difference", "image_psnr", "psnr_own", "psnr_forward", "psnr_backwards", "psnr_rearranged", "psnr_still"
)  # fmt: skip


LEGEND = """\
image       PSNR (dB) of the image against the forward clip's image; difference: mean absolute, in levels of 255
own order   PSNR (dB) of what was restored against the frames that went in; forward: against the forward clip;
            backwards: against the frames that went in, backwards
rearranged  the forward clip's restoration put into this order, against the frames that went in
mean frame  their mean, repeated, against the frames that went in"""


def time_plays(
    frames: np.ndarray,
    distill: Callable[[np.ndarray], np.ndarray],
    restore: Callable[[np.ndarray], np.ndarray],
    recognise: Callable[[np.ndarray], Recognition],
    seed: int = 0,
) -> Iterator[Play]:
    """Distill and restore every variant of a clip, the forward clip first; yield each.

    Args:
        frames: uint8 (T, H, W, 3).
        distill: frames -> image.
        restore: image -> frames.
        recognise: image -> the classifier's predictions.
        seed: of the shuffle.
    """
    forward: Play | None = None
    for name, variant in VARIANTS.items():
        order = variant.order(len(frames), seed)
        own = frames[order]
        image = distill(own)
        restored = restore(image)
        first = forward.image if forward else image
        play = Play(
            variant=name,
            order=tuple(order.tolist()),
            image=image,
            restored=restored,
            recognition=recognise(image),
            image_difference=float(np.abs(image.astype(np.int16) - first).mean()),
            image_psnr=psnr(first, image),
            psnr_own=psnr(own, restored),
            psnr_forward=psnr(frames, restored),
            psnr_backwards=psnr(own[::-1], restored),
            psnr_rearranged=psnr(own, (forward.restored if forward else restored)[order]),
            psnr_still=psnr(own, mean_frame(own)),
        )
        forward = forward or play
        yield play


@dataclass(frozen=True)
class TimeProbe:
    """Results of the test for one checkpoint and clip, as far as they are ready.

    Attributes:
        clip: the sampled frames.
        checkpoint: the model's name.
        fingerprint: of its weights.
        seed: of the shuffle.
        plays: of the variants, the forward clip's first.
    """

    clip: Clip
    checkpoint: str
    fingerprint: str
    seed: int
    plays: tuple[Play, ...]

    @property
    def complete(self) -> bool:
        """Whether every variant is there."""
        return len(self.plays) == len(VARIANTS)

    @property
    def sentence(self) -> str:
        """A sentence on whether the image stores the direction of time; empty until both directions are ready."""
        plays = {play.variant: play for play in self.plays}
        if not {"forward", "reversed"} <= plays.keys():
            return ""
        alike = psnr(self.clip.frames, self.clip.frames[::-1])
        if alike >= ALIKE:
            return (
                f"This clip looks the same forwards and backwards ({alike:.1f} dB between the two), so there is no "
                "direction to tell."
            )
        back, ahead = (plays[name].psnr_own - plays[name].psnr_backwards for name in ("reversed", "forward"))
        figures = (
            f"the clip restored from the reversed clip’s image matches the reversed order {_than(back)} the forward "
            f"order; from the forward clip’s image it matches the forward order {_than(ahead)} the reversed one."
        )
        margin = min(back, ahead)
        if margin < 0:
            return f"No, the image does not tell forwards from backwards: {figures}"
        if margin < SLIGHT:
            return f"Hardly: {figures}"
        return f"Yes, the image tells forwards from backwards: {figures}"

    def info(self) -> DistilledInfo:
        """Metadata for a PNG of any of the images."""
        count, height, width, _ = self.clip.frames.shape
        return DistilledInfo(self.checkpoint, self.fingerprint, count, self.clip.fps, (height, width))

    def report(self) -> dict[str, Any]:
        """Return all figures, as plain JSON values."""
        return {
            "version": __version__,
            "clip": self.clip.source.path.name,  # without its folder, since reports are shared
            "window": {"start": self.clip.start, "seconds": self.clip.seconds},
            "checkpoint": self.checkpoint,
            "fingerprint": self.fingerprint,
            "seed": self.seed,
            "sentence": self.sentence,
            "variants": {
                play.variant: {
                    "order": play.order,
                    **{figure: getattr(play, figure) for figure in FIGURES},
                    "classifier": play.recognition.classifier,
                    "topk": [{"label": p.label, "probability": p.probability} for p in play.recognition.topk],
                    "refusal": play.recognition.topk[0].refusal if play.recognition.topk else None,
                }
                for play in self.plays
            },
        }

    def save(self, folder: str | Path) -> Path:
        """Write each variant's image and restored clip, and `probe.json`, to `folder`.

        Raises:
            OutputError: the folder cannot be written; it is left as it was.
        """
        folder = Path(folder)
        with staged_folder(folder) as staging:
            for play in self.plays:
                save_distilled(staging / f"{play.variant}.png", play.image, self.info())
                write_mp4(staging / f"{play.variant}.mp4", play.restored, self.clip.fps)
            write_json(staging / "probe.json", self.report())
        return folder

    def table(self) -> str:
        """Return the figures as aligned text that ends in the sentence."""
        body = [["", "image", "difference", "own order", "forward", "backwards", "rearranged", "mean frame", "seen as"]]
        for play in self.plays:
            figures = [f"{getattr(play, name):.2f}" for name in FIGURES]
            difference, image, *restored = figures
            best = play.recognition.topk[0]
            title = VARIANTS[play.variant].title
            body.append([title, image, difference, *restored, str(best)])
        return "\n".join([*aligned(body), "", LEGEND, "", self.sentence])


def probe_time(
    explorer: Explorer,
    clip: Clip,
    checkpoint: str = DEFAULT_CHECKPOINT,
    classifier: str = DEFAULT_CLASSIFIER,
    seed: int = 0,
) -> Iterator[TimeProbe]:
    """Distill and restore a clip in other orders and tempos, one after the other.

    Each probe that is yielded has one variant more, the last one all of `VARIANTS`. No lock is held between two yields.

    Args:
        clip: with as many frames as the checkpoint takes.
        seed: of the shuffle.

    Raises:
        RequestError: the clip has another number of frames.
    """
    loaded = explorer.models.checkpoint(checkpoint)
    model = loaded.model
    if len(clip.frames) != model.config.frames:
        raise RequestError(f"{model.name} takes {model.config.frames} frames; these are {len(clip.frames)}.")

    plays: tuple[Play, ...] = ()
    ways = partial(distill_with, loaded), partial(restore_with, loaded)
    for play in time_plays(clip.frames, *ways, partial(explorer.recognise, classifier=classifier), seed):
        plays = (*plays, play)
        yield TimeProbe(clip, model.name, model.fingerprint, seed, plays)


def _than(margin: float) -> str:
    return f"{abs(margin):.1f} dB {'better' if margin >= 0 else 'worse'} than"
