"""Refine a distilled image: gradient steps on its pixels with the decoder frozen.

The encoder computes an image in one pass; some steps of optimisation for this clip, as for learned codecs (arXiv
1906.01223), restore it better. The image's change is bounded: by projection after every step, its PSNR against the
guide target (by default the middle frame) falls by at most `ALLOWED_DB` and its largest difference to it does not grow;
a loss term keeps the score of the model's own critic from falling. Because the image is optimised against that critic,
the score of a refined image means little.

Axes: T frames, H, W. Values are in [-1, 1] inside, uint8 outside.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from avd_core.networks.layers import round_to_8_bits

if TYPE_CHECKING:
    from avd_core.networks.avd import AVD

MAX_STEPS = 400
RATE = 0.25  # size of a step, as a share of the root mean square difference between image and target
ALLOWED_DB = 0.4  # dB of PSNR that the image may lose
LEAST_PEAK = 12 / 127.5  # difference to the target that is always allowed
CRITIC_WEIGHT = 0.05
MOMENTUM = 0.9
_TINY = 1e-12
_FLOOR = 1e-7  # of a mean squared error, for frames that are restored exactly


class RefinementError(ValueError):
    """The number of steps is out of range; the message says so."""


@dataclass(frozen=True)
class Refinement:
    """The best image so far.

    Attributes:
        step: gradient steps done, from 0 (the encoder's image).
        steps: of how many.
        image: (H, W, 3) uint8, the best one.
        psnr: of the clip restored from it, in dB.
        image_psnr: of it against the target, in dB.
        start: both figures at step 0.
    """

    step: int
    steps: int
    image: np.ndarray
    psnr: float
    image_psnr: float
    start: tuple[float, float]

    @property
    def gain(self) -> float:
        """Return the gain in `psnr` so far, in dB."""
        return self.psnr - self.start[0]


def refine(
    model: AVD, frames: np.ndarray, image: np.ndarray, steps: int, target: np.ndarray | None = None
) -> Iterator[Refinement]:
    """Refine a clip's distilled image; yield the best one so far, before the first step and after each.

    The model must be in eval mode with weights that need no gradient; it is not changed.

    Args:
        model: the checkpoint that made the image.
        frames: the clip, uint8 (T, H, W, 3).
        image: its distilled image, uint8 (H, W, 3).
        steps: gradient steps, 1 to `MAX_STEPS`.
        target: the guide target, uint8 (H, W, 3); by default the middle frame.

    Raises:
        RefinementError: `steps` is out of range.
    """
    if not 1 <= steps <= MAX_STEPS:
        raise RefinementError(f"{steps} refinement steps cannot be made; 1 to {MAX_STEPS} can.")
    device = next(model.parameters()).device
    clip = _to_tensor(frames, device).movedim(1, 0)[None]  # (1, 3, T, H, W)
    start = _to_tensor(image[None], device)  # (1, 3, H, W)
    anchor = clip[:, :, clip.shape[2] // 2] if target is None else _to_tensor(target[None], device)
    apart = float((start - anchor).square().mean())
    rate, allowed = RATE * max(apart, _FLOOR) ** 0.5, apart * 10 ** (ALLOWED_DB / 10)
    peak = max(float((start - anchor).abs().max()), LEAST_PEAK)
    with torch.inference_mode():
        score = float(model.realism(start))
    pixels = start.clone().requires_grad_(True)
    momentum, power = torch.zeros_like(start), 0.0
    best: Refinement | None = None
    for step in range(steps + 1):
        # No `with` block stays open across a yield: a generator may be resumed on another thread.
        with torch.enable_grad():
            rounded = round_to_8_bits(pixels)
            error = (model.decode(rounded) - clip).square().mean()
            if step < steps:
                loss = 0.5 * (error + _FLOOR).log() + CRITIC_WEIGHT * (score - model.realism(rounded)).relu().mean()
                (gradient,) = torch.autograd.grad(loss, pixels)
        away = float((rounded.detach() - anchor).square().mean())
        psnr, image_psnr = _psnr(float(error.detach())), _psnr(away)
        if best is None or (psnr > best.psnr and image_psnr >= best.start[1] - ALLOWED_DB - 0.1):
            figures = best.start if best else (psnr, image_psnr)
            best = Refinement(step, steps, _to_image(rounded), psnr, image_psnr, figures)
        yield Refinement(step, steps, best.image, best.psnr, best.image_psnr, best.start)
        if step == steps:
            return
        momentum = MOMENTUM * momentum + (1 - MOMENTUM) * gradient
        power = MOMENTUM * power + (1 - MOMENTUM) * float(gradient.square().mean())
        # One scale for the whole image: Adam's, of each pixel by itself, changes pixels that are right already.
        pace = rate * 0.5 * (1.1 + 0.9 * math.cos(math.pi * step / steps)) / (power**0.5 + _TINY)
        with torch.no_grad():
            pixels.copy_(_project(pixels - pace * momentum, anchor, allowed, peak))


def _project(pixels: Tensor, anchor: Tensor, allowed: float, peak: float) -> Tensor:
    """Bring an image back within a mean squared and a largest difference to the anchor, and into [-1, 1]."""
    change = (pixels - anchor).clamp(-peak, peak)
    power = float(change.square().mean())
    if power > allowed:
        change = change * math.sqrt(allowed / power)
    return (anchor + change).clamp(-1, 1)


def _psnr(error: float) -> float:
    """Return the PSNR in dB of a mean squared error of values in [-1, 1]."""
    return min(60.0, 10 * math.log10(4 / max(error, _FLOOR)))


def _to_tensor(pictures: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pictures)).to(device).movedim(-1, 1).float() / 127.5 - 1


def _to_image(image: Tensor) -> np.ndarray:
    levels = ((image.detach()[0] + 1) * 127.5).round().clamp(0, 255)
    return levels.movedim(0, -1).to("cpu", torch.uint8).numpy()
