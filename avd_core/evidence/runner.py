"""Run evaluation protocols over held-out clips and collect their intervals and verdicts.

The protocols are in `avd_core/evidence/protocols`, one file each. Each clip is decoded once for all of them; then the
protocols run one after the other. `avd_core.cli.evidence` is the command, `avd_core.evidence.writers` writes the
results.
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
from avd_core.evidence.feature_cache import FeatureCache
from avd_core.evidence.protocols.ablation import ablation
from avd_core.evidence.report import NotMeasurable, Report
from avd_core.evidence.representations import BASELINES
from avd_core.runs.registry import head_folder

if TYPE_CHECKING:
    from avd_core.classifiers.loading import Classifier
    from avd_core.networks.avd import AVD

SCORERS = ("mobilenet_v2", "squeezenet1_0")  # the second has no part in any training of ours
DAMAGE = "jpeg-75+shift"  # the degradation of the classifiers' second column

Progress = Callable[[str, int, int], None]  # activity, steps done, steps in all


@dataclass(frozen=True)
class Request:
    """Settings that the protocols share.

    Attributes:
        scorers: the classifiers.
        damages: degradations to restore from, beside an undamaged 8-bit PNG; keys of `DEGRADATIONS`.
        damage: the degradation under which classifiers are measured a second time.
        seed: of every random draw.
    """

    scorers: Sequence[Classifier]
    damages: Sequence[str] = ("jpeg-90",)
    damage: str = DAMAGE
    seed: int = 0


@dataclass(frozen=True)
class Protocol:
    """A protocol: a module with `requirements` and `measure`, imported on first use.

    Attributes:
        module: its name in `avd_core.evidence.protocols`.
        arguments: fields of `Request` that both functions take.
        fits: whether it fits a model on the split's training clips.
    """

    module: str
    arguments: tuple[str, ...] = ()
    fits: bool = False

    def requirements(self, cache: FeatureCache, request: Request) -> Sequence[Any]:
        """List the arrays that it needs of every clip."""
        return self._load().requirements(cache, **self._keywords(request))

    def measure(self, cache: FeatureCache, request: Request) -> Report:
        """Run it.

        Raises:
            NotMeasurable: these clips or this machine do not allow it.
        """
        return self._load().measure(cache, **self._keywords(request), seed=request.seed)

    def _load(self) -> ModuleType:
        return importlib.import_module(f"avd_core.evidence.protocols.{self.module}")

    def _keywords(self, request: Request) -> dict[str, Any]:
        return {name: getattr(request, name) for name in self.arguments}


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
SCORING = {name for name, protocol in PROTOCOLS.items() if "scorers" in protocol.arguments}


@dataclass(frozen=True)
class Plan:
    """What to measure, and on which clips.

    Attributes:
        sets: the clips.
        models: the checkpoints by name.
        request: the settings that protocols share.
        protocols: keys of `PROTOCOLS`.
        part: the part of the split to report on; "all" without a split.
        representations: the baselines, keys of `BASELINES`.
        windows: how many windows of a clip a protocol averages over.
        dataset: a key of `DATASETS`.
        split: its number or its files' names.
        available: number of clips to report on before `limit`.
        limit: most clips of each class and part.
        workers: decoding processes; None chooses.
        name: what the clips are called in the report; empty for the names of their folders.
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
    name: str = ""


@dataclass(frozen=True)
class Outcome:
    """The results: plain JSON values, and the reports themselves."""

    evidence: Mapping[str, Any]
    reports: Mapping[str, Report | NotMeasurable] = field(repr=False)


def collect(
    plan: Plan,
    work: str | Path,
    progress: Progress = lambda doing, done, total: None,
    on_skipped: Callable[[Skipped], None] = lambda skipped: None,
    on_report: Callable[[str, Report | NotMeasurable], None] = lambda name, report: None,
) -> Outcome:
    """Run a plan. A stopped run continues when it is called again with the same `work`.

    Args:
        plan: what to measure.
        work: folder for computed arrays, about 2 MB a clip with every protocol.
        progress: called with the activity, the steps done and the steps in all.
        on_skipped: called for each clip that cannot be read.
        on_report: called with the name and the result of each finished protocol.

    Raises:
        EvidenceError: no clip can be read.
    """
    entries = entries_of(plan.sets)
    store = Disk(work)
    cache = FeatureCache(
        entries, plan.models, plan.part, baselines=plan.representations, windows=plan.windows, store=store
    )
    names = list(dict.fromkeys(plan.protocols))
    requirements = {name: PROTOCOLS[name].requirements(cache, plan.request) for name in names}
    every = [requirement for some in requirements.values() for requirement in some]
    fitted_on = [requirement for name in names if PROTOCOLS[name].fits for requirement in requirements[name]]
    workers = default_workers(len(entries)) if plan.workers is None else plan.workers
    skipped: list[Skipped] = []
    progress("reading", 0, len(entries))
    for done, result in enumerate(cache.stream(every, fitted_on, workers=workers), 1):
        if isinstance(result, Skipped):
            skipped.append(result)
            on_skipped(result)
        progress("reading", done, len(entries))
    if not len(cache.members()):
        first = skipped[0].reason if skipped else "there are none"
        raise EvidenceError(f"None of the {len(skipped)} clips can be read; the first: {first}")

    reports = measure_protocols(cache, plan.request, names, progress, on_report)
    progress("writing", len(names), len(names))
    return Outcome(evidence_of(plan, cache, skipped, reports), reports)


def measure_protocols(
    cache: FeatureCache,
    request: Request,
    names: Sequence[str],
    progress: Progress = lambda doing, done, total: None,
    on_report: Callable[[str, Report | NotMeasurable], None] = lambda name, report: None,
) -> dict[str, Report | NotMeasurable]:
    """Run protocols on the cached clips; return each report, or the reason why there is none."""
    reports: dict[str, Report | NotMeasurable] = {}
    for number, name in enumerate(names):
        progress(f"measuring {name}", number, len(names))
        try:
            reports[name] = PROTOCOLS[name].measure(cache, request)
        except NotMeasurable as why:
            reports[name] = why
        on_report(name, reports[name])
    return reports


def evidence_of(
    plan: Plan, cache: FeatureCache, skipped: Sequence[Skipped], reports: Mapping[str, Report | NotMeasurable]
) -> dict[str, Any]:
    """Build the content of evidence.json: the clips, checkpoints and classifiers, and every protocol's summary."""
    protocols = {
        name: {"title": report.title, **report.summary} if isinstance(report, Report) else {"not_measured": str(report)}
        for name, report in reports.items()
    }
    members = cache.members()
    groups = cache.groups(members)
    folders = list(dict.fromkeys(clips.folder.resolve().name for clips in plan.sets))
    return {
        "version": __version__,
        "name": plan.name,
        "dataset": plan.dataset,
        "folders": folders,
        "splits": list(plan.split) if plan.split else None,
        "part": cache.reported,
        "clips": len(members),
        "clips_available": plan.available or len(members),
        "clips_to_fit_on": len(cache.entries) - len(members),
        "groups": len(set(groups)) if groups else None,
        "limit": plan.limit,
        "windows": plan.windows,
        "missing": sum(clips.missing for clips in plan.sets),
        "skipped": [asdict(clip) for clip in skipped],
        "shared_groups": asdict(shared) if (shared := shared_groups(plan.sets, cache.reported)) else None,
        "about": about(
            plan.dataset,
            folders,
            here=plan.available,
            missing=sum(clips.missing for clips in plan.sets if clips.part == cache.reported),
            classes=len(set(cache.labels(members))),
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
    sentence = f"Measured on {DATASETS[dataset]}, by its official split."
    if not missing:
        return sentence
    return (
        f"{sentence} Only {here} of the {here + missing} clips that report are here, of {classes} classes: figures of "
        "the whole set are not comparable."
    )


def load_models(names: Sequence[str], size: int | None = None) -> dict[str, AVD]:
    """Load checkpoints, keyed by their own names, or by `names` where two of them share one.

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
    """Load classifiers, each once; one that replaces another says so in its `notice`."""
    import torch

    from avd_core.classifiers.loading import load_classifier

    device = default_device()
    scorers: dict[str, Classifier] = {}
    for name in names:
        scorer = load_classifier(name, device, head_folder=head_folder)
        torch.nn.utils.convert_conv2d_weight_memory_format(
            scorer.network, torch.channels_last
        )  # up to twice as fast on a CPU
        scorers.setdefault(scorer.name, scorer)
    return list(scorers.values())
