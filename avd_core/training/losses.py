"""The losses, as pure functions of tensors. Each returns one scalar.

Relativistic pairing and zero-centred penalties after R3GAN (arXiv 2501.05441): the discriminator says how much more
real a real image looks than a fake one, and R1 and R2 keep its slope small on both.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def reconstruction_loss(restored: Tensor, clip: Tensor) -> Tensor:
    """Mean absolute error between two clips (B,3,T,H,W)."""
    return F.l1_loss(restored, clip)


def log_error_loss(restored: Tensor, clip: Tensor) -> Tensor:
    """Half the logarithm of each clip's mean squared error, averaged over clips (B,3,T,H,W): minus PSNR, in nepers.

    A clip that is restored well counts as much as one that is not. The floor of 1e-5 (56 dB) keeps the gradient finite.
    """
    error = (restored - clip).square().flatten(1).mean(dim=1)
    return 0.5 * (error + 1e-5).log().mean()


def guide_loss(image: Tensor, target: Tensor) -> Tensor:
    """Mean squared difference of the distilled image to its guide target, both (B,3,H,W).

    Squared, so that a code is spread thin: the absolute difference prefers a few strong dots, which the eye finds.
    """
    return F.mse_loss(image, target)


def peak_loss(image: Tensor, target: Tensor, levels: float) -> Tensor:
    """Mean squared excess of the image over `levels` of 255 of change to its guide target, both (B,3,H,W).

    `guide_loss` keeps the change small on average; this keeps any single place from standing out.
    """
    return ((image - target).abs() - levels / 127.5).relu().square().mean()


def adversarial_loss_d(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """The discriminator's relativistic loss; logits of any equal shape, paired place by place."""
    return F.softplus(fake_logits - real_logits).mean()


def adversarial_loss_g(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """The generator's relativistic loss: the mirror of `adversarial_loss_d`."""
    return F.softplus(real_logits - fake_logits).mean()


def gradient_penalty(logits: Tensor, images: Tensor) -> Tensor:
    """Zero-centred gradient penalty: mean over the batch of |d score / d image|^2, score the mean of the logit map.

    R1 on real images, R2 on fake ones. `images` (B,3,H,W) must require a gradient and have made `logits`.
    """
    (gradient,) = torch.autograd.grad(logits.flatten(1).mean(dim=1).sum(), images, create_graph=True)
    return gradient.square().flatten(1).sum(dim=1).mean()


def spectrum_loss(image: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of the amplitude spectra of the image and its guide target, both (B,3,H,W).

    After IICNet (ICCV 2021). Amplitudes only: it asks for as much of every frequency as the target has, hidden code in
    the finest ones included, and leaves where things are to `guide_loss`. The transform is orthonormal.
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
