"""The trainer: two players, one stream of steps.

The generator (encoder and decoder) is judged by reconstruction and by the discriminator; the discriminator learns to
tell distilled images from frames, both after the same 8-bit rounding. `Trainer.steps()` yields what happened; a
command prints it, a page draws it, a test puts it in a list. `state()` and `load_state()` make a resume exact.
`avd_core.training.run_trainer` drives it over a run directory.

Both gradients are taken at the same point, and only when both are finite do the players move. A batch may be shared by
several processes (`avd_core.training.distributed`) and split into parts: sums and seeds are those of the whole batch.

Losses: `avd_core.training.losses`. Axes: B batch, b this process's part of it, T frames, H, W.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avd_core.classifiers.action_net import ActionClassifier, for_classes
from avd_core.classifiers.loading import squash
from avd_core.config import TrainConfig
from avd_core.data.real_images import RealImages
from avd_core.data.sampling import ClipSampler
from avd_core.networks.avd import AVD
from avd_core.training import distributed, losses, muon
from avd_core.training.augmentation import augment
from avd_core.training.distortions import disturb
from avd_core.training.divergence import DivergenceDetector
from avd_core.training.guide_targets import guide_target

GOOD_EVERY = 50  # steps between the states that a diverged training may fall back on
AUGMENT_STREAM, DISTURBANCE_STREAM = 1, 2  # keep the draws of one sample apart, and from its clip's
NO_CLASS = -100
STATEFUL = ("model", "average", "generator_optimizer", "critic_optimizer")


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
        sampler: where the clips come from; of several processes, this one's share.
        device: where the networks live.
        real: where the discriminator's real images come from; frames of the batch by default.
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
        networks = [*self.model.encoder.parameters(), *self.model.decoder.parameters()]
        self.label_head = _label_head(sampler.pool.classes, device) if config.label_weight > 0 else None
        head = self.label_head.parameters() if self.label_head is not None else ()
        self._generator_parameters = [*networks, *head]
        # AdamW is Muon without matrices.
        self.generator_optimizer = muon.Muon(
            self._generator_parameters,
            muon.matrices(networks) if config.optimizer == "muon" else (),
            lr=config.learning_rate,
        )
        self.critic_optimizer = torch.optim.Adam(
            self.model.discriminator.parameters(), lr=config.critic_learning_rate, betas=(0.0, 0.99)
        )
        self.generator = distributed.replicated(_Generator(self.model, config, self.label_head))
        self._critic = distributed.replicated(self.model.discriminator)
        self.detector = DivergenceDetector(factor=config.divergence_factor, patience=config.divergence_patience)
        self.step = 0
        self.rate_scale = 1.0

    def learning_rate(self, step: int) -> float:
        """Rate of the generator in step `step` (from 0): linear warm-up, then a cosine down to a twentieth."""
        config = self.config
        rising = min(1.0, (step + 1) / max(1, config.warmup))
        falling = 0.5 * (1 + math.cos(math.pi * min(1.0, step / config.steps)))
        return self.rate_scale * config.learning_rate * rising * (0.05 + 0.95 * falling)

    def start_over(self, weights: Mapping[str, Tensor], rate_scale: float) -> None:
        """Go on from other weights, with no memory of gradients, at `rate_scale` times the config's learning rate."""
        self.model.load_state_dict(weights)
        self.average.load_state_dict(weights)
        for optimizer in (self.generator_optimizer, self.critic_optimizer):
            optimizer.state.clear()
        self.rate_scale = rate_scale

    def steps(self, stop: int | None = None) -> Iterator[StepEvent]:
        """Trains up to step `stop` (default: the config's), yielding after each step.

        Raises:
            TrainingError: when the training diverged. After a loss or gradient that is no number everything is as
                before that step; after a loss far off for many steps, as it was before they began.
        """
        stop = min(self.config.steps, stop or self.config.steps)
        good = recent = copy.deepcopy(self.state())
        for clip in self.sampler.batches(self.step, stop):
            started = time.perf_counter()
            rate = self.learning_rate(self.step)
            try:
                terms = self.train_step(clip.to(self.device), rate)
            except TrainingError:
                if self.detector.streak:  # finite, and yet no good
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
        """One full update of both players on this process's clips (b,3,T,H,W); returns the named loss terms.

        Raises:
            TrainingError: when a loss or a gradient is no number; then nothing has changed.
        """
        real = self.real_images(clip)
        image, terms = self.generator_step(clip, real)
        if self._adversarial:
            terms |= self.discriminator_step(real, image)
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
        # Not before both gradients are known to be good: no player moves without the other.
        self.generator_optimizer.step()
        if self._adversarial:
            self.critic_optimizer.step()
        self._update_average()
        return numbers

    @property
    def _adversarial(self) -> bool:
        return self.config.adv_weight > 0 and self.step >= self.config.adv_start

    @property
    def _jpeg_share(self) -> float:
        return self.config.jpeg_share if self.step >= self.config.jpeg_start else 0.0

    def real_images(self, clip: Tensor) -> Tensor:
        """A real image for each clip: (b,3,H,W)."""
        if self.real is None:
            return self.real_frames(clip)
        config, items = self.config, self.sampler.items
        return self.real.batch(config.seed, self.step, len(items), config.crop, first=items[0]).to(clip.device)

    def real_frames(self, clip: Tensor) -> Tensor:
        """A frame of the middle half of each clip, but not the middle one: (b,3,H,W).

        Of the same clip, so that a discriminator learns what makes an image and not what it shows.
        """
        count, items = clip.shape[2], self.sampler.items
        # The numbers of a step depend on seed and step alone; on every process they are those of the global batch.
        numbers = torch.Generator().manual_seed(self.config.seed * 1_000_003 + self.step)
        drawn = torch.rand(self.config.batch_size, generator=numbers)[items.start : items.stop].to(clip.device)
        others = [frame for frame in range(count // 4, count - count // 4) if frame != count // 2]
        picks = torch.tensor(others, device=clip.device)[(drawn * len(others)).long()]
        return clip[torch.arange(len(items), device=clip.device), :, picks]

    def _parts(self) -> Iterator[tuple[slice, bool]]:
        """Slices of this process's clips to work off one by one, and whether each is the last."""
        size = len(self.sampler.items) // self.config.accumulate
        for part in range(self.config.accumulate):
            yield slice(part * size, (part + 1) * size), part == self.config.accumulate - 1

    def _seeds(self, part: slice, stream: int) -> list[tuple[int, ...]]:
        """One seed for each clip of a part, the same however the batch is shared and divided."""
        return [(self.config.seed, self.step, item, stream) for item in self.sampler.items[part]]

    def _seen(self, images: Tensor, part: slice) -> Tensor:
        """Images (b,3,H,W) as the discriminator sees them; real and fake ones of a pair are changed alike."""
        return augment(images, self.config.augment_kinds, self._seeds(part, AUGMENT_STREAM))

    def generator_step(self, clip: Tensor, real: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The gradient of encoder and decoder, clipped; returns the distilled images (b,3,H,W) and terms, detached."""
        self.generator_optimizer.zero_grad(set_to_none=True)
        self.model.discriminator.requires_grad_(False)
        images: list[Tensor] = []
        terms: dict[str, Tensor] = {}
        for part, last in self._parts():
            with distributed.exchanging(self.generator, last):
                image, total, own = self._generator_losses(clip[part], real[part], part)
                (total / self.config.accumulate).backward()
            images.append(image.detach())
            self._add(terms, own)
        self.model.discriminator.requires_grad_(True)
        terms["grad_norm_g"] = nn.utils.clip_grad_norm_(self._generator_parameters, self.config.max_grad_norm)
        return torch.cat(images), terms

    def _generator_losses(self, clip: Tensor, real: Tensor, part: slice) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        config, terms = self.config, {}
        with torch.autocast(self.device.type, torch.bfloat16, enabled=in_bf16(config.precision, self.device)):
            seeds = self._seeds(part, DISTURBANCE_STREAM)
            image, restored, logits = self.generator(clip, seeds, self._jpeg_share)
        terms["recon_loss"] = losses.reconstruction_loss(restored, clip)
        target = guide_target(clip, config.guide_target, config.guide_strength)
        terms["guide_loss"] = losses.guide_loss(image, target)
        total = config.recon_weight * terms["recon_loss"] + config.guide_weight * terms["guide_loss"]
        if config.psnr_weight > 0:
            terms["psnr_loss"] = losses.log_error_loss(restored, clip)
            total = total + config.psnr_weight * terms["psnr_loss"]
        if config.peak_weight > 0:
            terms["peak_loss"] = losses.peak_loss(image, target, config.peak_levels)
            total = total + config.peak_weight * terms["peak_loss"]
        if config.spectrum_weight > 0:
            terms["spectrum_loss"] = losses.spectrum_loss(image, target)
            total = total + config.spectrum_weight * terms["spectrum_loss"]
        if self.label_head is not None:
            names = self.sampler.classes(self.step)[part]
            known = self.label_head.config.labels
            targets = torch.tensor([known.index(name) if name else NO_CLASS for name in names], device=logits.device)
            # Over all clips, those without a class too, so that parts and processes add up to the whole batch.
            wrong = F.cross_entropy(logits.float(), targets, ignore_index=NO_CLASS, reduction="none")
            terms["label_loss"] = wrong.mean()
            total = total + config.label_weight * terms["label_loss"]
        if self._adversarial:
            real_logits, fake_logits = (self.model.discriminator(self._seen(seen, part)) for seen in (real, image))
            terms["adv_loss_g"] = losses.adversarial_loss_g(real_logits, fake_logits)
            total = total + config.adv_weight * terms["adv_loss_g"]
        return image, total, terms | losses.watched_figures(image, restored, clip, target)

    def discriminator_step(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """The gradient of the discriminator on real and fake images (b,3,H,W); returns the terms, detached."""
        self.critic_optimizer.zero_grad(set_to_none=True)
        terms: dict[str, Tensor] = {}
        for part, last in self._parts():
            with distributed.exchanging(self._critic, last):
                total, own = self._discriminator_losses(real[part], fake[part], part)
                (total / self.config.accumulate).backward()
            self._add(terms, own)
        gradients = [weight.grad for weight in self.model.discriminator.parameters() if weight.grad is not None]
        terms["grad_norm_d"] = nn.utils.get_total_norm(gradients)
        return terms

    def _discriminator_losses(self, real: Tensor, fake: Tensor, part: slice) -> tuple[Tensor, dict[str, Tensor]]:
        config, terms = self.config, {}
        penalise = config.penalty_weight > 0 and self.step % config.penalty_every == 0
        real, fake = (images.detach().requires_grad_(penalise) for images in (real, fake))
        # One pass for both: DistributedDataParallel wants one forward for each backward.
        seen = torch.cat([self._seen(real, part), self._seen(fake, part)])
        real_logits, fake_logits = self._critic(seen).chunk(2)
        terms["adv_loss_d"] = losses.adversarial_loss_d(real_logits, fake_logits)
        total = terms["adv_loss_d"]
        if penalise:
            terms["r1_penalty"] = losses.gradient_penalty(real_logits, real)
            terms["r2_penalty"] = losses.gradient_penalty(fake_logits, fake)
            weight = config.penalty_weight / 2 * config.penalty_every
            total = total + weight * (terms["r1_penalty"] + terms["r2_penalty"])
        terms["critic_gap"] = (real_logits - fake_logits).mean()
        return total, terms

    def _add(self, terms: dict[str, Tensor], own: Mapping[str, Tensor]) -> None:
        """Adds one part's terms to their mean over all parts."""
        for name, value in own.items():
            terms[name] = terms.get(name, 0) + value.detach() / self.config.accumulate

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
        """Everything that an exact resume needs, as tensors and plain values."""
        return {
            "step": self.step,
            **{name: getattr(self, name).state_dict() for name in self._stateful},
            "detector": self.detector.state(),
            "rate_scale": self.rate_scale,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Goes on where `state()` was taken."""
        self.step = int(state["step"])
        for name in self._stateful:
            getattr(self, name).load_state_dict(state[name])
        if "detector" in state:  # runs of the first version have none
            self.detector.load_state(state["detector"])
        self.rate_scale = float(state.get("rate_scale", 1.0))


class _Generator(nn.Module):
    """Encoder and decoder in one forward pass, as DistributedDataParallel wants it, with what is between them."""

    def __init__(self, model: AVD, config: TrainConfig, label_head: ActionClassifier | None) -> None:
        super().__init__()
        self.encoder, self.decoder, self.label_head = model.encoder, model.decoder, label_head
        self._encode = model.encode  # a bound method: the discriminator does not become part of this module
        self._noise, self._jpeg_quality = config.noise_levels, config.jpeg_quality

    def forward(
        self, clip: Tensor, seeds: Sequence[tuple[int, ...]], jpeg_share: float
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        image = self._encode(clip)
        disturbed = disturb(image, seeds, noise=self._noise, jpeg_share=jpeg_share, jpeg_quality=self._jpeg_quality)
        restored = self.decoder(disturbed)
        logits = (
            self.label_head(squash(image.float(), self.label_head.config.size)) if self.label_head is not None else None
        )
        return image, restored, logits


def _label_head(classes: Sequence[str], device: str | torch.device) -> ActionClassifier:
    """The classifier that is trained along.

    Its batch norm keeps the statistics that it has: a batch of a few clips has none worth taking.

    Raises:
        TrainingError: when there are not two classes.
    """
    if len(classes) < 2:
        raise TrainingError("label_weight wants clips of two classes at least, in folders of their names.")
    return for_classes(classes).to(device).eval()


@torch.inference_mode()
def in_bf16(precision: str, device: torch.device) -> bool:
    """Whether to compute in bfloat16: as `TrainConfig.precision` says, by "auto" where that is not slower.

    A CPU below AVX-512 works each product out in software: a step of `base` took twelve times as long.
    """
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and torch.backends.cpu.get_cpu_capability().startswith("AVX512")
