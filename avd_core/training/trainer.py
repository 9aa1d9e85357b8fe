"""The trainer: two players, generator and discriminator, and one stream of steps.

`avd_core.training.objectives` gives the gradients of both; here they move. Both gradients are taken at the same point,
and only when both are finite do the players move. `Trainer.steps()` yields an event for each step, which a command
prints, a page draws and a test puts in a list. `state()` and `load_state()` make a resume exact.
`avd_core.training.run_trainer` drives it over a run directory.

Axes: B batch, b this process's part of it, T frames, H, W.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from avd_core.classifiers.action_net import ActionClassifier, for_classes
from avd_core.config import TrainConfig
from avd_core.data.real_images import RealImages
from avd_core.data.sampling import ClipSampler
from avd_core.networks.avd import AVD
from avd_core.training import distributed, muon
from avd_core.training.divergence import DivergenceDetector
from avd_core.training.objectives import Objectives

GOOD_EVERY = 50  # steps between the states that a diverged training may fall back on
STATEFUL = ("model", "average", "generator_optimizer", "critic_optimizer")


class TrainingError(ValueError):
    """Training cannot go on; the message says why, in one sentence."""


@dataclass(frozen=True)
class StepEvent:
    """Result of one step.

    Attributes:
        step: steps done so far, from 1.
        losses: loss terms by name, with gradient norms and `losses.watched_figures`.
        learning_rate: of the generator in this step.
        seconds: wall-clock time of the step.
    """

    step: int
    losses: Mapping[str, float]
    learning_rate: float
    seconds: float


class Trainer:
    """Trains one `AVD` on the batches of a sampler.

    Args:
        model: the networks, trained in place.
        config: losses, optimizers, schedule.
        sampler: draws the clips; with several processes, this one's share of them.
        device: where the networks live.
        real: real images for the discriminator; frames of the batch by default.

    Raises:
        TrainingError: if the batch cannot be split into `accumulate` equal parts, or `label_weight` is positive and
            there are not two classes.
    """

    def __init__(
        self, model: AVD, config: TrainConfig, sampler: ClipSampler, *, device: str | torch.device = "cpu",
        real: RealImages | None = None,
    ) -> None:  # fmt: skip
        self.model = model.to(device).train().requires_grad_(True)
        self.config = config
        self.sampler = sampler
        self.real = real
        self.device = torch.device(device)
        if len(sampler.items) % config.accumulate:
            raise TrainingError(
                f"{len(sampler.items)} clips a process cannot be worked off in {config.accumulate} equal parts: "
                "choose another batch_size or accumulate."
            )
        self.average = copy.deepcopy(self.model).eval().requires_grad_(False)
        self.label_head = _label_head(sampler.pool.classes, device) if config.label_weight > 0 else None
        self.objectives = Objectives(self.model, config, sampler, self.label_head, self.device)
        networks = [*self.model.encoder.parameters(), *self.model.decoder.parameters()]
        # AdamW is Muon without matrices.
        self.generator_optimizer = muon.Muon(
            self.objectives.generator.parameters(),
            muon.matrices(networks) if config.optimizer == "muon" else (),
            lr=config.learning_rate,
        )
        self.critic_optimizer = torch.optim.Adam(
            self.model.discriminator.parameters(), lr=config.critic_learning_rate, betas=(0.0, 0.99)
        )
        self.detector = DivergenceDetector(factor=config.divergence_factor, patience=config.divergence_patience)
        self.step = 0
        self.rate_scale = 1.0

    def learning_rate(self, step: int) -> float:
        """Return the generator's rate in a step (from 0): linear warm-up, then a cosine down to a twentieth."""
        config = self.config
        rising = min(1.0, (step + 1) / max(1, config.warmup))
        falling = 0.5 * (1 + math.cos(math.pi * min(1.0, step / config.steps)))
        return self.rate_scale * config.learning_rate * rising * (0.05 + 0.95 * falling)

    def start_over(self, weights: Mapping[str, Tensor], rate_scale: float) -> None:
        """Replace the weights, reset both optimizers, and train on at `rate_scale` times the config's rate."""
        self.model.load_state_dict(weights)
        self.average.load_state_dict(weights)
        for optimizer in (self.generator_optimizer, self.critic_optimizer):
            optimizer.state.clear()
        self.rate_scale = rate_scale

    def steps(self, stop: int | None = None) -> Iterator[StepEvent]:
        """Train up to step `stop` (by default the config's last), and yield an event after each step.

        Raises:
            TrainingError: if the training diverged. After a loss or gradient that is not finite the state is that
                before the step; after a loss far too high for many steps, that before they began.
        """
        stop = min(self.config.steps, stop or self.config.steps)
        good = recent = copy.deepcopy(self.state())
        for clip in self.sampler.batches(self.step, stop):
            started = time.perf_counter()
            rate = self.learning_rate(self.step)
            try:
                terms = self.train_step(clip.to(self.device), rate)
            except TrainingError:
                if self.detector.streak:  # the steps before were finite, but their losses too high
                    self.load_state(good)
                raise
            self.step += 1
            diverged = self.config.recon_weight > 0 and self.detector.watch(terms["recon_loss"])
            yield StepEvent(self.step, terms, rate, time.perf_counter() - started)
            if diverged:
                last = self.step
                self.load_state(good)
                raise TrainingError(
                    f"The training diverged: at step {last} the reconstruction loss had been more than "
                    f"{self.config.divergence_factor:g} times its usual value for {self.detector.patience} steps. "
                    + (f"Step {self.step} is kept: start from it (--init)" if self.step else "Start again")
                    + " with a lower learning rate."
                )
            # Two copies, since the weights that a loss was measured on are older than the weights it led to.
            if self.step % GOOD_EVERY == 0 and not self.detector.streak:
                good, recent = recent, copy.deepcopy(self.state())

    def train_step(self, clip: Tensor, rate: float) -> dict[str, float]:
        """Update both players once on this process's clips (b,3,T,H,W).

        Args:
            clip: values in [-1, 1].
            rate: the generator's learning rate.

        Returns:
            The named loss terms, means over all processes.

        Raises:
            TrainingError: if a loss or a gradient is not finite; then nothing has changed.
        """
        adversarial = self.objectives.adversarial(self.step)
        real = self.real_images(clip)
        image, terms = self.objectives.generator_step(clip, real, self.step)
        if adversarial:
            terms |= self.objectives.discriminator_step(real, image, self.step)
        means = distributed.mean(torch.stack(list(terms.values()))).tolist()
        numbers = dict(zip(terms, means, strict=True))
        for name, value in numbers.items():
            if not math.isfinite(value):
                raise TrainingError(
                    f"{name} is no longer a number at step {self.step + 1}: that step is undone. "
                    "Lower the learning rate, or use precision fp32."
                )
        for group in self.generator_optimizer.param_groups:
            group["lr"] = rate
        # Only once both gradients are known to be finite: no player moves without the other.
        self.generator_optimizer.step()
        if adversarial:
            self.critic_optimizer.step()
        self._update_average()
        return numbers

    def real_images(self, clip: Tensor) -> Tensor:
        """Return a real image for each clip: (b,3,H,W)."""
        if self.real is None:
            return self.real_frames(clip)
        config, items = self.config, self.sampler.items
        return self.real.batch(config.seed, self.step, len(items), config.crop, first=items[0]).to(clip.device)

    def real_frames(self, clip: Tensor) -> Tensor:
        """Return a frame of the middle half of each clip, never the middle one: (b,3,H,W).

        It is of the same clip, so that the discriminator learns what makes an image real, not what it shows.
        """
        count, items = clip.shape[2], self.sampler.items
        # Drawn for the global batch, from seed and step alone, so that every process draws the same.
        numbers = torch.Generator().manual_seed(self.config.seed * 1_000_003 + self.step)
        drawn = torch.rand(self.config.batch_size, generator=numbers)[items.start : items.stop].to(clip.device)
        others = [frame for frame in range(count // 4, count - count // 4) if frame != count // 2]
        picks = torch.tensor(others, device=clip.device)[(drawn * len(others)).long()]
        return clip[torch.arange(len(items), device=clip.device), :, picks]

    @torch.no_grad()
    def _update_average(self) -> None:
        # A young average follows quickly, or the first previews would show the random start.
        decay = min(self.config.ema_decay, (1 + self.step) / (10 + self.step))
        for name in ("encoder", "decoder"):
            pairs = zip(getattr(self.average, name).parameters(), getattr(self.model, name).parameters(), strict=True)
            for kept, new in pairs:
                kept.lerp_(new, 1 - decay)
        self.average.discriminator.load_state_dict(self.model.discriminator.state_dict())

    @property
    def _stateful(self) -> tuple[str, ...]:
        return (*STATEFUL, "label_head") if self.label_head is not None else STATEFUL

    def state(self) -> dict[str, Any]:
        """Return all that an exact resume needs, as tensors and plain values."""
        return {
            "step": self.step,
            **{name: getattr(self, name).state_dict() for name in self._stateful},
            "detector": self.detector.state(),
            "rate_scale": self.rate_scale,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `state()` returned."""
        self.step = int(state["step"])
        for name in self._stateful:
            getattr(self, name).load_state_dict(state[name])
        if "detector" in state:  # runs of the first version have none
            self.detector.load_state(state["detector"])
        self.rate_scale = float(state.get("rate_scale", 1.0))


def _label_head(classes: Sequence[str], device: str | torch.device) -> ActionClassifier:
    """Return the classifier that is trained along.

    Its batch norm keeps its statistics: those of a batch of a few clips are too noisy.

    Raises:
        TrainingError: if there are not two classes.
    """
    if len(classes) < 2:
        raise TrainingError("label_weight wants clips of two classes at least, in folders of their names.")
    return for_classes(classes).to(device).eval()
