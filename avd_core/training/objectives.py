"""What generator and discriminator minimise: the losses on the clips of one step, and their gradients.

The generator (encoder and decoder) is judged by reconstruction and by the discriminator; the discriminator learns to
tell distilled images from real ones, both after the same 8-bit rounding. Nothing here moves a weight:
`avd_core.training.trainer` does.

A batch may be shared by several processes (`avd_core.training.distributed`) and split into parts: sums and random
numbers are those of the whole batch.

Losses: `avd_core.training.losses`. Axes: B batch, b this process's part of it, T frames, H, W.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from avd_core.classifiers.action_net import ActionClassifier
from avd_core.classifiers.loading import squash
from avd_core.config import TrainConfig
from avd_core.data.sampling import ClipSampler
from avd_core.networks.avd import AVD
from avd_core.training import distributed, losses
from avd_core.training.augmentation import augment
from avd_core.training.distortions import disturb
from avd_core.training.guide_targets import guide_target

AUGMENT_STREAM, DISTURBANCE_STREAM = 1, 2  # keep the random numbers of one sample apart, and from its clip's


class Objectives:
    """Losses and gradients of both players.

    Args:
        model: the networks.
        config: weights of the losses.
        sampler: gives the classes of the clips and their numbers in the global batch.
        label_head: classifier of distilled images that is trained along; None without `label_weight`.
        device: where the networks live.
    """

    def __init__(
        self,
        model: AVD,
        config: TrainConfig,
        sampler: ClipSampler,
        label_head: ActionClassifier | None,
        device: torch.device,
    ) -> None:
        self.model = model
        self.config = config
        self.sampler = sampler
        self.label_head = label_head
        self.device = device
        self.generator = distributed.replicated(Generator(model, config, label_head))
        self.critic = distributed.replicated(model.discriminator)

    def adversarial(self, step: int) -> bool:
        """Return whether the discriminator takes part in a step."""
        return self.config.adv_weight > 0 and step >= self.config.adv_start

    def generator_step(self, clip: Tensor, real: Tensor, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the gradient of encoder and decoder, clipped to `max_grad_norm`.

        Args:
            clip: (b,3,T,H,W).
            real: a real image for each clip, (b,3,H,W).
            step: steps done so far.

        Returns:
            The distilled images (b,3,H,W) and the named terms, all detached.
        """
        self.generator.zero_grad()
        self.model.discriminator.requires_grad_(False)
        images: list[Tensor] = []
        terms: dict[str, Tensor] = {}
        for part, last in self._parts():
            with distributed.exchanging(self.generator, last):
                image, total, of_part = self._generator_losses(clip[part], real[part], part, step)
                (total / self.config.accumulate).backward()
            images.append(image.detach())
            self._add(terms, of_part)
        self.model.discriminator.requires_grad_(True)
        terms["grad_norm_g"] = nn.utils.clip_grad_norm_(self.generator.parameters(), self.config.max_grad_norm)
        return torch.cat(images), terms

    def discriminator_step(self, real: Tensor, fake: Tensor, step: int) -> dict[str, Tensor]:
        """Compute the gradient of the discriminator on pairs of images (b,3,H,W); return the named terms, detached."""
        self.critic.zero_grad()
        terms: dict[str, Tensor] = {}
        for part, last in self._parts():
            with distributed.exchanging(self.critic, last):
                total, of_part = self._discriminator_losses(real[part], fake[part], part, step)
                (total / self.config.accumulate).backward()
            self._add(terms, of_part)
        gradients = [weight.grad for weight in self.model.discriminator.parameters() if weight.grad is not None]
        terms["grad_norm_d"] = nn.utils.get_total_norm(gradients)
        return terms

    def _generator_losses(
        self, clip: Tensor, real: Tensor, part: slice, step: int
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        config, terms = self.config, {}
        with torch.autocast(self.device.type, torch.bfloat16, enabled=in_bf16(config.precision, self.device)):
            seeds = self._seeds(part, DISTURBANCE_STREAM, step)
            jpeg_share = config.jpeg_share if step >= config.jpeg_start else 0.0
            image, restored, logits = self.generator(clip, seeds, jpeg_share)
        terms["recon_loss"] = losses.reconstruction_loss(restored, clip)
        target = guide_target(clip, config.guide_target, config.guide_strength)
        terms["guide_loss"] = losses.guide_loss(image, target)
        total = config.recon_weight * terms["recon_loss"] + config.guide_weight * terms["guide_loss"]
        optional: dict[str, tuple[float, Callable[[], Tensor]]] = {
            "psnr_loss": (config.psnr_weight, lambda: losses.log_error_loss(restored, clip)),
            "peak_loss": (config.peak_weight, lambda: losses.peak_loss(image, target, config.peak_levels)),
            "spectrum_loss": (config.spectrum_weight, lambda: losses.spectrum_loss(image, target)),
            "label_loss": (config.label_weight, lambda: self._label_loss(logits, part, step)),
            "adv_loss_g": (
                config.adv_weight if self.adversarial(step) else 0.0,
                lambda: losses.adversarial_loss_g(
                    *(self.model.discriminator(self._augmented(images, part, step)) for images in (real, image))
                ),
            ),
        }
        for name, (weight, loss) in optional.items():
            if weight > 0:
                terms[name] = loss()
                total = total + weight * terms[name]
        return image, total, terms | losses.watched_figures(image, restored, clip, target)

    def _label_loss(self, logits: Tensor, part: slice, step: int) -> Tensor:
        assert self.label_head is not None, "label_weight makes one"
        known = self.label_head.config.labels
        numbers = [known.index(name) if name else losses.NO_CLASS for name in self.sampler.classes(step)[part]]
        return losses.label_loss(logits, torch.tensor(numbers, device=logits.device))

    def _discriminator_losses(
        self, real: Tensor, fake: Tensor, part: slice, step: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        config, terms = self.config, {}
        penalise = config.penalty_weight > 0 and step % config.penalty_every == 0
        real, fake = (images.detach().requires_grad_(penalise) for images in (real, fake))
        # One pass for both: DistributedDataParallel wants one forward for each backward.
        both = torch.cat([self._augmented(real, part, step), self._augmented(fake, part, step)])
        real_logits, fake_logits = self.critic(both).chunk(2)
        terms["adv_loss_d"] = losses.adversarial_loss_d(real_logits, fake_logits)
        total = terms["adv_loss_d"]
        if penalise:
            terms["r1_penalty"] = losses.gradient_penalty(real_logits, real)
            terms["r2_penalty"] = losses.gradient_penalty(fake_logits, fake)
            weight = config.penalty_weight / 2 * config.penalty_every
            total = total + weight * (terms["r1_penalty"] + terms["r2_penalty"])
        terms["critic_gap"] = (real_logits - fake_logits).mean()
        return total, terms

    def _parts(self) -> Iterator[tuple[slice, bool]]:
        """Yield the slices of this process's clips that are computed one after the other, and whether each is last."""
        size = len(self.sampler.items) // self.config.accumulate
        for part in range(self.config.accumulate):
            yield slice(part * size, (part + 1) * size), part == self.config.accumulate - 1

    def _seeds(self, part: slice, stream: int, step: int) -> list[tuple[int, ...]]:
        """Return a seed for each clip of a part, the same however the batch is shared and divided."""
        return [(self.config.seed, step, item, stream) for item in self.sampler.items[part]]

    def _augmented(self, images: Tensor, part: slice, step: int) -> Tensor:
        """Return images (b,3,H,W) as the discriminator sees them; real and fake ones of a pair are changed alike."""
        return augment(images, self.config.augment_kinds, self._seeds(part, AUGMENT_STREAM, step))

    def _add(self, terms: dict[str, Tensor], of_part: Mapping[str, Tensor]) -> None:
        """Add one part's terms to their mean over all parts."""
        for name, value in of_part.items():
            terms[name] = terms.get(name, 0) + value.detach() / self.config.accumulate


class Generator(nn.Module):
    """Encoder and decoder in one forward pass, as DistributedDataParallel wants it, with what is between them."""

    def __init__(self, model: AVD, config: TrainConfig, label_head: ActionClassifier | None) -> None:
        super().__init__()
        self.encoder, self.decoder, self.label_head = model.encoder, model.decoder, label_head
        self._encode = model.encode  # a bound method: the discriminator does not become part of this module
        self._noise, self._jpeg_quality = config.noise_levels, config.jpeg_quality

    def forward(
        self, clip: Tensor, seeds: Sequence[tuple[int, ...]], jpeg_share: float
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Distill and restore clips (b,3,T,H,W).

        Args:
            clip: values in [-1, 1].
            seeds: of each clip's noise and JPEG.
            jpeg_share: share of the images that go through JPEG before the decoder.

        Returns:
            The images (b,3,H,W), the restored clips, and the label head's logits (b,classes) of the images, if any.
        """
        image = self._encode(clip)
        disturbed = disturb(image, seeds, noise=self._noise, jpeg_share=jpeg_share, jpeg_quality=self._jpeg_quality)
        restored = self.decoder(disturbed)
        if self.label_head is None:
            return image, restored, None
        return image, restored, self.label_head(squash(image.float(), self.label_head.config.size))


def in_bf16(precision: str, device: torch.device) -> bool:
    """Return whether to compute in bfloat16, for a `TrainConfig.precision`; "auto" does where that is not slower.

    A CPU below AVX-512 works each product out in software: a step of `base` took twelve times as long.
    """
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and torch.backends.cpu.get_cpu_capability().startswith("AVX512")
