"""A fine-tune on somebody's own clips: from their files to a run directory that needs nothing else.

`prepare` writes parts of the clips as packs into the run directory, beside the files of those that judge, and the same
config as the command line that is shown (`command`) would write. Which part trains, which chooses among the weights and
which reports their gain: `finetune_clips.divide`.
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
SCRATCH = "preset:"  # before the name of a preset to train from nothing
LOOKS = 10  # at the clips that choose, in a training
PACK, HELD_OUT_PACK, HELD_OUT = "train.pack", "held-out.pack", "held-out"


class FineTuneError(ValueError):
    """A fine-tune that cannot be, with a sentence saying why."""


@dataclass(frozen=True)
class Length:
    """How long to train: a choice for people.

    Attributes:
        title: what it is called.
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
    """What a person asks for.

    Attributes:
        name: of the run, and of the checkpoint that comes of it.
        init: the checkpoint to start from, or `preset:NAME` for nothing.
        clips: to train and to judge on.
        held_out: which of them, by number, are for judging alone.
        train: fields of `TrainConfig` that differ from the default.
        device: where it is to run: "cpu", "cuda", or a place beyond this machine.
        seconds: of training; None is until the last step.
        size: short side in pixels that it is trained for and judged at; None is the checkpoint's own.
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
        """What each part of the clips is for."""
        return divide(self.clips, self.held_out)


def size_for(seconds: float, device: str, init: str) -> int:
    """Return the short side in pixels to train for: the checkpoint's own, but the smallest where seconds count.

    Raises:
        ValueError: the checkpoint cannot be had.
    """
    own = _known_model(init).size
    return min(own, SIZES[0]) if device == "cpu" and seconds <= LENGTHS["quick"].seconds else own


def recipe(steps: int, init: str = "") -> dict[str, Any]:
    """Fields of `TrainConfig` that suit so many steps from a checkpoint (any), or from nothing: all that depend on it.

    Raises:
        ValueError: the checkpoint cannot be had.
    """
    scratch, known = init.startswith(SCRATCH), _defaults()
    its_own = {name: known[name] for fields in (*PRESET_OVERRIDES.values(), OF_BASE) for name in fields}
    model = _known_model(init) if init else None
    # `robust`, and what was fine-tuned from it, is made for the smallest size, and keeps its JPEG.
    of_base = OF_BASE if model and not scratch and model.preset == "base" and model.size > SIZES[0] else {}
    shows = model.guide_fields() if model else {}
    return its_own | {
        "steps": steps,
        "batch_size": 4,
        "learning_rate": 1.2e-3 if scratch else 4e-4,  # less than from nothing: what is known is to be kept
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
    """Return the shape of what a training starts from."""
    if not init.startswith(SCRATCH):
        return AVD.from_pretrained(init).config
    if (preset := init.removeprefix(SCRATCH)) not in PRESETS:
        raise FineTuneError(f"There is no preset {preset!r}; there are {', '.join(sorted(PRESETS))}.")
    return PRESETS[preset]


_known_model = lru_cache(maxsize=64)(_model)  # for a form, which asks again with every change


def run_config(ask: FineTune, folder: Path, model: ModelConfig, init: str | None) -> RunConfig:
    """Return the config of a run whose packs lie in `folder`.

    Args:
        ask: the run.
        folder: where it lies.
        model: of its start.
        init: what a start that is a checkpoint is called there.

    Raises:
        ConfigError: a field is out of range.
    """
    classes = {clip.source.label for number, clip in enumerate(ask.clips) if number not in ask.held_out} - {""}
    return RunConfig(
        model=model,
        train=TrainConfig.from_dict(dict(ask.train)),
        init=None if ask.init.startswith(SCRATCH) else init,
        clips=(ClipSpec(str(folder / PACK)),),
        held_out=(ClipSpec(str(folder / HELD_OUT_PACK)),),
        classifier=len(classes) > 1,
    )


def command(ask: FineTune) -> str:
    """Return the command line that does the same, for a shell in the folder that holds the run's own.

    No path of a server is in it.

    Raises:
        ValueError: the checkpoint cannot be had, or a field is out of range.
    """
    name = slug(ask.name)
    words = run_config(ask, Path(name), _known_model(ask.init), _shown(ask.init)).to_argv(name)
    if ask.device == JOBS:
        return shlex.join(["python", "-m", "avd_core", "train", *words, "--prepare"]) + (
            f" && python -m avd_core job {shlex.quote(name)}"
        )
    words += ["--device", ask.device] if ask.device in ("cpu", "cuda") else []
    words += ["--seconds", f"{ask.seconds:g}"] if ask.seconds is not None else []
    return shlex.join(["python", "-m", "avd_core", "train", *words])


def _shown(init: str) -> str:
    folder = Path(init)
    return init if init in bundled() or not folder.is_dir() else folder.name


def check(ask: FineTune, home: RunRegistry) -> None:
    """Raises FineTuneError where a request is beyond the limits or makes no sense."""
    limits, config = home.limits, TrainConfig.from_dict(dict(ask.train))
    if not ask.clips:
        raise FineTuneError("Add some clips first: files, a zip, or the examples.")
    if len(ask.clips) > limits.clips:
        raise FineTuneError(f"These are {len(ask.clips)} clips; at most {limits.clips} are trained on here.")
    if not ask.division.training:
        raise FineTuneError("Every clip is held out: leave some to train on.")
    if config.steps > limits.steps:
        raise FineTuneError(f"{config.steps} steps are too many; at most {limits.steps} are made here.")
    if ask.seconds is not None and ask.seconds > limits.seconds:
        raise FineTuneError(f"{ask.seconds:g} s are too long; at most {limits.seconds} s are trained here.")


def prepare(ask: FineTune, home: RunRegistry, owner: str) -> RunRecord:
    """Makes the run directory, whole, and its ticket, which still has to be put in line.

    Raises:
        FineTuneError, LimitError: it is not to be.
        ValueError: its checkpoint or a field of its config is no good.
    """
    check(ask, home)
    division = ask.division
    about = {
        "init": ask.init,
        "clips": len(ask.clips),
        "held_out": len(ask.held_out),
        "apart": division.apart,
        "size": ask.size,
        "judged": [
            {
                "file": _place(ask, number),
                "title": ask.clips[number].source.title,
                "label": ask.clips[number].source.label,
                "window": dataclasses.asdict(part.window),
            }
            for number, part in division.reporting
        ],
        "command": command(ask),
    }
    ticket = home.reserve(owner, ask.name, ask.device, seconds=ask.seconds, about=about)
    run = home.run(ticket)
    try:
        run.folder.mkdir()
        _write_pack(run.folder / PACK, ask, division.training)
        _write_pack(run.folder / HELD_OUT_PACK, ask, division.choosing)
        for number, _ in division.reporting:  # for judging, and for Explore
            place = run.folder / _place(ask, number)
            place.parent.mkdir(parents=True)
            shutil.copyfile(ask.clips[number].source.clip, place)
        config = run_config(ask, run.folder.resolve(), _model(ask.init), resolved_init(ask.init))
        run.create(config.to_dict())
    except BaseException as error:
        home.forget(ticket)
        if isinstance(error, OSError):
            raise FineTuneError(f"The run could not be written: {error.strerror or error}.") from error
        raise
    return ticket


def _place(ask: FineTune, number: int) -> str:
    """Where a judging clip's file lies in the run directory; its own name is not to be trusted."""
    source = ask.clips[number].source
    return f"{HELD_OUT}/{number:04d}/clip{source.clip.suffix.lower()}"


def _write_pack(path: Path, ask: FineTune, parts: Sequence[ClipPart]) -> None:
    size = ask.size or _known_model(ask.init).size
    with new_pack(path) as pack:
        for count, (number, part) in enumerate(parts):
            source, (stored, shape) = ask.clips[number].source, part.stored_for(size)
            pack.add(f"clips/{source.label or '-'}/{count:04d}-{source.title}", stored.read_bytes(), shape)


def parse_fields(values: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of `TrainConfig` as a form or a file gives them: numbers come as they like, others must fit.

    Raises:
        ConfigError: for an unknown field or one out of range.
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
    """What can be trained from nothing."""
    return [f"{SCRATCH}{name}" for name in sorted(PRESETS)]
