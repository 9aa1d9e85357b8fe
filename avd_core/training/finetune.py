"""Fine-tune a checkpoint on a user's clips: from their files to a self-contained run directory.

`prepare` writes the clips' parts as packs into the run directory, the files of the clips that evaluate, and the config
that the command line of `command` would write. `finetune_clips.divide` decides which parts train, which select the
weights and which report their gain.
"""

from __future__ import annotations

import dataclasses
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from avd_core.config import PRESET_OVERRIDES, PRESETS, SIZES, ModelConfig, TrainConfig
from avd_core.data.clip_spec import ClipSpec
from avd_core.data.packs import new_pack
from avd_core.networks.avd import AVD
from avd_core.networks.checkpoint import bundled
from avd_core.runs.registry import RunRecord, RunRegistry, slug
from avd_core.training.finetune_clips import ClipPart, Division, TakenClip, divide
from avd_core.training.run_config import RunConfig, resolved_init

JOBS = "jobs"  # the device of a run that goes to Hugging Face Jobs
SCRATCH = "preset:"  # prefix of a preset's name, to train from nothing
LOOKS = 10  # scores of the weights in a training
PACK, HELD_OUT_PACK, HELD_OUT = "train.pack", "held-out.pack", "held-out"


class FineTuneError(ValueError):
    """A fine-tune cannot run; the message says why, in one sentence."""


@dataclass(frozen=True)
class Length:
    """A choice of the training time.

    Attributes:
        title: as shown to users.
        seconds: of training.
    """

    title: str
    seconds: int


LENGTHS = {"quick": Length("Quick look", 60), "small": Length("Small", 300), "longer": Length("Longer", 1800)}


# How `base` is trained on, from itself; by `python -m benchmarks.finetune --quick`.
OF_BASE: dict[str, Any] = {
    "optimizer": "muon", "learning_rate": 3e-4, "batch_size": 2, "crop": 96, "ema_decay": 0.95, "precision": "auto",
    "recon_weight": 0.5, "psnr_weight": 0.05, "guide_weight": 10.0, "peak_weight": 150.0, "peak_levels": 10.0,
    "adv_weight": 0.0, "jpeg_share": 0.0,
}  # fmt: skip


@dataclass(frozen=True)
class FineTune:
    """A request for a fine-tune.

    Attributes:
        name: of the run, and of its checkpoint.
        init: the checkpoint to start from, or `preset:NAME` to start from nothing.
        clips: for training and evaluation.
        held_out: numbers of the clips that are only for evaluation.
        train: fields of `TrainConfig` that differ from the default.
        device: "cpu", "cuda", or a service such as `JOBS`.
        seconds: of training; None trains until the last step.
        size: short side in pixels for training and evaluation; None is the checkpoint's own.
    """

    name: str
    init: str
    clips: tuple[TakenClip, ...]
    held_out: frozenset[int]
    train: Mapping[str, Any]
    device: str = "cpu"
    seconds: float | None = None
    size: int | None = None

    @property
    def division(self) -> Division:
        """The parts that train, select and report."""
        return divide(self.clips, self.held_out)


def size_for(seconds: float, device: str, init: str) -> int:
    """Return the short side in pixels to train at: the checkpoint's own, or the smallest for a short training.

    Raises:
        ValueError: the checkpoint cannot be loaded.
    """
    own = _known_model(init).size
    return min(own, SIZES[0]) if device == "cpu" and seconds <= LENGTHS["quick"].seconds else own


def recipe(steps: int, init: str = "") -> dict[str, Any]:
    """Return the fields of `TrainConfig` that depend on the number of steps and the start.

    Args:
        steps: of the training.
        init: a checkpoint, or `preset:NAME` for a start from nothing.

    Raises:
        ValueError: the checkpoint cannot be loaded.
    """
    scratch, known = init.startswith(SCRATCH), _defaults()
    its_own = {name: known[name] for fields in (*PRESET_OVERRIDES.values(), OF_BASE) for name in fields}
    model = _known_model(init) if init else None
    # `robust`, and checkpoints fine-tuned from it, are for the smallest size, and keep their JPEG.
    of_base = OF_BASE if model and not scratch and model.preset == "base" and model.size > SIZES[0] else {}
    shows = model.guide_fields() if model else {}
    return its_own | {
        "steps": steps,
        "batch_size": 4,
        "learning_rate": 1.2e-3 if scratch else 4e-4,  # lower than from nothing, so that learned weights are kept
        "warmup": max(1, steps // 10),
        "adv_start": 0,
        "jpeg_start": steps // 2 if scratch else 0,
        "ema_decay": 0.99,
        "preview_every": max(1, steps // 6),
        "choose_every": 0 if scratch else max(1, steps // LOOKS),
        "save_every_seconds": 30.0,
        "precision": "fp32",
    } | PRESET_OVERRIDES.get(model.preset if model else "", {}) | of_base | shows  # fmt: skip


def _defaults() -> dict[str, Any]:
    return {field.name: field.default for field in dataclasses.fields(TrainConfig)}


def _model(init: str) -> ModelConfig:
    """Return the model config of a training's start."""
    if not init.startswith(SCRATCH):
        return AVD.from_pretrained(init).config
    if (preset := init.removeprefix(SCRATCH)) not in PRESETS:
        raise FineTuneError(f"There is no preset {preset!r}; there are {', '.join(sorted(PRESETS))}.")
    return PRESETS[preset]


_known_model = lru_cache(maxsize=64)(_model)  # for a form, which calls it with every change


def run_config(request: FineTune, folder: Path, model: ModelConfig, init: str | None) -> RunConfig:
    """Return the config of a run whose packs lie in `folder`.

    Args:
        request: the fine-tune.
        folder: of the packs.
        model: config of its start.
        init: name of the start's checkpoint in the config.

    Raises:
        ConfigError: a field is out of range.
    """
    classes = {clip.source.label for number, clip in enumerate(request.clips) if number not in request.held_out} - {""}
    return RunConfig(
        model=model,
        train=TrainConfig.from_dict(dict(request.train)),
        init=None if request.init.startswith(SCRATCH) else init,
        clips=(ClipSpec(str(folder / PACK)),),
        held_out=(ClipSpec(str(folder / HELD_OUT_PACK)),),
        classifier=len(classes) > 1,
    )


def command(request: FineTune) -> str:
    """Return the command line of the same training, for a shell in the parent of the run directory.

    It holds no path of this machine.

    Raises:
        ValueError: the checkpoint cannot be loaded, or a field is out of range.
    """
    name = slug(request.name)
    words = run_config(request, Path(name), _known_model(request.init), _shown(request.init)).to_argv(name)
    if request.device == JOBS:
        return shlex.join(["python", "-m", "avd_core", "train", *words, "--prepare"]) + (
            f" && python -m avd_core job {shlex.quote(name)}"
        )
    words += ["--device", request.device] if request.device in ("cpu", "cuda") else []
    words += ["--seconds", f"{request.seconds:g}"] if request.seconds is not None else []
    return shlex.join(["python", "-m", "avd_core", "train", *words])


def _shown(init: str) -> str:
    folder = Path(init)
    return init if init in bundled() or not folder.is_dir() else folder.name


def check(request: FineTune, home: RunRegistry) -> None:
    """Raise FineTuneError if a request exceeds the limits or has no clips to train on."""
    limits, config = home.limits, TrainConfig.from_dict(dict(request.train))
    if not request.clips:
        raise FineTuneError("Add some clips first: files, a zip, or the examples.")
    if len(request.clips) > limits.clips:
        raise FineTuneError(f"These are {len(request.clips)} clips; at most {limits.clips} are trained on here.")
    if not request.division.training:
        raise FineTuneError("Every clip is held out: leave some to train on.")
    if config.steps > limits.steps:
        raise FineTuneError(f"{config.steps} steps are too many; at most {limits.steps} are made here.")
    if request.seconds is not None and request.seconds > limits.seconds:
        raise FineTuneError(f"{request.seconds:g} s are too long; at most {limits.seconds} s are trained here.")


def prepare(request: FineTune, home: RunRegistry, owner: str) -> RunRecord:
    """Make the complete run directory and its record, which is not queued yet.

    Raises:
        FineTuneError, LimitError: as `check`, or the registry refuses another run.
        ValueError: its checkpoint cannot be loaded, or a field of its config is out of range.
    """
    check(request, home)
    division = request.division
    about = {
        "init": request.init,
        "clips": len(request.clips),
        "held_out": len(request.held_out),
        "apart": division.apart,
        "size": request.size,
        "judged": [
            {
                "file": _place(request, number),
                "title": request.clips[number].source.title,
                "label": request.clips[number].source.label,
                "window": dataclasses.asdict(part.window),
            }
            for number, part in division.reporting
        ],
        "command": command(request),
    }
    ticket = home.reserve(owner, request.name, request.device, seconds=request.seconds, about=about)
    run = home.run(ticket)
    try:
        run.folder.mkdir()
        _write_pack(run.folder / PACK, request, division.training)
        _write_pack(run.folder / HELD_OUT_PACK, request, division.choosing)
        for number, _ in division.reporting:  # for evaluation, and for Explore
            place = run.folder / _place(request, number)
            place.parent.mkdir(parents=True)
            shutil.copyfile(request.clips[number].source.clip, place)
        config = run_config(request, run.folder.resolve(), _model(request.init), resolved_init(request.init))
        run.create(config.to_dict())
    except BaseException as error:
        home.forget(ticket)
        if isinstance(error, OSError):
            raise FineTuneError(f"The run could not be written: {error.strerror or error}.") from error
        raise
    return ticket


def _place(request: FineTune, number: int) -> str:
    """Return the path, in the run directory, of an evaluation clip's file; its own name is not used."""
    source = request.clips[number].source
    return f"{HELD_OUT}/{number:04d}/clip{source.clip.suffix.lower()}"


def _write_pack(path: Path, request: FineTune, parts: Sequence[ClipPart]) -> None:
    size = request.size or _known_model(request.init).size
    with new_pack(path) as pack:
        for count, (number, part) in enumerate(parts):
            source, (stored, shape) = request.clips[number].source, part.stored_for(size)
            pack.add(f"clips/{source.label or '-'}/{count:04d}-{source.title}", stored.read_bytes(), shape)


def parse_fields(values: Mapping[str, Any]) -> dict[str, Any]:
    """Check fields of `TrainConfig` from a form or a file, and convert whole floats to int and int to float as needed.

    Raises:
        ConfigError: an unknown field, a value of another type, or one out of range.
    """
    defaults = {field.name: field.default for field in dataclasses.fields(TrainConfig)}
    plain = {}
    for name, value in values.items():
        default = defaults.get(name)
        if type(default) is int and isinstance(value, float) and value.is_integer():
            value = int(value)
        elif type(default) is float and type(value) is int:
            value = float(value)
        plain[name] = value
    TrainConfig.from_dict(plain)
    return plain


def presets() -> list[str]:
    """Return the starts from nothing, `preset:NAME`."""
    return [f"{SCRATCH}{name}" for name in sorted(PRESETS)]
