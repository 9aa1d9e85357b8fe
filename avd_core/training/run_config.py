"""The configuration of a run: `config.json` as a dataclass, and as a command line."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avd_core.config import (
    KEPT_FIELDS,
    MIN_SIZE,
    PRESETS,
    SIDE_MULTIPLE,
    ConfigError,
    ModelConfig,
    TrainConfig,
    preset_overrides,
)
from avd_core.data.clip_spec import ClipSpec
from avd_core.data.datasets import STORED_SIZE, find_photos, look_through
from avd_core.runs.run import Run, RunError


@dataclass(frozen=True)
class RunConfig:
    """Configuration of a run, without its device and time limit.

    Attributes:
        model: config of the networks.
        train: config of the training.
        init: the checkpoint to start from; None starts from nothing.
        clips: sources of training clips; if empty, synthetic scenes.
        held_out: clips for previews, calibration and the selection of weights (`TrainConfig.choose_every`).
        photos: folder of photographs for the discriminator and for synthetic scenes.
        classifier: whether to train a recognition head for the clips' classes at the end.
        stored_size: short side in pixels at which clips of folders are read, before cropping.
    """

    model: ModelConfig
    train: TrainConfig
    init: str | None = None
    clips: tuple[ClipSpec, ...] = ()
    held_out: tuple[ClipSpec, ...] = ()
    photos: str | None = None
    classifier: bool = False
    stored_size: int = STORED_SIZE

    def __post_init__(self) -> None:
        if type(self.stored_size) is not int or self.stored_size < MIN_SIZE or self.stored_size % SIDE_MULTIPLE:
            raise ConfigError(
                f"stored_size is {self.stored_size}; it must be a multiple of {SIDE_MULTIPLE} from {MIN_SIZE} up."
            )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RunConfig:
        """Build it from the values of `to_dict`, of older versions too; all but `model` and `train` may be missing.

        Raises:
            ConfigError: one of these is missing, or a value is out of range.
        """
        missing = [name for name in ("model", "train") if name not in values]
        if missing:
            raise ConfigError(f"it says nothing about {' and '.join(missing)}.")
        kinds = {"init": str | None, "photos": str | None, "clips": list | tuple, "held_out": list | tuple}
        for name, kind in kinds.items():
            if name in values and not isinstance(values[name], kind):
                raise ConfigError(f"its {name} is {str(values[name])[:60]!r}.")
        return cls(
            model=ModelConfig.from_dict(values["model"]),
            train=TrainConfig.from_dict(values["train"]),
            init=values.get("init"),
            clips=tuple(map(ClipSpec.from_dict, values.get("clips", ()))),
            held_out=tuple(map(ClipSpec.from_dict, values.get("held_out", ()))),
            photos=values.get("photos"),
            classifier=bool(values.get("classifier")),
            stored_size=values.get("stored_size", STORED_SIZE),
        )

    @classmethod
    def of(cls, run: Run) -> RunConfig:
        """Read the config of a run directory.

        Raises:
            RunError: it is missing, or no valid config.
        """
        try:
            return cls.from_dict(run.config())
        except ConfigError as error:
            raise RunError(f"config.json of {run.folder.name} cannot be used: {error}") from error

    def check_inputs(self) -> list[str]:
        """Check that clips and photographs exist; return a sentence for each folder in which files are passed over.

        Raises:
            ValueError: they do not.
        """
        passed_over = []
        for spec in (*self.clips, *self.held_out):
            spec.open(self.stored_size)
            if spec.dataset is None and Path(spec.path).is_dir():
                passed_over.append(look_through(spec.path, spec.patterns)[1])
        if self.photos:
            find_photos(self.photos)
        return [sentence for sentence in dict.fromkeys(passed_over) if sentence]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "model": self.model.to_dict(),
            "train": self.train.to_dict(),
            "init": self.init,
            "clips": [spec.to_dict() for spec in self.clips],
            "held_out": [spec.to_dict() for spec in self.held_out],
            "photos": self.photos,
            "classifier": self.classifier,
            "stored_size": self.stored_size,
        }

    def to_argv(self, folder: str | Path) -> list[str]:
        """Return the arguments of `avd train` that make this run in `folder`.

        Raises:
            ConfigError: there are none, because a split selected the clips, or the new model is no preset.
        """
        if self.init is None and PRESETS.get(self.model.preset) != self.model:
            raise ConfigError(
                f"The model {self.model.preset!r} is no preset, so no command line starts it from nothing."
            )
        words = ["--run", str(folder), *_clip_words(self.clips, self.held_out)]
        words += ["--preset", self.model.preset] if self.init is None else ["--init", self.init]
        words += ["--classifier"] if self.classifier else []
        words += ["--photos", self.photos] if self.photos else []
        words += ["--stored-size", str(self.stored_size)] if self.stored_size != STORED_SIZE else []
        # Leave out what the command sets by default; give all else, even where it is the dataclass's default.
        taken = TrainConfig.from_dict(preset_overrides(self.model.preset, from_nothing=self.init is None)).to_dict()
        kept = () if self.init is None else KEPT_FIELDS  # of these the start's own are the command's defaults
        fields = {name: value for name, value in self.train.to_dict().items() if name in kept or value != taken[name]}
        fields.pop("steps", None)  # has an option of its own
        words += ["--steps", str(self.train.steps)]
        return words + [word for name, value in fields.items() for word in ("--set", f"{name}={value}")]


def resolved_init(init: str | None) -> str | None:
    """Make the path of a checkpoint folder absolute; leave other names as they are."""
    return str(Path(init).resolve()) if init and Path(init).is_dir() else init


def _clip_words(clips: Sequence[ClipSpec], held_out: Sequence[ClipSpec]) -> list[str]:
    words = ["--data", *(spec.path for spec in clips)] if clips else []
    for spec in clips[:1]:
        words += ["--dataset", spec.dataset] if spec.dataset else []
        words += ["--split", *spec.splits] if spec.splits else []
        words += ["--lists", spec.lists] if spec.lists else []
    one_kind = len({dataclasses.replace(spec, path="") for spec in clips}) <= 1
    by_split = [spec for spec in (*clips, *held_out) if spec.patterns is not None]
    if by_split or not one_kind or any(spec.dataset for spec in held_out):
        raise ConfigError("A command line names a split by its file, which the config of a run does not keep.")
    return words + (["--held-out", *(spec.path for spec in held_out)] if held_out else [])
