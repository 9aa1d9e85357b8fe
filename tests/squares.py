"""Four quick clips of a moving square, in memory or packed, the smallest trainer, and `avd train` in this process."""

from __future__ import annotations

import argparse
import dataclasses
import signal
from pathlib import Path

import numpy as np
import torch

from avd_core.cli import train as command
from avd_core.config import ModelConfig, TrainConfig
from avd_core.data import packs
from avd_core.data.sampling import ClipSampler
from avd_core.networks.avd import AVD
from avd_core.training.run_config import RunConfig
from avd_core.training.trainer import Trainer


class Squares:
    """A moving square on noise, in memory."""

    names = tuple(f"squares/{n}" for n in range(4))

    def __len__(self):
        return len(self.names)

    def read(self, index):
        frames = np.random.default_rng(index).integers(0, 60, (12, 72, 72, 3), dtype=np.uint8)
        for t in range(12):
            frames[t, 4 * t : 4 * t + 20, 20:40] = (250, 40 * index, 90)
        return frames

    __getitem__ = read


class NamedSquares(Squares):
    """The same in two classes, and one that is in none."""

    names = ("squares/a/0", "squares/b/1", "squares/a/2", "squares/3")


def write_pack(path: Path) -> Path:
    """Packs them into `path`."""
    with packs.new_pack(path) as pack:
        pack.add_all(Squares())
    return path


MINI = ModelConfig(
    preset="mini", frames=8, size=64, clip_channels=(4, 4), clip_blocks=(0, 0), image_channels=8, image_blocks=0,
    deep_channels=8, deep_blocks=0, discriminator_channels=(4, 8),
)  # fmt: skip
WIDE = dataclasses.replace(MINI, preset="wide", deep_channels=32, deep_blocks=1)  # has matrices for Muon
QUICK = TrainConfig(
    steps=6, batch_size=2, crop=64, adv_start=0, warmup=2, penalty_every=2, precision="fp32", preview_every=3
)


def make_trainer(
    config: TrainConfig = QUICK, model_config: ModelConfig = MINI, clips: Squares | None = None, **extra
) -> Trainer:
    """A trainer of one and the same start on the squares."""
    torch.manual_seed(0)
    sampler = ClipSampler(
        [clips or Squares()],
        frames=model_config.frames,
        crop=config.crop,
        batch_size=config.batch_size,
        seed=config.seed,
    )
    return Trainer(AVD(model_config), config, sampler, **extra)


def described(arguments: list[str]) -> RunConfig:
    """The run that arguments of `avd train` describe."""
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run_config(parser.parse_args(arguments))


def train(*arguments: str) -> int:
    """Carry out `avd train`; the signal handlers that it sets are taken back."""
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    saved = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        return command.run(parser.parse_args(list(arguments)))
    finally:
        for number, handler in saved.items():
            signal.signal(number, handler)
