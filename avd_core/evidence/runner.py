"""What the numbers allow to be said: protocols over held-out clips, with intervals and verdicts.

The protocols lie in `avd_core/protocols`, one file each. Here the clips stream by once, for all of them; then they are
called one after the other. `avd_core.cli.evidence` is the command, `avd_core.evidence.writers` writes what comes
out.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from avd_core import __version__
from avd_core.config import SIZES, ConfigError
from avd_core.data.clip_sets import DATASETS, Clips, EvidenceError, shared_groups
from avd_core.devices import default_device
from avd_core.evidence.array_store import Disk
from avd_core.evidence.clip_reader import Skipped, default_workers, entries_of
from avd_core.evidence.feature_cache import Gallery
from avd_core.evidence.protocols.ablation import ablation
from avd_core.evidence.report import NotMeasurable, Report
from avd_core.evidence.representations import BASELINES
from avd_core.runs.registry import head_folder

if TYPE_CHECKING:
    from avd_core.classifiers.loading import Classifier
    from avd_core.networks.avd import AVD

SCORERS = ("mobilenet_v2", "squeezenet1_0")  # the second has no part in any training of ours
DAMAGE = "jpeg-75+shift"  # what classifiers look through the second time

Tell = Callable[[str, int, int], None]  # what is being done, how much of it is done, of how much


@dataclass(frozen=True)
class Request:
    """What all protocols may be told.

    Attributes:
        scorers: the classifiers that look.
        damages: what images are restored through beside an 8-bit PNG.
        damage: what classifiers look through the second time.
        seed: of all that is drawn.
    """

    scorers: Sequence[Classifier]
    damages: Sequence[str] = ("jpeg-90",)
    damage: str = DAMAGE
    seed: int = 0


@dataclass(frozen=True)
class Protocol:
    """One of the protocols, a module with `wants` and `measure` that is loaded when it is asked for.

    Attributes:
        module: of `avd_core.evidence.protocols`.
        told: the fields of the request that it is told.
        fits: on the clips that the split keeps for that.
    """

    module: str
    told: tuple[str, ...] = ()
    fits: bool = False

    def wants(self, gallery: Gallery, request: Request) -> Sequence[Any]:
        """What it wants to be made of every clip."""
        return self._load().wants(gallery, **self._arguments(request))

    def measure(self, gallery: Gallery, request: Request) -> Report:
        """Carries it out; raises NotMeasurable where these clips or this machine do not allow it."""
        return self._load().measure(gallery, **self._arguments(request), seed=request.seed)

    def _load(self) -> ModuleType:
        return importlib.import_module(f"avd_core.evidence.protocols.{self.module}")

    def _arguments(self, request: Request) -> dict[str, Any]:
        return {name: getattr(request, name) for name in self.told}


PROTOCOLS: dict[str, Protocol] = {
    "restoration": Protocol("restoration", ("damages",)),
    "realism": Protocol("realism"),
    "kernel-distance": Protocol("kernel_distance", ("scorers",)),
    "agreement": Protocol("agreement", ("scorers", "damage")),
    "order": Protocol("order", ("scorers", "damage"), fits=True),
    "recognition": Protocol("recognition", ("scorers", "damage"), fits=True),
    "fine-tuned": Protocol("fine_tuned", ("scorers", "damage"), fits=True),
    "video-models": Protocol("video_models", ("scorers",), fits=True),
    "leakage": Protocol("degradation", ("scorers",), fits=True),
    "layout": Protocol("layout"),
}
FITTING = {name for name, protocol in PROTOCOLS.items() if protocol.fits}
SCORING = {name for name, protocol in PROTOCOLS.items() if "scorers" in protocol.told}


@dataclass(frozen=True)
class Plan:
    """What is measured of what.

    Attributes:
        sets: the clips.
        models: the checkpoints by name.
        request: what all protocols are told.
        protocols: keys of `PROTOCOLS`.
        part: the one that is reported; "all" without a split.
        representations: the baselines, keys of `BASELINES`.
        windows: of a clip, where a protocol averages over them.
        dataset: a key of `DATASETS`.
        split: its number or its files' names.
        available: how many clips there are to report on, before any limit.
        limit: at most so many of each class and part.
        workers: processes that decode; None chooses.
    """

    sets: Sequence[Clips]
    models: Mapping[str, AVD]
    request: Request
    protocols: Sequence[str]
    part: str
    representations: Sequence[str] = tuple(BASELINES)
    windows: int = 1
    dataset: str = "folder"
    split: Sequence[str] | None = None
    available: int = 0
    limit: int | None = None
    workers: int | None = None


@dataclass(frozen=True)
class Outcome:
    """What came out: plain JSON values, and the reports themselves."""

    evidence: Mapping[str, Any]
    reports: Mapping[str, Report | NotMeasurable] = field(repr=False)


def collect(
    plan: Plan,
    work: str | Path,
    tell: Tell = lambda doing, done, total: None,
    skip: Callable[[Skipped], None] = lambda skipped: None,
    show: Callable[[str, Report | NotMeasurable], None] = lambda name, report: None,
) -> Outcome:
    """Carries out a plan. Stopped and called again with the same `work`, it goes on where it was.

    Args:
        plan: what is measured.
        work: a folder for what is made of the clips, some 2 MB for each with every protocol.
        tell: is told how far it is.
        skip: is told of each clip that cannot be read.
        show: is told of each protocol that is through.

    Raises:
        EvidenceError: no clip can be read.
    """
    entries = entries_of(plan.sets)
    store = Disk(work)
    gallery = Gallery(
        entries, plan.models, plan.part, baselines=plan.representations, windows=plan.windows, store=store
    )
    names = list(dict.fromkeys(plan.protocols))
    wants = {name: PROTOCOLS[name].wants(gallery, plan.request) for name in names}
    every = [want for some in wants.values() for want in some]
    fitted_on = [want for name in names if PROTOCOLS[name].fits for want in wants[name]]
    workers = default_workers(len(entries)) if plan.workers is None else plan.workers
    skipped: list[Skipped] = []
    tell("reading", 0, len(entries))
    for done, result in enumerate(gallery.stream(every, fitted_on, workers=workers), 1):
        if isinstance(result, Skipped):
            skipped.append(result)
            skip(result)
        tell("reading", done, len(entries))
    if not len(gallery.members()):
        first = skipped[0].reason if skipped else "there are none"
        raise EvidenceError(f"None of the {len(skipped)} clips can be read; the first: {first}")

    reports = measured(gallery, plan.request, names, tell, show)
    tell("writing", len(names), len(names))
    return Outcome(evidence_of(plan, gallery, skipped, reports), reports)


def measured(
    gallery: Gallery,
    request: Request,
    names: Sequence[str],
    tell: Tell = lambda doing, done, total: None,
    show: Callable[[str, Report | NotMeasurable], None] = lambda name, report: None,
) -> dict[str, Report | NotMeasurable]:
    """The reports of those protocols on a gallery, or why there is none."""
    reports: dict[str, Report | NotMeasurable] = {}
    for number, name in enumerate(names):
        tell(f"measuring {name}", number, len(names))
        try:
            reports[name] = PROTOCOLS[name].measure(gallery, request)
        except NotMeasurable as why:
            reports[name] = why
        show(name, reports[name])
    return reports


def evidence_of(
    plan: Plan, gallery: Gallery, skipped: Sequence[Skipped], reports: Mapping[str, Report | NotMeasurable]
) -> dict[str, Any]:
    """What evidence.json holds: plain values that say what was measured on what, and every protocol's summary."""
    protocols = {
        name: {"title": report.title, **report.summary} if isinstance(report, Report) else {"not_measured": str(report)}
        for name, report in reports.items()
    }
    members = gallery.members()
    groups = gallery.groups(members)
    folders = list(dict.fromkeys(clips.folder.resolve().name for clips in plan.sets))
    return {
        "version": __version__,
        "dataset": plan.dataset,
        "folders": folders,
        "splits": list(plan.split) if plan.split else None,
        "part": gallery.reported,
        "clips": len(members),
        "clips_available": plan.available or len(members),
        "clips_to_fit_on": len(gallery.entries) - len(members),
        "groups": len(set(groups)) if groups else None,
        "limit": plan.limit,
        "windows": plan.windows,
        "missing": sum(clips.missing for clips in plan.sets),
        "skipped": [asdict(clip) for clip in skipped],
        "shared_groups": asdict(shared) if (shared := shared_groups(plan.sets, gallery.reported)) else None,
        "about": about(
            plan.dataset,
            folders,
            here=plan.available,
            missing=sum(clips.missing for clips in plan.sets if clips.part == gallery.reported),
            classes=len(set(gallery.labels(members))),
        ),
        "checkpoints": {
            name: {"fingerprint": model.fingerprint, "frames": model.config.frames, "size": model.config.size}
            for name, model in plan.models.items()
        },
        "scorers": [scorer.name for scorer in plan.request.scorers],
        "protocols": protocols,
        "ablation": ablation(list(plan.models), protocols),
    }


def about(dataset: str, folders: Sequence[str], *, here: int = 0, missing: int = 0, classes: int = 0) -> str:
    """Say what a result is a result on, and what it is not.

    Args:
        dataset: a key of `DATASETS`.
        folders: names of the folders of clips.
        here, missing: of the clips that an official split reports on, how many are in the folder and how many are not.
        classes: of those that are.
    """
    if dataset == "folder":
        return f"Measured on {', '.join(folders)}. This is not a result on UCF101, HMDB51 or Kinetics."
    told = f"Measured on {DATASETS[dataset]}, by its official split."
    if not missing:
        return told
    return (
        f"{told} Only {here} of the {here + missing} clips that report are here, of {classes} classes: figures of the "
        "whole set are not comparable."
    )


def load_models(names: Sequence[str], size: int | None = None) -> dict[str, AVD]:
    """Load checkpoints, by their own names, or by those that were asked for where two call themselves the same.

    Args:
        names: bundled names, folders or Hub repo ids.
        size: short side in pixels to measure them at; None is each one's own, at most `SIZES[0]`: evidence takes hours.

    Raises:
        EvidenceError: the size is none that networks take.
    """
    from avd_core.networks.avd import AVD

    device = default_device()
    models = {name: AVD.from_pretrained(name, device=device) for name in dict.fromkeys(names)}
    for model in models.values():
        # The networks are convolutional: their config's size only says how large a clip is read.
        try:
            model.config = replace(model.config, size=size or min(model.config.size, SIZES[0]))
        except ConfigError as error:
            raise EvidenceError(str(error)) from error
    own = [model.name for model in models.values()]
    if len(set(own)) == len(own):
        return dict(zip(own, models.values(), strict=True))
    # Checkpoints of runs are all called "checkpoint": then their runs name them.
    runs = [Path(name).parent.name if Path(name).name == "checkpoint" else name for name in models]
    return dict(zip(runs, models.values(), strict=True)) if len(set(runs)) == len(runs) else models


def load_scorers(names: Sequence[str]) -> list[Classifier]:
    """The classifiers, each once; one that stands in for another says so in its `notice`."""
    import torch

    from avd_core.classifiers.loading import load_classifier

    device = default_device()
    scorers: dict[str, Classifier] = {}
    for name in names:
        scorer = load_classifier(name, device, head_folder=head_folder)
        scorer.network.to(memory_format=torch.channels_last)  # up to twice as fast on a CPU
        scorers.setdefault(scorer.name, scorer)
    return list(scorers.values())
