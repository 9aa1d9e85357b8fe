"""Frozen, validated configurations: what a network is (`ModelConfig`) and how it is trained (`TrainConfig`).

Every choice that the AVD paper (arXiv 1907.05640) does not state is a field here, so that it can be read, changed and
compared. `PRESETS` holds the shapes of the bundled networks; no other file states sizes.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

MIN_SIZE, MAX_SIZE = 64, 224
SIDE_MULTIPLE = 8
MIN_FPS, MAX_FPS = 0.001, 1_000_000.0  # frames per second that can be written and read
# Guide targets of the distilled image; `analysis/motion_pictures.py` makes the pictures of the movement.
GUIDE_TARGETS = (
    "middle",
    "multiple-exposure",
    "plate",
    "history-overlay",
    "fading-strobe",
    "strobe",
    "steady-exposure",
    "steady-strobe",
)


class ConfigError(ValueError):
    """A configuration cannot be used; the message names the field and the reason."""


def _check(condition: bool, sentence: str) -> None:
    if not condition:
        raise ConfigError(sentence)


def _field(default: Any, about: str, *, compare: bool = True) -> Any:
    """Make a field with its description, which forms, `avd train --help` and this file share."""
    return dataclasses.field(default=default, compare=compare, metadata={"help": about})


@dataclass(frozen=True)
class _Config:
    """Base of both configurations: conversion from and to JSON values; unknown fields are errors."""

    @classmethod
    def descriptions(cls) -> dict[str, str]:
        """Return what each field means, in field order."""
        return {field.name: field.metadata["help"] for field in dataclasses.fields(cls)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build a configuration from plain JSON values.

        Raises:
            ConfigError: for an unknown field, a value of the wrong type, or one out of range.
        """
        _check(isinstance(values, Mapping), f"A {cls.__name__} is a JSON object of named fields.")
        fields = {field.name: field for field in dataclasses.fields(cls)}
        unknown = sorted(set(values) - set(fields))
        _check(not unknown, f"{cls.__name__} has no field {', '.join(map(repr, unknown))}.")
        plain = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        for name, value in plain.items():
            default = fields[name].default
            same = isinstance(value, type(default)) and isinstance(value, bool) == isinstance(default, bool)
            whole_for_real = isinstance(default, float) and type(value) is int
            _check(same or whole_for_real, f"{cls.__name__}.{name} is {value!r}; expected {type(default).__name__}.")
        return cls(**plain)

    @classmethod
    def from_json(cls, path: str | Path) -> Self:
        """Read `path`; raise `ConfigError` when it is no valid configuration."""
        try:
            values = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
            raise ConfigError(f"{Path(path).name} cannot be read as JSON: {error}.") from error
        return cls.from_dict(values)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, in field order."""
        return {
            name: list(value) if isinstance(value, tuple) else value for name, value in dataclasses.asdict(self).items()
        }


def _check_guide(config: ModelConfig | TrainConfig) -> None:
    name, known = type(config).__name__, ", ".join(GUIDE_TARGETS)
    _check(
        config.guide_target in GUIDE_TARGETS,
        f"{name}.guide_target is {config.guide_target!r}; choose one of {known}.",
    )
    _check(0 < config.guide_strength <= 1, f"{name}.guide_strength must be above 0 and at most 1.")


SIZES = (112, 160, 224)  # short sides in pixels that people choose among


@dataclass(frozen=True)
class ModelConfig(_Config):
    """The shape of encoder, decoder and discriminator."""

    preset: str = _field("base", "the name this shape goes by")
    frames: int = _field(16, "T, fixed per checkpoint, 8 to 32")
    size: int = _field(112, "short side in pixels that it is trained for; 64 to 224 are allowed at run time")
    patch: int = _field(4, "side of the pixel block folded into channels before the first convolution, 2 or 4")
    clip_channels: tuple[int, ...] = _field((32, 48, 64), "width of each 3D stage; time is halved between stages")
    clip_blocks: tuple[int, ...] = _field((1, 2, 2), "residual 3D blocks in each stage")
    image_channels: int = _field(128, "width of the 2D trunk, at `1/patch` of the image's sides")
    image_blocks: int = _field(1, "residual 2D blocks before, and again after, the deep part of the trunk")
    deep_channels: int = _field(160, "width of the trunk's deep part, at half of that resolution")
    deep_blocks: int = _field(2, "residual 2D blocks there")
    residual: bool = _field(
        True,
        "the image is a learned temporal blend of the frames plus a residual, the restored frames are the image plus "
        "residuals; off, both are made from nothing, as published",
    )
    rounding: bool = _field(
        True, "the distilled image is rounded to 8 bits (straight-through gradient) before anything reads it"
    )
    discriminator_channels: tuple[int, ...] = _field(
        (32, 64, 96), "width of each stage of the discriminator; sides are halved between stages"
    )
    guide_target: str = _field(
        "middle",
        'what the image was drawn to in training: the clip\'s "middle" frame, or a picture of its movement, one of '
        "`GUIDE_TARGETS`; a training sets it from its own `TrainConfig`",
    )
    guide_strength: float = _field(0.5, "of that picture of the movement, above 0 and up to 1")
    # No part of a comparison: a run that was prepared before there was this field still fits its start.
    trained_through_jpeg: bool = _field(
        False, "whether the decoder read images through JPEG in training; a training sets it itself", compare=False
    )

    @property
    def guide(self) -> tuple[str, float]:
        """Return `guide_target` and `guide_strength`."""
        return self.guide_target, self.guide_strength

    def guide_fields(self) -> dict[str, Any]:
        """Return them as the fields of the `TrainConfig` that trains such a model on."""
        return {"guide_target": self.guide_target, "guide_strength": self.guide_strength}

    def kept_fields(self) -> dict[str, Any]:
        """Return the `KEPT_FIELDS` of the `TrainConfig` that keeps such a checkpoint what it is as it is trained on."""
        return self.guide_fields() | ({} if self.trained_through_jpeg else {"jpeg_share": 0.0})

    def __post_init__(self) -> None:
        _check_guide(self)
        _check(0 < len(self.preset) <= 40, "ModelConfig.preset is a name of 1 to 40 characters.")
        _check(8 <= self.frames <= 32, f"ModelConfig.frames is {self.frames}; allowed are 8 to 32.")
        _check(
            MIN_SIZE <= self.size <= MAX_SIZE and self.size % SIDE_MULTIPLE == 0,
            f"ModelConfig.size is {self.size}; allowed are multiples of {SIDE_MULTIPLE} from {MIN_SIZE} to {MAX_SIZE}.",
        )
        _check(self.patch in (2, 4), f"ModelConfig.patch is {self.patch}; allowed are 2 and 4.")
        for name in ("clip_channels", "clip_blocks", "discriminator_channels"):
            widths = getattr(self, name)
            lowest, highest = (0, 16) if name == "clip_blocks" else (4, 512)
            _check(
                1 <= len(widths) <= 5 and all(type(w) is int and lowest <= w <= highest for w in widths),
                f"ModelConfig.{name} is {list(widths)}; expected 1 to 5 whole numbers from {lowest} to {highest}.",
            )
        _check(
            len(self.clip_channels) == len(self.clip_blocks),
            "ModelConfig.clip_channels and clip_blocks name the same stages: give them the same length.",
        )
        for name in ("image_channels", "deep_channels"):
            _check(8 <= getattr(self, name) <= 1024, f"ModelConfig.{name} must be 8 to 1024.")
        for name in ("image_blocks", "deep_blocks"):
            _check(0 <= getattr(self, name) <= 16, f"ModelConfig.{name} must be 0 to 16.")
        _check(
            self.frames % 2 ** (len(self.clip_channels) - 1) == 0,
            f"ModelConfig.frames ({self.frames}) must halve evenly between {len(self.clip_channels)} stages.",
        )


PRESETS: dict[str, ModelConfig] = {
    "base": ModelConfig(),
    "paper": ModelConfig(preset="paper", residual=False),
    "tiny": ModelConfig(
        preset="tiny", frames=8, size=64, clip_channels=(8, 12), clip_blocks=(1, 1), image_channels=24,
        deep_channels=32, deep_blocks=1, discriminator_channels=(8, 16),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class TrainConfig(_Config):
    """Settings of a training. Losses are means over pixels with values in [-1, 1]."""

    steps: int = _field(2400, "full updates of generator and discriminator")
    batch_size: int = _field(8, "clips a step")
    crop: int = _field(80, "side in pixels of the square training crop")
    learning_rate: float = _field(
        1.2e-3, "of encoder and decoder, after `warmup` steps; falls to a twentieth along a cosine"
    )
    critic_learning_rate: float = _field(2e-4, "of the discriminator, constant")
    recon_weight: float = _field(
        1.0, "weight of the mean absolute error of the restored clip; 0 is the ablation without reconstruction"
    )
    adv_weight: float = _field(
        0.005, "weight of the relativistic adversarial loss; 0 is the ablation without a discriminator"
    )
    guide_weight: float = _field(
        5.0, "weight of the mean squared difference of the distilled image to its target; 0 as published"
    )
    guide_target: str = _field(
        "middle", 'that target: the clip\'s "middle" frame, or a picture of its movement, one of `GUIDE_TARGETS`'
    )
    guide_strength: float = _field(0.5, "of the picture of the movement, above 0 and up to 1")
    penalty_weight: float = _field(0.02, "gamma of the zero-centred gradient penalties R1 and R2 on the discriminator")
    penalty_every: int = _field(8, "the penalties are computed every so many steps, scaled to match")
    adv_start: int = _field(100, "steps before the discriminator joins")
    warmup: int = _field(100, "steps over which the learning rate rises")
    ema_decay: float = _field(0.998, "of the averaged encoder and decoder that ship")
    max_grad_norm: float = _field(1.0, "gradients of encoder and decoder are clipped to this norm")
    spectrum_weight: float = _field(
        0.0, "weight of the difference in spectrum (FFT) of the distilled image to its target"
    )
    psnr_weight: float = _field(
        0.0, "weight of half the logarithm of each restored clip's mean squared error, which counts every clip alike"
    )
    peak_weight: float = _field(
        0.0,
        "weight of the mean squared excess over `peak_levels` of the image's difference to its target",
    )
    peak_levels: float = _field(12.0, "how many of 255 levels are no excess")
    optimizer: str = _field(
        "adamw", 'of encoder and decoder: "adamw", or "muon" for their wide convolutions and AdamW for the rest'
    )
    label_weight: float = _field(
        0.0,
        "weight of the cross-entropy of a still-image classifier that is trained along; it needs clips in folders of "
        "classes. At 0 no label is read",
    )
    augment: str = _field(
        "",
        'what is changed, differentiably, in every image the discriminator sees: "" or some of "colour,shift,cutout"',
    )
    noise_levels: float = _field(0.0, "the decoder sees the image under uniform noise of up to so many of 255 levels")
    jpeg_share: float = _field(0.7, "share of the images that the decoder sees through JPEG (4:2:0)")
    jpeg_start: int = _field(0, "steps before that begins: a code must be found before it can be made to last")
    jpeg_quality: int = _field(85, "the lowest quality of those, 1 to 95; the highest is 95")
    photo_share: float = _field(
        0.5,
        "share of photographs among the discriminator's real images, in a run that names a folder of them; the others, "
        "and all in other runs, are frames",
    )
    accumulate: int = _field(
        1, "a batch is computed in so many equal parts, whose gradients add up: less memory, the same update"
    )
    divergence_factor: float = _field(
        4.0, "a reconstruction loss above so many times its running median counts as far off"
    )
    divergence_patience: int = _field(50, "so many steps far off in a row end the training, rolled back; 0 never does")
    synthetic_share: float = _field(
        0.0, "share of each batch rendered as it is needed (a pack may hold synthetic scenes as well)"
    )
    precision: str = _field(
        "auto", '"bf16" (autocast), "fp32", or "auto": bf16 where the device computes in it, else fp32'
    )
    preview_every: int = _field(200, "steps between previews")
    choose_every: int = _field(
        0,
        "steps between looks at the held-out clips: the weights that bring them back best are kept, and a learning "
        "rate that the warm-up shows to be too high is lowered; 0 keeps the last weights",
    )
    save_every_seconds: float = _field(120.0, "wall-clock seconds between checkpoints")
    seed: int = _field(0, "of everything random; a step's batch depends on the seed and the step alone")

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "penalty_every", "preview_every"):
            _check(getattr(self, name) >= 1, f"TrainConfig.{name} must be at least 1.")
        _check(self.batch_size <= 1024, "TrainConfig.batch_size must be at most 1024.")
        _check(
            MIN_SIZE <= self.crop <= MAX_SIZE and self.crop % SIDE_MULTIPLE == 0,
            f"TrainConfig.crop is {self.crop}; allowed are multiples of {SIDE_MULTIPLE} from {MIN_SIZE} to {MAX_SIZE}.",
        )
        for name in ("learning_rate", "critic_learning_rate", "max_grad_norm"):
            _check(0 < getattr(self, name) < float("inf"), f"TrainConfig.{name} must be positive.")
        losses = ("recon_weight", "psnr_weight", "adv_weight", "guide_weight", "spectrum_weight", "label_weight")
        for name in (
            *(*losses, "penalty_weight", "peak_weight", "peak_levels", "noise_levels"),
            *("adv_start", "jpeg_start", "warmup", "divergence_patience", "choose_every"),
        ):
            _check(0 <= getattr(self, name) < float("inf"), f"TrainConfig.{name} must be a number and not negative.")
        _check(
            any(getattr(self, name) > 0 for name in losses),
            f"TrainConfig needs at least one loss: {', '.join(losses[:-1])} or {losses[-1]} above 0.",
        )
        _check_guide(self)
        _check(
            set(self.augment_kinds) <= {"colour", "shift", "cutout"},
            f"TrainConfig.augment is {self.augment!r}; expected '' or some of 'colour,shift,cutout'.",
        )
        _check(1 <= self.jpeg_quality <= 95, "TrainConfig.jpeg_quality must be from 1 to 95.")
        _check(
            self.accumulate >= 1 and self.batch_size % self.accumulate == 0,
            f"TrainConfig.accumulate must be a whole part of batch_size ({self.batch_size}), such as 1.",
        )
        _check(1 < self.divergence_factor < float("inf"), "TrainConfig.divergence_factor must be above 1.")
        _check(0 <= self.ema_decay < 1, "TrainConfig.ema_decay must be at least 0 and below 1.")
        for name in ("synthetic_share", "jpeg_share", "photo_share"):
            _check(0 <= getattr(self, name) <= 1, f"TrainConfig.{name} must be from 0 to 1.")
        _check(self.save_every_seconds > 0, "TrainConfig.save_every_seconds must be positive.")
        _check(self.optimizer in ("adamw", "muon"), "TrainConfig.optimizer is 'adamw' or 'muon'.")
        _check(self.precision in ("auto", "bf16", "fp32"), "TrainConfig.precision is 'auto', 'bf16' or 'fp32'.")
        _check(0 <= self.seed < 2**31, "TrainConfig.seed must be from 0 to 2**31 - 1.")

    @property
    def augment_kinds(self) -> tuple[str, ...]:
        """Return the kinds that `augment` names."""
        return tuple(kind.strip() for kind in self.augment.split(",") if kind.strip())


# How a preset is trained where that is not the default: `paper` by what was published, and by nothing else; `tiny`
# without JPEG, for which it is too small.
PRESET_OVERRIDES: dict[str, dict[str, Any]] = {
    "paper": {"guide_weight": 0.0, "jpeg_share": 0.0, "adv_weight": 0.02},
    "tiny": {"jpeg_share": 0.0},
}
KEPT_FIELDS = ("guide_target", "guide_strength", "jpeg_share")  # `avd train --init` takes them from its checkpoint
# What a training from nothing needs beside: first a code must be found, then it can be made to last.
FROM_NOTHING: dict[str, Any] = {"steps": 4800, "adv_start": 500, "jpeg_start": 2400}


def preset_overrides(preset: str, *, from_nothing: bool) -> dict[str, Any]:
    """Return the fields of `TrainConfig` in which the default of `avd train` for a preset is not that of the dataclass.

    Args:
        preset: of the model.
        from_nothing: whether it starts from no checkpoint.
    """
    return (FROM_NOTHING if from_nothing else {}) | PRESET_OVERRIDES.get(preset, {})
