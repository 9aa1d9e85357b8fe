"""The code in a distilled image: its difference to a reference, and the spectra of both.

The amplified difference shows at which places the image stores the clip, the two spectra at which scales. The reference
is the nearest frame; for a checkpoint whose guide target is a picture of the movement, it is that picture.

Axes: T frames, H, W; pictures are uint8, RGB last.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avd_core.analysis.metrics import psnr

TIMES = 8  # how much stronger than it is a difference is shown
MIDDLE = 128  # the grey level of no difference
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
FINE = 0.25  # cycles per pixel: half of the finest that pixels can hold


@dataclass(frozen=True)
class Hidden:
    """A distilled image compared with its reference.

    Attributes:
        frame: number of the frame that is the reference, from 0; None if the reference is another picture.
        psnr: of the image against the reference, in dB.
        difference: (H, W, 3), the image less the reference, as `amplified` shows it.
        spectrum, reference_spectrum: (H, W) float64, as `amplitude_spectrum` gives them.
        fine: amplitude of the image in detail finer than `FINE`, as a multiple of the reference's (root mean squares);
            None where the reference has none.
    """

    frame: int | None
    psnr: float
    difference: np.ndarray
    spectrum: np.ndarray
    reference_spectrum: np.ndarray
    fine: float | None


def look_beneath(image: np.ndarray, frames: np.ndarray, reference: np.ndarray | None = None) -> Hidden:
    """Compare an image with its reference.

    Args:
        image: (H, W, 3).
        frames: (T, H, W, 3).
        reference: (H, W, 3); None: the frame with the smallest mean squared error.
    """
    nearest = None
    if reference is None:
        nearest = int(np.square(frames - image.astype(np.float64)).mean(axis=(1, 2, 3)).argmin())
        reference = frames[nearest]
    own, other = amplitude_spectrum(image), amplitude_spectrum(reference)
    fine = fine_amplitude(other)
    return Hidden(
        frame=nearest,
        psnr=psnr(reference, image),
        difference=amplified(image, reference),
        spectrum=own,
        reference_spectrum=other,
        fine=fine_amplitude(own) / fine if fine > 1e-9 else None,
    )


def amplified(pictures: np.ndarray, references: np.ndarray) -> np.ndarray:
    """Return `pictures` less `references`, `TIMES` as strong, around `MIDDLE` grey; clipped to 8 bit."""
    difference = pictures.astype(np.int16) - references
    return np.clip(MIDDLE + TIMES * difference, 0, 255).astype(np.uint8)


def amplitude_spectrum(image: np.ndarray) -> np.ndarray:
    """Return the amplitudes (H, W) of the luma's spatial frequencies; the zero frequency is at [H // 2, W // 2], and 0.

    A Hann window keeps the picture's borders from counting as edges. Scaled by the window's sum, so that a wave of
    amplitude A has A / 2 at its frequency and at the opposite one.
    """
    luma = image.astype(np.float64) @ LUMA
    window = np.outer(_hann(luma.shape[0]), _hann(luma.shape[1]))
    mean = (luma * window).sum() / window.sum()
    return np.abs(np.fft.fftshift(np.fft.fft2((luma - mean) * window))) / window.sum()


def fine_amplitude(spectrum: np.ndarray) -> float:
    """Return the root mean square of the amplitudes beyond `FINE` cycles per pixel, of a spectrum (H, W)."""
    vertical, horizontal = (np.fft.fftshift(np.fft.fftfreq(side)) for side in spectrum.shape)
    fine = np.hypot(vertical[:, None], horizontal) > FINE
    return float(np.sqrt(np.square(spectrum[fine]).mean()))


def _hann(count: int) -> np.ndarray:
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(count) / count)  # periodic, so that whole waves stay exact
