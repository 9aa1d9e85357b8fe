"""The trainer: two players, one stream of steps.

The generator (encoder and decoder) is judged by reconstruction and by the discriminator; the discriminator learns to
tell distilled images from frames, both after the same 8-bit rounding. `Trainer.steps()` yields what happened; a
command prints it, a page draws it, a test puts it in a list. `state()` and `load_state()` make a resume exact.
`avd_core.training` drives it over a run directory.

Losses: `avd_core.losses`. Axes: B batch, T frames, H, W.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from avd_core import losses
from avd_core.config import ModelConfig, TrainConfig
from avd_core.datasets import ClipSource
from avd_core.model import AVD, to_frames, to_tensor
from avd_core.realism import Calibration
from avd_core.sampling import ClipSampler

CALIBRATION_CLIPS = 200


class TrainingError(ValueError):
    """A training that cannot go on, with a sentence saying why."""


@dataclass(frozen=True)
class StepEvent:
    """What one step did.

    Attributes:
        step: steps done so far, from 1.
        losses: named, detached loss terms and what is watched beside them.
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
        config: how.
        sampler: where the clips come from.
        device: where the networks live.
    """

    def __init__(
        self, model: AVD, config: TrainConfig, sampler: ClipSampler, *, device: str | torch.device = "cpu"
    ) -> None:
        self.model = model.to(device).train().requires_grad_(True)
        self.config = config
        self.sampler = sampler
        self.device = torch.device(device)
        self.average = copy.deepcopy(self.model).eval().requires_grad_(False)
        generator = [*self.model.encoder.parameters(), *self.model.decoder.parameters()]
        self._generator_parameters = generator
        self.generator_optimizer = torch.optim.AdamW(
            generator, lr=config.learning_rate, betas=(0.9, 0.99), weight_decay=0.0
        )
        self.critic_optimizer = torch.optim.Adam(
            self.model.discriminator.parameters(), lr=config.critic_learning_rate, betas=(0.0, 0.99)
        )
        self.step = 0

    def learning_rate(self, step: int) -> float:
        """Rate of the generator in step `step` (from 0): linear warm-up, then a cosine down to a twentieth."""
        config = self.config
        rising = min(1.0, (step + 1) / max(1, config.warmup))
        falling = 0.5 * (1 + math.cos(math.pi * min(1.0, step / config.steps)))
        return config.learning_rate * rising * (0.05 + 0.95 * falling)

    def steps(self, stop: int | None = None) -> Iterator[StepEvent]:
        """Trains up to step `stop` (default: the config's), yielding after each step.

        Raises:
            TrainingError: when a loss is no longer finite; networks and optimisers are then as before that step.
        """
        stop = min(self.config.steps, stop or self.config.steps)
        for clip in self.sampler.batches(self.step, stop):
            started = time.perf_counter()
            # Random numbers of a step, too, depend on seed and step alone.
            torch.manual_seed(self.config.seed * 1_000_003 + self.step)
            rate = self.learning_rate(self.step)
            terms = self.train_step(clip.to(self.device), rate)
            self.step += 1
            yield StepEvent(self.step, terms, rate, time.perf_counter() - started)

    def train_step(self, clip: Tensor, rate: float) -> dict[str, float]:
        """One full update of both players on a batch (B,3,T,H,W); returns the named loss terms."""
        for group in self.generator_optimizer.param_groups:
            group["lr"] = rate
        real = self._real_frames(clip)
        image, terms = self.generator_step(clip, real)
        if self._adversarial:
            terms |= self.discriminator_step(real, image)
        self._update_average()
        return terms

    @property
    def _adversarial(self) -> bool:
        return self.config.adv_weight > 0 and self.step >= self.config.adv_start

    def _real_frames(self, clip: Tensor) -> Tensor:
        """A frame of another clip of the batch for each clip, so that no pair shares its content: (B,3,H,W)."""
        batch, frames = clip.shape[0], clip.shape[2]
        picks = torch.randint(frames, (batch,)).to(clip.device)
        return clip.roll(1, dims=0)[torch.arange(batch, device=clip.device), :, picks]

    def generator_step(self, clip: Tensor, real: Tensor) -> tuple[Tensor, dict[str, float]]:
        """Updates encoder and decoder; returns the distilled images (B,3,H,W), detached, and the terms."""
        config, terms = self.config, {}
        with torch.autocast(self.device.type, torch.bfloat16, enabled=config.precision == "bf16"):
            image = self.model.encode(clip)
            restored = self.model.decoder(image)
        terms["recon_loss"] = losses.reconstruction_loss(restored, clip)
        terms["guide_loss"] = losses.guide_loss(image, clip)
        total = config.recon_weight * terms["recon_loss"] + config.guide_weight * terms["guide_loss"]
        if self._adversarial:
            self.model.discriminator.requires_grad_(False)
            fake_logits = self.model.discriminator(image)
            terms["adv_loss_g"] = losses.adversarial_loss_g(self.model.discriminator(real), fake_logits)
            total = total + config.adv_weight * terms["adv_loss_g"]
            self.model.discriminator.requires_grad_(True)
        _require_finite(total, "generator", self.step)
        self.generator_optimizer.zero_grad(set_to_none=True)
        total.backward()
        norm = nn.utils.clip_grad_norm_(self._generator_parameters, config.max_grad_norm)
        _require_finite(norm, "generator's gradient", self.step)
        self.generator_optimizer.step()
        with torch.no_grad():
            error = (restored.clamp(-1, 1) - clip).square().mean(dim=(1, 2, 3, 4))
            spread = (clip.mean(dim=2, keepdim=True) - clip).square().mean(dim=(1, 2, 3, 4))
            # What a still image cannot do: PSNR over the clip's own mean frame, in dB.
            terms["gain_over_mean"] = 10 * torch.log10((spread + 1e-6) / (error + 1e-6)).mean()
        return image.detach(), {name: float(value.detach()) for name, value in terms.items()}

    def discriminator_step(self, real: Tensor, fake: Tensor) -> dict[str, float]:
        """Updates the discriminator on real and fake images (B,3,H,W); returns the terms."""
        config, terms = self.config, {}
        penalise = config.penalty_weight > 0 and self.step % config.penalty_every == 0
        real, fake = real.requires_grad_(penalise), fake.requires_grad_(penalise)
        real_logits, fake_logits = self.model.discriminator(real), self.model.discriminator(fake)
        terms["adv_loss_d"] = losses.adversarial_loss_d(real_logits, fake_logits)
        total = terms["adv_loss_d"]
        if penalise:
            terms["r1_penalty"] = losses.gradient_penalty(real_logits, real)
            terms["r2_penalty"] = losses.gradient_penalty(fake_logits, fake)
            weight = config.penalty_weight / 2 * config.penalty_every
            total = total + weight * (terms["r1_penalty"] + terms["r2_penalty"])
        _require_finite(total, "discriminator", self.step)
        self.critic_optimizer.zero_grad(set_to_none=True)
        total.backward()
        self.critic_optimizer.step()
        terms["critic_gap"] = (real_logits - fake_logits).mean()
        return {name: float(value.detach()) for name, value in terms.items()}

    @torch.no_grad()
    def _update_average(self) -> None:
        # A young average follows quickly, or the first previews would show the random start.
        decay = min(self.config.ema_decay, (1 + self.step) / (10 + self.step))
        for name in ("encoder", "decoder"):
            pairs = zip(getattr(self.average, name).parameters(), getattr(self.model, name).parameters(), strict=True)
            for kept, new in pairs:
                kept.lerp_(new, 1 - decay)
        self.average.discriminator.load_state_dict(self.model.discriminator.state_dict())

    def state(self) -> dict:
        """Everything that an exact resume needs, as tensors and plain values."""
        return {
            "step": self.step,
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "generator_optimizer": self.generator_optimizer.state_dict(),
            "critic_optimizer": self.critic_optimizer.state_dict(),
        }

    def load_state(self, state: Mapping) -> None:
        """Goes on where `state()` was taken."""
        self.step = int(state["step"])
        for name in ("model", "average", "generator_optimizer", "critic_optimizer"):
            getattr(self, name).load_state_dict(state[name])


def _require_finite(value: Tensor, who: str, step: int) -> None:
    if not torch.isfinite(value):
        raise TrainingError(
            f"The {who} loss is no longer a number at step {step + 1}: the last checkpoint is kept. "
            "Lower the learning rate, or use precision fp32."
        )


@torch.inference_mode()
def calibrate(model: AVD, clips: ClipSource, *, limit: int = CALIBRATION_CLIPS, device: str = "cpu") -> Calibration:
    """Reference scores from up to `limit` clips: of one frame of each, and of its distilled image.

    Clips are taken evenly from the source and sampled over their whole length, at the model's size.
    """
    real, distilled = [], []
    for number, index in enumerate(np.linspace(0, len(clips) - 1, min(limit, len(clips))).astype(int)):
        clip = whole_clip(clips[int(index)], model.config).to(device)
        frame = clip[:, :, number % model.config.frames]
        real.append(model.realism(frame).item())
        distilled.append(model.realism(model.encode(clip)).item())
    return Calibration.from_scores(real, distilled)


def whole_clip(stored: np.ndarray, config: ModelConfig) -> Tensor:
    """Stored frames (T',H,W,3) -> the clip (1,3,T,h,w) a checkpoint sees: bin centres, its own size, sides of 8."""
    picks = ((np.arange(config.frames) + 0.5) * len(stored) / config.frames).astype(int)
    height, width = stored.shape[1:3]
    scale = config.size / min(height, width)
    clip = to_tensor(stored[picks])
    size = (config.frames, *(max(8, round(side * scale / 8) * 8) for side in (height, width)))
    if clip.shape[2:] != size:
        clip = nn.functional.interpolate(
            clip.squeeze(0).transpose(0, 1), size=size[1:], mode="bilinear", antialias=True, align_corners=False
        )
        clip = clip.transpose(0, 1).unsqueeze(0)
    return clip


@torch.inference_mode()
def preview(model: AVD, clip: Tensor) -> tuple[np.ndarray, float]:
    """A picture (first, middle, last frame | image | the same restored) and the restoration's PSNR in dB."""
    image = model.encode(clip)
    restored = to_frames(model.decode(image))
    original = to_frames(clip)
    picks = [0, len(original) // 2, len(original) - 1]
    row = [*original[picks], to_frames(image.unsqueeze(2))[0], *restored[picks]]
    error = np.mean((original.astype(np.float64) - restored) ** 2)
    return np.concatenate(row, axis=1), float(10 * np.log10(255**2 / max(error, 1e-9)))
