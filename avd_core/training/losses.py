"""The losses, as pure functions of tensors. Each returns one scalar.

Relativistic pairing and zero-centred penalties after R3GAN (arXiv 2501.05441): the discriminator says how much more
real a real image looks than a fake one, and R1 and R2 keep its slope small on both.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

NO_CLASS = -100  # class number of a clip without a class


def reconstruction_loss(restored: Tensor, clip: Tensor) -> Tensor:
    """Return the mean absolute error between two clips (B,3,T,H,W)."""
    return F.l1_loss(restored, clip)


def log_error_loss(restored: Tensor, clip: Tensor) -> Tensor:
    """Return half the logarithm of each clip's mean squared error, averaged over clips: minus PSNR, in nepers.

    Both clips are (B,3,T,H,W). The logarithm weighs well and badly restored clips alike; its floor of 1e-5 (56 dB)
    keeps the gradient finite.
    """
    error = (restored - clip).square().flatten(1).mean(dim=1)
    return 0.5 * (error + 1e-5).log().mean()


def guide_loss(image: Tensor, target: Tensor) -> Tensor:
    """Return the mean squared difference of the distilled image to its guide target, both (B,3,H,W).

    It is squared, so that the code is spread thin: an absolute difference allows a few strong dots, which are visible.
    """
    return F.mse_loss(image, target)


def peak_loss(image: Tensor, target: Tensor, levels: float) -> Tensor:
    """Return the mean square of what the change from guide target to image exceeds `levels` of 255 by.

    Both are (B,3,H,W). `guide_loss` keeps the mean change small; this one limits the largest.
    """
    return ((image - target).abs() - levels / 127.5).relu().square().mean()


def adversarial_loss_d(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Return the discriminator's relativistic loss; both logits have one shape and are paired place by place."""
    return F.softplus(fake_logits - real_logits).mean()


def adversarial_loss_g(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Return the generator's relativistic loss: `adversarial_loss_d` with the roles exchanged."""
    return F.softplus(real_logits - fake_logits).mean()


def label_loss(logits: Tensor, classes: Tensor) -> Tensor:
    """Cross-entropy of logits (B,K) for class numbers (B,), averaged over all clips.

    A clip of no class (`NO_CLASS`) counts as zero, so that parts of a batch add up to the whole.
    """
    return F.cross_entropy(logits.float(), classes, ignore_index=NO_CLASS, reduction="none").mean()


def gradient_penalty(logits: Tensor, images: Tensor) -> Tensor:
    """Return the zero-centred penalty: the batch mean of |d score / d image|^2, with score the mean logit of an image.

    R1 on real images, R2 on fake ones. `images` (B,3,H,W) must require a gradient, and `logits` depend on them.
    """
    (gradient,) = torch.autograd.grad(logits.flatten(1).mean(dim=1).sum(), images, create_graph=True)
    return gradient.square().flatten(1).sum(dim=1).mean()


def spectrum_loss(image: Tensor, target: Tensor) -> Tensor:
    """Return the mean absolute difference of the amplitude spectra of image and guide target, both (B,3,H,W).

    After IICNet (ICCV 2021). Without phases: the image shall hold as much of each frequency as the target, also of the
    finest, where a code hides; where things lie is up to `guide_loss`. The transform is orthonormal.
    """
    ours, theirs = (torch.fft.rfft2(values.float(), norm="ortho").abs() for values in (image, target))
    return F.l1_loss(ours, theirs)


@torch.no_grad()
def watched_figures(image: Tensor, restored: Tensor, clip: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Return figures that no player is trained by, each a mean over clips.

    Returns:
        gain_over_mean: PSNR of the restored clip over that of its mean frame, in dB: what a still image cannot do.
        image_psnr: of the distilled image to its guide target, in dB.
        image_peak: the largest change of a value from guide target to image, in levels of 255.
    """
    error = (restored.clamp(-1, 1) - clip).square().mean(dim=(1, 2, 3, 4))
    spread = (clip.mean(dim=2, keepdim=True) - clip).square().mean(dim=(1, 2, 3, 4))
    change = (image - target).flatten(1)
    return {
        "gain_over_mean": 10 * torch.log10((spread + 1e-6) / (error + 1e-6)).mean(),
        "image_psnr": 10 * torch.log10(4 / (change.square().mean(dim=1) + 1e-9)).mean(),
        "image_peak": 127.5 * change.abs().amax(dim=1).mean(),
    }
