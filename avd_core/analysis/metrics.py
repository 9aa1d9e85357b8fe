"""PSNR and SSIM of a restored clip, always beside those of still images.

On a nearly static clip a copied frame scores 27 dB, so a restoration is always reported beside two copies: the middle
frame and the mean frame, each repeated T times. All is measured on 8-bit RGB frames at the model's size, before any
video encoding.

Axes: T frames, H, W; the last axis is RGB.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from avd_core.analysis.baselines import mean_frame, middle_frame

PSNR_CAP = 60.0  # dB; the PSNR of identical clips is infinite, and a single one would make every mean infinite


def psnr(original: np.ndarray, restored: np.ndarray) -> float:
    """Return the peak signal-to-noise ratio in dB, ``10 log10(255^2 / MSE)``, at most 60.

    The squared error is averaged over the whole arrays: for clips that is the clip's PSNR, not the mean of its frames'.

    Args:
        original: uint8, any shape.
        restored: uint8, of a shape that broadcasts to the original's (a single frame counts as copied T times).
    """
    mse = _squared_error(original, restored).mean()
    return min(PSNR_CAP, 10 * math.log10(255**2 / mse)) if mse > 0 else PSNR_CAP


def ssim_per_frame(original: np.ndarray, restored: np.ndarray) -> np.ndarray:
    """Return the structural similarity of each pair of frames, as torchmetrics computes it with ``data_range=255``.

    Args:
        original: uint8 (T, H, W, 3), H and W at least 11 (the window's side).
        restored: uint8 (T, H, W, 3), or (H, W, 3) for one frame copied T times.

    Returns:
        float64 (T,), at most 1.
    """
    import torch  # both are slow to import, and only this function needs them
    from torchmetrics.functional.image import structural_similarity_index_measure

    def images(frames: np.ndarray) -> torch.Tensor:
        whole = np.array(np.broadcast_to(frames, original.shape))  # a writable copy: torch warns of a view
        return torch.from_numpy(whole).permute(0, 3, 1, 2).float()  # (T, 3, H, W)

    with torch.inference_mode():
        values = structural_similarity_index_measure(
            images(restored), images(original), data_range=255.0, reduction="none"
        )
    assert isinstance(values, torch.Tensor), "no image of the similarity was asked for"
    return values.double().reshape(-1).numpy()  # a single frame comes back without its axis


@dataclass(frozen=True)
class Quality:
    """Figures of a restored clip beside those of the two copies.

    ``per_frame`` holds T values by the name of each figure; None where two frames are identical (PSNR is infinite
    there). ``ssim`` is the mean over all frames, identical ones counted as 1.
    """

    psnr: float
    psnr_middle_copy: float
    psnr_mean_copy: float
    ssim: float
    ssim_middle_copy: float
    ssim_mean_copy: float
    per_frame: dict[str, tuple[float | None, ...]]


def quality(original: np.ndarray, restored: np.ndarray) -> Quality:
    """Measure a restored clip, the copied middle frame and the copied mean frame against the original.

    Args:
        original: uint8 (T, H, W, 3), the sampled frames.
        restored: uint8 (T, H, W, 3), from the 8-bit distilled image.

    Raises:
        ValueError: The two differ in shape, or are not uint8.
    """
    if original.shape != restored.shape or original.dtype != np.uint8 or restored.dtype != np.uint8:
        raise ValueError(
            f"Only 8-bit clips of one shape can be compared, not {original.dtype} {original.shape} "
            f"with {restored.dtype} {restored.shape}."
        )
    candidates = {"": restored, "_middle_copy": middle_frame(original), "_mean_copy": mean_frame(original)}
    figures: dict[str, float] = {}
    per_frame: dict[str, tuple[float | None, ...]] = {}
    for suffix, candidate in candidates.items():
        whole = np.broadcast_to(candidate, original.shape)
        same = [bool((frame == copy).all()) for frame, copy in zip(original, whole, strict=True)]
        ssim = np.where(same, 1.0, ssim_per_frame(original, candidate))  # not 0.99999, as rounding has it
        figures["psnr" + suffix] = psnr(original, candidate)
        figures["ssim" + suffix] = float(ssim.mean())
        per_frame["psnr" + suffix] = tuple(
            None if equal else psnr(frame, copy) for frame, copy, equal in zip(original, whole, same, strict=True)
        )
        per_frame["ssim" + suffix] = tuple(
            None if equal else float(value) for value, equal in zip(ssim, same, strict=True)
        )
    return Quality(**figures, per_frame=per_frame)


def _squared_error(original: np.ndarray, restored: np.ndarray) -> np.ndarray:
    # Through int32: the difference of two uint8 wraps around, and its square overflows int16.
    return np.square(original.astype(np.int32) - restored.astype(np.int32))
