"""Measure how fast a training is on this device, by a few steps whose result is discarded."""

from __future__ import annotations

import dataclasses
import statistics
import time
from dataclasses import dataclass

import torch

from avd_core.config import PRESETS, TrainConfig
from avd_core.data.sampling import ClipSampler
from avd_core.devices import default_device
from avd_core.networks.avd import AVD
from avd_core.training.trainer import Trainer

WARM, TIMED = 1, 2
LEAST_STEPS = 10


@dataclass(frozen=True)
class StepTime:
    """Duration of a training step.

    Attributes:
        seconds: of one step.
        device: where it ran.
        batch_size: clips in a step.
    """

    seconds: float
    device: str
    batch_size: int

    def steps_in(self, seconds: float) -> int:
        """Return the number of steps that fit into a time."""
        return max(LEAST_STEPS, int(seconds / self.seconds))


def measure(init: str, config: TrainConfig, device: str | None = None) -> StepTime:
    """Time three steps of a training, on synthetic clips that are made in advance.

    Args:
        init: the checkpoint to start from, or `preset:NAME`.
        config: of the training; the discriminator, which costs most, takes part from the first step here.
        device: "cpu" or "cuda"; by default CUDA if available.

    Raises:
        CheckpointError: `init` cannot be loaded.
    """
    device = device or default_device()
    preset = PRESETS.get(init.removeprefix("preset:")) if init.startswith("preset:") else None
    model = AVD(preset) if preset else AVD.from_pretrained(init)
    config = dataclasses.replace(config, adv_start=0)
    sampler = ClipSampler([], frames=model.config.frames, crop=config.crop, batch_size=config.batch_size)
    clip = sampler.batch(0).to(device)
    trainer, took = Trainer(model, config, sampler, device=device), []
    for _ in range(WARM + TIMED):
        begun = time.perf_counter()
        trainer.train_step(clip, 0.0)
        if device != "cpu":
            torch.cuda.synchronize()
        took.append(time.perf_counter() - begun)
        trainer.step += 1
    plain = statistics.mean(took[WARM:])
    # The first step also has the penalties, which come every few steps, and the warm-up.
    return StepTime(plain + max(0.0, took[0] - plain) / 2 / config.penalty_every, device, config.batch_size)
